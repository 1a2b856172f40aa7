"""What keys have used of their budgets, and what is reserved for calls in progress: exact over all workers.

Both are in the database. A call that is admitted reserves what it is likely to cost; when it has ended, the reservation
goes and what it did cost is booked, in one transaction. Whoever dies in between leaves a reservation that nobody
renews: it is booked as it stands. A transaction of which nobody has heard whether it went through, because the server
died or hung at its end, is made again and counts once.

Of one key, whatever has come together in a worker is done in one transaction: with hundreds of calls at once nobody has
to race for the database, and one call more costs next to nothing.
"""

from __future__ import annotations

import functools
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.database import Database
from app.errors import DatabaseError
from app.keys.key import UNITS, WARNS_AT, Budget, Key, Unit
from app.logs import logger

if TYPE_CHECKING:
    from sqlalchemy import Connection, TextClause

ALIVE_S: Final = 600.0
_RENEW_S: Final = 60.0
_MOST_PENDING: Final = 10_000
_BIGGEST: Final = 2**62

Amounts = Mapping[Unit, int]
_Period = tuple[str, str, float]
"""Unit, period, and when it began: for which an amount is spent."""


@dataclass(frozen=True, slots=True)
class Account:
    """How a budget stands. reserved: for calls in progress, this one included. ends_at: epoch seconds, None: never."""

    budget: Budget
    used: int
    reserved: int
    ends_at: float | None

    @property
    def left(self) -> int:
        return max(0, self.budget.amount - self.used - self.reserved)

    @property
    def share(self) -> float:
        """How much of it is used, from 0 to 1 and above."""
        return self.used / self.budget.amount if self.budget.amount else 1.0


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a call in progress holds. id None: nothing, for the database was away when it began."""

    key: Key
    id: str | None
    began_at: float
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a call may not begin now. account: of the budget at fault; None: too many are in progress. is_spent: the
    budget is used up, and not only reserved by others."""

    account: Account | None = None
    is_spent: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    reservation: Reservation
    accounts: tuple[Account, ...] = ()


@dataclass(slots=True, eq=False)
class _Wish:
    """A call that wants to begin. found: None until that is decided."""

    key: Key
    wanted: Amounts
    at: float
    found: Admitted | Refused | None = None


