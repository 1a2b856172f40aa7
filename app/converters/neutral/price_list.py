"""What models cost whose catalogue entry tells no price: by a list of GitHub's own, a guess by now (contract §10.8).

It is used for estimates alone, and told nowhere as a price. A price that Copilot's list tells goes before it, and so
does the operator's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.converters.neutral.prices import Prices, Tier, multiplier_of, prices_of

AS_OF: Final = "2026-08"
"""When the list was GitHub's; prices move."""

_CREDITS_PER_DOLLAR: Final = 100

_DOLLARS: Final[tuple[tuple[str, tuple[float, float, float | None, float]], ...]] = (
    # Per million tokens: input, cached input, cache write, output.
    ("gpt-5-mini", (0.25, 0.025, None, 2)),
    ("gpt-5.2 gpt-5.2-codex gpt-5.3-codex", (1.75, 0.175, None, 14)),
    ("gpt-5.4-mini mai-code-1-flash", (0.75, 0.075, None, 4.50)),
    ("gpt-5.4 gpt-5.6-terra", (2.50, 0.25, None, 15)),
    ("gpt-5.5 gpt-5.6-sol", (5, 0.50, None, 30)),
    ("gpt-5.6-luna", (1, 0.10, None, 6)),
    ("claude-haiku-4.5", (1, 0.10, 1.25, 5)),
    ("claude-sonnet-4 claude-sonnet-4.5 claude-sonnet-4.6 claude-sonnet-5", (3, 0.30, 3.75, 15)),
    ("claude-opus-4.5 claude-opus-4.6 claude-opus-4.7 claude-opus-4.8 claude-opus-5", (5, 0.50, 6.25, 25)),
    ("claude-fable-5 claude-mythos-5", (10, 1, 12.50, 50)),
    ("gemini-2.5-pro", (1.25, 0.125, None, 10)),
    ("gemini-3.1-pro", (2, 0.20, None, 12)),
)


def _tier(dollars: tuple[float, float, float | None, float]) -> Tier:
    given, cached, written, output = (None if one is None else round(one * _CREDITS_PER_DOLLAR, 6) for one in dollars)
    return Tier(given, cached, written, output)


_LISTED: Final[Mapping[str, Tier]] = {name: _tier(prices) for names, prices in _DOLLARS for name in names.split()}


@dataclass(frozen=True, slots=True)
class PriceList:
    """own: the operator's, by model: credits per million tokens, named as the fields of `Tier` are."""

    own: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, entry: Mapping[str, Any]) -> Prices | None:
        """The prices to estimate by; None if nobody knows any.

        An entry with a multiplier and without prices is of an account that counts premium requests: its calls cost no
        credits, and a list of credits says nothing about them (contract §4.3).
        """
        told = prices_of(entry)
        if told is not None or multiplier_of(entry) is not None:
            return told
        name = str(entry.get("id") or "").lower()
        if (mine := self.own.get(name)) is not None:
            given, cached, written, output = map(mine.get, ("input", "cached_input", "cache_write", "output"))
            return Prices(Tier(given, cached, written, output))
        listed = _LISTED.get(name)
        return Prices(listed) if listed is not None else None
