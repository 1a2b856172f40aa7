"""Requests begin in turn, so that a crowd of them does not hold up the streams that run.

To begin a request costs a hundred times as much as to pass an event of a stream on. If a thousand come at once, and all
of them begin before the event loop comes round to sockets that can be read, what upstream sends meanwhile is late by a
second. So where many are in progress, those that begin get a small share of the loop's time, one in each round of it at
the least, in the order in which they came. The others wait, and nobody else with them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import gevent
from gevent.hub import Waiter

SHARE: Final = 0.05
"""Of the time that a round of the loop takes for all else. More of it would have streams that run be late."""
FEW: Final = 32
"""So many requests in progress are no crowd: all of them begin at once, for that is soon over."""


class Turns:
    """For the requests of one worker: `take` is called where one begins.

    in_progress: how many there are, those that wait among them.
    """

    def __init__(self, in_progress: Callable[[], int]) -> None:
        self._in_progress = in_progress
        self._is_taken = False
        self._left_at = 0.0
        self._waiting: deque[Waiter] = deque()
        self._round = gevent.get_hub().loop.timer(0)

    def take(self) -> None:
        """Wait for one's turn. Raises: what is thrown into whoever waits."""
        if not self._is_taken:
            if self._in_progress() > FEW:
                self._is_taken = True
                self._left_at = time.monotonic()
                self._round.start(self._come_round)
            return
        waiter = Waiter()
        self._waiting.append(waiter)
        try:
            waiter.get()
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    def _come_round(self) -> None:
        came_at = time.monotonic()
        budget = (came_at - self._left_at) * SHARE
        if not self._waiting:
            self._is_taken = False
            return
        self._round.start(self._come_round)
        while self._waiting:
            self._waiting.popleft().switch(None)
            self._left_at = time.monotonic()
            if self._left_at - came_at >= budget:
                break
