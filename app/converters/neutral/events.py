"""An answer as it happens: the events, their grammar, and the bridges between stream and whole (conversion rules §7).

::

    ResponseStart (Ping | PartStart(i) PartDelta(i)* PartEnd(i))* (ResponseEnd | StreamError)

``i`` is 0, 1, 2 …; one part is open at a time; a Ping may also stand inside a part; a failure before the first event is
a StreamError alone; a StreamError may come at any place and leaves the open part open. The deltas of a part add up
exactly to the attributes of ``PartEnd.part``. Decoders get this order from `PartSequencer`, nowhere else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from app.converters.neutral.vocabulary import (
    Audio,
    Extra,
    FinishReason,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)
from app.errors import GatewayError, broken_off


@dataclass(frozen=True, slots=True)
class ResponseStart:
    """Exactly once, first. usage: the best input count known by now (messages ``message_start`` wants one)."""

    id: str
    model: str
    created_at: int | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class PartStart:
    """A part opens: `part` holds what is known (tool name, call id); what will be streamed is empty."""

    index: int
    part: Part


@dataclass(frozen=True, slots=True)
class PartDelta:
    """`value`, never empty, is appended to that attribute of the part (see ``STREAMED``)."""

    index: int
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The finished part, complete; encoders need not accumulate."""

    index: int
    part: Part


@dataclass(frozen=True, slots=True)
class Ping:
    """Upstream is alive."""


@dataclass(frozen=True, slots=True)
class ResponseEnd:
    """Last, on success. extra: of the answer, known only now."""

    finish_reason: FinishReason
    stop_sequence: str | None = None
    usage: Usage | None = None
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamError:
    """Last, on failure; the open part stays open."""

    error: GatewayError


Event: TypeAlias = ResponseStart | PartStart | PartDelta | PartEnd | Ping | ResponseEnd | StreamError

STREAMED: dict[type, tuple[str, ...]] = {
    Text: ("text",),
    Refusal: ("text",),
    Reasoning: ("text", "signature"),
    ToolCall: ("arguments",),
    Audio: ("data", "transcript"),
}
"""The attributes that arrive in deltas, in the order in which they are told when all are known at once."""


def streamed_fields(part: Part) -> tuple[str, ...]:
    """The attributes of this part that arrive in deltas. A redacted thought is whole from its start."""
    if isinstance(part, Reasoning) and part.redacted:
        return ()
    return STREAMED.get(type(part), ())


def opened(part: Part) -> Part:
    """The part as its PartStart tells it: what is streamed is empty."""
    fields = streamed_fields(part)
    if not any(getattr(part, name) for name in fields):
        return part
    return rebuilt(part, {name: None if name == "signature" else "" for name in fields})


def rebuilt(part: Part, changes: dict[str, Any]) -> Part:
    """The part with other attributes."""
    return dataclasses.replace(part, **changes)


def explode(response: Response) -> list[Event]:
    """A whole answer as the stream that it might have been: ``accumulate(explode(r)) == r``."""
    events: list[Event] = [ResponseStart(response.id, response.model, response.created_at, response.usage)]
    for index, part in enumerate(response.parts):
        events.append(PartStart(index, opened(part)))
        events += [PartDelta(index, name, getattr(part, name)) for name in streamed_fields(part) if getattr(part, name)]
        events.append(PartEnd(index, part))
    events.append(ResponseEnd(response.finish_reason, response.stop_sequence, response.usage, response.extra))
    return events


def accumulate(events: Iterable[Event]) -> Response:
    """A stream as the whole answer that it adds up to.

    Raises: the error of a StreamError; UpstreamProtocolError when the stream has no start or no end.
    """
    start: ResponseStart | None = None
    parts: list[Part] = []
    for event in events:
        if isinstance(event, PartEnd):
            parts.append(event.part)
        elif isinstance(event, ResponseStart):
            start = event
        elif isinstance(event, StreamError):
            raise event.error
        elif isinstance(event, ResponseEnd) and start is not None:
            usage = start.usage.updated(event.usage) if start.usage else event.usage
            return Response(
                start.id,
                start.model,
                start.created_at,
                tuple(parts),
                event.finish_reason,
                event.stop_sequence,
                usage,
                event.extra,
            )
    raise broken_off()


class GrammarError(AssertionError):
    """Events out of order: a bug in a decoder, never a user's fault."""


class Grammar:
    """Checks events one by one, in constant time each; for tests and assertions.

    ``Grammar().feed(event)`` for each, ``finish()`` after the last. Raises: GrammarError.
    """

    __slots__ = ("_ended", "_next", "_open", "_pieces", "_started")

    def __init__(self) -> None:
        self._started = self._ended = False
        self._next = 0
        self._open: Part | None = None
        self._pieces: dict[str, list[str]] = {}

    def feed(self, event: Event) -> None:
        if self._ended:
            raise GrammarError(f"after the end: {event}")
        if isinstance(event, StreamError):
            self._ended = True
            return
        if isinstance(event, ResponseStart) == self._started:
            raise GrammarError(f"{'a second' if self._started else 'no'} ResponseStart: {event}")
        match event:
            case ResponseStart():
                self._started = True
            case PartStart():
                self._start(event)
            case PartDelta():
                self._delta(event)
            case PartEnd():
                self._end(event)
            case ResponseEnd():
                if self._open is not None:
                    raise GrammarError(f"the answer ended inside part {self._next}: {self._open}")
                self._ended = True
            case Ping():
                pass

    def finish(self) -> None:
        if not self._ended:
            raise GrammarError("neither ResponseEnd nor StreamError")

    def _start(self, event: PartStart) -> None:
        if self._open is not None:
            raise GrammarError(f"part {event.index} began inside part {self._next}")
        if event.index != self._next:
            raise GrammarError(f"part {event.index} instead of {self._next}")
        if opened(event.part) != event.part:
            raise GrammarError(f"a part that begins with text: {event.part}")
        self._open = event.part
        self._pieces = {name: [] for name in streamed_fields(event.part)}

    def _delta(self, event: PartDelta) -> None:
        if self._open is None or event.index != self._next:
            raise GrammarError(f"a delta of a part that is not open: {event}")
        if event.field not in self._pieces or not event.value:
            raise GrammarError(f"a delta that says nothing: {event}")
        self._pieces[event.field].append(event.value)

    def _end(self, event: PartEnd) -> None:
        if self._open is None or event.index != self._next or type(event.part) is not type(self._open):
            raise GrammarError(f"the end of a part that is not open: {event}")
        for name, pieces in self._pieces.items():
            if "".join(pieces) != (getattr(event.part, name) or ""):
                raise GrammarError(f"{name} is not the sum of its deltas: {event}")
        self._open = None
        self._next += 1


def check(events: Iterable[Event]) -> None:
    """Raise GrammarError unless this is one whole stream."""
    grammar = Grammar()
    for event in events:
        grammar.feed(event)
    grammar.finish()
