"""Requests begin in turn, so that a crowd of them does not hold up those that have begun.

To begin a request costs a hundred times as much as to pass an event of a stream on. If a thousand come at once, and all
of them begin before the event loop comes round to sockets that can be read, what upstream sends meanwhile is late by a
second. So a few requests begin in each round of the loop, in the order in which they came, and one alone where rounds
take long. The others wait, and nobody else with them.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

import gevent
from gevent.hub import Waiter

SHORT_S: Final = 0.005
MOST: Final = 4
"""Requests that begin in a round, if the last one was short; else it is one."""


class Turns:
    """For the requests of one worker: `take` is called where one begins."""

    def __init__(self) -> None:
        self._is_taken = False
        self._came_at = 0.0
        self._waiting: deque[Waiter] = deque()
        self._round = gevent.get_hub().loop.timer(0)

    def take(self) -> None:
        """Wait for one's turn. Raises: what is thrown into whoever waits."""
        if not self._is_taken:
            self._is_taken = True
            self._came_at = time.monotonic()
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
        came_at, self._came_at = self._came_at, time.monotonic()
        if not self._waiting:
            self._is_taken = False
            return
        self._round.start(self._come_round)
        for _ in range(MOST if self._came_at - came_at < SHORT_S else 1):
            if self._waiting:
                self._waiting.popleft().switch(None)
