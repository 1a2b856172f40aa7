"""Charts: where the columns stand, whatever the period."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from app.blueprints._charts import MOST_COLUMNS, by_day

FIRST = date(2026, 1, 1)


@pytest.mark.parametrize("count", [1, 2, 30, MOST_COLUMNS, MOST_COLUMNS + 1, 400, 36_600])
def test_every_day_is_in_one_column_and_nothing_is_lost(count: int) -> None:
    last = FIRST + timedelta(days=count - 1)
    values = {FIRST: 1.5, last: 2.0, FIRST - timedelta(days=1): 99.0, last + timedelta(days=1): 99.0}
    chart = by_day(values, FIRST, last)
    assert len(chart.columns) <= MOST_COLUMNS
    assert (chart.columns[0].first, chart.columns[-1].last) == (FIRST, last)
    for one, other in zip(chart.columns, chart.columns[1:], strict=False):
        assert other.first == one.last + timedelta(days=1)
        assert one.x + one.width <= other.x
    assert chart.total == sum({FIRST: 1.5, last: 2.0}.values() if count > 1 else [2.0])
    assert chart.columns[0].x >= 0
    assert chart.columns[-1].x + chart.columns[-1].width <= 100


def test_the_highest_fills_the_picture_and_the_others_are_in_proportion() -> None:
    chart = by_day({FIRST: 5.0, date(2026, 1, 3): 20.0}, FIRST, date(2026, 1, 3))
    assert [(it.y, it.height) for it in chart.columns] == [(75.0, 25.0), (100.0, 0.0), (0.0, 100.0)]
    assert (chart.peak.first, chart.highest) == (date(2026, 1, 3), 20.0)


def test_a_period_without_anything_is_flat() -> None:
    chart = by_day({}, FIRST, FIRST)
    assert (chart.highest, chart.total, [it.height for it in chart.columns]) == (0.0, 0.0, [0.0])
