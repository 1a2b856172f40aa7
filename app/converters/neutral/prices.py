"""What a model costs, from its catalogue entry: both of Copilot's units become one (contract §4.3, §10.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

_MILLION: Final = 1_000_000
_NANO: Final = 10**9
_NAMES: Final = {
    "input": ("input_price",),
    "cached_input": ("cache_read_price", "cache_price"),
    "cache_write": ("cache_write_price",),
    "output": ("output_price",),
}
"""Our words, and upstream's for them, the newer first."""


_DEAR: Final = 5_000
"""Weight from which a model is dear: somewhat above 300 credits in and 1,500 out, the price of the usual ones."""


@dataclass(frozen=True, slots=True)
class Tier:
    """AI credits per million tokens; None where upstream tells no price. max_prompt_tokens: up to where they hold."""

    input: float | None = None
    cached_input: float | None = None
    cache_write: float | None = None
    output: float | None = None
    max_prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """The usual tier, that of long prompts, and the percentage that a running campaign takes off both."""

    usual: Tier
    long_context: Tier | None = None
    discount_percent: float | None = None

    @property
    def weight(self) -> float | None:
        """For comparing: what ten tokens in and one out cost, about an agent's share. None if either is not known."""
        if self.usual.input is None or self.usual.output is None:
            return None
        return (10 * self.usual.input + self.usual.output) * (1 - (self.discount_percent or 0) / 100)

    def told(self) -> dict[str, Any]:
        """As ``/v1/models`` has it: what is not known is left out."""
        told: dict[str, Any] = {"unit": "credits_per_million_tokens", **_known(self.usual)}
        if self.long_context is not None:
            told["long_context"] = _known(self.long_context)
        if self.discount_percent is not None:
            told["discount_percent"] = self.discount_percent
        return told


def prices_of(entry: Mapping[str, Any]) -> Prices | None:
    """The prices in a catalogue entry; None if it tells none, which says nothing about the cost.

    The form decides about the unit, never the size of the numbers: with ``default`` they are credits, without it
    nano-AIU.
    """
    billing = _object(entry, "billing")
    given = _object(billing, "token_prices")
    batch = _number(given.get("batch_size", _MILLION))
    if not given or not batch:
        return None
    is_nested = "default" in given
    factor = _MILLION / batch / (1 if is_nested else _NANO)
    usual = _tier(_object(given, "default") if is_nested else given, factor)
    long = _tier(_object(given, "long_context"), factor) if is_nested else None
    if usual is None:
        return None
    discount = _number(_object(billing, "promo").get("discount_percent"))
    return Prices(usual, long, discount if discount is not None and 0 < discount <= 100 else None)


def multiplier_of(entry: Mapping[str, Any]) -> float | None:
    """Premium requests for one request of a person. None where upstream is silent: neither free nor 1."""
    return _number(_object(entry, "billing").get("multiplier"))


def cost_of(entry: Mapping[str, Any]) -> float | None:
    """One number to compare models of one account by, lower is cheaper; None if nothing is known.

    On an account with prices it is their weight, and a multiplier does not count any more.
    """
    prices = prices_of(entry)
    weight = prices.weight if prices is not None else None
    return weight if weight is not None else multiplier_of(entry)


def is_dear(entry: Mapping[str, Any]) -> bool | None:
    """Whether a model costs more than one would expect of a default; None if upstream does not tell."""
    prices = prices_of(entry)
    if prices is not None and prices.weight is not None:
        return prices.weight > _DEAR
    category = entry.get("model_picker_price_category")
    if isinstance(category, str) and category:
        return category not in ("low", "medium")
    multiplier = multiplier_of(entry)
    return None if multiplier is None else multiplier > 1


def _tier(given: Mapping[str, Any], factor: float) -> Tier | None:
    found: dict[str, float] = {}
    for name, spellings in _NAMES.items():
        price = next((known for word in spellings if (known := _number(given.get(word))) is not None), None)
        if price is not None:
            found[name] = round(price * factor, 6)
    limit = _number(given.get("max_prompt_tokens")) or _number(given.get("context_max"))
    return Tier(**found, max_prompt_tokens=int(limit) if limit else None) if found else None


def _known(tier: Tier) -> dict[str, Any]:
    return {name: value for name, value in asdict(tier).items() if value is not None}


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 10**24 else None
