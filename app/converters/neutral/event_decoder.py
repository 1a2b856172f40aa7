"""Upstream's stream → neutral events: what the decoders of all protocols have in common."""

from __future__ import annotations

from typing import Any

from app.converters.neutral.events import Event, Ping, StreamError
from app.converters.wire.event_reader import EventReader
from app.errors import GatewayError


class EventDecoder(EventReader):
    """Base of the decoders of streams: bytes in, neutral events out. One per answer.

    Whatever ends the stream but the protocol's own end is a StreamError, and nothing comes after it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._events: list[Event] = []

    def feed_bytes(self, data: bytes) -> list[Event]:
        """Whatever one read brought → what it says."""
        if self._ended:
            return []
        self._read(data)
        return self._take_events()

    def finish(self) -> list[Event]:
        """Upstream has closed: an error, unless the answer has ended. Idempotent."""
        if self._ended:
            return []
        self._read_rest()
        return self._take_events()

    def _decode(self, name: bytes, event: dict[str, Any], payload: bytes) -> list[Event]:
        """What one event says. A GatewayError that it raises ends the stream."""
        raise NotImplementedError

    def _read_event(self, name: bytes, event: dict[str, Any], payload: bytes, _line: bytes) -> None:
        self._events += self._decode(name, event, payload)

    def _read_comment(self, _text: bytes) -> None:
        if self._started:
            self._events.append(Ping())

    def _stop(self, error: GatewayError) -> None:
        self._ended = True
        self._events.append(StreamError(error))

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events
