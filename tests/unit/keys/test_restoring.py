"""A backup holds what calls in progress and leases reserve: no less is spent once it is restored than was then."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.database import Database, contents
from app.database.contents import Contents
from app.keys.account import Admitted, Reservation
from app.keys.key import Budget, Key, Limits, Unit
from app.keys.registry import KeyRegistry
from app.keys.spending import Spending
from tests.support.clock import Clock

LIMITS = Limits(budgets=(Budget(1_000_000, "tokens", "total"),))
OFTEN = 5


@pytest.fixture
def key(registry: KeyRegistry) -> Key:
    return registry.make("alice", limits=LIMITS)[0]


@pytest.fixture
def worker(database: Database, clock: Clock) -> Callable[[], Spending]:
    def make() -> Spending:
        made = Spending(database, clock=clock)
        made.begin_leasing()
        return made

    return make


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Database]:
    with closing(Database.at(data_dir=tmp_path / "elsewhere", url=None)) as database:
        yield database


def tokens(amount: int) -> dict[Unit, int]:
    return {"tokens": amount}


def begin(spending: Spending, key: Key, amount: int = 30) -> Reservation:
    found = spending.reserve(key, tokens(amount))
    assert isinstance(found, Admitted), found
    return found.reservation


def warm_up(spending: Spending, key: Key) -> None:
    """The next calls are under a lease."""
    for _ in range(OFTEN):
        spending.settle(begin(spending, key), {})


def backup(database: Database) -> Contents:
    taken = contents.take(database)
    assert taken is not None
    return taken


def standing(database: Database, key: Key, clock: Clock) -> tuple[int, int]:
    """Used and reserved, as a worker sees it that has none of the calls; those that are over are booked."""
    other = Spending(database, clock=clock)
    other.settle(begin(other, key, 0), {})
    [account] = other.accounts(key)
    return account.used, account.reserved


def test_elsewhere_what_was_reserved_is_spent(
    key: Key, worker: Callable[[], Spending], database: Database, elsewhere: Database, clock: Clock
) -> None:
    one, two = worker(), worker()
    one.settle(begin(one, key), tokens(25))
    begin(one, key)  # a call with a row of its own
    warm_up(two, key)
    begin(two, key)  # one that nobody else knows of
    two.settle(begin(two, key), tokens(20))
    taken = backup(database)
    [account] = Spending(database, clock=clock).accounts(key)
    assert account.used == 25
    assert account.reserved > 64 * 30
    contents.put_back(elsewhere, taken)
    assert standing(elsewhere, key, clock) == (25 + account.reserved, 0)


def test_calls_that_go_on_are_settled(
    key: Key, worker: Callable[[], Spending], database: Database, clock: Clock
) -> None:
    spending = worker()
    over_both, over_the_backup = begin(spending, key), begin(spending, key)
    taken = backup(database)
    spending.settle(over_the_backup, tokens(7))
    warm_up(spending, key)
    over_the_restoring = [begin(spending, key) for _ in range(3)]
    spending.settle(over_the_restoring.pop(), tokens(11))
    contents.put_back(database, taken)
    assert standing(database, key, clock)[0] == 30  # of the call that ended in between, as much as was reserved for it
    for reservation in (over_both, *over_the_restoring):
        spending.settle(reservation, tokens(25))
    spending.flush()
    assert standing(database, key, clock) == (30 + 11 + 3 * 25, 0)


def test_calls_in_progress_count_on_and_others_do_not(
    registry: KeyRegistry, spending: Spending, database: Database, clock: Clock
) -> None:
    key, _ = registry.make("bob", limits=Limits(concurrent=2))
    over = begin(spending, key)
    taken = backup(database)
    spending.settle(over, {})
    going = begin(spending, key)
    contents.put_back(database, taken)
    begin(Spending(database, clock=clock), key)
    assert not isinstance(spending.reserve(key, {}), Admitted)
    spending.settle(going, {})
    begin(spending, key)


def test_calls_of_a_key_that_was_made_since_are_forgotten(
    registry: KeyRegistry, spending: Spending, database: Database
) -> None:
    registry.make("bob", limits=LIMITS)
    taken = backup(database)
    begin(spending, registry.make("carol", limits=LIMITS)[0])
    contents.put_back(database, taken)
    assert backup(database).tables["key_calls"][1] == []


@pytest.mark.parametrize("seed", range(3))
def test_no_less_is_spent_than_there_was_at_the_backup_and_has_come_since(
    key: Key, worker: Callable[[], Spending], database: Database, clock: Clock, seed: int
) -> None:
    """Nor more than that and what was reserved then and when it was put back, however often."""
    choose = random.Random(seed)
    workers = [worker() for _ in range(3)]
    going: list[tuple[Spending, Reservation]] = []
    spent = too_much = 0
    taken = backup(database), 0, 0
    for _ in range(400):
        act, spending = choose.random(), choose.choice(workers)
        if act < 0.02:
            [account] = Spending(database, clock=clock).accounts(key)
            taken = backup(database), spent, too_much + account.reserved
        elif act < 0.04:
            [account] = Spending(database, clock=clock).accounts(key)
            contents.put_back(database, taken[0])
            spent, too_much = taken[1], taken[2] + account.reserved
        elif act < 0.1:
            clock.now += choose.random()
            spending.refresh()
        elif act < 0.55:
            going.append((spending, begin(spending, key)))
        elif going:
            spending, reservation = going.pop(choose.randrange(len(going)))
            cost = choose.randint(0, 30)
            spent += cost
            spending.settle(reservation, tokens(cost))
    for spending, reservation in going:
        spending.settle(reservation, {})
    for spending in workers:
        spending.flush()
    used, reserved = standing(database, key, clock)
    assert spent <= used <= spent + too_much
    assert reserved == 0
