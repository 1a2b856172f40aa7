"""What a worker reserves ahead: cheap where a budget is far from its end, and as exact as without it."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app.database import Database
from app.keys.key import Budget, Key, Limits, Unit
from app.keys.registry import KeyRegistry
from app.keys.spending import ALIVE_S, Admitted, Refused, Reservation, Spending
from tests.support.clock import Clock

PLENTY = 1_000_000
DAY = 24 * 3600


@pytest.fixture
def key(registry: KeyRegistry) -> Key:
    return registry.make("alice", limits=Limits(budgets=(Budget(PLENTY, "tokens", "day"),)))[0]


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[Database]:
    made: list[Database] = []
    write = Database.write

    def counted(database: Database) -> AbstractContextManager[Connection]:
        made.append(database)
        return write(database)

    monkeypatch.setattr(Database, "write", counted)
    return made


def tokens(amount: int) -> dict[Unit, int]:
    return {"tokens": amount}


def begin(spending: Spending, key: Key, amount: int) -> Admitted:
    found = spending.reserve(key, tokens(amount))
    assert isinstance(found, Admitted), found
    return found


def standing(database: Database, key: Key, clock: Clock) -> tuple[int, int]:
    """Used and reserved, as a worker sees it that has none of the calls."""
    [account] = Spending(database, clock=clock).accounts(key)
    return account.used, account.reserved


def test_many_calls_take_few_transactions(key: Key, spending: Spending, transactions: list[Database]) -> None:
    for _ in range(500):
        spending.settle(begin(spending, key, 30).reservation, tokens(25))
    assert len(transactions) < 30
    assert [(it.used, it.reserved) for it in spending.accounts(key)] == [(500 * 25, 0)]


def test_each_call_is_told_what_is_left_by_then(key: Key, spending: Spending) -> None:
    first, second = begin(spending, key, 30), begin(spending, key, 50)
    spending.settle(second.reservation, tokens(40))
    third = begin(spending, key, 20)
    [account] = third.accounts
    assert (account.used, account.reserved, account.left) == (40, 50, PLENTY - 90)
    spending.settle(first.reservation, tokens(30))
    spending.settle(third.reservation, tokens(20))
    assert [(it.used, it.reserved) for it in spending.accounts(key)] == [(90, 0)]


def test_what_nobody_uses_is_given_back(key: Key, spending: Spending, database: Database, clock: Clock) -> None:
    begin(spending, key, 30)
    spending.settle(begin(spending, key, 30).reservation, tokens(25))
    assert standing(database, key, clock)[1] > 60
    spending.renew()
    spending.renew()
    assert standing(database, key, clock) == (25, 30)


def test_a_worker_that_ends_leaves_nothing(key: Key, spending: Spending, database: Database, clock: Clock) -> None:
    calls = [begin(spending, key, 30) for _ in range(3)]
    for call in calls:
        spending.settle(call.reservation, tokens(25))
    spending.flush()
    assert standing(database, key, clock) == (75, 0)


def test_what_a_killed_worker_held_is_booked(key: Key, database: Database, clock: Clock) -> None:
    dead = Spending(database, clock=clock)
    begin(dead, key, 30)
    late = begin(dead, key, 30)
    _, reserved = standing(database, key, clock)
    assert 60 <= reserved <= 70 * 30
    clock.now += ALIVE_S + 1
    other = Spending(database, clock=clock)
    other.settle(begin(other, key, 1).reservation, tokens(1))
    other.flush()
    assert standing(database, key, clock) == (reserved + 1, 0)
    dead.settle(late.reservation, tokens(20))  # it was not dead after all: one of its calls goes on
    dead.flush()
    used, still = standing(database, key, clock)
    assert (used, still) == (30 + 20 + 1, 0)


def test_a_call_counts_for_the_day_it_began_in(key: Key, spending: Spending, clock: Clock) -> None:
    begin(spending, key, 30)
    call = begin(spending, key, 30)
    clock.now += DAY
    spending.settle(call.reservation, tokens(25))
    new = begin(spending, key, 30)
    spending.settle(new.reservation, tokens(5))
    assert [it.used for it in spending.accounts(key)] == [5]


def test_a_transaction_whose_end_nobody_heard_of_counts_once(
    key: Key, spending: Spending, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, expected = Connection.commit, 0
    for went_through in (True, False, True, True, False):

        def lose_the_answer(connection: Connection, went_through: bool = went_through) -> None:
            (commit if went_through else Connection.rollback)(connection)
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError("the answer got lost"))

        calls = [begin(spending, key, 30) for _ in range(4)]
        for call in calls[:3]:
            spending.settle(call.reservation, tokens(7))
        with monkeypatch.context() as broken:
            broken.setattr(Connection, "commit", lose_the_answer)
            spending.flush()
        spending.settle(calls[3].reservation, tokens(9))
        database._reading.end()
        database._writing.end()
        expected += 3 * 7 + 9
        spending.flush()
        assert [(it.used, it.reserved) for it in spending.accounts(key)] == [(expected, 0)]


@pytest.mark.parametrize("seed", range(4))
def test_three_workers_never_come_to_more_than_the_budget(
    registry: KeyRegistry, database: Database, clock: Clock, seed: int
) -> None:
    """Whoever holds what: what has been spent and what is in progress fit into the budget at every moment."""
    budget, choose = 60_000, random.Random(seed)
    key, _ = registry.make("bob", limits=Limits(budgets=(Budget(budget, "tokens", "total"),)))
    workers = [Spending(database, clock=clock) for _ in range(3)]
    going: list[tuple[Spending, Reservation, int]] = []
    spent = refused = 0

    def end(number: int) -> int:
        worker, reservation, most = going.pop(number)
        cost = choose.randint(most // 2, most)
        worker.settle(reservation, tokens(cost))
        return cost

    while refused < 40:
        worker, most = choose.choice(workers), choose.randint(20, 60)
        found = worker.reserve(key, tokens(most))
        if isinstance(found, Refused):
            refused += 1
            clock.now += 5
            for each in workers:
                each.renew()
        else:
            going.append((worker, found.reservation, most))
            # A call that is alone may use what is left, however little.
            assert len(going) == 1 or spent + sum(one[2] for one in going) <= budget
        while len(going) > 12 or (going and choose.random() < 0.5):
            spent += end(choose.randrange(len(going)))
    while going:
        spent += end(0)
    for worker in workers:
        worker.flush()
    assert standing(database, key, clock) == (spent, 0)
    assert spent > budget - 60


def test_a_limit_that_changes_counts_at_once(
    key: Key, registry: KeyRegistry, spending: Spending, make_smaller: Callable[[Key], Key]
) -> None:
    begin(spending, key, 30)
    smaller = make_smaller(key)
    refused = spending.reserve(smaller, tokens(30))
    assert isinstance(refused, Refused)


@pytest.fixture
def make_smaller(registry: KeyRegistry) -> Callable[[Key], Key]:
    limits = Limits(budgets=(Budget(40, "tokens", "day"),))
    return lambda key: registry.change(key.name, lambda it: replace(it, limits=limits))[1]
