"""Whether a call to Copilot may be made now, waits, or must not be made: all that holds for an account as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.converters.wire.named_limit import named_limit
from app.governor.limits import Asks, Closed, LimitClock
from app.governor.line import Rules
from app.governor.queue import CallQueue, Place
from app.governor.runaway import Conversation, RunawayBrake
from app.reply import Ended, Record
from app.store.base import Store
from app.upstream.client import UpstreamAnswer
from app.upstream.headers import Call


@dataclass(frozen=True, slots=True)
class Account:
    """id: names it in the store. secret: what only its owner knows."""

    id: str
    secret: bytes


class Governor:
    """One per process. account: whose calls are made now. longest_limit_s: 0: what Copilot says of limits is not
    remembered."""

    def __init__(
        self,
        store: Store,
        *,
        account: Callable[[], Account],
        rules: Rules,
        longest_wait_s: float,
        longest_limit_s: float,
        most_repeats: int,
        most_nano: int,
        clock: Callable[[], float],
    ) -> None:
        self._account = account
        self._clock = clock
        self._queue = CallQueue(store, rules, longest_wait_s=longest_wait_s, clock=clock) if rules.are_any else None
        self._limits = LimitClock(store, longest_s=longest_limit_s, clock=clock) if longest_limit_s else None
        brake = RunawayBrake(store, most_repeats=most_repeats, most_nano=most_nano, clock=clock)
        self._brake = brake if brake.is_on else None

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def enter(self, asks: Asks) -> Place | None:
        """Whether a call may be made, as soon as it may; None if nobody counts them. `Place.leave` when it has ended.

        Raises: LimitedError, BusyError; ClientGone, where nobody waits for it any more.
        """
        limits, queue = self._limits, self._queue
        if limits is None and queue is None:
            return None
        account = self._account().id

        def check() -> None:
            if limits is not None:
                limits.check(account, asks)

        check()
        if queue is None:
            return None
        place = queue.enter(account, asks.key, check)
        if place.waited_s:
            try:
                check()
            except BaseException:
                place.leave()
                raise
        return place

    def send(
        self, send: Callable[[Call], UpstreamAnswer], call: Call, asks: Asks, record: Record | None = None
    ) -> UpstreamAnswer:
        """Make a call as soon as it may be made. record: is told how long it waited. Raises: as `enter` and `send`."""
        place = self.enter(asks)
        if place is None:
            return send(call)
        if place.waited_s and record is not None:
            record.waited_ms = (record.waited_ms or 0) + round(place.waited_s * 1000)
        try:
            answer = send(call)
        except BaseException:
            place.leave()
            raise
        answer.on_end = place.leave
        return answer

    def note_refusal(self, asks: Asks, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Copilot has refused a call: if it has named a limit, nothing more is sent until then."""
        if self._limits is None:
            return
        limit = named_limit(status, headers, content, now=self._clock())
        if limit is not None:
            self._limits.note(self._account().id, asks, limit)

    def may_be_sent(self, asks: Asks) -> bool:
        """Whether no limit holds for such a call."""
        return self._limits is None or not any(one.holds_for(asks) for one in self.closed())

    def closed(self) -> list[Closed]:
        """For what nothing is sent now."""
        return self._limits.closed(self._account().id) if self._limits is not None else []

    def forget_limits(self) -> int:
        """Whatever Copilot said: the next calls find out. How many scopes were closed. Raises: StoreError."""
        return self._limits.forget(self._account().id) if self._limits is not None else 0

    # ── conversations ───────────────────────────────────────────────────────────────────────────────────────────────

    def admit(self, record: Record, body: bytes) -> None:
        """A request that a client makes. Raises: RunawayError."""
        if self._brake is not None:
            is_persons = record.initiator != "agent"
            self._brake.admit(self._conversation(record), body, is_persons=is_persons)

    def note_end(self, ended: Ended) -> None:
        """Observes all requests."""
        nano = ended.record.nano_credits
        if self._brake is not None and nano:
            self._brake.note_cost(self._conversation(ended.record), nano)

    def _conversation(self, record: Record) -> Conversation:
        return Conversation.of(record.conversation, asker=asker_of(record), secret=self._account().secret)

    # ── how it stands ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> int:
        """Calls of this process that wait."""
        return self._queue.waiting if self._queue is not None else 0

    @property
    def running(self) -> int:
        """Calls of this process that have a place; 0 where they are not counted."""
        return self._queue.running if self._queue is not None else 0

    @property
    def limits(self) -> int:
        """Scopes that this process knows to be closed."""
        return self._limits.count if self._limits is not None else 0

    def renew(self) -> None:
        """Say that this worker's calls still go on. It calls this now and then."""
        if self._queue is not None:
            self._queue.renew()


def asker_of(record: Record) -> str:
    """Whose turn it is, and whose conversation."""
    return record.key_id or record.key or ""


def asks_of(record: Record) -> Asks:
    """What a request asks of Copilot, when its model has been found."""
    vendor = record.entry.get("vendor") if record.entry is not None else None
    return Asks(
        key=asker_of(record),
        model=record.served_model,
        vendor=vendor if isinstance(vendor, str) else "",
        is_agents=record.initiator == "agent",
    )
