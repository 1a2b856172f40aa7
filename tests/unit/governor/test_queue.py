"""Places over two workers that share a store: exact, fair, bounded, and left at once by whoever does not want one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from app.background_call import BackgroundCall
from app.errors import BusyError, ClientGone, GatewayError, StoreError
from app.governor.line import ALIVE_S, Line, Rules
from app.governor.queue import CallQueue, Place
from app.http_connection import Interrupt
from app.store import Store
from tests.unit.governor.conftest import Clock, Opener

PATIENCE_S = 30.0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as pool:
        yield pool


def queue(store: Store, clock: Clock, *, running: int = 1, waiting: int = 100, wait_s: float = PATIENCE_S) -> CallQueue:
    return CallQueue(store, Rules(running, waiting, 0.0), longest_wait_s=wait_s, clock=clock)


def line_of(store: Store, clock: Clock) -> Line:
    return Line.read(store.get("calls:me"), clock())


def until(store: Store, clock: Clock, is_so: Callable[[Line], bool]) -> Line:
    """Waits for what other threads do, without a promise of how long it takes."""
    pause = threading.Event()
    for _ in range(3000):
        line = line_of(store, clock)
        if is_so(line):
            return line
        pause.wait(0.01)
    raise AssertionError(line)


@contextmanager
def queued(
    pool: ThreadPoolExecutor, store: Store, clock: Clock, *wanted: tuple[CallQueue, str]
) -> Iterator[list[Future[Place]]]:
    """Calls that wait, in this order."""
    futures = []
    for number, (of, key) in enumerate(wanted, 1):
        futures.append(pool.submit(of.enter, "me", key))
        until(store, clock, lambda line, number=number: len(line.waiting) == number)  # type: ignore[misc]
    yield futures


def test_a_place_at_once_where_there_is_one(open_one: Opener, clock: Clock) -> None:
    store = open_one()
    places = queue(store, clock, running=2)
    first, second = places.enter("me", "a"), places.enter("me", "b")
    assert (first.waited_s, second.waited_s, places.running) == (0.0, 0.0, 2)
    assert len(line_of(store, clock).running) == 2
    first.leave()
    first.leave()
    assert len(line_of(store, clock).running) == 1
    second.leave()
    assert store.get("calls:me") is None  # nothing stays behind
    assert places.running == 0


def test_accounts_do_not_wait_for_each_other(open_one: Opener, clock: Clock) -> None:
    places = queue(open_one(), clock)
    held = [places.enter(account, "a") for account in ("me", "you")]
    assert [place.waited_s for place in held] == [0.0, 0.0]


def test_fair_over_two_workers(open_one: Opener, clock: Clock, pool: ThreadPoolExecutor) -> None:
    """Ten of one key wait at one worker, then one of another key at the other: it is the second to begin."""
    store = open_one()
    one, other = queue(store, clock), queue(open_one(), clock)
    held = one.enter("me", "greedy")
    wanted = [(one, "greedy")] * 10 + [(other, "modest")]
    with queued(pool, store, clock, *wanted) as futures:
        order: list[int] = []
        for _ in wanted:
            held.leave()
            done = next(number for number in iter(lambda: _first(futures, order), None) if number is not None)
            order.append(done)
            held = futures[done].result(PATIENCE_S)
            assert len(line_of(store, clock).running) == 1
            assert held.waited_s > 0
        held.leave()
    assert order == [0, 10, *range(1, 10)]
    assert store.get("calls:me") is None


def _first(futures: list[Future[Place]], but: list[int]) -> int:
    """Which of them has a place now."""
    from concurrent.futures import FIRST_COMPLETED, wait

    left = {future: number for number, future in enumerate(futures) if number not in but}
    done, _ = wait(left, PATIENCE_S, return_when=FIRST_COMPLETED)
    (only,) = done
    return left[only]


def test_never_more_than_may_over_two_workers(open_one: Opener, clock: Clock, pool: ThreadPoolExecutor) -> None:
    """Forty calls at once, of which each counts those beside it."""
    workers = [queue(open_one(), clock, running=3) for _ in range(2)]
    lock, running, most, done = threading.Lock(), 0, 0, threading.Event()

    def call(number: int) -> None:
        nonlocal running, most
        place = workers[number % 2].enter("me", f"key {number % 5}")
        with lock:
            running += 1
            most = max(most, running)
        done.wait(0.002)
        with lock:
            running -= 1
        place.leave()

    list(pool.map(call, range(40)))
    assert most == 3
    assert open_one().get("calls:me") is None


def test_a_full_queue_says_so_at_once_and_on_both_workers(
    open_one: Opener, clock: Clock, pool: ThreadPoolExecutor
) -> None:
    store = open_one()
    one, other = (queue(at, clock, waiting=2) for at in (store, open_one()))
    held = one.enter("me", "a")
    with queued(pool, store, clock, (one, "a"), (other, "b")) as futures:
        for worker in (one, other):
            with pytest.raises(BusyError, match="2 others wait") as told:
                worker.enter("me", "c")
            assert (told.value.status, told.value.code, told.value.retry_after) == (503, "bridge_busy", "5")
        assert one.waiting + other.waiting == 2
        held.leave()
        for future in futures:
            future.result(PATIENCE_S).leave()


def test_the_wait_is_bounded(open_one: Opener, clock: Clock) -> None:
    store = open_one()
    held = queue(store, clock).enter("me", "a")
    impatient = queue(open_one(), clock, wait_s=0.05)
    with pytest.raises(BusyError, match=r"within 0\.05 seconds"):
        impatient.enter("me", "b")
    line = line_of(store, clock)
    assert not line.waiting
    assert len(line.running) == 1
    held.leave()
    assert store.get("calls:me") is None


def test_whoever_hangs_up_leaves_the_queue_at_once(open_one: Opener, clock: Clock, pool: ThreadPoolExecutor) -> None:
    """A stream's call waits in the background; giving it up wakes it, and those behind it move up."""
    store = open_one()
    places = queue(store, clock)
    held = places.enter("me", "a")
    given_up = BackgroundCall(lambda: places.enter("me", "b"), discard=Place.leave)
    until(store, clock, lambda line: len(line.waiting) == 1)
    with_patience = pool.submit(places.enter, "me", "c")
    until(store, clock, lambda line: len(line.waiting) == 2)
    given_up.close()
    assert list(until(store, clock, lambda line: len(line.waiting) == 1).waiting.values()) == ["c"]
    assert given_up.wait(PATIENCE_S)
    with pytest.raises(ClientGone):
        given_up.result()
    held.leave()
    with_patience.result(PATIENCE_S).leave()
    assert places.waiting == places.running == 0


