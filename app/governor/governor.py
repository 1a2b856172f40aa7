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


@dataclass(frozen=True, slots=True)
class Account:
    """id: names it in the store. secret: what only its owner knows."""

    id: str
    secret: bytes


class Governor:
    """One per process, for all accounts. longest_limit_s: 0: what Copilot says of limits is not remembered."""

    def __init__(
        self,
        store: Store,
        *,
        rules: Rules,
        longest_wait_s: float,
        longest_limit_s: float,
        most_repeats: int,
        most_nano: int,
        clock: Callable[[], float],
    ) -> None:
        self.clock = clock
        self.queue = CallQueue(store, rules, longest_wait_s=longest_wait_s, clock=clock) if rules.are_any else None
        self.limits = LimitClock(store, longest_s=longest_limit_s, clock=clock) if longest_limit_s else None
        brake = RunawayBrake(store, most_repeats=most_repeats, most_nano=most_nano, clock=clock)
        self.brake = brake if brake.is_on else None

    @property
    def waiting(self) -> int:
        """Calls of this process that wait."""
        return self.queue.waiting if self.queue is not None else 0

    @property
    def closed(self) -> int:
        """Scopes that this process knows to be closed, of whatever account."""
        return self.limits.count if self.limits is not None else 0

    def note_end(self, ended: Ended) -> None:
        """Observes all requests."""
        record = ended.record
        if self.brake is not None and record.nano_credits:
            self.brake.note_cost(Conversation(record.braked_as), record.nano_credits)

    def renew(self) -> None:
        """Say that this worker's calls still go on. It calls this now and then."""
        if self.queue is not None:
            self.queue.renew()


class AccountGovernor:
    """What the governor says of one account. account: which one it is now."""

    def __init__(self, governor: Governor, account: Callable[[], Account]) -> None:
        self._governor = governor
        self._account = account

    def send(self, send: Callable[[], UpstreamAnswer], asks: Asks, record: Record | None = None) -> UpstreamAnswer:
        """Make a call as soon as it may be made. record: is told how long it waited. Raises: as `enter` and `send`."""
        place = self.enter(asks)
        if place is None:
            return send()
        if place.waited_s and record is not None:
            record.waited_ms = (record.waited_ms or 0) + round(place.waited_s * 1000)
        try:
            answer = send()
        except BaseException:
            place.leave()
            raise
        answer.on_end = place.leave
        return answer

    def enter(self, asks: Asks) -> Place | None:
        """Whether a call may be made, as soon as it may; None if nobody counts them. `Place.leave` when it has ended.

        Raises: LimitedError, BusyError; ClientGone, where nobody waits for it any more.
        """
        limits, queue = self._governor.limits, self._governor.queue
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

    def note_refusal(self, asks: Asks, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Copilot has refused a call: if it has named a limit, nothing more is sent until then."""
        limits = self._governor.limits
        if limits is None:
            return
        limit = named_limit(status, headers, content, now=self._governor.clock())
        if limit is not None:
            limits.note(self._account().id, asks, limit)

    def may_be_sent(self, asks: Asks) -> bool:
        """Whether no limit holds for such a call."""
        return not any(one.holds_for(asks) for one in self.closed())

    def closed(self) -> list[Closed]:
        """For what nothing is sent now."""
        limits = self._governor.limits
        return limits.closed(self._account().id) if limits is not None else []

    def forget_limits(self) -> int:
        """Whatever Copilot said: the next calls find out. How many scopes were closed. Raises: StoreError."""
        limits = self._governor.limits
        return limits.forget(self._account().id) if limits is not None else 0

    def admit(self, record: Record, body: bytes) -> None:
        """A request that a client makes. Raises: RunawayError."""
        brake = self._governor.brake
        if brake is not None:
            talk = Conversation.of(record.conversation, asker=asker_of(record), secret=self._account().secret)
            record.braked_as = talk.id
            brake.admit(talk, body, is_persons=record.initiator != "agent")


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
