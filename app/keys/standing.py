"""What the database has of a key's budgets: what is used, and rows of calls in progress and of leases, with what they
hold. A row that nobody renews any more, since its worker has died, is booked as it stands."""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.keys.account import BIGGEST, Account, Admitted, Amounts, Refused, Reservation
from app.keys.key import UNITS, WARNS_AT, Budget, Key, Unit
from app.keys.lease import AHEAD_MARK, LONGEST_S, Lease

if TYPE_CHECKING:
    from sqlalchemy import Connection, TextClause

ALIVE_S: Final = 600.0
_AHEAD_ALIVE_S: Final = 60.0
RECALL_S: Final = 5.0
"""So long nobody holds anything ahead, after somebody had to do without."""
_RECALL_MARK: Final = "recall:"

_Period = tuple[str, str, float]
"""Unit, period, and when it began: for which an amount is spent."""


@dataclass(slots=True, eq=False)
class Batch:
    """What has no row that tells whether it is booked, in one transaction that leaves a note of this name.

    ended: calls that held nothing. lease: with what its calls did cost; those that go on get rows of their own.
    """

    ended: list[tuple[Reservation, Amounts]]
    lease: Lease | None = None
    name: str = field(default_factory=lambda: f"once:{uuid.uuid4().hex}")


class Standing:
    """What is booked and reserved for one key, read within a transaction; changes are kept until `write`."""

    def __init__(self, connection: Connection, key_id: str) -> None:
        self._connection = connection
        self._key_id = key_id
        calls = connection.execute(_sql(_CALLS), {"key": key_id}).all()
        self._times: dict[str, tuple[float, float]] = {row[0]: (row[1], row[2]) for row in calls}
        self._held: dict[str, Amounts] = {
            row[0]: {unit: int(amount) for unit, amount in zip(UNITS, row[3:6], strict=True)} for row in calls
        }
        self._slots: dict[str, int] = {row[0]: row[6] for row in calls}
        spending = connection.execute(_sql(_SPENT), {"key": key_id}).all()
        self._used: dict[_Period, int] = {(row[0], row[1], row[2]): int(row[3]) for row in spending}
        self._gone: list[str] = []
        self._recalled_at: float | None = None
        self._added: dict[_Period, int] = {}
        self._budgets: dict[_Period, tuple[str, Budget, float]] = {}
        self._new: dict[str, Reservation] = {}

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

    @property
    def in_progress(self) -> int:
        """How many answers are in progress, or may come to be under leases."""
        return sum(self._slots[id] for id in self._held)

    def book_the_dead(self, key: Key, now: float) -> None:
        """Calls of workers that are no more: what they cost nobody knows, so what was reserved counts."""
        for id, (began_at, alive_until) in self._times.items():
            if alive_until < now:
                self._add(key, self._held[id], began_at)
                self._end(id)

    def forget(self, notes: list[str]) -> None:
        """Notes of batches of which it is known that they are booked."""
        for name in notes:
            self._connection.execute(_sql(_FORGET_NOTE), {"name": name})

    def book_once(self, batch: Batch, now: float) -> None:
        """What is in it, unless that is booked already."""
        if not self._connection.execute(_sql(_NOTE_ONCE), {"name": batch.name, "now": now}).rowcount:
            return
        for reservation, cost in batch.ended:
            self.book(reservation, cost)
        if batch.lease is not None:
            self._book_lease(batch.lease)

    def _book_lease(self, lease: Lease) -> None:
        amounts = lease.cost
        if lease.id in self._held:
            self._end(lease.id)
        else:  # it was taken for dead, and what it held was booked
            amounts = {unit: amounts[unit] - lease.ahead[unit] for unit in UNITS}
        self._add(lease.key, amounts, lease.began_at)
        for reservation in lease.going.values():
            self._begin(reservation)

    def book(self, reservation: Reservation, cost: Amounts, *, is_doubtful: bool = False) -> None:
        """What a call did cost, in place of what it held. is_doubtful: that may have been done already."""
        amounts: dict[Unit, int] = {unit: min(cost.get(unit, 0), BIGGEST) for unit in UNITS}
        if reservation.id in self._held:
            self._end(reservation.id)
        elif is_doubtful:
            return
        elif reservation.id is not None:  # it was taken for dead, and what it had reserved was booked
            amounts = {unit: amounts[unit] - reservation.amounts.get(unit, 0) for unit in UNITS}
        self._add(reservation.key, amounts, reservation.began_at)

    def judged(self, key: Key, wanted: Amounts, now: float) -> Admitted | Refused:
        """Whether a call may begin; if it may, it is counted from then on."""
        is_ahead = self._is_ahead(now)
        if key.limits.concurrent is not None and self.in_progress >= key.limits.concurrent:
            return Refused(is_ahead=bool(is_ahead))
        accounts, count = self.accounts(key, now), sum(map(_is_call, self._held))
        for account in accounts:
            if account.used >= account.budget.amount:
                return Refused(account, is_spent=True)
            if (count or is_ahead is not None) and account.left < wanted[account.budget.unit]:
                return Refused(account, is_ahead=bool(is_ahead))
        reservation = Reservation(key, uuid.uuid4().hex, now, wanted)
        self._begin(reservation)
        after = (Account(it.budget, it.used, it.reserved + wanted[it.budget.unit], it.ends_at) for it in accounts)
        return Admitted(reservation, tuple(after))

    def recall(self, now: float) -> None:
        """Have all workers give back what they hold ahead."""
        self._recalled_at = now

    @property
    def is_recalled(self) -> bool:
        """Whether nobody may hold anything ahead."""
        return self._recalled_at is not None or _RECALL_MARK + self._key_id in self._held

    def lease(self, lease: Lease) -> None:
        """It holds something from now on."""
        self._begin(Reservation(lease.key, lease.id, lease.began_at, lease.ahead, lease.slots))

    def _is_ahead(self, now: float) -> bool | None:
        """Whether a worker that renews it holds something ahead; False: one that does not. None: nobody does."""
        written = [times[1] - _AHEAD_ALIVE_S for id, times in self._times.items() if id in self._held and _is_lease(id)]
        return max(written) + LONGEST_S > now if written else None

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
            rows = [
                {
                    "id": id,
                    "key": self._key_id,
                    "began_at": it.began_at,
                    "alive_until": now + (_AHEAD_ALIVE_S if _is_lease(id) else ALIVE_S),
                    "slots": it.slots,
                    **_named(it.amounts),
                }
                for id, it in self._new.items()
            ]
            self._connection.execute(_sql(_BEGIN), rows)
        if self._recalled_at is not None:
            row = {"id": _RECALL_MARK + self._key_id, "key": self._key_id, "now": now, "until": now + RECALL_S}
            self._connection.execute(_sql(_RECALL), row)
        return crossed

    def _begin(self, reservation: Reservation) -> None:
        assert reservation.id is not None
        self._held[reservation.id] = reservation.amounts
        self._slots[reservation.id] = reservation.slots
        self._new[reservation.id] = reservation

    def _end(self, id: str) -> None:
        del self._held[id]
        if self._new.pop(id, None) is None:
            self._gone.append(id)

    def _add(self, key: Key, amounts: Amounts, at: float) -> None:
        for budget in key.limits.budgets:
            amount, period = amounts.get(budget.unit, 0), (budget.unit, budget.per, budget.begins(at))
            if amount:
                self._used[period] = self._used.get(period, 0) + amount
                self._added[period] = self._added.get(period, 0) + amount
                self._budgets[period] = key.name, budget, at