def test_what_is_thrown_into_whoever_waits_leaves_the_queue(open_one: Opener, clock: Clock) -> None:
    """As the worker does when the client of a whole answer has gone; `check` stands for the moment."""
    store = open_one()
    places = queue(store, clock)
    held = places.enter("me", "a")
    with pytest.raises(ClientGone):
        places.enter("me", "b", _raising(ClientGone()))
    assert not line_of(store, clock).waiting
    held.leave()


def test_who_waits_is_told_when_there_is_no_use_in_it(open_one: Opener, clock: Clock) -> None:
    places = queue(open_one(), clock)
    held = places.enter("me", "a")
    with pytest.raises(GatewayError, match="closed meanwhile"):
        places.enter("me", "b", _raising(GatewayError("closed meanwhile")))
    assert places.waiting == 0
    held.leave()


def _raising(error: BaseException) -> Callable[[], None]:
    def check() -> None:
        raise error

    return check


def test_a_call_that_is_called_off_before_it_waits_does_not_wait(open_one: Opener, clock: Clock) -> None:
    places = queue(open_one(), clock)
    held, interrupt = places.enter("me", "a"), Interrupt()
    with interrupt:
        interrupt.set()
        with pytest.raises(ClientGone):
            places.enter("me", "b")
    held.leave()


def test_a_worker_that_is_killed_gives_its_places_back(
    open_one: Opener, clock: Clock, pool: ThreadPoolExecutor
) -> None:
    store = open_one()
    dead, living = queue(open_one(), clock), queue(store, clock)
    kept = dead.enter("me", "a")
    with queued(pool, store, clock, (living, "b")) as (waits,):
        clock.now += ALIVE_S + 1
        waits.result(PATIENCE_S).leave()
    kept.leave()


def test_a_worker_that_is_alive_keeps_its_places(open_one: Opener, clock: Clock) -> None:
    store = open_one()
    seconds = [0.0]
    worker = CallQueue(store, Rules(1, 9, 0.0), longest_wait_s=1, clock=clock, monotonic=lambda: seconds[0])
    held = worker.enter("me", "a")
    for _ in range(10):
        clock.now += ALIVE_S / 3
        seconds[0] += ALIVE_S / 3
        worker.renew()
    assert len(line_of(store, clock).running) == 1
    held.leave()


class Away:
    """A store that is away."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise StoreError("away")

        return fail


def test_nobody_waits_while_the_store_is_away(clock: Clock) -> None:
    places = queue(Away(), clock, running=1)  # type: ignore[arg-type]
    held = [places.enter("me", "a") for _ in range(3)]
    assert [place.waited_s for place in held] == [0.0] * 3
    for place in held:
        place.leave()
    assert places.running == 0


class AwayAtTimes:
    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.is_away = False

    def __getattr__(self, name: str) -> object:
        return getattr(Away() if self.is_away else self.inner, name)


def test_a_place_that_could_not_be_given_back_is_given_back_later(open_one: Opener, clock: Clock) -> None:
    store = AwayAtTimes(open_one())
    places = queue(store, clock)  # type: ignore[arg-type]
    held = places.enter("me", "a")
    store.is_away = True
    held.leave()
    store.is_away = False
    assert places.enter("me", "b").waited_s == 0.0


def test_an_answer_that_nobody_closes_gives_its_place_back(
    open_one: Opener, clock: Clock, pool: ThreadPoolExecutor
) -> None:
    store = open_one()
    places = queue(store, clock)
    held = places.enter("me", "a")
    waits = pool.submit(places.enter, "me", "b")
    until(store, clock, lambda line: len(line.waiting) == 1)
    del held
    waits.result(PATIENCE_S).leave()
    assert store.get("calls:me") is None
