"""How budgets stand, and what calls hold of them, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.keys.key import Budget, Key, Unit

BIGGEST: Final = 2**62
"""No amount is counted that is bigger: the database could not hold it."""

Amounts = Mapping[Unit, int]


@dataclass(frozen=True, slots=True)
class Account:
    """How a budget stands. reserved: for calls in progress, this one included, and by other workers for calls to come.
    ends_at: epoch seconds, None: never."""

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
    """What a call in progress holds. id None: nothing, for the database was away when it began. slots: as how many
    answers in progress it counts."""

    key: Key
    id: str | None
    began_at: float
    amounts: Amounts
    slots: int = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a call may not begin now. account: of the budget at fault; None: too many are in progress. is_spent: the
    budget is used up, and not only reserved by others. is_ahead: some of it may be held for calls to come, and other
    workers give that back when they hear of it."""

    account: Account | None = None
    is_spent: bool = False
    is_ahead: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    reservation: Reservation
    accounts: tuple[Account, ...] = ()
