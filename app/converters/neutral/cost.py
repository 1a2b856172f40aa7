"""What an answer may have cost, from its tokens and the prices of its model: where upstream does not tell it itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.converters.neutral.prices import Prices, Tier

_MILLION: Final = 1_000_000
_NANO: Final = 10**9


def estimated_nano(prices: Prices, usage: Mapping[str, int]) -> int | None:
    """Nano-credits; None if tokens or prices are missing that it depends on (contract §10.8).

    usage: as `outcome.counts` gives it; input includes both cached shares. A share of the input without a price of its
    own costs what input costs. Prompts longer than the usual tier holds are counted by the other one.
    """
    given, output = usage.get("input_tokens"), usage.get("output_tokens", 0)
    if given is None:
        return None
    cached, written = usage.get("cached_input_tokens", 0), usage.get("cache_write_tokens", 0)
    tier = _tier(prices, given)
    parts = (
        (max(0, given - cached - written), tier.input),
        (cached, tier.input if tier.cached_input is None else tier.cached_input),
        (written, tier.input if tier.cache_write is None else tier.cache_write),
        (output, tier.output),
    )
    total = 0
    for count, price in parts:
        if count and price is None:
            return None
        total += count * _whole(price or 0.0)
    # A percentage may have decimals; whole thousandths of it are enough.
    paid = 100_000 - round((prices.discount_percent or 0.0) * 1000)
    return (total * paid + _MILLION * 50_000) // (_MILLION * 100_000)


def saved_nano(prices: Prices, cached_input_tokens: int) -> int:
    """Nano-credits that these tokens would have cost more, had they not come from the cache: by the usual tier."""
    usual = prices.usual
    if usual.input is None or usual.cached_input is None:
        return 0
    paid = 100_000 - round((prices.discount_percent or 0.0) * 1000)
    return (
        max(0, cached_input_tokens * (_whole(usual.input) - _whole(usual.cached_input))) * paid // (_MILLION * 100_000)
    )


def _tier(prices: Prices, prompt_tokens: int) -> Tier:
    most = prices.usual.max_prompt_tokens
    is_long = prices.long_context is not None and most is not None and prompt_tokens > most
    return prices.long_context if is_long and prices.long_context is not None else prices.usual


def _whole(price: float) -> int:
    """Credits per million tokens → nano-credits per million tokens."""
    return round(price * _NANO)
