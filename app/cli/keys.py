"""``keys``: named keys for clients, with limits, and with GitHub accounts of their own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from flask.cli import with_appcontext

from app.cli.actor import actor
from app.cli.around import as_owner_of, base_url, told
from app.cli.columns import padded, width
from app.cli.command import argument, group, option
from app.cli.words import misused, say, unusable
from app.errors import Sentence
from app.gateway import Gateway, current_gateway
from app.keys.key import HOURS, MOST_HOURS, ROLES, UNITS, Key, Limits, moment
from app.logs import audit
from app.schemas.keys import KEY_CHANGE, NEW_KEY, placed, read_key
from app.serving.address import local_url
from app.terminal import in_words

_BUDGET = re.compile(
    r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>[a-z_ ]*?)\s*"
    r"(?:(?:/|\bper\b)\s*(?P<per>day|month)|(?P<total>\bin total|\btotal))",
    re.IGNORECASE,
)
_DAYS = re.compile(r"(\d{1,5})\s*(?:d|days?)", re.IGNORECASE)
_NONE = "none"
_HEADINGS = (
    *(Sentence("NAME"), Sentence("BEGINS"), Sentence("ROLE"), Sentence("STATE")),
    *(Sentence("OWNER"), Sentence("ACCOUNT"), Sentence("LAST USED"), Sentence("LIMITS")),
)
_STATES = {"active": Sentence("active"), "expired": Sentence("expired"), "revoked": Sentence("revoked")}

Command = TypeVar("Command", bound=Callable[..., Any])


def _options(command: Command) -> Command:
    """The fields of a key that both `new` and `edit` take."""
    for one in reversed(
        (
            option("--role", type=click.Choice(ROLES), help="client: /v1 only; admin: everything, as API_KEY."),
            option("--owner", metavar="TEXT", help="Whose it is."),
            option("--note", metavar="TEXT", help="What it is for."),
            option("--expires", metavar="WHEN", help="A day (2027-01-31), days from now (30d), or none."),
            option(
                "--model", "models", multiple=True, metavar="PATTERN", help="A model it may use (gpt-5*); repeatable."
            ),
            option("--requests-per-minute", "requests_per_minute", metavar="N", help="A number, or none."),
            option("--concurrent", metavar="N", help="Answers in progress at a time: a number, or none."),
            option(
                "--budget",
                "budgets",
                multiple=True,
                metavar="BUDGET",
                help='"5 credits per day", "300 premium requests per month", "1000000 tokens in total"; repeatable.',
            ),
        )
    ):
        command = one(command)
    return command


@group()
def keys() -> None:
    """Make, list, change and revoke named keys for clients."""


@keys.command("new")
@argument("name")
@_options
@with_appcontext
def new(name: str, **given: Any) -> None:
    """Make a key called NAME and print it. It is shown this once: only a hash of it is kept."""
    gateway = current_gateway()
    with told(), _files_of(gateway):
        fields = read_key(NEW_KEY, {"name": name, **_body(given)})
        key, secret = gateway.client_keys.registry.make(fields.pop("name"), **placed(Limits(), fields))
    audit("key made", actor=actor(), name=key.name, role=key.role, prefix=key.prefix)
    click.echo(secret)
    say(
        Sentence(
            "That is the key %(name)s (%(role)s). Keep it now: it cannot be shown again.",
            name=repr(key.name),
            role=key.role,
        ),
        to_stderr=True,
    )


@keys.command("list")
@with_appcontext
def list_keys() -> None:
    """Show all keys, with their limits."""
    gateway = current_gateway()
    with told(), _files_of(gateway):
        found = gateway.client_keys.registry.all()
    rows = [tuple(map(in_words, row)) for row in (_HEADINGS, *map(_row, found))]
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for row in rows if found else ():
        click.echo("  ".join(map(padded, row, widths)).rstrip())
    if not found:
        say(Sentence("There are no named keys. Make one: keys new NAME"), to_stderr=True)


@keys.command("edit")
@argument("name")
@_options
@with_appcontext
def edit(name: str, **given: Any) -> None:
    """Change the key NAME: what is named, and nothing else. --model none or --budget none takes all of them away.

    It holds from the next second on. The name itself stays for ever: what the key has spent is booked under it.
    """
    gateway = current_gateway()
    body = _body(given)
    if not body:
        raise misused(Sentence("Say what to change; --help lists it."))
    with told(), _files_of(gateway):
        fields = read_key(KEY_CHANGE, body)
        before, after = gateway.client_keys.registry.change(
            name, lambda key: replace(key, **placed(key.limits, fields))
        )
    audit("key changed", actor=actor(), name=before.name, fields=sorted(body))
    say(Sentence("Changed: %(name)s. %(limits)s", name=after.name, limits=_limits(after.limits)))


@keys.command("revoke")
@argument("name")
@with_appcontext
def revoke(name: str) -> None:
    """Make the key NAME count no longer, from the next second on. It stays in the list."""
    gateway = current_gateway()
    with told(), _files_of(gateway):
        _, after = gateway.bindings.revoke(name)
    audit("key revoked", actor=actor(), name=after.name)
    say(Sentence("Revoked: %(name)s.", name=after.name))


@keys.command("invite")
@argument("name")
@option(
    "--hours", type=click.IntRange(1, MOST_HOURS), default=HOURS, show_default=True, help="How long the link is good."
)
@option("--url", callback=base_url, help="The bridge as its people reach it.  [default: http://localhost:PORT]")
@with_appcontext
def invite(name: str, hours: int, url: str | None) -> None:
    """Print a link by which the holder of the key NAME signs in to a GitHub account of their own.

    From then on calls with that key go by that account, and by no other. The link is good once; a new one takes the
    place of the one before.
    """
    gateway = current_gateway()
    base = url or local_url(gateway.settings)
    with told(), _files_of(gateway):
        invitation, link = gateway.bindings.invite(name, hours=hours)
    until = moment(invitation.expires_at)
    audit("key invited", actor=actor(), name=invitation.name, expires_at=until)
    click.echo(f"{base}/auth/invitation?link={link}")
    say(
        Sentence(
            "It binds the key %(name)s, once, until %(until)s. Send it to nobody else.",
            name=repr(invitation.name),
            until=until,
        ),
        to_stderr=True,
    )


@keys.command("unbind")
@argument("name")
@with_appcontext
def unbind(name: str) -> None:
    """Forget the GitHub account of the key NAME: the bridge's own serves it again, from the next second on."""
    gateway = current_gateway()
    with told(), _files_of(gateway):
        before, after = gateway.bindings.unbind(name)
    if before.binding is None:
        say(Sentence("%(name)s was bound to no account of its own.", name=after.name))
        return
    audit("key unbound", actor=actor(), name=after.name, before=before.binding.account)
    say(Sentence("Unbound: %(name)s. The bridge's own account serves it now.", name=after.name))


