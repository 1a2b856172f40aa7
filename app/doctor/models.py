"""The model list: what there is, what must be enabled first, and where the mapping leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.converters.neutral.notices import notices_of
from app.converters.neutral.price_list import AS_OF, PriceList
from app.converters.neutral.prices import multiplier_of, prices_of
from app.doctor.finding import Finding, note, ok, problem
from app.errors import GatewayError, Sentence
from app.routing import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Model, find_model, near_matches
from app.settings import DEFAULT_MAPPING
from app.store import ModelMapping
from app.upstream.catalog import Catalog

_ENABLE = "https://github.com/settings/copilot/features"
_SHOWN = 6


def cost_of(model: Model) -> float | None:
    """Premium requests for one request of a person; None if the list does not tell, or tells prices instead."""
    return None if prices_of(model.raw) is not None else multiplier_of(model.raw)


def is_enabled(model: Model) -> bool:
    """Whether its terms are accepted, or need not be (contract §4.3)."""
    policy = model.raw.get("policy")
    return not isinstance(policy, dict) or policy.get("state") in (None, "enabled")


def check_catalogue(catalog: Catalog, listed: PriceList) -> Iterator[Finding]:
    """listed: the prices that estimates go by where the list tells none."""
    try:
        models = catalog.models()
    except GatewayError as error:
        yield problem(Sentence("models"), error.message)
        return
    if not models:
        yield problem(
            Sentence("models"),
            Sentence("Copilot's list is empty."),
            Sentence("Look at https://github.com/settings/copilot."),
        )
        return
    counts = {
        path: sum(path in model.endpoints for model in models) for path in (CHAT, RESPONSES, MESSAGES, EMBEDDINGS)
    }
    yield ok(
        Sentence("models"),
        Sentence.joined(
            f"{len(models)};", Sentence.joined(*(_at(path, count) for path, count in counts.items()), by=", ")
        ),
    )
    free = [model.id for model in models if cost_of(model) == 0 and model.type == "chat" and _is_picked(model.raw)]
    if free:
        yield ok(Sentence("without cost"), _some(free))
    yield from _without_prices(models, listed)
    for notice, names in notices_of(model.raw for model in models).items():
        yield note(
            Sentence("Copilot warns"),
            Sentence("%(message)s (%(code)s: %(names)s)", message=notice.message, code=notice.code, names=_some(names)),
            notice.advice,
        )
    if disabled := [model.id for model in models if not is_enabled(model)]:
        yield note(
            Sentence("not enabled"),
            Sentence("%(names)s: listed, but refused until the terms are accepted.", names=_some(disabled)),
            Sentence("Enable them at %(enable)s; in an organisation its administrator does.", enable=_ENABLE),
        )


def _at(path: str, count: int) -> Sentence:
    return Sentence("%(count)s at %(path)s", count=count, path=path)


def _without_prices(models: Sequence[Model], listed: PriceList) -> Iterator[Finding]:
    """Where other models have a price, or none has a multiplier: an account that is billed in credits."""
    if not any(prices_of(model.raw) for model in models):
        return
    silent = [it for it in models if it.type == "chat" and prices_of(it.raw) is None and multiplier_of(it.raw) is None]
    guessed = [model.id for model in silent if listed.of(model.raw) is not None]
    unknown = [model.id for model in silent if listed.of(model.raw) is None]
    if guessed:
        yield note(
            Sentence("prices"),
            Sentence(
                "Copilot's list tells none for %(names)s: where an answer does not tell its cost either, it is "
                "estimated by MODEL_PRICES, or else by GitHub's list of %(as_of)s.",
                names=_some(guessed),
                as_of=AS_OF,
            ),
        )
    if unknown:
        yield note(
            Sentence("prices"),
            Sentence(
                "Nobody tells any for %(names)s: where an answer does not tell its cost either, it stays unknown.",
                names=_some(unknown),
            ),
            Sentence("MODEL_PRICES can name them."),
        )


def check_mapping(mapping: ModelMapping, catalog: Catalog) -> Iterator[Finding]:
    try:
        entries, models = mapping.all(), catalog.models()
    except GatewayError as error:
        yield problem(Sentence("mapping"), error.message)
        return
    yield from _targets(entries, models)


def check_search_model(name: str, catalog: Catalog) -> Iterator[Finding]:
    """WEB_SEARCH_MODEL: there, and served where web search is."""
    try:
        models = catalog.models()
    except GatewayError:
        return  # the catalogue's own check has told
    model = find_model(name, models)
    if model is not None and RESPONSES in model.endpoints:
        yield ok("WEB_SEARCH_MODEL", name)
        return
    others = near_matches(name, (other.id for other in models if RESPONSES in other.endpoints and other.type == "chat"))
    what = Sentence("%(name)s is a model that this account does not have: web searches fail.", name=name)
    if model is not None:
        what = Sentence(
            "%(name)s is a model that Copilot does not serve at %(path)s: web searches fail.",
            name=name,
            path=RESPONSES,
        )
    advice = Sentence("Choose one that GET /v1/models lists with /responses.")
    if others:
        advice = Sentence("Try %(names)s.", names=_either(others))
    yield problem(
        "WEB_SEARCH_MODEL",
        what,
        advice,
    )


def search_by(usual: str, now: str | None) -> Finding:
    """Who searches the web where WEB_SEARCH_MODEL says nothing: one that GitHub has not refused lately."""
    if now == usual:
        return ok(Sentence("web search"), Sentence("by %(usual)s", usual=usual))
    return note(
        Sentence("web search"),
        Sentence(
            "GitHub has refused %(usual)s to this account; %(other)s searches instead. It is tried again within the "
            "hour.",
            usual=usual,
            other=now or Sentence("nobody"),
        ),
        Sentence(
            "An organisation's policy on MCP servers may forbid it. WEB_SEARCH_MODEL names a model that searches, or "
            "off."
        ),
    )


def _targets(entries: Mapping[str, str], models: Sequence[Model]) -> Iterator[Finding]:
    lost = {source: target for source, target in entries.items() if find_model(target, models) is None}
    for source, target in lost.items():
        close = near_matches(target, (model.id for model in models if model.type == "chat"))
        # The default came with the service: nobody chose it, and nobody may ever ask for it.
        status = note if DEFAULT_MAPPING.get(source) == target else problem
        yield status(
            Sentence("mapping"),
            Sentence("%(source)s → %(target)s, which this account does not have.", source=source, target=target),
            Sentence.joined(
                Sentence("Close to it: %(names)s.", names=", ".join(close)) if close else "",
                Sentence(
                    "Change it (/admin/mapping/set?from=%(name)s&to=…) or delete it "
                    "(/admin/mapping/del?from=%(name)s).",
                    name=source,
                ),
            ),
        )
    if len(lost) < len(entries) or not entries:
        shown = [
            Sentence.joined(f"{source} →", _priced(target, models))
            for source, target in entries.items()
            if source not in lost
        ]
        yield ok(Sentence("mapping"), _some(shown) if shown else Sentence("no names are mapped"))


def _priced(target: str, models: Sequence[Model]) -> str:
    model = find_model(target, models)
    prices = prices_of(model.raw) if model is not None else None
    if prices is not None and prices.usual.input is not None and prices.usual.output is not None:
        return Sentence(
            "%(model)s (%(input)s in, %(output)s out: credits per million tokens)",
            model=target,
            input=f"{prices.usual.input:g}",
            output=f"{prices.usual.output:g}",
        )
    cost = cost_of(model) if model is not None else None
    if not cost:
        return target
    return (
        Sentence("%(model)s (1 premium request a call)", model=target)
        if cost == 1
        else Sentence("%(model)s (%(number)s premium requests a call)", model=target, number=f"{cost:g}")
    )


def _is_picked(raw: Mapping[str, Any]) -> bool:
    return raw.get("model_picker_enabled") is not False


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    some = Sentence.joined(*names[:_SHOWN], by=", ")
    return Sentence("%(names)s and %(count)s more", names=some, count=rest) if rest > 0 else some


def _either(names: Sequence[str]) -> Sentence:
    first, *others = names
    found: str = first
    for other in others:
        found = Sentence("%(one)s or %(other)s", one=found, other=other)
    return Sentence.joined(found)
