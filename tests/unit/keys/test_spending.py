"""Budgets and calls in progress: exact, however calls end and whoever dies."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from app.database import Database
from app.errors import DatabaseError
from app.keys.account import Admitted, Refused
from app.keys.key import Budget, Key, Limits, Unit
from app.keys.registry import KeyRegistry
from app.keys.spending import Spending
from app.keys.standing import ALIVE_S
from tests.support.clock import Clock

DAY = 24 * 3600


@pytest.fixture
def make(registry: KeyRegistry) -> Callable[..., Key]:
    def make_one(*budgets: Budget, concurrent: int | None = None) -> Key:
        return registry.make("alice", limits=Limits(budgets=budgets, concurrent=concurrent))[0]

    return make_one


def tokens(amount: int) -> dict[Unit, int]:
    return {"tokens": amount}


def admitted(found: Admitted | Refused) -> Admitted:
    assert isinstance(found, Admitted), found
    return found


def standing(spending: Spending, key: Key) -> list[tuple[int, int, int]]:
    return [(it.used, it.reserved, it.left) for it in spending.accounts(key)]


def test_what_is_reserved_is_settled_by_what_it_did_cost(make: Callable[..., Key], spending: Spending) -> None:
    key = make(Budget(100, "tokens", "day"), Budget(10**9, "credits", "total"))
    call = admitted(spending.reserve(key, {"tokens": 40, "credits": 5}))
    assert [(it.used, it.reserved, it.left) for it in call.accounts] == [(0, 40, 60), (0, 5, 10**9 - 5)]
    assert standing(spending, key) == [(0, 40, 60), (0, 5, 10**9 - 5)]
    spending.settle(call.reservation, {"tokens": 15, "credits": 7})
    assert standing(spending, key) == [(15, 0, 85), (7, 0, 10**9 - 7)]


def test_what_does_not_fit_beside_others_has_to_wait(make: Callable[..., Key], spending: Spending) -> None:
    key = make(Budget(100, "tokens", "day"))
    one = admitted(spending.reserve(key, tokens(60)))
    refused = spending.reserve(key, tokens(60))
    assert isinstance(refused, Refused)
    assert refused.account is not None
    assert not refused.is_spent
    spending.settle(one.reservation, tokens(30))
    two = admitted(spending.reserve(key, tokens(60)))
    spending.settle(two.reservation, tokens(60))
    assert standing(spending, key) == [(90, 0, 10)]


def test_a_call_alone_may_use_what_is_left_and_then_it_is_over(make: Callable[..., Key], spending: Spending) -> None:
    key = make(Budget(100, "tokens", "day"))
    call = admitted(spending.reserve(key, tokens(1000)))
    assert isinstance(spending.reserve(key, tokens(1)), Refused)
    spending.settle(call.reservation, tokens(1000))
    refused = spending.reserve(key, tokens(1))
    assert isinstance(refused, Refused)
    assert refused.is_spent


def test_the_next_period_starts_anew(make: Callable[..., Key], spending: Spending, clock: Clock) -> None:
    key = make(Budget(10, "tokens", "day"), Budget(15, "tokens", "month"))
    spending.settle(admitted(spending.reserve(key, tokens(10))).reservation, tokens(10))
    assert isinstance(spending.reserve(key, tokens(1)), Refused)
    clock.now += DAY
    assert standing(spending, key) == [(0, 0, 10), (10, 0, 5)]
    spending.settle(admitted(spending.reserve(key, tokens(1))).reservation, tokens(5))
    clock.now += DAY
    refused = spending.reserve(key, tokens(1))
    assert isinstance(refused, Refused)
    assert refused.account is not None
    assert refused.account.budget.per == "month"


def test_a_call_counts_for_the_period_it_began_in(make: Callable[..., Key], spending: Spending, clock: Clock) -> None:
    key = make(Budget(10, "tokens", "day"))
    call = admitted(spending.reserve(key, tokens(10)))
    clock.now += DAY
    spending.renew()
    spending.settle(call.reservation, tokens(10))
    assert standing(spending, key) == [(0, 0, 10)]


def test_answers_at_a_time(make: Callable[..., Key], spending: Spending) -> None:
    key = make(concurrent=2)
    calls = [admitted(spending.reserve(key, {})) for _ in range(2)]
    assert spending.reserve(key, {}) == Refused()
    spending.settle(calls[0].reservation, {})
    admitted(spending.reserve(key, {}))


def test_what_a_worker_leaves_that_died_is_booked_as_reserved(
    make: Callable[..., Key], database: Database, spending: Spending, clock: Clock
) -> None:
    key = make(Budget(100, "tokens", "day"), concurrent=1)
    dead = Spending(database, clock=clock)
    left = admitted(dead.reserve(key, tokens(40)))
    assert isinstance(spending.reserve(key, tokens(1)), Refused)
    clock.now += ALIVE_S + 1
    mine = admitted(spending.reserve(key, tokens(1)))
    assert standing(spending, key) == [(40, 1, 59)]
    dead.settle(left.reservation, tokens(25))  # it was not dead after all
    spending.settle(mine.reservation, tokens(1))
    assert standing(spending, key) == [(26, 0, 74)]


def test_long_calls_are_kept_alive(make: Callable[..., Key], spending: Spending, clock: Clock) -> None:
    key = make(concurrent=1)
    admitted(spending.reserve(key, {}))
    for _ in range(5):
        clock.now += ALIVE_S - 1
        spending.renew()
    assert isinstance(spending.reserve(key, {}), Refused)


def test_while_the_database_is_away_calls_go_on_and_are_booked_later(
    make: Callable[..., Key], database: Database, spending: Spending, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make(Budget(100, "tokens", "day"))
    held = admitted(spending.reserve(key, tokens(10)))

    def away(*_: object) -> None:
        raise DatabaseError("away")

    with monkeypatch.context() as broken:
        broken.setattr(Database, "write", away)
        call = admitted(spending.reserve(key, tokens(1000)))
        spending.settle(call.reservation, tokens(7))
        spending.settle(held.reservation, tokens(3))
    assert standing(spending, key) == [(0, 10, 90)]
    spending.renew()
    assert standing(spending, key) == [(10, 0, 90)]


def come_back(database: Database) -> None:
    """What a try in the background would find."""
    database._reading.end()
    database._writing.end()


def test_a_transaction_whose_end_nobody_heard_of_counts_once(
    make: Callable[..., Key], database: Database, spending: Spending, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server went away when it had done its work, or before it had: both look the same from here."""
    key = make(Budget(1000, "tokens", "day"), concurrent=50)
    commit = Connection.commit
    expected = 0
    for went_through in (True, False):

        def lose_the_answer(connection: Connection, went_through: bool = went_through) -> None:
            (commit if went_through else Connection.rollback)(connection)
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError("the answer got lost"))

        held = [admitted(spending.reserve(key, tokens(10))) for _ in range(3)]
        with monkeypatch.context() as broken:
            broken.setattr(Connection, "commit", lose_the_answer)
            spending.settle(held[0].reservation, tokens(3))
        come_back(database)  # and the next transaction ends the same way
        with monkeypatch.context() as broken:
            broken.setattr(Connection, "commit", lose_the_answer)
            begun = admitted(spending.reserve(key, tokens(10)))
        assert begun.reservation.id is None
        spending.settle(begun.reservation, tokens(4))  # away: that is for later
        come_back(database)
        with monkeypatch.context() as broken:
            broken.setattr(Connection, "commit", lose_the_answer)
            spending.settle(held[1].reservation, tokens(5))
        come_back(database)
        spending.settle(held[2].reservation, tokens(6))
        expected += 3 + 4 + 5 + 6
        assert standing(spending, key) == [(expected, 0, 1000 - expected)]
    spending.settle(admitted(spending.reserve(key, {})).reservation, {})
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM bridge_notes WHERE name LIKE 'once:%'")).scalar() == 0


