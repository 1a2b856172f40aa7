"""The whole examination: which checks there are, in which order, and that none of them stops the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.converters.neutral.price_list import PriceList
from app.doctor import account, calls, configuration, database, listening, models, network, public, starting, state
from app.doctor.finding import Finding, note, ok, problem
from app.errors import GatewayError, Sentence
from app.gateway import Gateway
from app.outbound import Outbound
from app.settings import Settings, env_file

Consent = Callable[[], bool]
"""Whether the calls that were announced may be made; may ask a person."""


@dataclass(frozen=True, slots=True)
class Check:
    """A named check. run: gives its findings one by one, as they are made."""

    name: str
    run: Callable[[], Iterable[Finding]]


def examine(checks: Iterable[Check]) -> Iterator[tuple[str, Finding]]:
    """Run the checks; pairs of check name and finding. A check that fails itself is a finding too, and the last guard
    of this command: whoever looks for one problem must not be stopped by another."""
    for check in checks:
        try:
            for finding in check.run():
                yield check.name, finding
        except GatewayError as error:
            yield check.name, problem(check.name, error.message)
        except Exception as error:
            # Not the error's text, which may quote anything.
            place = traceback.extract_tb(error.__traceback__)[-1]
            yield (
                check.name,
                problem(
                    check.name,
                    Sentence(
                        "This check failed itself (%(kind)s at %(name)s:%(lineno)s).",
                        kind=type(error).__name__,
                        name=Path(place.filename).name,
                        lineno=place.lineno,
                    ),
                    Sentence("That is a bug of the bridge; the other checks went on. Please report it with this line."),
                ),
            )


def checks_for(gateway: Gateway, *, public_url: str | None, consent: Consent) -> list[Check]:
    """All checks, in an order in which later ones can use what earlier ones found."""
    settings = gateway.settings
    contacts = network.Contacts()
    return [
        Check(Sentence("Settings"), lambda: configuration.check_settings(settings, env_file())),
        Check(Sentence("State"), lambda: _state(gateway)),
        Check(Sentence("Service"), lambda: _service(gateway)),
        Check(Sentence("Network"), lambda: _network(settings, contacts)),
        Check(Sentence("Account"), lambda: _account(gateway, contacts)),
        Check("Copilot", lambda: _copilot(gateway, contacts)),
        Check(Sentence("Models"), lambda: _models(gateway, contacts)),
        Check(Sentence("Calls"), lambda: _calls(gateway, contacts, consent)),
        Check(Sentence("Clock"), lambda: network.check_clock(contacts)),
        *([Check(Sentence("Public URL"), partial(_public, settings, public_url))] if public_url else []),
    ]


def _state(gateway: Gateway) -> Iterator[Finding]:
    settings = gateway.settings
    yield from state.check_folder(settings.data_dir)
    yield from state.check_store(gateway.store, redis=settings.redis_url is not None)
    yield from database.check_database(gateway.database)


def _service(gateway: Gateway) -> Iterator[Finding]:
    yield from starting.check_starting()
    try:
        signed_in = gateway.github_tokens.current() is not None
    except GatewayError:  # told by the check of the account
        signed_in = True
    yield from listening.check_port(gateway.settings, signed_in=signed_in)


def _network(settings: Settings, contacts: network.Contacts) -> Iterator[Finding]:
    web = network.Host("GitHub", settings.github_base_url, "/", is_api=False)
    api = network.Host(Sentence("GitHub's API"), settings.github_api_base_url, "/")
    with _outbound() as outbound:
        for host in (web, api):
            yield from network.check_host(host, outbound, contacts, headers=_headers(settings))
        yield from network.check_local_proxying(outbound)


def _account(gateway: Gateway, contacts: network.Contacts) -> Iterator[Finding]:
    settings = gateway.settings
    yield from account.check_sign_in(gateway.github_tokens, settings)
    token = gateway.github_tokens.current()
    if token is None:
        return
    if settings.github_api_base_url in contacts.unusable:
        yield note(Sentence("plan"), Sentence("not asked for, because GitHub's API cannot be reached."))
        return
    yield from account.check_plan(gateway.github, token, settings)
    for finding in account.check_copilot_token(gateway.copilot_tokens, settings):
        contacts.has_token = finding.status == "ok"
        yield finding
    yield from account.check_limits(gateway.seats.own.governor.closed())


def _copilot(gateway: Gateway, contacts: network.Contacts) -> Iterator[Finding]:
    """The host of Copilot, which GitHub names with the token."""
    settings = gateway.settings
    told = gateway.copilot_tokens.current().api_base if contacts.has_token else None
    base = settings.copilot_api_base_url or told or settings.copilot_default_url
    if base is None:
        yield note(
            Sentence("Copilot's API"), Sentence("not tried: which host it is, GitHub tells with the Copilot token.")
        )
        return
    host = network.Host(Sentence("Copilot's API"), base, "/_ping")
    with _outbound() as outbound:
        yield from network.check_host(host, outbound, contacts, headers=_headers(settings))


def _models(gateway: Gateway, contacts: network.Contacts) -> Iterator[Finding]:
    if not contacts.has_token:
        yield note(Sentence("models"), Sentence("not asked for, because there is no Copilot token."))
        return
    yield from models.check_catalogue(gateway.catalog, PriceList(gateway.settings.model_prices))
    if gateway.catalog.is_known():
        yield from models.check_mapping(gateway.mapping, gateway.catalog)
        if not gateway.settings.searches_the_web:
            yield ok(Sentence("web search"), Sentence("off (WEB_SEARCH_MODEL); clients are told so."))
        elif gateway.settings.web_search_model:
            yield from models.check_search_model(gateway.settings.web_search_model, gateway.catalog)
        else:
            yield models.search_by(*gateway.engines.names())


def _calls(gateway: Gateway, contacts: network.Contacts, consent: Consent) -> Iterator[Finding]:
    if not contacts.has_token or not gateway.catalog.is_known():
        return  # why, the checks before this one have told
    planned = calls.plan(gateway.catalog.models(), gateway.mapping.resolve)
    if not planned:
        yield problem(
            Sentence("calls"),
            Sentence("This account has no model that could be called."),
            Sentence("See “models” above."),
        )
        return
    yield calls.announce(planned)
    if consent():
        yield from calls.check_calls(gateway.relay, planned)
    else:
        yield calls.skipped()


def _public(settings: Settings, url: str) -> Iterator[Finding]:
    with _outbound() as outbound:
        yield from public.check_public_url(url, settings.api_keys, outbound)


def _headers(settings: Settings) -> dict[str, str]:
    return {"User-Agent": settings.copilot_user_agent, "Accept": "application/json"}


@contextmanager
def _outbound() -> Iterator[Outbound]:
    """A pool for one check, closed with it."""
    pool = Outbound(pool_size=4)
    try:
        yield pool
    finally:
        pool.close()
