"""Places for calls to Copilot: so many at a time for each account, and a fair queue for those that come beyond.

Exact over all workers: the line stands in the store (see `line`), where whoever comes, goes or ends changes it in one
step. A worker that has somebody waiting looks there some times a second, for it may be another worker's call that ends.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable
from typing import Final

from app.errors import BusyError, ClientGone, Sentence, StoreError
from app.governor.line import ALIVE_S, Line, Rules
from app.http_connection import Interrupt
from app.logs import logger
from app.store.base import Store

_PREFIX: Final = "calls:"
_LOOK_S: Final = 0.05
_CHECK_S: Final = 1.0
"""How often those who wait, and do not look for the others, ask whether there is any use in it."""


class Place:
    """Of one call. waited_s: how long it had to wait. `leave` must be called when the call has ended; it may be called
    twice."""

    def __init__(self, queue: CallQueue, account: str, ticket: str, waited_s: float) -> None:
        self._queue: CallQueue | None = queue
        self._account = account
        self._ticket = ticket
        self.waited_s = waited_s

    def leave(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.leave(self._account, self._ticket)

    def __del__(self) -> None:
        # An answer that ended in some way nobody thought of. Whoever is interrupted by this may be in the store.
        if self._queue is not None:
            self._queue.owe(self._account, self._ticket)


class CallQueue:
    """One per process; safe for threads and greenlets. clock: epoch seconds.

    Where the store is away nobody waits: a limit that cannot be counted stops no call.
    """

    def __init__(
        self,
        store: Store,
        rules: Rules,
        *,
        longest_wait_s: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self._store = store
        self._longest_wait_s = longest_wait_s
        self._clock = clock
        self._monotonic = monotonic
        self._worker = uuid.uuid4().hex[:12]
        self._numbers = itertools.count(1)
        self._waiting: dict[str, dict[str, _Turn]] = {}
        self._held: dict[str, set[str]] = {}
        self._owed: dict[str, set[str]] = {}
        self._renewed_at = 0.0

    @property
    def waiting(self) -> int:
        """How many calls of this process wait."""
        return sum(map(len, list(self._waiting.values())))

    @property
    def running(self) -> int:
        """How many calls of this process have a place."""
        return sum(map(len, list(self._held.values())))

    def enter(self, account: str, key: str, check: Callable[[], None] = lambda: None) -> Place:
        """A place, as soon as there is one. check: raises where there is no use in waiting any longer.

        Raises: BusyError; ClientGone, where the call was broken off by its `Interrupt`; what `check` raises.
        """
        turn, began_at = _Turn(f"{self._worker}.{next(self._numbers)}", key), self._monotonic()
        self._waiting.setdefault(account, {})[turn.ticket] = turn
        has_waited = False
        try:
            self._join(account, turn)
            if not turn.has_come:
                has_waited = True
                self._wait(account, turn, began_at + self._longest_wait_s, check)
        except BaseException:
            self._no_longer_waits(account, turn)
            if turn.has_joined:
                self.leave(account, turn.ticket)
            raise
        self._no_longer_waits(account, turn)
        self._held.setdefault(account, set()).add(turn.ticket)
        return Place(self, account, turn.ticket, self._monotonic() - began_at if has_waited else 0.0)

    def leave(self, account: str, ticket: str) -> None:
        """The call has ended."""
        self.owe(account, ticket)
        self._change(account, lambda _line: None)

    def owe(self, account: str, ticket: str) -> None:
        """The call has ended, and the line hears of it with the next change."""
        self._owed.setdefault(account, set()).add(ticket)
        held = self._held.get(account)
        if held is not None:
            held.discard(ticket)
            if not held:
                self._held.pop(account, None)

    def renew(self) -> None:
        """Say that this worker's calls still go on. It calls this now and then."""
        now = self._monotonic()
        if now - self._renewed_at < ALIVE_S / 4:
            return
        self._renewed_at = now
        for account in [*self._held, *self._owed]:
            if self._held.get(account) or self._owed.get(account):
                self._change(account, lambda _line: None)

    # ── in line ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _join(self, account: str, turn: _Turn) -> None:
        """Raises: BusyError."""
        turn.has_joined = True

        def change(line: Line) -> None:
            turn.has_joined = line.join(turn.ticket, turn.key, self.rules, self._clock())

        if self._change(account, change) is None:
            turn.come()
        if not turn.has_joined:
            raise BusyError(
                Sentence(
                    "The bridge makes no more calls to GitHub Copilot at a time than its operator allows, and "
                    "%(most)s others wait already. Try again in a few seconds.",
                    most=self.rules.most_waiting,
                )
            )

    def _wait(self, account: str, turn: _Turn, until: float, check: Callable[[], None]) -> None:
        """Until it is this one's turn. The one that has waited longest looks for all of this worker."""
        with Interrupt.waking(turn.wake):
            while not turn.has_come:
                left = until - self._monotonic()
                if left <= 0:
                    raise BusyError(
                        Sentence(
                            "The bridge makes no more calls to GitHub Copilot at a time than its operator allows, and "
                            "it was not your turn within %(seconds)s seconds. Try again in a few seconds.",
                            seconds=f"{self._longest_wait_s:g}",
                        )
                    )
                pause = self._look(account, turn) if self._is_first(account, turn) else _CHECK_S
                if turn.has_come:
                    return
                turn.wait(min(left, pause))
                if Interrupt.is_called_off():
                    raise ClientGone
                check()

    def _is_first(self, account: str, turn: _Turn) -> bool:
        return next(iter(self._waiting.get(account, {})), None) == turn.ticket

    def _no_longer_waits(self, account: str, turn: _Turn) -> None:
        waiting = self._waiting.get(account, {})
        was_first = self._is_first(account, turn)
        waiting.pop(turn.ticket, None)
        if not waiting:
            self._waiting.pop(account, None)
        elif was_first:  # somebody else looks from now on
            next(iter(waiting.values())).wake()

    # ── in the store ────────────────────────────────────────────────────────────────────────────────────────────────

    def _look(self, account: str, turn: _Turn) -> float:
        """Whoever may begin does; seconds after which to look again."""
        now = self._clock()
        try:
            line: Line | None = Line.read(self._store.get(_PREFIX + account), now)
        except StoreError:
            turn.come()
            return 0.0
        assert line is not None
        if turn.ticket not in line.waiting and turn.ticket not in line.running:  # we were taken for dead
            self._join(account, turn)
        elif (
            line.due_at(self.rules) <= now
            or line.alive.get(self._worker, 0.0) < now + ALIVE_S / 2
            or self._owed.get(account)
        ):
            line = self._change(account, lambda _line: None)
            if line is None:
                turn.come()
                return 0.0
        else:
            self._wake(account, line)
        return min(_LOOK_S, max(line.due_at(self.rules) - now, 0.001))

    def _change(self, account: str, change: Callable[[Line], None]) -> Line | None:
        """Change the line, and let begin what may begin then. None if the store is away: then those that have to leave
        do so later."""
        gone = self._owed.setdefault(account, set())
        leaving = frozenset(gone)
        found = Line()

        def changed(text: str | None) -> str | None:
            nonlocal found
            now = self._clock()
            found = Line.read(text, now)
            found.alive[self._worker] = now + ALIVE_S
            for ticket in leaving:
                found.leave(ticket)
            change(found)
            found.grant(self.rules, now)
            return found.text(now, self.rules)

        try:
            self._store.update(_PREFIX + account, changed)
        except StoreError as error:
            logger.warning("calls are not counted", extra={"fields": {"why": error.message}})
            return None
        gone -= leaving
        if not gone:
            self._owed.pop(account, None)
        self._wake(account, found)
        return found

    def _wake(self, account: str, line: Line) -> None:
        for ticket, turn in list(self._waiting.get(account, {}).items()):
            if ticket in line.running:
                turn.come()


class _Turn:
    """Of a call that waits. has_joined: it may stand in line. has_come: it may begin."""

    def __init__(self, ticket: str, key: str) -> None:
        self.ticket = ticket
        self.key = key
        self.has_joined = False
        self.has_come = False
        self._event = threading.Event()

    def come(self) -> None:
        self.has_come = True
        self._event.set()

    def wake(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Until it is woken, or for so long."""
        self._event.wait(seconds)
        self._event.clear()
