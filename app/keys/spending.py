"""What keys have used of their budgets, and what is reserved for calls in progress: exact over all workers.

Both are in the database. A call that is admitted reserves what it is likely to cost; when it has ended, the reservation
goes and what it did cost is booked, in one transaction. Whoever dies in between leaves a reservation that nobody
renews: it is booked as it stands. A transaction of which nobody has heard whether it went through, because the server
died or hung at its end, is made again and counts once.

Where a key is used a lot and its limits are far from being reached, a worker holds something for calls to come as well
(`Lease`): those begin and end in memory. It is a row like that of a call, so that there is never less held than is
spent, nor fewer counted than are in progress. Who would have to be refused because of it has all workers give it back,
waits for that, and is then judged by calls alone. Only a worker that calls `refresh` does so: see `begin_leasing`.

Of one key, whatever has come together in a worker is done in one transaction: with hundreds of calls at once nobody has
to race for the database, and one call more costs next to nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.database import Database
from app.errors import DatabaseError
from app.keys.account import BIGGEST, Account, Admitted, Amounts, Refused, Reservation
from app.keys.key import UNITS, Key
from app.keys.lease import Lease, held_ahead
from app.keys.standing import ALIVE_S, Batch, Standing, lock
from app.logs import logger

REFRESH_S: Final = 1.0
"""How often a worker that holds something ahead calls `refresh`."""
_RENEW_S: Final = 60.0
_MOST_PENDING: Final = 10_000
_OFTEN: Final = 4
"""Something is held ahead for a key that makes so many calls in `REFRESH_S`, in this worker."""
_LOOK_AGAIN_S: Final = 0.1
_LOOKS: Final = 30
"""How often it is looked whether other workers have given back what they held ahead."""


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

    key: Key
    """As it was when it was last used."""
    turn: threading.Lock = field(default_factory=threading.Lock)
    wishes: list[_Wish] = field(default_factory=list)
    ended: list[tuple[Reservation, Amounts]] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)
    """Of a transaction that may have gone through: calls that it ended or began."""
    unreserved: list[tuple[Reservation, Amounts]] = field(default_factory=list)
    """Calls that have ended and held nothing, so that no row of theirs tells whether they are booked."""
    batch: Batch | None = None
    notes: list[str] = field(default_factory=list)
    """Of batches that are booked. They go with the next transaction: only then is it known that theirs went through."""
    lease: Lease | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)
    """Of what changes when calls begin and end without a turn. Nobody waits while holding it."""
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_OFTEN))
    """When calls wanted to begin that had to have a turn."""
    usual: Amounts = field(default_factory=lambda: dict.fromkeys(UNITS, 0))
    """What a call of this key wants, or somewhat more."""

    def take(self, key: Key, wanted: Amounts, now: float) -> Admitted | None:
        """A call that begins under the lease, if there is one that has room for it."""
        if self.lease is None:
            return None
        with self.guard:
            return self.lease.take(key, wanted, now) if self.lease is not None else None

    def is_due(self) -> bool:
        """Whether something waits to be booked."""
        return bool(self.ended or self.unreserved or self.batch or (self.notes and self.lease is None))


class Spending:
    """clock: epoch seconds. sleep: waits for some seconds."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._clock = clock
        self._sleep = sleep
        self._open: dict[str, Reservation] = {}
        self._renewed_at = 0.0
        self._desks: dict[str, _Desk] = {}
        self._is_leasing = False

    def now(self) -> float:
        """Epoch seconds."""
        return self._clock()

    def reserve(self, key: Key, amounts: Amounts) -> Admitted | Refused:
        """Hold what a call may cost, if the key's limits allow it.

        A call that is alone may use what is left, however little: its reservation is the most that can be overrun.
        While the database is away every call may go on; what it costs is booked when the database is back.
        """
        wanted = {unit: max(0, min(amounts.get(unit, 0), BIGGEST)) for unit in UNITS}
        desk = self._desk(key)
        found = desk.take(key, wanted, self._clock()) or self._asked(desk, key, wanted)
        for _ in range(_LOOKS):
            if not isinstance(found, Refused) or not found.is_ahead:
                break
            self._sleep(_LOOK_AGAIN_S)
            found = self._asked(desk, key, wanted)
        return found

    def settle(self, reservation: Reservation, cost: Amounts) -> None:
        """Book what a call did cost, and let go of what it held. If the database is away, later."""
        desk = self._desk(reservation.key)
        with desk.guard:
            lease = desk.lease
            if lease is not None and lease.settle(reservation, cost):
                if not lease.is_overdrawn:
                    return
            else:
                pending = desk.ended if reservation.id is not None else desk.unreserved
                pending.append((reservation, cost))
                lease = None
                if len(pending) > _MOST_PENDING:
                    del pending[0]
                    logger.error("a call is not counted against its budget: the database is away for too long")
        self._flush(desk, lease)

    def begin_leasing(self) -> None:
        """From now on `refresh` is called each `REFRESH_S`, and `flush` at the end."""
        self._is_leasing = True

    def end_leasing(self) -> None:
        """No new lease from now on."""
        self._is_leasing = False

    def refresh(self) -> None:
        """Book what calls did cost that began under leases. What is held ahead and not used much is given back."""
        for desk in list(self._desks.values()):
            if (lease := desk.lease) is not None:
                self._flush(desk, lease)

    def flush(self) -> None:
        """Book all that is not booked yet, and hold nothing ahead any more."""
        self.end_leasing()
        for desk in list(self._desks.values()):
            self._flush(desk, desk.lease)

    def renew(self) -> None:
        """Say that this worker's calls still go on. It calls this now and then."""
        for desk in list(self._desks.values()):
            self._flush(desk)
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
        self._close_lease(key)
        with self._database.read() as connection:
            return Standing(connection, key.id).accounts(key, self._clock())

    def accounts_of(self, keys: Sequence[Key]) -> dict[str, list[Account]]:
        """How the budgets of many keys stand, by their ids: as `accounts`, with two looks for all of them.

        Raises: DatabaseError.
        """
        from sqlalchemy import func, select

        from app.database.tables import KEY_CALLS, KEY_SPENDING

        now, ids = self._clock(), sorted(key.id for key in keys if key.limits.budgets)
        if not ids:
            return {}
        for key in keys:
            self._close_lease(key)
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
        desk = self._desks.get(key.id)
        return desk if desk is not None else self._desks.setdefault(key.id, _Desk(key))

    def _asked(self, desk: _Desk, key: Key, wanted: Amounts) -> Admitted | Refused:
        """What a transaction says, in which others may have their part."""
        wish = _Wish(key, wanted, self._clock())
        desk.key = key
        desk.wishes.append(wish)
        try:
            with desk.turn:
                if wish.found is None and (taken := desk.take(key, wanted, self._clock())) is not None:
                    wish.found = taken
                    desk.wishes.remove(wish)
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

    def _close_lease(self, key: Key) -> None:
        desk = self._desks.get(key.id)
        if desk is not None and desk.lease is not None:
            self._flush(desk, desk.lease, may_lease=False)

    def _flush(self, desk: _Desk, lease: Lease | None = None, *, may_lease: bool = True) -> None:
        """Book what is to be booked. lease: that as well, if it is not booked yet."""
        with desk.turn:
            try:
                if lease is not None and lease is desk.lease:
                    self._decide(desk, lease.key, may_lease=may_lease)
                while desk.is_due():
                    self._decide(desk, desk.key, may_lease=may_lease)
            except DatabaseError:
                return

    def _decide(self, desk: _Desk, key: Key, *, may_lease: bool = True) -> None:
        """Book what has ended, and decide upon what wants to begin, in one transaction. Raises: DatabaseError."""
        now, wishes = self._clock(), desk.wishes[:]
        with desk.guard:
            lease, desk.lease = desk.lease, None
            if lease is not None:
                desk.ended += lease.later
            if desk.batch is None and (desk.unreserved or lease is not None):
                desk.batch, desk.unreserved = Batch(desk.unreserved, lease), []
            ended = desk.ended[:]
        desk.recent.extend(wish.at for wish in wishes)
        is_often = bool(wishes) and len(desk.recent) == _OFTEN and desk.recent[0] > now - REFRESH_S
        may_lease = may_lease and self._is_leasing and (is_often or (lease is not None and lease.calls >= _OFTEN))
        lately = [wish.wanted for wish in wishes] + ([lease.last] if lease is not None and lease.calls else [])
        if lately:
            usual = desk.usual
            desk.usual = {unit: max(usual[unit] * 7 // 8, *(it[unit] for it in lately)) for unit in UNITS}
        found, crossed, lease = self._transact(desk, key, ended, wishes, may_lease=may_lease)
        # The transaction is through: from here on nothing waits for anything.
        del desk.ended[: len(ended)]
        desk.doubtful -= {reservation.id or "" for reservation, _ in ended}
        desk.notes = []
        if desk.batch is not None:
            desk.notes = [desk.batch.name]
            if desk.batch.lease is not None:
                self._open |= desk.batch.lease.going
            desk.batch = None
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
        desk.lease = lease
        for name, account in crossed:
            fields = {"key": name, "budget": account.budget.words, "used_percent": int(account.share * 100)}
            what = "budget is nearly used up" if account.left else "budget is used up"
            logger.warning(what, extra={"fields": fields})

    def _transact(
        self,
        desk: _Desk,
        key: Key,
        ended: list[tuple[Reservation, Amounts]],
        wishes: list[_Wish],
        *,
        may_lease: bool,
    ) -> tuple[list[Admitted | Refused], list[tuple[str, Account]], Lease | None]:
        """What became of each wish, the budgets that were crossed, and what is held ahead. Raises: DatabaseError."""
        found: list[Admitted | Refused] = []
        lease: Lease | None = None
        now, is_written = self._clock(), False
        try:
            with self._database.write() as connection:
                lock(connection, key)
                standing = Standing(connection, key.id)
                standing.book_the_dead(key, now)
                standing.forget(desk.notes)
                if desk.batch is not None:
                    standing.book_once(desk.batch, now)
                for reservation, cost in ended:
                    standing.book(reservation, cost, is_doubtful=reservation.id in desk.doubtful)
                found = [standing.judged(wish.key, wish.wanted, now) for wish in wishes]
                if any(isinstance(answer, Refused) and answer.is_ahead for answer in found):
                    standing.recall(now)
                if may_lease and not standing.is_recalled:
                    lease = self._leased(standing, key, desk.usual, now)
                crossed = standing.write(now)
                is_written = True
        except BaseException:
            if is_written:  # it may have gone through all the same
                begun = [answer.reservation for answer in found if isinstance(answer, Admitted)]
                if lease is not None:
                    begun.append(Reservation(key, lease.id, now, lease.ahead))
                desk.doubtful |= {it.id or "" for it in (*begun, *(reservation for reservation, _ in ended))}
                desk.ended += [(it, {}) for it in begun]
            raise
        return found, crossed, lease

    def _leased(self, standing: Standing, key: Key, each: Amounts, now: float) -> Lease | None:
        """What is held from now on for calls to come."""
        accounts = tuple(standing.accounts(key, now))
        held = held_ahead(key.limits, accounts, standing.in_progress, each) if key.limits.are_counted else None
        if held is None:
            return None
        lease = Lease(key, now, accounts, *held)
        standing.lease(lease)
        return lease
