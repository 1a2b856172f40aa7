"""How many bytes a worker holds for its requests at the same time: bodies, images, answers, lines of streams.

Each of these has a limit of its own; here is the one for all together, so that twenty requests that each take what they
may do not get the whole process killed. What is counted are the bytes as they came. Reading and converting them takes
some three times as much for a moment.
"""

from __future__ import annotations

import threading
from typing import Final

from app.errors import OverloadedError, Sentence

FREE_BYTES: Final = 1024 * 1024
"""The first bytes of a request are not counted: ordinary conversations never wait for room."""


class Budget:
    """What all requests of this process may hold together."""

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes
        self._taken = 0

    @property
    def taken(self) -> int:
        """Bytes held at the moment, but for those that are free."""
        return self._taken

    def _change(self, count: int) -> None:
        if count > 0 and self._taken + count > self._total:
            raise OverloadedError(
                Sentence(
                    "The bridge holds as many bytes for requests in progress as MEMORY_BUDGET_BYTES allows "
                    "(%(total)s). Try again in a few seconds.",
                    total=self._total,
                )
            )
        self._taken += count


class Share:
    """What one request holds: `take` before or while it is held, `give` what is let go early, `close` at the end.

    Whoever works on the request finds it by `current`; work in the background calls `enter` first.
    """

    _here: _Here

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0
        self._counted = 0
        self._is_closed = False

    def take(self, count: int) -> None:
        """Hold so many bytes more. Raises: OverloadedError."""
        self._hold(self._held + count)

    def give(self, count: int) -> None:
        """Hold so many bytes less."""
        self._hold(self._held - count)

    def close(self) -> None:
        """Nothing is held any more. May be called twice."""
        self._hold(0)
        self._is_closed = True

    __del__ = close  # a request that ended in some way nobody thought of

    def _hold(self, held: int) -> None:
        if self._is_closed:
            return
        counted = max(0, held - FREE_BYTES)
        if counted != self._counted:
            self._budget._change(counted - self._counted)
            self._counted = counted
        self._held = held

    def enter(self) -> None:
        """From now on this thread (this greenlet) works on that request."""
        Share._here.current = self

    @staticmethod
    def current() -> Share:
        """That of the request on which this thread works; outside of requests one that counts for nothing."""
        found = Share._here.current
        return found if found is not None else Share(_UNLIMITED)


class _Here(threading.local):
    current: Share | None = None


Share._here = _Here()
_UNLIMITED: Final = Budget(2**63)
