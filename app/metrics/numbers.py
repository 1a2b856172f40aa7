"""What one worker counts: sums and spreads by few labels, as plain data that can be stored, read and added up.

Labels are bounded: a name beyond the first hundred of its kind counts as ``other``, so no client can fill the memory of
a Prometheus by inventing names.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable
from typing import Any, Final

from app.ledger.booking import Booking
from app.reply import Ended

Labels = tuple[str, ...]
Series = dict[Labels, int]
Spread = dict[Labels, list[int]]

FIRST_BYTE_MS: Final = (100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)
DURATION_MS: Final = (250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 180_000, 600_000)
WAITED_MS: Final = (50, 250, 1000, 2500, 5000, 10_000, 30_000, 60_000, 180_000)
_MOST: Final = 100
_OTHER: Final = "other"
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KINDS: Final = (
    ("input", "input_tokens"),
    ("cached_input", "cached_input_tokens"),
    ("cache_write", "cache_write_tokens"),
    ("output", "output_tokens"),
    ("reasoning", "reasoning_tokens"),
)


class Numbers:
    """Counters and spreads of a worker, or of several that were added up.

    counters: by name and labels. spreads: the same, with a count for each bound, one for what is beyond them, and the
    sum of all values, in milliseconds.
    """

    def __init__(self) -> None:
        self.counters: dict[str, Series] = {}
        self.spreads: dict[str, Spread] = {}
        self._known: dict[str, set[str]] = {}

    def note(self, ended: Ended, booking: Booking | None) -> None:
        """A request has ended; booking: if it was a call to a model."""
        error = ended.record.error
        outcome = booking.outcome if booking is not None else "finished" if ended.status < 400 else "refused"
        dialect = booking.dialect if booking is not None else ""
        self.add("requests", (dialect or _OTHER, outcome, str(ended.status)))
        if ended.record.waited_ms is not None:
            how = "streamed" if ended.record.stream else "whole"
            self.spread("waited", (dialect or _OTHER, how), ended.record.waited_ms, WAITED_MS)
        if error is not None:
            code = error if _CODE.fullmatch(error) else _OTHER
            self.add("errors", (self._bounded("code", code),))
        if booking is not None:
            self._note_call(booking)

    def _note_call(self, booking: Booking) -> None:
        model = self._bounded("model", booking.served_model or "unknown")
        for kind, name in _KINDS:
            if count := getattr(booking, name):
                self.add("tokens", (kind, model), count)
        if booking.nano_credits is None:
            self.add("calls_of_unknown_cost", (model,))
        else:
            self.add("nano_credits", (model, "estimated" if booking.is_estimated else "exact"), booking.nano_credits)
        if booking.premium_milli:
            self.add("premium_milli", (model,), booking.premium_milli)
        how = "streamed" if booking.streamed else "whole"
        if booking.first_byte_ms is not None:
            self.spread("first_byte", (booking.dialect, how), booking.first_byte_ms, FIRST_BYTE_MS)
        self.spread("duration", (booking.dialect, how), booking.duration_ms, DURATION_MS)

    def add(self, name: str, labels: Labels, count: int = 1) -> None:
        series = self.counters.setdefault(name, {})
        series[labels] = series.get(labels, 0) + count

    def spread(self, name: str, labels: Labels, value: int, bounds: tuple[int, ...]) -> None:
        counts = self.spreads.setdefault(name, {}).setdefault(labels, [0] * (len(bounds) + 2))
        counts[bisect.bisect_left(bounds, value)] += 1
        counts[-1] += value

    def _bounded(self, kind: str, name: str) -> str:
        known = self._known.setdefault(kind, set())
        if name not in known:
            if len(known) >= _MOST:
                return _OTHER
            known.add(name)
        return name

    # ── as plain data ───────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> dict[str, Any]:
        """JSON: lists of ``[labels, value]`` by name."""
        return {
            "counters": {name: [[list(it), n] for it, n in series.items()] for name, series in self.counters.items()},
            "spreads": {name: [[list(it), n] for it, n in spread.items()] for name, spread in self.spreads.items()},
        }

    @classmethod
    def together(cls, dumps: Iterable[dict[str, Any]]) -> Numbers:
        """The sum of what others have dumped."""
        sum_ = cls()
        for told in dumps:
            for name, series in told.get("counters", {}).items():
                for labels, count in series:
                    sum_.add(name, tuple(labels), count)
            for name, spread in told.get("spreads", {}).items():
                for labels, counts in spread:
                    known = sum_.spreads.setdefault(name, {}).setdefault(tuple(labels), [0] * len(counts))
                    known[:] = [one + other for one, other in zip(known, counts, strict=True)]
        return sum_
