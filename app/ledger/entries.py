"""Bookings in the database: written with the sums of their day in one transaction, read as sums, removed when old."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

from app.database import Database
from app.ledger import spending
from app.ledger.booking import Booking
from app.ledger.day_sums import DaySums
from app.ledger.spending import Spending
from app.ledger.sums import NAMES, WORDS, Sums, by_day, by_word, day_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Delete, Dialect, Insert, Select, Table

Group = Literal["day", "model", "key", "client", "account"]
GROUPS: Final[tuple[Group, ...]] = ("day", "model", "key", "client", "account")

_DAY_S: Final = 86_400
_REMOVED_AT_ONCE: Final = 1000
_COLUMNS: Final = tuple(field.name for field in fields(Booking))
_WRITER: Final = "ledger:"
# Of each worker, the last batch that it has written: numbers are epoch seconds, so old ones can be told.
_NOTE_BATCH: Final = (
    "INSERT INTO bridge_notes (name, value) VALUES (:name, :number)"
    " ON CONFLICT (name) DO UPDATE SET value = :number WHERE bridge_notes.value < :number"
)
_values_of: Final = attrgetter(*_COLUMNS)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What GitHub said an account had used of a period when it was asked first, and what was booked by then.

    seen_at: epoch seconds.
    """

    seen_at: float
    used_nano: int
    booked_nano: int