def test_the_log_has_when_a_budget_is_nearly_used_up_and_when_it_is(
    make: Callable[..., Key], spending: Spending, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "copilot_bridge")
    key = make(Budget(100, "tokens", "day"))
    for _ in range(10):
        spending.settle(admitted(spending.reserve(key, tokens(10))).reservation, tokens(10))
    told = [(record.getMessage(), vars(record)["fields"]) for record in caplog.records]
    about = {"key": "alice", "budget": "100 tokens per day"}
    assert told == [
        ("budget is nearly used up", {**about, "used_percent": 80}),
        ("budget is used up", {**about, "used_percent": 100}),
    ]


def test_many_at_once_never_come_to_more_than_the_budget(
    make: Callable[..., Key], database: Database, clock: Clock
) -> None:
    key = make(Budget(50, "tokens", "day"), concurrent=7)
    workers = [Spending(database, clock=clock) for _ in range(2)]
    served, most = [], []
    lock = threading.Lock()

    def call(spending: Spending) -> None:
        for _ in range(12):
            found = spending.reserve(key, tokens(5))
            if isinstance(found, Refused):
                continue
            with lock:
                most.append(spending.accounts(key)[0].reserved)
                served.append(5)
            spending.settle(found.reservation, tokens(5))

    threads = [threading.Thread(target=call, args=(workers[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(served) == 50
    assert max(most) <= 35
    assert [(it.used, it.reserved) for it in workers[0].accounts(key)] == [(50, 0)]


def test_a_budget_that_is_changed_counts_from_then_on(
    make: Callable[..., Key], registry: KeyRegistry, spending: Spending
) -> None:
    key = make(Budget(10, "tokens", "total"))
    spending.settle(admitted(spending.reserve(key, tokens(10))).reservation, tokens(10))
    _, more = registry.change("alice", lambda it: replace(it, limits=Limits(budgets=(Budget(30, "tokens", "total"),))))
    assert standing(spending, more) == [(10, 0, 20)]
