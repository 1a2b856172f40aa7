"""What a worker holds ahead: cheap where a key is used a lot, and as exact as without it."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from app.database import Database
from app.errors import DatabaseError
from app.keys.account import Admitted, Amounts, Refused, Reservation
from app.keys.key import Budget, Key, Limits, Unit
from app.keys.lease import LONGEST_S
from app.keys.registry import KeyRegistry
from app.keys.spending import Spending
from app.keys.standing import ALIVE_S, RECALL_S
from tests.support.clock import Clock

PLENTY = 1_000_000
DAY = 24 * 3600
OFTEN = 4


@pytest.fixture
def key(registry: KeyRegistry) -> Key:
    return registry.make("alice", limits=Limits(budgets=(Budget(PLENTY, "tokens", "day"),)))[0]


@pytest.fixture
def others() -> list[Spending]:
    """Workers that go on while somebody waits."""
    return []


@pytest.fixture
def worker(database: Database, clock: Clock, others: list[Spending]) -> Callable[[], Spending]:
    def wait(seconds: float) -> None:
        clock.now += seconds
        for other in others:
            other.refresh()

    def make() -> Spending:
        made = Spending(database, clock=clock, sleep=wait)
        made.begin_leasing()
        others.append(made)
        return made

    return make


@pytest.fixture
def spending(worker: Callable[[], Spending]) -> Spending:
    return worker()


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


def warm_up(spending: Spending, key: Key, amount: int = 30) -> None:
    """The key is used a lot: the next call is under a lease."""
    for _ in range(OFTEN + 1):
        spending.settle(begin(spending, key, amount).reservation, {})


def is_leased(database: Database) -> bool:
    with database.read() as connection:
        return bool(connection.execute(text("SELECT count(*) FROM key_calls WHERE id LIKE 'ahead:%'")).scalar())


def rows(database: Database) -> int:
    """Of calls and leases, and notes."""
    with database.read() as connection:
        calls = connection.execute(text("SELECT count(*) FROM key_calls")).scalar() or 0
        notes = connection.execute(text("SELECT count(*) FROM bridge_notes WHERE name LIKE 'once:%'")).scalar() or 0
        return calls + notes


def standing(database: Database, key: Key, clock: Clock) -> tuple[int, int]:
    """Used and reserved, as a worker sees it that has none of the calls."""
    [account] = Spending(database, clock=clock).accounts(key)
    return account.used, account.reserved


# ── how it goes ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_many_calls_take_few_transactions(key: Key, spending: Spending, transactions: list[Database]) -> None:
    for _ in range(500):
        spending.settle(begin(spending, key, 30).reservation, tokens(25))
    assert len(transactions) < 25
    assert [(it.used, it.reserved) for it in spending.accounts(key)] == [(500 * 25, 0)]


def test_long_calls_take_few_transactions(
    key: Key, spending: Spending, transactions: list[Database], clock: Clock
) -> None:
    """Longer than a lease, so that they have rows of their own by then."""
    going: list[Reservation] = []
    for _ in range(50):
        going += [begin(spending, key, 30).reservation for _ in range(10)]
        clock.now += 1
        spending.refresh()
        while len(going) > 30:
            spending.settle(going.pop(0), tokens(25))
    for reservation in going:
        spending.settle(reservation, tokens(25))
    assert len(transactions) < 80
    assert [(it.used, it.reserved) for it in spending.accounts(key)] == [(500 * 25, 0)]


@pytest.mark.parametrize(
    "limits",
    [
        Limits(budgets=(Budget(3000, "tokens", "day"),)),
        Limits(budgets=(Budget(PLENTY, "tokens", "day"), Budget(3000, "tokens", "month"))),
        Limits(concurrent=15),
        Limits(budgets=(Budget(PLENTY, "tokens", "day"),), concurrent=15),
        Limits(budgets=(Budget(3000, "tokens", "day"),), concurrent=1000),
    ],
    ids=[
        "near its end",
        "one near its end",
        "few at a time",
        "few at a time, a budget",
        "many at a time, near its end",
    ],
)
def test_where_each_call_has_to_be_known_none_is_held_ahead(
    registry: KeyRegistry, spending: Spending, database: Database, limits: Limits
) -> None:
    key, _ = registry.make("bob", limits=limits)
    warm_up(spending, key)
    assert not is_leased(database)


def test_a_key_that_is_used_now_and_then_holds_nothing_ahead(
    key: Key, spending: Spending, database: Database, clock: Clock
) -> None:
    for _ in range(3 * OFTEN):
        spending.settle(begin(spending, key, 30).reservation, tokens(25))
        clock.now += 1
        spending.refresh()
        assert not is_leased(database)


def test_who_is_not_refreshed_holds_nothing_ahead(key: Key, database: Database, clock: Clock) -> None:
    """An app under another server than ours, where nobody would give it back."""
    warm_up(Spending(database, clock=clock), key)
    assert not is_leased(database)


def test_each_call_is_told_what_is_left_by_then(key: Key, spending: Spending) -> None:
    warm_up(spending, key)
    first, second = begin(spending, key, 30), begin(spending, key, 50)
    spending.settle(second.reservation, tokens(40))
    third = begin(spending, key, 20)
    [account] = third.accounts
    assert (account.used, account.reserved, account.left) == (40, 50, PLENTY - 90)
    spending.refresh()  # they have rows of their own
    spending.settle(first.reservation, tokens(35))
    [account] = begin(spending, key, 10).accounts
    assert (account.used, account.reserved, account.left) == (75, 30, PLENTY - 105)


def test_clients_are_warned_by_the_very_call(registry: KeyRegistry, spending: Spending) -> None:
    key, _ = registry.make("bob", limits=Limits(budgets=(Budget(100_000, "tokens", "total"),)))
    spent = 0
    for _ in range(1700):
        call = begin(spending, key, 50)
        assert (call.accounts[0].used, call.accounts[0].reserved) == (spent, 50)
        spending.settle(call.reservation, tokens(50))
        spent += 50


def test_the_log_says_so_in_time(registry: KeyRegistry, spending: Spending, caplog: pytest.LogCaptureFixture) -> None:
    key, _ = registry.make("bob", limits=Limits(budgets=(Budget(100_000, "tokens", "total"),)))
    told = []
    for number in range(2000):
        spending.settle(begin(spending, key, 50).reservation, tokens(50))
        if caplog.records:
            told.append((number + 1, caplog.records[0].getMessage()))
            caplog.clear()
    assert told == [(1600, "budget is nearly used up"), (2000, "budget is used up")]


def test_what_nobody_uses_is_given_back(key: Key, spending: Spending, database: Database, clock: Clock) -> None:
    warm_up(spending, key)
    call = begin(spending, key, 30)
    spending.settle(begin(spending, key, 30).reservation, tokens(25))
    assert standing(database, key, clock)[1] > 60
    spending.refresh()
    assert standing(database, key, clock) == (25, 30)
    spending.settle(call.reservation, tokens(30))
    assert standing(database, key, clock) == (55, 0)
    spending.renew()
    assert rows(database) == 0


def test_a_worker_that_ends_leaves_nothing(key: Key, spending: Spending, database: Database, clock: Clock) -> None:
    warm_up(spending, key)
    calls = [begin(spending, key, 30) for _ in range(3)]
    for call in calls[:2]:
        spending.settle(call.reservation, tokens(25))
    spending.flush()
    spending.settle(calls[2].reservation, tokens(25))  # later than last
    assert standing(database, key, clock) == (75, 0)
    warm_up(spending, key)
    assert not is_leased(database)
    assert rows(database) == 0


# ── several workers ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_is_refused_for_what_others_hold_ahead(key: Key, worker: Callable[[], Spending], clock: Clock) -> None:
    one, two = worker(), worker()
    warm_up(one, key)
    going = begin(one, key, 30)
    most = begin(two, key, PLENTY - 30)  # all but the one call that is in progress
    assert most.accounts[0].left == 0
    refused = one.reserve(key, tokens(1))
    assert isinstance(refused, Refused)
    assert not refused.is_ahead
    two.settle(most.reservation, tokens(0))
    one.settle(going.reservation, tokens(30))
    warm_up(one, key)
    assert clock.now < 1_790_000_000 + RECALL_S  # it did not take long
    assert one.accounts(key)[0].left == PLENTY - 30


def test_who_is_alone_may_use_the_rest_whatever_others_hold_ahead(key: Key, worker: Callable[[], Spending]) -> None:
    one, two = worker(), worker()
    warm_up(one, key)
    two.settle(begin(two, key, 2 * PLENTY).reservation, tokens(PLENTY))
    refused = one.reserve(key, tokens(1))
    assert isinstance(refused, Refused)
    assert refused.is_spent


def test_while_one_has_to_do_without_nobody_holds_anything_ahead(
    key: Key, worker: Callable[[], Spending], database: Database, clock: Clock
) -> None:
    one, two = worker(), worker()
    warm_up(one, key)
    two.settle(begin(two, key, PLENTY).reservation, {})
    warm_up(one, key)
    assert not is_leased(database)
    clock.now += RECALL_S + 1
    warm_up(one, key)
    assert is_leased(database)
    one.flush()
    assert rows(database) == 0


def test_for_a_worker_that_was_killed_nobody_waits(
    key: Key, spending: Spending, database: Database, clock: Clock
) -> None:
    dead = Spending(database, clock=clock)
    dead.begin_leasing()
    warm_up(dead, key)
    clock.now += LONGEST_S + 1
    began = clock.now
    assert isinstance(spending.reserve(key, tokens(PLENTY)), Refused)
    assert clock.now == began


def test_what_a_killed_worker_held_is_booked(key: Key, database: Database, spending: Spending, clock: Clock) -> None:
    dead = Spending(database, clock=clock)
    dead.begin_leasing()
    warm_up(dead, key)
    first, late = begin(dead, key, 30), begin(dead, key, 30)
    dead.settle(first.reservation, tokens(12))
    _, reserved = standing(database, key, clock)
    assert 60 <= reserved <= 65 * 30
    clock.now += ALIVE_S + 1
    spending.settle(begin(spending, key, 1).reservation, tokens(1))
    assert standing(database, key, clock) == (reserved + 1, 0)
    dead.refresh()  # it was not dead after all
    assert standing(database, key, clock) == (12 + 1, 30)
    dead.settle(late.reservation, tokens(20))
    dead.flush()
    assert standing(database, key, clock) == (12 + 20 + 1, 0)


@pytest.mark.parametrize("seed", range(4))
def test_three_workers_never_come_to_more_than_the_budget_and_use_all_of_it(
    registry: KeyRegistry,
    database: Database,
    worker: Callable[[], Spending],
    clock: Clock,
    transactions: list[Database],
    seed: int,
) -> None:
    """Whatever comes: what has been spent and what is in progress fit into the budget at every moment, and who is
    refused would not have fitted."""
    budget, choose = 60_000, random.Random(seed)
    key, _ = registry.make("bob", limits=Limits(budgets=(Budget(budget, "tokens", "total"),)))
    workers = [worker() for _ in range(3)]
    going: list[tuple[Spending, Reservation, int]] = []
    spent = refused = calls = 0

    def end(number: int) -> int:
        worker, reservation, most = going.pop(number)
        cost = choose.randint(most // 2, most)
        worker.settle(reservation, tokens(cost))
        return cost

    while refused < 40:
        worker_, most = choose.choice(workers), choose.randint(20, 60)
        if choose.random() < 0.01:
            most *= 100
        found = worker_.reserve(key, tokens(most))
        held = sum(one[2] for one in going)
        if isinstance(found, Refused):
            refused += 1
            assert spent >= budget if found.is_spent else (going and spent + held + most > budget)
        else:
            calls += 1
            going.append((worker_, found.reservation, most))
            # A call that is alone may use what is left, however little.
            assert len(going) == 1 or spent + held + most <= budget
        if choose.random() < 0.02:
            clock.now += 1
            choose.choice(workers).refresh()
        while len(going) > 12 or (going and choose.random() < 0.5):
            spent += end(choose.randrange(len(going)))
    while going:
        spent += end(0)
    for each in workers:
        each.flush()
    assert standing(database, key, clock) == (spent, 0)
    assert budget - 60 < spent < budget + 60
    assert len(transactions) < 1.7 * calls


def test_threads_of_two_workers_use_a_budget_to_the_last_token(registry: KeyRegistry, database: Database) -> None:
    key, _ = registry.make("bob", limits=Limits(budgets=(Budget(4000, "tokens", "total"),)))
    workers: list[Spending] = []

    def wait(_seconds: float) -> None:
        for worker in workers:
            worker.refresh()

    workers += [Spending(database, sleep=wait) for _ in range(2)]
    for worker in workers:
        worker.begin_leasing()

    def call_until_it_is_spent(spending: Spending) -> int:
        served = 0
        while True:
            found = spending.reserve(key, tokens(5))
            if isinstance(found, Admitted):
                served += 5
                spending.settle(found.reservation, tokens(5))
            elif found.is_spent:
                return served

    with ThreadPoolExecutor(6) as pool:
        served = list(pool.map(call_until_it_is_spent, workers * 3))
    for worker in workers:
        worker.flush()
    assert sum(served) == 4000
    assert [(it.used, it.reserved) for it in workers[0].accounts(key)] == [(4000, 0)]


# ── answers at a time ───────────────────────────────────────────────────────────────────────────────────────────────

AT_A_TIME = Limits(concurrent=40)


@pytest.mark.parametrize(
    "limits", [AT_A_TIME, Limits(budgets=(Budget(PLENTY, "tokens", "day"),), concurrent=40)], ids=["alone", "a budget"]
)
@pytest.mark.parametrize("together", [1, 3, 20])
def test_with_a_limit_of_answers_as_well_many_calls_take_few_transactions(
    registry: KeyRegistry, spending: Spending, transactions: list[Database], limits: Limits, together: int, clock: Clock
) -> None:
    key, _ = registry.make("bob", limits=limits)
    for number in range(600 // together):
        for reservation in [begin(spending, key, 30).reservation for _ in range(together)]:
            spending.settle(reservation, tokens(25))
        if number * together % 60 == 0:
            clock.now += 1
            spending.refresh()
    assert len(transactions) < 100  # of 1200, were each of them to ask


@pytest.mark.parametrize("seed", range(2))
def test_three_workers_never_have_more_answers_in_progress_than_the_limit(
    registry: KeyRegistry,
    database: Database,
    worker: Callable[[], Spending],
    clock: Clock,
    transactions: list[Database],
    seed: int,
) -> None:
    """And who is refused finds as many in progress, whatever others hold ahead."""
    choose = random.Random(seed)
    key, _ = registry.make("bob", limits=AT_A_TIME)
    workers = [worker() for _ in range(3)]
    going: list[tuple[Spending, Reservation]] = []
    refused = calls = 0
    while refused < 8:
        # Up to the limit and down again: some hundred calls far from it, then some that reach it.
        at_most = choose.choice((5, 20, 60))
        for _ in range(100):
            clock.now += choose.random() / 20
            if choose.random() < 0.02:
                choose.choice(workers).refresh()
            if len(going) < at_most and choose.random() < 0.6:
                spending = choose.choice(workers)
                found = spending.reserve(key, {})
                if isinstance(found, Refused):
                    refused += 1
                    assert len(going) == 40
                    break
                calls += 1
                going.append((spending, found.reservation))
                assert len(going) <= 40
            elif going:
                spending, reservation = going.pop(choose.randrange(len(going)))
                spending.settle(reservation, {})
    for spending, reservation in going:
        spending.settle(reservation, {})
    for spending in workers:
        spending.flush()
    assert len(transactions) < 1.5 * calls
    assert rows(database) == 0


def test_threads_of_two_workers_come_to_the_limit_and_no_further(registry: KeyRegistry, database: Database) -> None:
    key, _ = registry.make("bob", limits=Limits(concurrent=20))
    workers: list[Spending] = []

    def wait(_seconds: float) -> None:
        for worker in workers:
            worker.refresh()

    workers += [Spending(database, sleep=wait) for _ in range(2)]
    for worker in workers:
        worker.begin_leasing()
    all_have_asked, all_have_seen = threading.Barrier(6), threading.Barrier(6)
    held: list[Reservation] = []
    rounds = []

    def call(spending: Spending) -> None:
        for _ in range(8):
            found = [it.reservation for it in (spending.reserve(key, {}) for _ in range(4)) if isinstance(it, Admitted)]
            held.extend(found)
            if all_have_asked.wait(60) == 0:
                rounds.append(len(held))
                held.clear()
            all_have_seen.wait(60)
            for reservation in found:
                spending.settle(reservation, {})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(call, workers * 3))
    assert rounds == [20] * 8
    for worker in workers:
        worker.flush()
    assert rows(database) == 0


def test_slots_of_a_worker_that_was_killed_are_free_after_a_minute(
    registry: KeyRegistry, database: Database, spending: Spending, clock: Clock
) -> None:
    key, _ = registry.make("bob", limits=AT_A_TIME)
    dead = Spending(database, clock=clock)
    dead.begin_leasing()
    warm_up(dead, key)
    begin(dead, key, 0)
    assert is_leased(database)
    clock.now += LONGEST_S + 1
    found = [spending.reserve(key, {}) for _ in range(40)]
    served = sum(isinstance(one, Admitted) for one in found)
    assert 30 < served < 40
    clock.now += 61
    found = [spending.reserve(key, {}) for _ in range(40)]
    # But for the call with which it began to hold something ahead: the row of that one stays for ten minutes.
    assert served + sum(isinstance(one, Admitted) for one in found) == 39


# ── what may happen ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_costs_more_than_is_held_is_told_at_once(
    key: Key, spending: Spending, database: Database, clock: Clock
) -> None:
    warm_up(spending, key)
    call = begin(spending, key, 30)
    spending.settle(call.reservation, tokens(50_000))
    used, reserved = standing(database, key, clock)
    assert used == 50_000
    assert reserved <= 64 * 30


def test_a_call_counts_for_the_day_it_began_in(key: Key, spending: Spending, database: Database, clock: Clock) -> None:
    for _ in range(2):
        warm_up(spending, key)
        early, late = begin(spending, key, 30), begin(spending, key, 30)
        spending.settle(early.reservation, tokens(15))
        clock.now += DAY
        warm_up(spending, key)
        assert is_leased(database)
        spending.settle(late.reservation, tokens(25))
        new = begin(spending, key, 30)
        assert (new.accounts[0].used, new.accounts[0].reserved) == (0, 30)
        spending.settle(new.reservation, tokens(5))
        assert [(it.used, it.reserved) for it in spending.accounts(key)] == [(5, 0)]
        clock.now += DAY


def test_each_unit_counts(registry: KeyRegistry, spending: Spending, transactions: list[Database]) -> None:
    budgets = (
        Budget(PLENTY, "tokens", "day"),
        Budget(10**15, "credits", "month"),
        Budget(10**15, "credits", "total"),
        Budget(10**9, "premium_requests", "total"),
    )
    key, _ = registry.make("bob", limits=Limits(budgets=budgets))
    for number in range(300):
        wanted: Amounts = {"tokens": 30, "credits": 10**6 + 7, "premium_requests": 1000 * (number % 3 == 0)}
        found = spending.reserve(key, wanted)
        assert isinstance(found, Admitted)
        spending.settle(found.reservation, {**wanted, "tokens": 20})
    assert len(transactions) < 30
    credits = 300 * (10**6 + 7)
    assert [it.used for it in spending.accounts(key)] == [300 * 20, credits, credits, 100 * 1000]


def test_a_limit_that_changes_counts_at_once(key: Key, registry: KeyRegistry, spending: Spending) -> None:
    warm_up(spending, key)
    calls = [begin(spending, key, 30) for _ in range(3)]
    _, smaller = registry.change(
        key.name, lambda it: replace(it, limits=Limits(budgets=(Budget(100, "tokens", "day"),)))
    )
    assert isinstance(spending.reserve(smaller, tokens(30)), Refused)
    _, fewer = registry.change(key.name, lambda it: replace(it, limits=Limits(concurrent=3)))
    assert spending.reserve(fewer, tokens(30)) == Refused()
    spending.settle(calls[0].reservation, {})
    assert isinstance(spending.reserve(fewer, tokens(30)), Admitted)


def test_a_revoked_key_holds_nothing_for_long(
    key: Key, registry: KeyRegistry, spending: Spending, database: Database
) -> None:
    warm_up(spending, key)
    registry.change(key.name, lambda it: replace(it, revoked_at=1.0))
    spending.refresh()
    spending.refresh()
    assert rows(database) == 0


def come_back(database: Database) -> None:
    """What a try in the background would find."""
    database._reading.end()
    database._writing.end()


def test_while_the_database_is_away_calls_go_on_and_are_booked_later(
    key: Key, spending: Spending, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm_up(spending, key)
    under_it = [begin(spending, key, 30) for _ in range(3)]

    def away(*_: object) -> None:
        raise DatabaseError("away")

    with monkeypatch.context() as broken:
        broken.setattr(Database, "write", away)
        spending.settle(under_it[0].reservation, tokens(11))
        spending.refresh()
        spending.settle(under_it[1].reservation, tokens(12))
        for _ in range(100):
            spending.settle(begin(spending, key, 30).reservation, tokens(1))
        spending.renew()
    spending.settle(under_it[2].reservation, tokens(13))
    spending.renew()
    assert standing(database, key, clock) == (11 + 12 + 13 + 100, 0)
    assert rows(database) == 0


@pytest.mark.parametrize("error", [OperationalError("COMMIT", {}, sqlite3.OperationalError("lost")), SystemExit()])
@pytest.mark.parametrize("seed", range(3))
def test_a_transaction_whose_end_nobody_heard_of_counts_once(
    key: Key,
    spending: Spending,
    database: Database,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    seed: int,
) -> None:
    """Whichever of a row of transactions it is, and whether it went through or not."""
    choose = random.Random(seed)
    commit = Connection.commit
    expected = 0
    going: list[tuple[Reservation, int]] = []

    def perhaps(connection: Connection) -> None:
        fate = choose.random()
        if fate < 0.6:
            commit(connection)
            return
        (commit if fate < 0.8 else Connection.rollback)(connection)
        raise error

    for _ in range(150):
        come_back(database)
        with monkeypatch.context() as broken:
            broken.setattr(Connection, "commit", perhaps)
            try:
                act = choose.randrange(4)
                if act == 0:
                    spending.refresh()
                elif act == 1 and going:
                    reservation, cost = going.pop(choose.randrange(len(going)))
                    expected += cost
                    spending.settle(reservation, tokens(cost))
                else:
                    begun = (begin(spending, key, 30).reservation for _ in range(3))
                    going.extend((reservation, choose.randint(0, 40)) for reservation in begun)
            except SystemExit:
                pass
    come_back(database)
    for reservation, cost in going:
        expected += cost
        spending.settle(reservation, tokens(cost))
    spending.flush()
    assert standing(database, key, clock) == (expected, 0)
    assert rows(database) == 0
