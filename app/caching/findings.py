"""Where a conversation lost its cache: from the last calls, whichever worker served them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.caching.prefix import first_change
from app.converters.neutral.prices import Prices

By = Literal["client", "bridge", "time", "copilot"]
"""Who changed the prefix; time: nobody, but a cache lasts some minutes only; copilot: nobody, and it was soon."""

LASTS_S: Final = 300.0
"""How long Copilot keeps a prefix that nobody asks for."""
_LEAST: Final = 500
"""Tokens: fewer lost are the rounding of a cache's blocks."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A call that read less from the cache than the one before it. Tokens; at: epoch seconds; gap_s: between the two.

    field: the first part of the prefix that changed. cost: credits more than with the cache; None if no price is told.
    """

    at: float
    conversation: str
    request_id: str
    before_id: str
    key: str
    client: str
    model: str
    field: str | None
    by: By
    before: int
    now: int
    gap_s: float
    cost: float | None

    @property
    def lost(self) -> int:
        return self.before - self.now


def findings(rows: Iterable[Mapping[str, Any]], *, prices: Callable[[str], Prices | None]) -> list[Finding]:
    """The newest first. rows: see `app.metrics.recent.row_of`. prices: of a model."""
    last: dict[tuple[str, str], Mapping[str, Any]] = {}
    found = []
    for row in sorted(rows, key=lambda row: float(row["ended_at"])):
        if not row.get("prefix") or not row["conversation"] or row["input_tokens"] is None:
            continue
        thread = row["conversation"], row["purpose"]
        before, last[thread] = last.get(thread), row
        if before is not None and (finding := _compared(before, row, prices)) is not None:
            found.append(finding)
    return found[::-1]


def _compared(
    before: Mapping[str, Any], row: Mapping[str, Any], prices: Callable[[str], Prices | None]
) -> Finding | None:
    had, has = before["cached_input_tokens"] or 0, row["cached_input_tokens"] or 0
    if had - has < _LEAST:
        return None
    gap_s = max(0.0, row["ended_at"] - before["ended_at"])
    field, by = _cause(before, row, gap_s)
    return Finding(
        at=row["ended_at"],
        conversation=row["conversation"],
        request_id=row["request_id"],
        before_id=before["request_id"],
        key=row["key"],
        client=row["client"],
        model=row["served_model"],
        field=field,
        by=by,
        before=had,
        now=has,
        gap_s=gap_s,
        cost=_cost(had - has, prices(row["served_model"])),
    )


def _cause(before: Mapping[str, Any], row: Mapping[str, Any], gap_s: float) -> tuple[str | None, By]:
    if before["served_model"] != row["served_model"]:
        return "model", "client" if before["model"] != row["model"] else "bridge"
    if (field := first_change(before["prefix"]["client"], row["prefix"]["client"])) is not None:
        return field, "client"
    if (field := first_change(before["prefix"]["upstream"], row["prefix"]["upstream"])) is not None:
        return field, "bridge"
    return None, "time" if gap_s > LASTS_S else "copilot"


def _cost(lost: int, prices: Prices | None) -> float | None:
    """What reading them anew costs more, in credits."""
    if prices is None or prices.usual.input is None or prices.usual.cached_input is None:
        return None
    more = max(0.0, prices.usual.input - prices.usual.cached_input)
    return lost * more * (1 - (prices.discount_percent or 0) / 100) / 1_000_000
