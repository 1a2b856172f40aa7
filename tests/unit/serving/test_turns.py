from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import gevent
import pytest

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

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    made = Rounds()
    yield made
    made.close()


def begun(rounds: Rounds, *, in_progress: int) -> list[tuple[int, int]]:
    """Requests that come at once: which one began in which round, in the order in which they began."""
    found: list[tuple[int, int]] = []
    mine = Turns(lambda: in_progress)

    def request(number: int) -> None:
        mine.take()
        found.append((number, rounds.count))

    gevent.joinall([gevent.spawn(request, number) for number in range(MANY)], raise_error=True)
    return found


@pytest.mark.parametrize(("share", "most"), [(0.0, 1), (1e9, MANY)])
def test_where_many_are_in_progress_a_crowd_begins_in_its_order_by_its_share(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch, share: float, most: int
) -> None:
    monkeypatch.setattr(turns, "SHARE", share)
    found = begun(rounds, in_progress=FEW + 1)
    assert [number for number, _ in found] == list(range(MANY))
    in_a_round = max(Counter(when for _, when in found[1:]).values())
    assert in_a_round == min(most, MANY - 1), "the first has come to an empty room"


def test_where_few_are_in_progress_nobody_waits(rounds: Rounds) -> None:
    assert len({when for _, when in begun(rounds, in_progress=FEW)}) == 1


def test_who_comes_alone_does_not_wait(rounds: Rounds) -> None:
    mine = Turns(lambda: FEW + 1)
    for _ in range(3):
        before = rounds.count
        mine.take()
        assert rounds.count == before
        while mine._is_taken:
            gevent.sleep(0)


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
