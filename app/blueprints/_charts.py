"""What charts are drawn from: places in a picture of 100 units of height, for the macros of ``_charts.html``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

MOST_COLUMNS: Final = 92
_GAP: Final = 0.2


@dataclass(frozen=True, slots=True)
class Column:
    """first, last: the days that it stands for. x, width: of 100; y, height: of 100, from above."""

    first: date
    last: date
    value: float
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """highest: the value of the highest column; total: of all; days: how many a column stands for."""

    columns: tuple[Column, ...]
    highest: float
    total: float
    days: int

    @property
    def peak(self) -> Column:
        return max(self.columns, key=lambda it: it.value)


def by_day(values: Mapping[date, float], first: date, last: date) -> Chart:
    """A column for each day of the period, also for those of which nothing is known; for several days each, if there
    are too many for one picture. first, last: both are in it."""
    count = (last - first).days + 1
    days = -(-count // MOST_COLUMNS)
    sums = [0.0] * -(-count // days)
    for day, value in values.items():
        if first <= day <= last:
            sums[(day - first).days // days] += value
    highest, step = max(sums), 100 / len(sums)
    columns = []
    for at, value in enumerate(sums):
        height = round(value / highest * 100, 2) if highest else 0.0
        begin = first + timedelta(days=at * days)
        end = min(last, begin + timedelta(days=days - 1))
        x, width = round((at + _GAP / 2) * step, 3), round(step * (1 - _GAP), 3)
        columns.append(Column(begin, end, value, x, round(100 - height, 2), width, height))
    return Chart(tuple(columns), highest, sum(sums), days)