@dataclass(slots=True)
class _Desk:
    """Where the calls of one key are decided upon, in this worker. Whoever has its turn does it for all that wait."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    wishes: list[_Wish] = field(default_factory=list)
    ended: list[tuple[Reservation, Amounts]] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)
    """Of a transaction that may have gone through: calls that it ended or began."""
    unreserved: list[tuple[Reservation, Amounts]] = field(default_factory=list)
    """Calls that have ended and held nothing, so that no row of theirs tells whether they are booked."""
    batch: _Batch | None = None


@dataclass(slots=True, eq=False)
class _Batch:
    """Some of `unreserved`, booked in one transaction that leaves a note of this name."""

    key: Key
    ended: list[tuple[Reservation, Amounts]]
    name: str = field(default_factory=lambda: f"once:{uuid.uuid4().hex}")
    is_booked: bool = False


class Spending:
    """clock: epoch seconds."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._open: dict[str, Reservation] = {}
        self._renewed_at = 0.0
        self._desks: dict[str, _Desk] = {}

    def now(self) -> float:
        """Epoch seconds."""
        return self._clock()

    def reserve(self, key: Key, amounts: Amounts) -> Admitted | Refused:
        """Hold what a call may cost, if the key's limits allow it.

        A call that is alone may use what is left, however little: its reservation is the most that can be overrun.
        While the database is away every call may go on; what it costs is booked when the database is back.
        """
        wanted = {unit: max(0, min(amounts.get(unit, 0), _BIGGEST)) for unit in UNITS}
        wish, desk = _Wish(key, wanted, self._clock()), self._desk(key)
        desk.wishes.append(wish)
        try:
            with desk.turn:
                if wish.found is None:
                    self._decide(desk, key)
        except DatabaseError:
            return Admitted(Reservation(key, None, wish.at, {}))
        except BaseException:  # the client has gone while we waited
            if isinstance(wish.found, Admitted):
                self.settle(wish.found.reservation, {})
            raise
        finally:
            if wish in desk.wishes:
                desk.wishes.remove(wish)
        found = wish.found
        assert found is not None
        return found

    def settle(self, reservation: Reservation, cost: Amounts) -> None:
        """Book what a call did cost, and let go of what it held. If the database is away, later."""
        desk = self._desk(reservation.key)
        pending = desk.ended if reservation.id is not None else desk.unreserved
        pending.append((reservation, cost))
        if len(pending) > _MOST_PENDING:
            del pending[0]
            logger.error("a call is not counted against its budget: the database is away for too long")
        self._flush(desk)

    def flush(self) -> None:
        """Book what could not be booked before."""
        for desk in list(self._desks.values()):
            self._flush(desk)

    def renew(self) -> None:
        """Say that this worker's calls still go on. It calls this now and then."""
        self.flush()
        now = self._clock()
        if not self._open or now - self._renewed_at < _RENEW_S:
            return
        self._renewed_at = now
        from app.database.tables import KEY_CALLS

        try:
            with self._database.write() as connection:
                mine = KEY_CALLS.c.id.in_(sorted(self._open))
                connection.execute(KEY_CALLS.update().where(mine).values(alive_until=now + ALIVE_S))
        except DatabaseError:
            return

    def accounts(self, key: Key) -> list[Account]:
        """How the key's budgets stand. Raises: DatabaseError."""
        with self._database.read() as connection:
            return _Standing(connection, key.id).accounts(key, self._clock())

    def accounts_of(self, keys: Sequence[Key]) -> dict[str, list[Account]]:
        """How the budgets of many keys stand, by their ids: as `accounts`, with two looks for all of them.

        Raises: DatabaseError.
        """
        from sqlalchemy import func, select

        from app.database.tables import KEY_CALLS, KEY_SPENDING

        now, ids = self._clock(), sorted(key.id for key in keys if key.limits.budgets)
        if not ids:
            return {}
        held = select(KEY_CALLS.c.key_id, *(func.sum(KEY_CALLS.c[unit]) for unit in UNITS))
        spent = select(*(KEY_SPENDING.c[name] for name in ("key_id", "unit", "per", "begins", "amount")))
        with self._database.read() as connection:
            holding = held.where(KEY_CALLS.c.key_id.in_(ids)).group_by(KEY_CALLS.c.key_id)
            reserved = {row[0]: dict(zip(UNITS, map(int, row[1:]), strict=True)) for row in connection.execute(holding)}
            spending = connection.execute(spent.where(KEY_SPENDING.c.key_id.in_(ids)))
            used = {tuple(row[:4]): int(row[4]) for row in spending}
        return {
            key.id: [
                Account(
                    budget,
                    used.get((key.id, budget.unit, budget.per, budget.begins(now)), 0),
                    reserved.get(key.id, {}).get(budget.unit, 0),
                    budget.ends(now),
                )
                for budget in key.limits.budgets
            ]
            for key in keys
            if key.limits.budgets
        }

    # ── of one key ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _desk(self, key: Key) -> _Desk:
        return self._desks.setdefault(key.id, _Desk())

    def _flush(self, desk: _Desk) -> None:
        with desk.turn:
            pending = desk.ended or desk.unreserved
            key = pending[0][0].key if pending else desk.batch.key if desk.batch else None
            if key is not None:
                try:
                    self._decide(desk, key)
                except DatabaseError:
                    return

    def _decide(self, desk: _Desk, key: Key) -> None:
        """Book what has ended, and decide upon what wants to begin, in one transaction. Raises: DatabaseError."""
        ended, wishes = desk.ended[:], desk.wishes[:]
        if desk.batch is None and desk.unreserved:
            desk.batch, desk.unreserved = _Batch(key, desk.unreserved), []
        found, crossed = self._transact(desk, key, ended, wishes)
        # The transaction is through: from here on nothing waits for anything.
        del desk.ended[: len(ended)]
        desk.doubtful -= {reservation.id or "" for reservation, _ in ended}
        if desk.batch is not None:
            # Its note goes with the next transaction: only then is it known that this one went through.
            desk.batch = None if desk.batch.is_booked else _Batch(key, [], desk.batch.name, is_booked=True)
        for reservation, _ in ended:
            self._open.pop(reservation.id or "", None)
        for wish, answer in zip(wishes, found, strict=True):
            wish.found = answer
            if wish in desk.wishes:
                desk.wishes.remove(wish)
                if isinstance(answer, Admitted):
                    self._open[answer.reservation.id or ""] = answer.reservation
            elif isinstance(answer, Admitted):  # who wanted it has gone meanwhile
                desk.ended.append((answer.reservation, {}))
        for name, account in crossed:
            fields = {"key": name, "budget": account.budget.words, "used_percent": int(account.share * 100)}
            what = "budget is nearly used up" if account.left else "budget is used up"
            logger.warning(what, extra={"fields": fields})

    def _transact(
        self, desk: _Desk, key: Key, ended: list[tuple[Reservation, Amounts]], wishes: list[_Wish]
    ) -> tuple[list[Admitted | Refused], list[tuple[str, Account]]]:
        """What became of each wish, and the budgets that were crossed. Raises: DatabaseError."""
        found: list[Admitted | Refused] = []
        now, is_written = self._clock(), False
        try:
            with self._database.write() as connection:
                _lock(connection, key)
                standing = _Standing(connection, key.id)
                standing.book_the_dead(key, now)
                if desk.batch is not None:
                    standing.book_once(desk.batch, now)
                for reservation, cost in ended:
                    standing.book(reservation, cost, is_doubtful=reservation.id in desk.doubtful)
                found = [standing.judged(wish.key, wish.wanted, now) for wish in wishes]
                crossed = standing.write(now)
                is_written = True
        except DatabaseError:
            if is_written:  # it may have gone through all the same
                begun = [answer.reservation for answer in found if isinstance(answer, Admitted)]
                desk.doubtful |= {it.id or "" for it in (*begun, *(reservation for reservation, _ in ended))}
                desk.ended += [(it, {}) for it in begun]
            raise
        return found, crossed


