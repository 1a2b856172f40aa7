from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import gevent
import pytest

from app.serving import turns
from app.serving.turns import MOST, Turns

MANY = 30


class Rounds:
    """Counts the rounds of the event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._watcher = gevent.get_hub().loop.prepare()
        self._watcher.start(self._note)

    def _note(self) -> None:
        self.count += 1

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    made = Rounds()
    yield made
    made.close()


def begun(rounds: Rounds, count: int) -> list[tuple[int, int]]:
    """Requests that come at once: which one began in which round, in the order in which they began."""
    found: list[tuple[int, int]] = []
    mine = Turns()

    def request(number: int) -> None:
        mine.take()
        found.append((number, rounds.count))

    gevent.joinall([gevent.spawn(request, number) for number in range(count)], raise_error=True)
    return found


@pytest.mark.parametrize(("short_s", "most"), [(60.0, MOST), (0.0, 1)])
def test_a_crowd_begins_in_its_order_and_a_few_in_each_round(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch, short_s: float, most: int
) -> None:
    monkeypatch.setattr(turns, "SHORT_S", short_s)
    found = begun(rounds, MANY)
    assert [number for number, _ in found] == list(range(MANY))
    assert max(Counter(when for _, when in found[1:]).values()) == most, "the first has come to an empty room"


def test_who_comes_alone_does_not_wait(rounds: Rounds) -> None:
    mine = Turns()
    for _ in range(3):
        before = rounds.count
        mine.take()
        assert rounds.count == before
        while mine._is_taken:
            gevent.sleep(0)


def test_who_has_left_takes_no_turn() -> None:
    mine, found = Turns(), list[int]()

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
