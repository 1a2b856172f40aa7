"""What GitHub says was used of a billing period, beside what this bridge has booked: by it, elsewhere, unknown.

GitHub tells one number for the account. Of it is known to be *by this bridge* what was booked. What was used before the
bridge was asked for the first time in this period, and is not in its books, is *unknown*: by another program, or by
this one before it kept any. What came on top since then was used *elsewhere*, but for as much as the calls may have
cost of which the bridge knows no cost: those that were cut off before Copilot told it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from app.converters.wire.accounting import NANO
from app.ledger.entries import Baseline
from app.ledger.sums import Sums

_TOLD_TO: Final = NANO // 10
"""GitHub tells credits to a tenth."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """In nano-credits (or in thousand-millionths of a premium request). by_bridge + elsewhere + unknown is what GitHub
    tells; only where it is behind, `not_yet_counted` is what it lacks."""

    used: int
    by_bridge: int
    estimated: int
    elsewhere: int
    unknown: int
    not_yet_counted: int


@dataclass(frozen=True, slots=True)
class Booked:
    """What this bridge has booked of the period. cost_unknown: calls of which nobody knows the cost."""

    exact: int
    estimated: int
    calls: int
    cost_unknown: int

    @classmethod
    def of(cls, sums: Sums, *, in_credits: bool) -> Booked:
        """Of sums of the ledger, in the unit that the plan counts in."""
        if in_credits:
            unknown = sums["calls_of_unknown_cost"]
            return cls(sums["exact_nano"], sums["estimated_nano"], sums["calls"], unknown)
        return cls(sums["premium_milli"] * (NANO // 1000), 0, sums["calls"], 0)

    @property
    def all(self) -> int:
        return self.exact + self.estimated


def reconcile(used: int, booked: Booked, baseline: Baseline) -> Reconciliation:
    """Take what GitHub tells apart. baseline: what was seen when it was asked first in this period."""
    by_bridge = min(booked.all, max(used, 0))
    rest = used - booked.all
    if rest <= _TOLD_TO:
        behind = -rest if rest < -_TOLD_TO else 0
        return Reconciliation(used, by_bridge, booked.estimated, 0, max(rest, 0), behind)
    before = min(rest, max(0, baseline.used_nano - baseline.booked_nano))
    since = rest - before
    maybe_ours = min(since, booked.cost_unknown * _mean_cost(booked))
    return Reconciliation(used, by_bridge, booked.estimated, since - maybe_ours, before + maybe_ours, 0)


def told(found: Reconciliation, *, unit: str, since: date, baseline: Baseline) -> dict[str, Any]:
    """As ``/usage`` has it: numbers of the unit, ``credits`` or ``premium_requests``."""
    return {
        "unit": unit,
        "since": since.isoformat(),
        "watched_since": datetime.fromtimestamp(baseline.seen_at, UTC).isoformat(timespec="seconds"),
        "used": found.used / NANO,
        "by_this_bridge": found.by_bridge / NANO,
        "estimated": found.estimated / NANO,
        "elsewhere": found.elsewhere / NANO,
        "unknown": found.unknown / NANO,
        "not_yet_counted_by_github": found.not_yet_counted / NANO,
    }


def period_of(reset_on: date | None, today: date) -> date:
    """The first day of the billing period that ends with this reset: a month before it, and never in the future.

    Without a reset, the first of this month.
    """
    if reset_on is None:
        return today.replace(day=1)
    begin = reset_on
    while begin > today:
        before = begin.replace(day=1) - timedelta(days=1)
        begin = before.replace(day=min(reset_on.day, before.day))
    return begin


def used_of(quota: dict[str, Any]) -> tuple[int, str] | None:
    """What GitHub tells of a quota of ``/usage``'s, and its unit; None if it tells nothing that can be compared."""
    if not quota.get("available"):
        return None
    in_credits = quota.get("unit") == "credits"
    used = quota.get("credits_used") if in_credits else None
    if used is None:
        if quota.get("unlimited") or quota.get("pool_empty"):
            return None
        used = quota.get("used", 0) + (quota.get("overage_count") or 0)
    return round(used * NANO), "credits" if in_credits else "premium_requests"


def _mean_cost(booked: Booked) -> int:
    known = booked.calls - booked.cost_unknown
    return booked.all // known if known > 0 else 0