class LedgerEntries:
    """The ledger's tables. keep_calls_days, keep_sums_days: how long a single call, and the sums of a day, are kept."""

    def __init__(
        self,
        database: Database,
        *,
        keep_calls_days: int,
        keep_sums_days: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._keep_calls_days = keep_calls_days
        self._keep_sums_days = keep_sums_days
        self._clock = clock
        self._writer = f"{_WRITER}{uuid.uuid4().hex}"

    def load(self) -> None:
        """Import what the first write needs: a third of a second of work, done beside the worker's other greenlets."""
        from gevent import get_hub, monkey

        if monkey.is_module_patched("threading"):
            get_hub().threadpool.apply(_import_all, (self._database.name.startswith("postgresql"),))

    def write(self, bookings: Sequence[Booking], number: float | None = None) -> None:
        """All of them, or none. number: higher than those of all batches before; a batch that is tried again has the
        same, and is written once, whatever became of the first try. Raises: DatabaseError."""
        if not bookings:
            return
        with self._database.write() as connection:
            if number is not None:
                from sqlalchemy import text

                noted = connection.execute(text(_NOTE_BATCH), {"name": self._writer, "number": number})
                if not noted.rowcount:
                    return
            if self._keep_calls_days:
                # By the driver itself: what SQLAlchemy does for each value is of no use here, and costs as much again.
                connection.exec_driver_sql(_insertion(connection.dialect), list(map(_values_of, bookings)))
            days = by_day(bookings)
            for table, rows in (("ledger_days", days), ("ledger_grouped_days", by_word(days))):
                # By the driver itself: what SQLAlchemy does for each value is of no use here, and costs as much again.
                values = [(*key, *sums.values()) for key, sums in rows.items()]
                connection.exec_driver_sql(_addition(connection.dialect, table), values)

    def tidy(self) -> bool:
        """Remove some of what is too old; whether there is more. Raises: DatabaseError."""
        if not self._database.exists():
            return False
        now = self._clock()
        with self._database.write() as connection:
            calls = connection.execute(old_calls(now - self._keep_calls_days * _DAY_S)).rowcount
            for table in ("ledger_days", "ledger_grouped_days"):
                connection.execute(old_days(day_of(now - self._keep_sums_days * _DAY_S), table))
            connection.execute(_old_writers(now - _DAY_S))
        return calls >= _REMOVED_AT_ONCE

    def report(
        self, first: str, last: str, group: Group, *, key: str | None = None, most: int | None = None
    ) -> list[tuple[str, Sums]]:
        """The sums of a period by this word, sorted by it. first, last: days, both in it. key: of this one only.
        most: this many at most, and then the dearest first, or the newest days.

        Raises: DatabaseError.
        """

        def read(connection: Connection) -> list[tuple[str, Sums]]:
            found = connection.execute(sums_by(first, last, group, key=key, most=most))
            return [(str(row[0]), _sums(row[1:])) for row in found]

        return self._database.read_slowly(read) if self._database.exists() else []

    def costs(self, first: str, last: str, *, key: str | None = None) -> list[tuple[str, int, int]]:
        """Day, nano-credits (estimated ones included) and thousandths of premium requests, of each day with calls.

        Raises: DatabaseError.
        """

        def read(connection: Connection) -> list[tuple[str, int, int]]:
            found = connection.execute(costs_by_day(first, last, key=key))
            return [(str(row[0]), int(row[1] or 0), int(row[2] or 0)) for row in found]

        return self._database.read_slowly(read) if self._database.exists() else []

    def spending(self, today: date, *, key: str | None = None) -> Spending:
        """What was spent of late. key: of this one only. Raises: DatabaseError."""
        if not self._database.exists():
            return spending.NOTHING
        return self._database.read_slowly(lambda connection: spending.read(connection, today, key=key))

    def total(self, first: str, last: str, *, key: str | None = None, account: str | None = None) -> Sums:
        """The sums of a period: both days are in it. Raises: DatabaseError."""
        if not self._database.exists():
            return dict.fromkeys(NAMES, 0)
        with self._database.read() as connection:
            return _sums(connection.execute(all_sums(first, last, key=key, account=account)).one())

    def first_day(self, account: str) -> str | None:
        """The day of the first call that was booked for an account. Raises: DatabaseError."""
        from sqlalchemy import func, select

        from app.database.tables import DAYS

        if not self._database.exists():
            return None
        with self._database.read() as connection:
            return connection.execute(select(func.min(DAYS.c.day)).where(DAYS.c.account == account)).scalar()

    def baseline(self, account: str, period: str, *, used_nano: int, booked_nano: int) -> Baseline:
        """What was seen first in this period: this, if nothing was. Raises: DatabaseError."""
        from sqlalchemy import select

        from app.database.tables import BASELINES

        where = (BASELINES.c.account == account) & (BASELINES.c.period == period)
        wanted = select(BASELINES.c.seen_at, BASELINES.c.used_nano, BASELINES.c.booked_nano).where(where)
        if self._database.exists():
            with self._database.read() as connection:
                found = connection.execute(wanted).one_or_none()
            if found is not None:
                return Baseline(*found)
        with self._database.write() as connection:
            statement = _insert(connection.dialect.name, BASELINES).on_conflict_do_nothing()
            seen = {"seen_at": self._clock(), "used_nano": used_nano, "booked_nano": booked_nano}
            connection.execute(statement, {"account": account, "period": period, **seen})
            return Baseline(*connection.execute(wanted).one())


# ── statements ──────────────────────────────────────────────────────────────────────────────────────────────────────


def sums_by(first: str, last: str, group: Group, *, key: str | None, most: int | None = None) -> Select[Any]:
    from sqlalchemy import func, select

    days = DaySums.of(None if group == "day" else group, key=key)
    by = days.day if group == "day" else days.name
    statement = select(by, *days.sums(NAMES)).where(*days.within(first, last)).group_by(by)
    if most is None:
        return statement.order_by(by)
    if group == "day":
        return statement.order_by(by.desc()).limit(most)
    return statement.order_by(days.cost.desc(), func.sum(days.columns.calls).desc(), by).limit(most)


def costs_by_day(first: str, last: str, *, key: str | None = None) -> Select[Any]:
    from sqlalchemy import select

    days = DaySums.of(None, key=key)
    statement = select(days.day, days.cost, *days.sums(("premium_milli",))).where(*days.within(first, last))
    return statement.group_by(days.day).order_by(days.day)


def all_sums(first: str, last: str, *, key: str | None = None, account: str | None = None) -> Select[Any]:
    from sqlalchemy import select

    days = DaySums.of(None, key=key, account=account)
    return select(*days.sums(NAMES)).where(*days.within(first, last))


def old_calls(before: float) -> Delete:
    """Some calls that ended before this (epoch seconds); not all at once, for others want to write meanwhile."""
    from sqlalchemy import delete, select

    from app.database.tables import CALLS

    oldest = select(CALLS.c.id).where(CALLS.c.ended_at < before).order_by(CALLS.c.ended_at).limit(_REMOVED_AT_ONCE)
    return delete(CALLS).where(CALLS.c.id.in_(oldest))


def old_days(before: str, table: str) -> Delete:
    """The rows of a table of sums whose days were before this one."""
    from sqlalchemy import delete

    from app.database.tables import GROUPED_DAYS, METADATA

    days = METADATA.tables[table]
    statement = delete(days).where(days.c.day < before)
    return statement if days is not GROUPED_DAYS else statement.where(days.c.word.in_(("", *WORDS)))


@functools.lru_cache(maxsize=2)
def _insertion(dialect: Dialect) -> str:
    """In the driver's own words, for the values of `_values_of`."""
    from app.database.tables import CALLS

    return str(CALLS.insert().inline().compile(dialect=dialect, column_keys=_COLUMNS))


@functools.lru_cache(maxsize=4)
def _addition(dialect: Dialect, table: str) -> str:
    """The same for rows of sums, which are added to those that are there."""
    from app.database.tables import METADATA

    into = METADATA.tables[table]
    statement = _insert(dialect.name, into)
    sums = {name: into.c[name] + statement.excluded[name] for name in NAMES}
    added = statement.on_conflict_do_update(index_elements=list(into.primary_key), set_=sums)
    return str(added.compile(dialect=dialect, column_keys=[column.name for column in into.columns]))


def _insert(dialect: str, table: Table) -> Any:
    """An INSERT that says what to do about a row that is there already, which both databases have in one form."""
    insert: Callable[[Table], Insert]
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert
    return insert(table)


def _old_writers(before: float) -> Delete:
    from app.database.tables import NOTES

    return NOTES.delete().where(NOTES.c.name.startswith(_WRITER), NOTES.c.value < before)


def _sums(row: Sequence[Any]) -> Sums:
    return {name: int(value or 0) for name, value in zip(NAMES, row, strict=True)}


def _import_all(on_server: bool) -> None:
    import app.database.create
    import app.database.tables  # noqa: F401

    if on_server:
        import pg8000  # noqa: F401
        import sqlalchemy.dialects.postgresql
    else:
        import sqlalchemy.dialects.sqlite  # noqa: F401
