"""What GitHub says was used, taken apart: every part is at least nothing, and together they are what GitHub says."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ledger.entries import Baseline
from app.ledger.reconciliation import Booked, Reconciliation, period_of, reconcile, used_of

N = 10**9
FRESH = Baseline(0.0, 0, 0)


@pytest.mark.parametrize(
    ("used", "booked", "baseline", "expected"),
    [
        # all of it is ours
        (5 * N, Booked(5 * N, 0, 3, 0), FRESH, Reconciliation(5 * N, 5 * N, 0, 0, 0, 0)),
        # GitHub rounds to tenths
        (5 * N, Booked(5 * N - N // 20, 0, 3, 0), FRESH, Reconciliation(5 * N, 5 * N - N // 20, 0, 0, N // 20, 0)),
        # an editor uses the same account
        (9 * N, Booked(5 * N, 0, 3, 0), FRESH, Reconciliation(9 * N, 5 * N, 0, 4 * N, 0, 0)),
        # three were used before the bridge looked, one elsewhere since
        (9 * N, Booked(5 * N, 0, 3, 0), Baseline(0, 4 * N, N), Reconciliation(9 * N, 5 * N, 0, N, 3 * N, 0)),
        # two calls were cut: as much as two calls cost may be theirs
        (9 * N, Booked(6 * N, 0, 8, 2), FRESH, Reconciliation(9 * N, 6 * N, 0, N, 2 * N, 0)),
        # nothing is known but that they were made
        (9 * N, Booked(0, 0, 2, 2), FRESH, Reconciliation(9 * N, 0, 0, 9 * N, 0, 0)),
        # GitHub is behind
        (5 * N, Booked(7 * N, N, 3, 0), FRESH, Reconciliation(5 * N, 5 * N, N, 0, 0, 3 * N)),
    ],
)
def test_parts(used: int, booked: Booked, baseline: Baseline, expected: Reconciliation) -> None:
    assert reconcile(used, booked, baseline) == expected


AMOUNT = st.integers(0, 10**15)


@given(
    used=AMOUNT, exact=AMOUNT, estimated=AMOUNT, calls=st.integers(0, 9), cut=st.integers(0, 9), seen=AMOUNT, own=AMOUNT
)
def test_parts_add_up(used: int, exact: int, estimated: int, calls: int, cut: int, seen: int, own: int) -> None:
    found = reconcile(used, Booked(exact, estimated, calls + cut, cut), Baseline(0.0, seen, own))
    assert found.by_bridge + found.elsewhere + found.unknown == used
    assert min(found.by_bridge, found.elsewhere, found.unknown, found.not_yet_counted) >= 0


@pytest.mark.parametrize(
    ("reset", "today", "first"),
    [
        ("2026-12-01", "2026-11-30", "2026-11-01"),
        ("2026-12-31", "2026-12-05", "2026-11-30"),
        ("2027-03-31", "2027-03-01", "2027-02-28"),
        ("2026-11-30", "2026-11-30", "2026-11-30"),
        ("2028-01-15", "2026-11-30", "2026-11-15"),
        (None, "2026-11-30", "2026-11-01"),
    ],
)
def test_a_period_begins_a_month_before_its_reset(reset: str | None, today: str, first: str) -> None:
    told = date.fromisoformat(reset) if reset else None
    assert period_of(told, date.fromisoformat(today)) == date.fromisoformat(first)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ({"available": False}, None),
        (
            {"available": True, "unit": "credits", "credits_used": 1843.2, "unlimited": True},
            (1843_200_000_000, "credits"),
        ),
        ({"available": True, "unit": "credits", "used": 12.5}, (12_500_000_000, "credits")),
        ({"available": True, "used": 33, "overage_count": 2}, (35 * N, "premium_requests")),
        ({"available": True, "unlimited": True, "used": 0}, None),
    ],
)
def test_what_github_tells(quota: dict[str, object], expected: tuple[int, str] | None) -> None:
    assert used_of(quota) == expected
