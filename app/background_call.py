"""Work that may take long, begun in the background, so that somebody can wait for it with patience or give it up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Opening(Generic[T]):
    """Opens something in a thread of its own (a greenlet under gevent).

    discard: releases what was opened; called by `close`, or when it is opened only after `close`.
    """

    def __init__(self, work: Callable[[], T], *, discard: Callable[[T], None]) -> None:
        self._work = work
        self._discard = discard
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        self._opened: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="opening", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Whether it is through, after waiting for at most so long."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """What was opened. Call after `wait` said True. Raises: what the work raised."""
        if self._error is not None:
            raise self._error
        assert self._opened is not None
        return self._opened

    def close(self) -> None:
        """Release what was opened, now or as soon as it is. May be called twice."""
        with self._lock:
            self._closed = True
            opened = self._opened
        if opened is not None:
            self._discard(opened)

    def _run(self) -> None:
        try:
            opened = self._work()
        except BaseException as error:
            self._error = error
        else:
            with self._lock:
                self._opened = opened
                is_wanted = not self._closed
            if not is_wanted:
                self._discard(opened)
        finally:
            self._done.set()
