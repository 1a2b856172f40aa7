"""Work that may take long, begun in the background, so that somebody can wait for it with patience or give it up."""

from __future__ import annotations

import _thread
import threading
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

from app.http_connection import Interrupt
from app.memory import Share

T = TypeVar("T")


class BackgroundCall(Generic[T]):
    """Opens something in a thread of its own (a greenlet under gevent).

    discard: releases what was opened; called by `close`, or when it is opened only after `close`.
    """

    def __init__(self, work: Callable[[], T], *, discard: Callable[[T], None]) -> None:
        self._work = work
        self._discard = discard
        # A lock that is free from the end on: an Event is three objects more, and Thread waits for its own start.
        self._running = threading.Lock()
        self._running.acquire()
        self._lock = threading.Lock()
        self._closed = False
        self._interrupt = Interrupt()
        self._share = Share.current()
        self._opened: T | None = None
        self._error: BaseException | None = None
        _thread.start_new_thread(self._run, ())

    def wait(self, seconds: float) -> bool:
        """Whether it is through, after waiting for at most so long."""
        is_through = self._running.acquire(timeout=seconds)
        if is_through:
            self._running.release()
        return is_through

    def result(self) -> T:
        """What was opened. Call after `wait` said True. Raises: what the work raised."""
        if self._error is not None:
            raise self._error
        assert self._opened is not None
        return self._opened

    def close(self) -> None:
        """Release what was opened, or break off the call that is to open it. May be called twice."""
        with self._lock:
            self._closed = True
            opened = self._opened
        if opened is not None:
            self._discard(opened)
        elif self._running.locked():
            self._interrupt.set()

    def _run(self) -> None:
        self._share.enter()
        try:
            with self._interrupt:
                opened = self._work()
        except BaseException as error:
            _let_go(error)
            self._error = error
        else:
            with self._lock:
                self._opened = opened
                is_wanted = not self._closed
            if not is_wanted:
                self._discard(opened)
        finally:
            self._running.release()


def _let_go(error: BaseException) -> None:
    """Let go of what the work had in its hands when it failed: through its traceback the error holds all of that, half
    an answer of many MB say, and the error itself is held in circles until the next full collection."""
    found: BaseException | None = error
    for _ in range(8):
        if found is None:
            break
        traceback.clear_frames(found.__traceback__)
        found = found.__cause__ or found.__context__
