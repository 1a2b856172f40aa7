"""The model list: what there is, what must be enabled first, and where the mapping leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.converters.neutral.notices import notices_of
from app.converters.neutral.price_list import AS_OF, PriceList
from app.converters.neutral.prices import multiplier_of, prices_of
from app.doctor.finding import Finding, note, ok, problem
from app.errors import GatewayError
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
        yield problem("models", error.message)
        return
    if not models:
        yield problem("models", "Copilot's list is empty.", "Look at https://github.com/settings/copilot.")
        return
    counts = {
        path: sum(path in model.endpoints for model in models) for path in (CHAT, RESPONSES, MESSAGES, EMBEDDINGS)
    }
    yield ok("models", f"{len(models)}; " + ", ".join(f"{count} at {path}" for path, count in counts.items()))
    free = [model.id for model in models if cost_of(model) == 0 and model.type == "chat" and _is_picked(model.raw)]
    if free:
        yield ok("without cost", _some(free))
    yield from _without_prices(models, listed)
    for notice, names in notices_of(model.raw for model in models).items():
        yield note("Copilot warns", f"{notice.message} ({notice.code}: {_some(names)})", notice.advice)
    if disabled := [model.id for model in models if not is_enabled(model)]:
        yield note(
            "not enabled",
            f"{_some(disabled)}: listed, but refused until the terms are accepted.",
            f"Enable them at {_ENABLE}; in an organisation its administrator does.",
        )


def _without_prices(models: Sequence[Model], listed: PriceList) -> Iterator[Finding]:
    """Where other models have a price, or none has a multiplier: an account that is billed in credits."""
    if not any(prices_of(model.raw) for model in models):
        return
    silent = [it for it in models if it.type == "chat" and prices_of(it.raw) is None and multiplier_of(it.raw) is None]
    guessed = [model.id for model in silent if listed.of(model.raw) is not None]
    unknown = [model.id for model in silent if listed.of(model.raw) is None]
    if guessed:
        yield note(
            "prices",
            f"Copilot's list tells none for {_some(guessed)}: where an answer does not tell its cost either, it is "
            f"estimated by MODEL_PRICES, or else by GitHub's list of {AS_OF}.",
        )
    if unknown:
        yield note(
            "prices",
            f"Nobody tells any for {_some(unknown)}: where an answer does not tell its cost either, it stays unknown.",
            "MODEL_PRICES can name them.",
        )


def check_mapping(mapping: ModelMapping, catalog: Catalog) -> Iterator[Finding]:
    try:
        entries, models = mapping.all(), catalog.models()
    except GatewayError as error:
        yield problem("mapping", error.message)
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
    what = "this account does not have" if model is None else f"Copilot does not serve at {RESPONSES}"
    advice = f"Try {' or '.join(others)}." if others else "Choose one that GET /v1/models lists with /responses."
    yield problem("WEB_SEARCH_MODEL", f"{name} is a model that {what}: web searches fail.", advice)


def search_by(usual: str, now: str | None) -> Finding:
    """Who searches the web where WEB_SEARCH_MODEL says nothing: one that GitHub has not refused lately."""
    if now == usual:
        return ok("web search", f"by {usual}")
    return note(
        "web search",
        f"GitHub has refused {usual} to this account; {now or 'nobody'} searches instead. It is tried again within the "
        "hour.",
        "An organisation's policy on MCP servers may forbid it. WEB_SEARCH_MODEL names a model that searches, or off.",
    )


def _targets(entries: Mapping[str, str], models: Sequence[Model]) -> Iterator[Finding]:
    lost = {source: target for source, target in entries.items() if find_model(target, models) is None}
    for source, target in lost.items():
        close = near_matches(target, (model.id for model in models if model.type == "chat"))
        # The default came with the service: nobody chose it, and nobody may ever ask for it.
        status = note if DEFAULT_MAPPING.get(source) == target else problem
        yield status(
            "mapping",
            f"{source} → {target}, which this account does not have.",
            (f"Close to it: {', '.join(close)}. " if close else "")
            + f"Change it (/admin/mapping/set?from={source}&to=…) or delete it (/admin/mapping/del?from={source}).",
        )
    if len(lost) < len(entries) or not entries:
        shown = [f"{source} → {_priced(target, models)}" for source, target in entries.items() if source not in lost]
        yield ok("mapping", _some(shown) if shown else "no names are mapped")


def _priced(target: str, models: Sequence[Model]) -> str:
    model = find_model(target, models)
    prices = prices_of(model.raw) if model is not None else None
    if prices is not None and prices.usual.input is not None and prices.usual.output is not None:
        return f"{target} ({prices.usual.input:g} in, {prices.usual.output:g} out: credits per million tokens)"
    cost = cost_of(model) if model is not None else None
    return f"{target} ({cost:g} premium request{'' if cost == 1 else 's'} a call)" if cost else target


def _is_picked(raw: Mapping[str, Any]) -> bool:
    return raw.get("model_picker_enabled") is not False


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