class _Standing:
    """What is booked and reserved for one key, read within a transaction; changes are kept until `write`."""

    def __init__(self, connection: Connection, key_id: str) -> None:
        self._connection = connection
        self._key_id = key_id
        calls = connection.execute(_sql(_CALLS), {"key": key_id}).all()
        self._times: dict[str, tuple[float, float]] = {row[0]: (row[1], row[2]) for row in calls}
        self._held: dict[str, Amounts] = {
            row[0]: {unit: int(amount) for unit, amount in zip(UNITS, row[3:], strict=True)} for row in calls
        }
        spending = connection.execute(_sql(_SPENT), {"key": key_id}).all()
        self._used: dict[_Period, int] = {(row[0], row[1], row[2]): int(row[3]) for row in spending}
        self._gone: list[str] = []
        self._added: dict[_Period, int] = {}
        self._budgets: dict[_Period, tuple[str, Budget, float]] = {}
        self._new: list[Reservation] = []

    def accounts(self, key: Key, now: float) -> list[Account]:
        """How the key's budgets stand."""
        return [
            Account(
                budget,
                self._used.get((budget.unit, budget.per, budget.begins(now)), 0),
                sum(held.get(budget.unit, 0) for held in self._held.values()),
                budget.ends(now),
            )
            for budget in key.limits.budgets
        ]

    def book_the_dead(self, key: Key, now: float) -> None:
        """Calls of workers that are no more: what they cost nobody knows, so what was reserved counts."""
        for id, (began_at, alive_until) in self._times.items():
            if alive_until < now:
                self._add(key, self._held[id], began_at)
                self._end(id)

    def book_once(self, batch: _Batch, now: float) -> None:
        """What calls did cost that held nothing, unless that is booked already."""
        if batch.is_booked:
            self._connection.execute(_sql(_FORGET_NOTE), {"name": batch.name})
        elif self._connection.execute(_sql(_NOTE_ONCE), {"name": batch.name, "now": now}).rowcount:
            for reservation, cost in batch.ended:
                self.book(reservation, cost)

    def book(self, reservation: Reservation, cost: Amounts, *, is_doubtful: bool = False) -> None:
        """What a call did cost, in place of what it held. is_doubtful: that may have been done already."""
        amounts: dict[Unit, int] = {unit: min(cost.get(unit, 0), _BIGGEST) for unit in UNITS}
        if reservation.id in self._held:
            self._end(reservation.id)
        elif is_doubtful:
            return
        elif reservation.id is not None:  # it was taken for dead, and what it had reserved was booked
            amounts = {unit: amounts[unit] - reservation.amounts.get(unit, 0) for unit in UNITS}
        self._add(reservation.key, amounts, reservation.began_at)

    def judged(self, key: Key, wanted: Amounts, now: float) -> Admitted | Refused:
        """Whether a call may begin; if it may, it is counted from then on."""
        count = len(self._held)
        if key.limits.concurrent is not None and count >= key.limits.concurrent:
            return Refused()
        accounts = self.accounts(key, now)
        for account in accounts:
            if account.used >= account.budget.amount:
                return Refused(account, is_spent=True)
            if count and account.left < wanted[account.budget.unit]:
                return Refused(account)
        id = uuid.uuid4().hex
        reservation = Reservation(key, id, now, wanted)
        self._held[id] = wanted
        self._new.append(reservation)
        after = (Account(it.budget, it.used, it.reserved + wanted[it.budget.unit], it.ends_at) for it in accounts)
        return Admitted(reservation, tuple(after))

    def write(self, now: float) -> list[tuple[str, Account]]:
        """All changes; the budgets that have just come to be nearly or wholly used up, with the names of their keys."""
        if self._gone:
            self._connection.execute(_sql(_END), [{"id": id} for id in self._gone])
        crossed = []
        for period, amount in self._added.items():
            unit, per, begins = period
            named: dict[str, Any] = {"key": self._key_id, "unit": unit, "per": per, "begins": begins}
            self._connection.execute(_sql(_SPEND), named | {"amount": amount})
            name, budget, at = self._budgets[period]
            after = self._used[period]
            if any(after - amount < mark <= after for mark in (WARNS_AT * budget.amount, budget.amount)):
                crossed.append((name, Account(budget, after, 0, budget.ends(at))))
            if any(known[:2] == (unit, per) and known[2] < begins for known in self._used):
                # Of use to nobody any more, but for a call that began then: that makes it anew.
                self._connection.execute(_sql(_FORGET), named)
        if self._new:
            same = {"key": self._key_id, "began_at": now, "alive_until": now + ALIVE_S}
            self._connection.execute(_sql(_BEGIN), [{"id": it.id, **same, **_named(it.amounts)} for it in self._new])
        return crossed

    def _end(self, id: str) -> None:
        del self._held[id]
        self._gone.append(id)

    def _add(self, key: Key, amounts: Amounts, at: float) -> None:
        for budget in key.limits.budgets:
            amount, period = amounts.get(budget.unit, 0), (budget.unit, budget.per, budget.begins(at))
            if amount:
                self._used[period] = self._used.get(period, 0) + amount
                self._added[period] = self._added.get(period, 0) + amount
                self._budgets[period] = key.name, budget, at


