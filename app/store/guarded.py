"""A store that may be away: tried shortly, and then left alone for a moment.

A server that is down or hangs, a file that is locked, a full disk: each call would wait for it anew, and a request
makes several. So a failure is remembered for `away_s` seconds, in which the calls of this process fail at once; then
one call at a time finds out whether the store is back: a read behind its caller's back, who can do without, and a
change at once, since somebody waits to hear of it. What cannot be written may well be read: a full disk, say.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from app.errors import StoreError
from app.logs import logger
from app.store.base import Change, Entry, Store

T = TypeVar("T")

_TRIAL = "store-trial"


def in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="store-trial", daemon=True).start()


class GuardedStore:
    """A `Store` before another one. clock: seconds from any starting point, never going back."""

    def __init__(
        self,
        inner: Store,
        *,
        away_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        spawn: Callable[[Callable[[], None]], None] = in_background,
    ) -> None:
        self._inner = inner
        self._away_s = away_s
        self._clock = clock
        self._spawn = spawn
        self._reading = Outage("store cannot be read", "store can be read again")
        self._writing = Outage("store cannot be written", "store can be written again")
        self._tried_at = -away_s

    def trouble(self) -> StoreError | None:
        """What is wrong with the store, as far as it is known; None if nothing is. Waits for nobody: the store is tried
        behind the caller's back, so the next one who asks will know."""
        if self._clock() - self._tried_at >= self._away_s:
            self._tried_at = self._clock()
            self._spawn(self._try)
        return self._reading.error or self._writing.error

    def _try(self) -> None:
        with contextlib.suppress(StoreError):
            self.get(_TRIAL)
            self.acquire(_TRIAL, owner=_TRIAL, ttl_s=self._away_s)  # a lease, which no backup holds

    def get(self, key: str) -> str | None:
        return self._read(partial(self._inner.get, key))

    def get_many(self, keys: Sequence[str]) -> list[str | None]:
        return self._read(partial(self._inner.get_many, keys))

    def put(self, key: str, value: str, *, ttl_s: float | None = None) -> None:
        self._write(lambda: self._inner.put(key, value, ttl_s=ttl_s))

    def delete(self, key: str) -> bool:
        return self._write(lambda: self._inner.delete(key))

    def scan(self, prefix: str) -> dict[str, str]:
        return self._read(lambda: self._inner.scan(prefix))

    def dump(self) -> list[Entry]:
        return self._read(self._inner.dump)

    def load(self, entries: Iterable[Entry]) -> None:
        self._write(lambda: self._inner.load(entries))

    def update(self, key: str, change: Change) -> str | None:
        def judged(old: str | None) -> str | None:
            try:
                return change(old)
            except StoreError as error:  # about what is stored, not about the store
                raise _NotAway(error) from error

        try:
            return self._write(lambda: self._inner.update(key, judged))
        except _NotAway as error:
            raise error.of_the_change from error.__cause__

    def acquire(self, name: str, *, owner: str, ttl_s: float) -> bool:
        return self._write(lambda: self._inner.acquire(name, owner=owner, ttl_s=ttl_s))

    def release(self, name: str, *, owner: str) -> None:
        self._write(lambda: self._inner.release(name, owner=owner))

    def close(self) -> None:
        self._inner.close()

    def _read(self, work: Callable[[], T]) -> T:
        if self._reading.error is not None:
            self._have_tried(work)
        if self._reading.error is not None:
            raise self._reading.error
        return self._tried(self._reading, work)

    def _have_tried(self, work: Callable[[], object]) -> None:
        """Whether the store can be read again is found out in the background, now and then."""
        if self._clock() < self._reading.until:
            return
        self._reading.until = self._clock() + self._away_s

        def find_out() -> None:
            with contextlib.suppress(StoreError):
                self._tried(self._reading, work)

        self._spawn(find_out)

    def _write(self, work: Callable[[], T]) -> T:
        known = self._writing.error
        if known is not None:
            if self._clock() < self._writing.until:
                raise known
            # This call finds out; the others need not wait with it.
            self._writing.until = self._clock() + self._away_s
        return self._tried(self._writing, work)

    def _tried(self, outage: Outage, work: Callable[[], T]) -> T:
        try:
            result = work()
        except StoreError as error:
            until = self._clock() + self._away_s
            outage.begin(error, until)
            if outage is self._reading:  # nor can it be written: nobody has to wait for that as well
                self._writing.begin(error, until)
            raise
        outage.end()
        if outage is self._writing:  # what can be written can be read: who made a change sees it at once
            self._reading.end()
        return result


class Outage:
    """What went wrong last, None if nothing did, and until when that is told without a try. The log has both ends."""

    def __init__(self, began: str, ended: str) -> None:
        self._began = began
        self._ended = ended
        self.error: StoreError | None = None
        self.until = 0.0

    def begin(self, error: StoreError, until: float) -> None:
        if self.error is None:
            logger.error(self._began, extra={"fields": {"why": error.message}})
        self.error, self.until = error, until

    def end(self) -> None:
        if self.error is not None:
            self.error = None
            logger.info(self._ended)


class _NotAway(Exception):
    def __init__(self, of_the_change: StoreError) -> None:
        super().__init__()
        self.of_the_change = of_the_change
