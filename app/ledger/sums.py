"""What is added up of bookings, and how: the same for a day, a month and a report of any period."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from operator import add
from typing import Final

from app.ledger.booking import Booking

Sums = dict[str, int]
Day = tuple[str, str, str, str, str]
"""Day (``2026-11-30``, UTC), key, account, client and model: one row of sums."""

Word = tuple[str, str, str]
"""One of `WORDS`, day and the word's value: one row of sums by this word alone. Of all calls of a day: both empty."""

WORDS: Final = ("key", "account", "client", "model")
"""In the order of a `Day`."""

NAMES: Final = (
    *("calls", "failed_calls"),
    *("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("exact_nano", "estimated_nano", "calls_of_unknown_cost", "premium_milli"),
    *("first_bytes", "first_byte_ms", "duration_ms"),
)
"""failed_calls: refused, cut or stopped. first_bytes: calls that know the time to their first byte. The sums of money
are kept apart, because an estimate is none."""


@functools.lru_cache(maxsize=4)
def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()


def day_of(at: float) -> str:
    """Of epoch seconds, in UTC."""
    return _day(int(at // 86_400))


def by_day(bookings: Iterable[Booking]) -> dict[Day, Sums]:
    """The sums that these bookings add, in the order of their keys: so no two writers wait for each other."""
    found: dict[Day, list[int]] = {}
    for one in bookings:
        key = (day_of(one.ended_at), one.key, one.account, one.client, one.served_model)
        sums = found.get(key)
        if sums is None:
            sums = found[key] = [0] * len(NAMES)
        for at, count in enumerate(_counts(one)):
            sums[at] += count
    return {key: dict(zip(NAMES, found[key], strict=True)) for key in sorted(found)}


def by_word(days: Mapping[Day, Sums]) -> dict[Word, Sums]:
    """The same sums by each word alone, and in all; in the order of their keys."""
    found: dict[Word, list[int]] = {}
    for (day, *values), sums in days.items():
        counts = list(sums.values())
        for word, value in (("", ""), *zip(WORDS, values, strict=True)):
            key = (word, day, value)
            before = found.get(key)
            found[key] = counts if before is None else list(map(add, before, counts))
    return {key: dict(zip(NAMES, found[key], strict=True)) for key in sorted(found)}


def _counts(one: Booking) -> tuple[int, ...]:
    """What one call adds, in the order of `NAMES`."""
    nano = one.nano_credits or 0
    return (
        1,
        0 if one.outcome in ("finished", "client_gone") else 1,
        one.input_tokens or 0,
        one.cached_input_tokens or 0,
        one.cache_write_tokens or 0,
        one.output_tokens or 0,
        one.reasoning_tokens or 0,
        0 if one.is_estimated else nano,
        nano if one.is_estimated else 0,
        1 if one.nano_credits is None else 0,
        one.premium_milli or 0,
        0 if one.first_byte_ms is None else 1,
        one.first_byte_ms or 0,
        one.duration_ms,
    )
