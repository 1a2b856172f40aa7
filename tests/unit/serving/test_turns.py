from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.hub import Waiter

from app.serving import turns
from app.serving.turns import FEW, Turns

MANY = 30


class Rounds:
    """Counts the rounds of the event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._watcher = gevent.get_hub().loop.prepare()
        self._watcher.start(self._note)

    def _note(self) -> None:
        self.count += 1

    def wait(self) -> None:
        """Until what the loop has been told to call before has been called."""
        waiter = Waiter()
        gevent.get_hub().loop.run_callback(waiter.switch, None)
        waiter.get()

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    made = Rounds()
    yield made
    made.close()


class ByHand:
    """In place of the timer of a `Turns`: a round comes when the test says so."""

    def __init__(self, mine: Turns) -> None:
        self._call: Any = None
        mine._round = self

    def start(self, call: Any) -> None:
        self._call = call

    def come(self, rounds: Rounds) -> None:
        gevent.get_hub().loop.run_callback(self._call)
        rounds.wait()


@pytest.mark.parametrize(("share", "each"), [(0.0, 1), (1e9, MANY)])
def test_where_many_are_in_progress_a_crowd_begins_in_its_order_by_its_share(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch, share: float, each: int
) -> None:
    monkeypatch.setattr(turns, "SHARE", share)
    mine, found = Turns(lambda: FEW + 1), list[int]()
    by_hand = ByHand(mine)
    mine.take()

    def request(number: int) -> None:
        mine.take()
        found.append(number)

    crowd = [gevent.spawn(request, number) for number in range(MANY)]
    while len(mine._waiting) < MANY:
        rounds.wait()
    while len(found) < MANY:
        before = len(found)
        by_hand.come(rounds)
        assert len(found) - before == each
    assert found == list(range(MANY))
    gevent.joinall(crowd, raise_error=True)


def test_where_few_are_in_progress_nobody_waits(rounds: Rounds) -> None:
    mine, before = Turns(lambda: FEW), rounds.count
    for _ in range(MANY):
        mine.take()
    assert rounds.count == before


def test_who_comes_alone_does_not_wait(rounds: Rounds) -> None:
    mine = Turns(lambda: FEW + 1)
    for _ in range(3):
        before = rounds.count
        mine.take()
        assert rounds.count == before
        while mine._is_taken:
            rounds.wait()


def test_who_has_left_takes_no_turn() -> None:
    mine, found = Turns(lambda: FEW + 1), list[int]()

    def request(number: int) -> None:
        mine.take()
        found.append(number)

    first, *others = [gevent.spawn(request, number) for number in range(MANY)]
    first.join()
    gone = others[1::2]
    gevent.killall(gone)
    gevent.joinall(others, raise_error=True)
    assert found == [0, *range(1, MANY, 2)]
    assert not mine._waiting
