"""What was spent today, in the last seven and in the last thirty days: all of it by one look at the sums of days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from app.ledger.day_sums import DaySums

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

SPANS: Final = (1, 7, 30)
"""Days, today's included."""
MOST_NAMES: Final = 50
_COUNTS: Final = (
    *("calls", "failed_calls", "exact_nano", "estimated_nano", "premium_milli"),
    *("input_tokens", "cached_input_tokens"),
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums of one span of days, as of `sums.NAMES`."""

    calls: int = 0
    failed_calls: int = 0
    exact_nano: int = 0
    estimated_nano: int = 0
    premium_milli: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0

    @property
    def nano(self) -> int:
        """Nano-credits, estimated ones included."""
        return self.exact_nano + self.estimated_nano

    @property
    def cached_share(self) -> float | None:
        """Of the input, from 0 to 1; None without any."""
        return self.cached_input_tokens / self.input_tokens if self.input_tokens else None

    @property
    def failed_share(self) -> float | None:
        return self.failed_calls / self.calls if self.calls else None


Spans = tuple[Spent, ...]
"""One for each of `SPANS`."""


@dataclass(frozen=True, slots=True)
class Spending:
    """all: of everything. by_model, by_key: the dearest first, `MOST_NAMES` at most. by_day: of each day with calls in
    the longest span."""

    all: Spans
    by_model: Sequence[tuple[str, Spans]] = ()
    by_key: Sequence[tuple[str, Spans]] = ()
    by_day: Sequence[tuple[date, Spent]] = ()


NOTHING: Final = Spending(tuple(Spent() for _ in SPANS))


def read(connection: Connection, today: date, *, key: str | None) -> Spending:
    """What the ledger has. key: of this one only."""
    [total] = connection.execute(by(None, today, key=key))
    return Spending(
        all=_spans(total),
        by_model=_named(connection.execute(by("model", today, key=key))),
        by_key=_named(connection.execute(by("key", today, key=key))) if key is None else (),
        by_day=tuple(
            (date.fromisoformat(row[0]), Spent(*(int(value or 0) for value in row[1:])))
            for row in connection.execute(by_day(today, key=key))
        ),
    )


def by(word: Literal["model", "key"] | None, today: date, *, key: str | None) -> Select[Any]:
    """The sums of all spans by this word, or of everything."""
    from sqlalchemy import case, func, select

    rows = DaySums.of(word, key=key)

    def of(name: str, days: int) -> Any:
        if days == SPANS[-1]:
            return func.sum(rows.columns[name])
        return func.sum(case((rows.day >= _first(today, days), rows.columns[name]), else_=0))

    sums = [of(name, days) for days in SPANS for name in _COUNTS]
    period = rows.within(_first(today, SPANS[-1]), today.isoformat())
    if word is None:
        return select(*sums).where(*period)
    order = (rows.cost.desc(), *(it.desc() for it in rows.sums(("premium_milli", "calls"))), rows.name)
    return select(rows.name, *sums).where(*period).group_by(rows.name).order_by(*order).limit(MOST_NAMES)


def by_day(today: date, *, key: str | None) -> Select[Any]:
    from sqlalchemy import select

    rows = DaySums.of(None, key=key)
    period = rows.within(_first(today, SPANS[-1]), today.isoformat())
    return select(rows.day, *rows.sums(_COUNTS)).where(*period).group_by(rows.day).order_by(rows.day)


def _first(today: date, days: int) -> str:
    return (today - timedelta(days=days - 1)).isoformat()


def _named(rows: Any) -> tuple[tuple[str, Spans], ...]:
    return tuple((str(row[0]), _spans(row[1:])) for row in rows)


def _spans(row: Sequence[Any]) -> Spans:
    size, values = len(_COUNTS), [int(value or 0) for value in row]
    return tuple(Spent(*values[at : at + size]) for at in range(0, len(values), size))