def _files_of(gateway: Gateway) -> ExitStack:
    """What is written belongs to whom the folder belongs to, and no connection stays open."""
    stack = ExitStack()
    stack.enter_context(as_owner_of(gateway.settings.data_dir))
    stack.callback(gateway.database.close)
    return stack


def _body(given: dict[str, Any]) -> dict[str, Any]:
    """The options as the fields that ``/admin/keys`` takes. Raises: click.BadParameter."""
    body = {name: given[name] for name in ("role", "owner", "note") if given[name] is not None}
    if given["expires"] is not None:
        body["expires_at"] = _moment(given["expires"])
    if given["models"]:
        body["models"] = [] if given["models"] == (_NONE,) else list(given["models"])
    for name in ("requests_per_minute", "concurrent"):
        if given[name] is not None:
            body[name] = _number(given[name], f"--{name.replace('_', '-')}")
    if given["budgets"]:
        body["budgets"] = [] if given["budgets"] == (_NONE,) else [_budget(text) for text in given["budgets"]]
    return body


def _moment(text: str) -> str | None:
    if text == _NONE:
        return None
    if days := _DAYS.fullmatch(text.strip()):
        return moment(time.time() + int(days[1]) * 24 * 3600)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        what = Sentence("%(text)s is no day: say 2027-01-31, 30d or none.", text=repr(text))
        raise unusable(what, "--expires") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def _number(text: str, option: str) -> int | None:
    if text == _NONE:
        return None
    if not text.isascii() or not text.isdigit():
        raise unusable(Sentence("%(text)s is no whole number: say one, or none.", text=repr(text)), option)
    return int(text)


def _budget(text: str) -> dict[str, Any]:
    found = _BUDGET.fullmatch(text.strip())
    unit = (found["unit"].strip().replace(" ", "_").lower() or "credits") if found else ""
    if found is None or unit not in (*UNITS, *(name.rstrip("s") for name in UNITS)):
        what = Sentence(
            '%(text)s is no budget: say "5 credits per day", "300 premium requests per month" or "9 tokens in total".',
            text=repr(text),
        )
        raise unusable(what, "--budget")
    unit = unit if unit in UNITS else f"{unit}s"
    return {"amount": float(found["amount"]), "unit": unit, "per": (found["per"] or "total").lower()}


def _row(key: Key) -> tuple[str, ...]:
    last = moment(key.last_used_at) if key.last_used_at is not None else Sentence("never")
    state = key.state(time.time())
    if state == "active" and key.expires_at is not None:
        state_shown = Sentence("until %(day)s", day=moment(key.expires_at)[:10])
    else:
        state_shown = _STATES[state]
    account = key.binding.account if key.binding is not None else "–"
    return key.name, f"{key.prefix}…", key.role, state_shown, key.owner or "–", account, last, _limits(key.limits)


def _limits(limits: Limits) -> Sentence:
    parts = [Sentence("models %(names)s", names=", ".join(limits.models))] if limits.models else []
    if limits.requests_per_minute is not None:
        parts.append(Sentence("%(number)s requests per minute", number=limits.requests_per_minute))
    if limits.concurrent is not None:
        parts.append(Sentence("%(number)s at a time", number=limits.concurrent))
    parts += [budget.words for budget in limits.budgets]
    return Sentence.joined(*parts, by="; ") if parts else Sentence("no limits")