def _is_lease(id: str) -> bool:
    return id.startswith(AHEAD_MARK)


def _is_call(id: str) -> bool:
    return not id.startswith((AHEAD_MARK, _RECALL_MARK))


def _named(amounts: Amounts) -> dict[str, int]:
    return {str(unit): amount for unit, amount in amounts.items()}


def lock(connection: Connection, key: Key) -> None:
    """Nobody else changes anything of this key meanwhile. With SQLite nobody writes anything at all."""
    if connection.dialect.name != "sqlite":
        connection.execute(_sql(_LOCK), {"key": key.id})


# Made once, for SQLAlchemy takes most of its time to make a statement anew.
_LOCK: Final = "SELECT id FROM client_keys WHERE id = :key FOR UPDATE"
_CALLS: Final = (
    "SELECT id, began_at, alive_until, credits, premium_requests, tokens, slots FROM key_calls WHERE key_id = :key"
)
_SPENT: Final = "SELECT unit, per, begins, amount FROM key_spending WHERE key_id = :key"
_BEGIN: Final = (
    "INSERT INTO key_calls (id, key_id, began_at, alive_until, credits, premium_requests, tokens, slots)"
    " VALUES (:id, :key, :began_at, :alive_until, :credits, :premium_requests, :tokens, :slots)"
)
_RECALL: Final = (
    "INSERT INTO key_calls (id, key_id, began_at, alive_until, credits, premium_requests, tokens, slots)"
    " VALUES (:id, :key, :now, :until, 0, 0, 0, 0) ON CONFLICT (id) DO UPDATE SET alive_until = :until"
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
