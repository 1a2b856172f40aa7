"""Takes down every call when it has ended, and writes it behind everybody's back.

Noting is an append to a queue of bounded length; one greenlet of the worker makes bookings of what is in it, about
twice a second, and writes them in batches. While the database is away they are kept, up to the bound; what comes then
is dropped and counted, and the log says so. A worker that is told to stop writes what it has.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, Protocol

from app.converters.neutral.price_list import PriceList
from app.errors import DatabaseError, GatewayError
from app.ledger.booking import Booking, booking_of
from app.ledger.tally import Tally
from app.logs import logger
from app.reply import Ended

FLUSH_S: Final = 0.5
"""How long a booking may wait before it is written: what a ``kill -9`` can lose while the database is there."""
BATCH: Final = 100
"""Bookings in a transaction: about a millisecond of SQLite's time."""
_LONGEST_PAUSE_S: Final = 5.0
_TIDY_S: Final = 600.0
_NOBODY: Final = ("", b"")


class Entries(Protocol):
    """Where bookings are written."""

    def load(self) -> None:
        """Whatever has to be imported before the first use, without holding up others."""

    def write(self, bookings: Sequence[Booking], number: float) -> None:
        """All of them or none, once: what has the number of those before is the same ones, tried again.

        Raises: DatabaseError while the database is away.
        """

    def tidy(self) -> bool:
        """Remove some of what is too old; whether there is more. Raises: DatabaseError."""


class Books:
    """An observer of requests. One per process; in a worker `begin` it, elsewhere what is noted waits for a `flush`.

    account: the name of the bridge's own GitHub account, and a secret of it; a call that goes by another says so in its
    record. observe: is told of the bookings and of requests
    that are no calls, in the background, once. most: how many bookings are kept unwritten. prices: to
    estimate by what Copilot does not tell.
    """

    def __init__(
        self,
        entries: Entries,
        *,
        account: Callable[[], tuple[str, bytes]],
        observe: Callable[[Ended, Booking | None], None] = lambda _ended, _booking: None,
        most: int = 10_000,
        tally: Tally | None = None,
        prices: PriceList | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries = entries
        self._account = account
        self._observe = observe
        self._most = most
        self._prices = prices or PriceList()
        self.tally = tally or Tally()
        self._clock = clock
        self._noted: deque[tuple[Ended, tuple[str, bytes]]] = deque()
        self._others: deque[Ended] = deque()
        self._unwritten: deque[Booking] = deque()
        self._batch: list[Booking] = []
        self._number = 0.0
        self._told = threading.Event()
        self._stopped = threading.Event()
        self._working = threading.Lock()
        self._is_dropping = False
        self._failures = 0
        self._tidied_at = 0.0

    # ── on the way of a request ─────────────────────────────────────────────────────────────────────────────────────

    def __call__(self, ended: Ended) -> None:
        """Note a request that has ended. Neither waits nor fails."""
        self.tally.in_flight -= 1
        if not ended.record.protocol:  # no call: told to `observe` alone, and it takes nobody's place in the queue
            if len(self._others) >= self._most:
                return
            self._others.append(ended)
        else:
            self.tally.accepted += 1
            if self.waiting >= self._most:
                self._drop(1, "the queue is full")
                return
            self._noted.append((ended, ended.record.account or self._whose()))
        self._told.set()

    def _whose(self) -> tuple[str, bytes]:
        try:
            return self._account()
        except GatewayError:  # its file cannot be read: the call was made all the same
            return _NOBODY

    def begin(self) -> None:
        """Write from now on, in the background; the first call is waited for."""
        threading.Thread(target=self._run, name="books", daemon=True).start()

    # ── in the background ───────────────────────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> int:
        """How many bookings are not written yet."""
        return len(self._noted) + len(self._unwritten)

    def flush(self, within_s: float = 5.0) -> bool:
        """Write what there is, now; whether all of it could be written in time."""
        until = self._clock() + within_s
        with self._working:
            self._sort()
            while self._unwritten:
                if self._clock() > until or not self._write_batch():
                    return False
        return True

    def settle(self) -> None:
        """Make bookings of all that was noted, without writing them: whoever reads numbers wants the newest."""
        with self._working:
            self._sort()

    def close(self, within_s: float = 1.0) -> None:
        """The process ends: write what there is; what cannot be written is dropped, and counted."""
        self._stopped.set()
        self._told.set()
        if not self.waiting and not self._others:
            return
        if not self.flush(within_s) and self.waiting:
            self._drop(self.waiting, "the worker ends, and the database could not be written")
            self._noted.clear()
            self._unwritten.clear()
            self._batch = []

    def _run(self) -> None:
        is_loaded = False
        while not self._stopped.is_set():
            self._told.wait()
            if not is_loaded and self.waiting:
                self._entries.load()
                is_loaded = True
            self._stopped.wait(FLUSH_S if not self._failures else self._pause_s())
            if self._stopped.is_set():
                return  # `close` writes the rest
            self._told.clear()
            self.flush()
            if self.waiting:
                self._told.set()
            self._tidy()

    def _pause_s(self) -> float:
        return min(FLUSH_S * float(2**self._failures), _LONGEST_PAUSE_S)

    def _sort(self) -> None:
        """What was noted becomes bookings, and others are told."""
        for ended, whose in self._known():
            booking = None
            try:
                if whose is not None:
                    booking = booking_of(ended, account=whose[0], secret=whose[1], prices=self._prices)
                    self._unwritten.append(booking)
                self._observe(ended, booking)
            except Exception:
                # One record that nobody has thought of must not keep all those behind it out of the books.
                logger.exception("call not booked", extra={"fields": {"request_id": ended.record.request_id}})
                if booking is None and whose is not None:
                    self._drop(1, "its record makes no booking")

    def _known(self) -> Iterator[tuple[Ended, tuple[str, bytes] | None]]:
        """What was noted, a call with whose it is. One of which more is about to be known waits for the next time,
        unless there is none."""
        while self._others:
            yield self._others.popleft(), None
        for _ in range(len(self._noted)):
            ended, whose = self._noted.popleft()
            if ended.record.is_read_on and not self._stopped.is_set():
                self._noted.append((ended, whose))
            else:
                yield ended, whose

    def _write_batch(self) -> bool:
        if not self._batch:  # else the same ones again: nobody may know whether they were written
            self._batch = list(islice(self._unwritten, BATCH))
            self._number = max(time.time(), math.nextafter(self._number, math.inf))
        batch = self._batch
        try:
            self._entries.write(batch, self._number)
        except DatabaseError:  # it is told by the database itself
            self._failures = min(self._failures + 1, 10)
            return False
        except Exception:
            # Nothing that a retry would mend, and nothing that may keep those behind it from being written.
            logger.exception("bookings cannot be written")
            self._drop(len(batch), "the database does not take them")
        else:
            self.tally.written += len(batch)
            if self._is_dropping:
                self._is_dropping = False
                logger.info("calls are booked again", extra={"fields": {"dropped": self.tally.dropped}})
        self._failures, self._batch = 0, []
        for _ in batch:
            self._unwritten.popleft()
        return True

    def _drop(self, count: int, why: str) -> None:
        self.tally.dropped += count
        if not self._is_dropping:
            self._is_dropping = True
            logger.error("calls are not booked", extra={"fields": {"why": why, "dropped": self.tally.dropped}})

    def _tidy(self) -> None:
        now = self._clock()
        if self._failures or (self._tidied_at and now - self._tidied_at < _TIDY_S):
            return
        try:
            has_more = self._entries.tidy()
        except DatabaseError:
            return
        if not has_more:
            self._tidied_at = now
