"""What a worker holds of a key's limits for calls to come, so that these begin and end without the database."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from app.keys.account import BIGGEST, Account, Admitted, Amounts, Reservation
from app.keys.key import UNITS, WARNS_AT, Key, Limits, Unit

LONGEST_S: Final = 5.0
"""So long calls begin under a lease, should nobody renew it."""
AHEAD_MARK: Final = "ahead:"
"""How the ids of leases begin, in the table of calls."""
_MOST_CALLS: Final = 64
_FEWEST_CALLS: Final = 8
"""For fewer calls to come a transaction is not worth while."""
_SHARE: Final = 16
"""No more of a budget is held ahead than this part of what is left."""
_MOST_SLOTS: Final = 64
_FEWEST_SLOTS: Final = 2
_SHARE_OF_SLOTS: Final = 8
"""The same of answers in progress at a time. It is more, since slots are used again and again, and not used up."""


@dataclass(slots=True, eq=False)
class Lease:
    """Held ahead by one row of the database. Not for use by two at a time.

    accounts: how the budgets stood when that row was written, without what it holds. Unless it `is_overdrawn`,
    the database shows no less used and reserved than there is: what is spent here comes out of what is held.
    slots: as how many answers in progress it counts, if the key limits these; no more are under it at a time.
    """

    key: Key
    began_at: float
    accounts: tuple[Account, ...]
    ahead: Amounts
    slots: int = 0
    id: str = field(default_factory=lambda: AHEAD_MARK + uuid.uuid4().hex)
    going: dict[str, Reservation] = field(default_factory=dict)
    """Calls that have begun under it and not ended. Nobody else knows of them."""
    cost: dict[Unit, int] = field(default_factory=lambda: dict.fromkeys(UNITS, 0))
    """Of the calls that have begun and ended under it."""
    later: list[tuple[Reservation, Amounts]] = field(default_factory=list)
    """Calls with rows of their own that have ended meanwhile, and what they did cost."""
    calls: int = 0
    last: Amounts = field(default_factory=dict)
    """What the last call under it wanted."""
    ends_at: float = field(init=False)
    _since: float = field(init=False)
    """When the last of the budgets' periods began."""
    _used: dict[Unit, int] = field(default_factory=lambda: dict.fromkeys(UNITS, 0))
    _reserved: dict[Unit, int] = field(default_factory=lambda: dict.fromkeys(UNITS, 0))
    _in_progress: int = 0
    """Of the slots. Less than none, when calls with rows of their own have ended: those count until it is booked."""

    def __post_init__(self) -> None:
        ends = [account.ends_at for account in self.accounts if account.ends_at is not None]
        self.ends_at = min([self.began_at + LONGEST_S, *ends])
        self._since = max((account.budget.begins(self.began_at) for account in self.accounts), default=0.0)

    @property
    def is_overdrawn(self) -> bool:
        """Whether calls did cost more than is held for them: nobody else knows of the rest."""
        return any(self._left(account.budget.unit) < 0 for account in self.accounts)

    def take(self, key: Key, wanted: Amounts, now: float) -> Admitted | None:
        """A call that begins, if it fits into what is held. wanted: by units, all of them."""
        if not self.began_at <= now < self.ends_at or not self._is_for(key):
            return None
        if key.limits.concurrent is not None and self._in_progress >= self.slots:
            return None
        for account in self.accounts:
            unit = account.budget.unit
            if self._left(unit) < wanted[unit]:
                return None
        for unit in UNITS:
            self._reserved[unit] += wanted[unit]
        self._in_progress += 1
        self.calls += 1
        self.last = wanted
        reservation = Reservation(key, uuid.uuid4().hex, now, wanted)
        self.going[reservation.id or ""] = reservation
        return Admitted(reservation, tuple(self._told(account) for account in self.accounts))

    def settle(self, reservation: Reservation, cost: Amounts) -> bool:
        """A call that has ended; whether that can wait until the lease is booked."""
        was_going = self.going.pop(reservation.id or "", None) is not None
        if not was_going:
            has_row = reservation.id is not None and reservation.began_at >= self._since
            if not has_row or not self._is_for(reservation.key):
                return False
            self.later.append((reservation, cost))
        self._in_progress -= 1
        for unit in UNITS:
            amount = min(cost.get(unit, 0), BIGGEST)
            self._reserved[unit] -= reservation.amounts.get(unit, 0)
            self._used[unit] += amount
            if was_going:
                self.cost[unit] += amount
        return True

    def _left(self, unit: Unit) -> int:
        return self.ahead[unit] - self._used[unit] - self._reserved[unit]

    def _is_for(self, key: Key) -> bool:
        return self.key is key or self.key.limits == key.limits

    def _told(self, account: Account) -> Account:
        unit = account.budget.unit
        used, reserved = account.used + self._used[unit], account.reserved + self._reserved[unit]
        return Account(account.budget, used, reserved, account.ends_at)


def held_ahead(
    limits: Limits, accounts: Sequence[Account], in_progress: int, each: Amounts
) -> tuple[Amounts, int] | None:
    """How much to hold for calls to come, each of which wants so much, and how many slots.

    None: nothing, since a budget comes near its end, or near the mark from which on clients are warned, or few slots
    are left.
    """
    calls, slots = _MOST_CALLS, 0
    for account in accounts:
        mark = int(WARNS_AT * account.budget.amount)
        room = (mark if account.used < mark else account.budget.amount) - account.used - account.reserved
        calls = min(calls, max(0, room) // (_SHARE * max(1, each[account.budget.unit])))
    if limits.concurrent is not None:
        slots = min(_MOST_SLOTS, (limits.concurrent - in_progress) // _SHARE_OF_SLOTS)
        if slots < _FEWEST_SLOTS:
            return None
    if calls < _FEWEST_CALLS:
        return None
    counted = {account.budget.unit for account in accounts}
    return {unit: calls * each[unit] if unit in counted else 0 for unit in UNITS}, slots