def _named(amounts: Amounts) -> dict[str, int]:
    return {str(unit): amount for unit, amount in amounts.items()}


def _lock(connection: Connection, key: Key) -> None:
    """Nobody else changes anything of this key meanwhile. With SQLite nobody writes anything at all."""
    if connection.dialect.name != "sqlite":
        connection.execute(_sql(_LOCK), {"key": key.id})


# Made once, for SQLAlchemy takes most of its time to make a statement anew.
_LOCK: Final = "SELECT id FROM client_keys WHERE id = :key FOR UPDATE"
_CALLS: Final = "SELECT id, began_at, alive_until, credits, premium_requests, tokens FROM key_calls WHERE key_id = :key"
_SPENT: Final = "SELECT unit, per, begins, amount FROM key_spending WHERE key_id = :key"
_BEGIN: Final = (
    "INSERT INTO key_calls (id, key_id, began_at, alive_until, credits, premium_requests, tokens)"
    " VALUES (:id, :key, :began_at, :alive_until, :credits, :premium_requests, :tokens)"
)
_END: Final = "DELETE FROM key_calls WHERE id = :id"
_SPEND: Final = (
    "INSERT INTO key_spending (key_id, unit, per, begins, amount) VALUES (:key, :unit, :per, :begins, :amount)"
    " ON CONFLICT (key_id, unit, per, begins) DO UPDATE SET amount = key_spending.amount + :amount"
)
_NOTE_ONCE: Final = "INSERT INTO bridge_notes (name, value) VALUES (:name, :now) ON CONFLICT (name) DO NOTHING"
_FORGET_NOTE: Final = "DELETE FROM bridge_notes WHERE name = :name"
_FORGET: Final = "DELETE FROM key_spending WHERE key_id = :key AND unit = :unit AND per = :per AND begins < :begins"


@functools.cache
def _sql(statement: str) -> TextClause:
    from sqlalchemy import text

    return text(statement)
