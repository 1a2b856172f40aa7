"""Upstream's bytes → single server-sent events, for decoders that read events."""

from __future__ import annotations

from typing import Protocol

from app.converters.events import Event
from app.converters.sse import LineCutter, field


class EventDecoder(Protocol):
    """Reads one upstream event at a time. finish: idempotent; no end seen → StreamError."""

    def feed(self, name: str, data: str) -> list[Event]: ...
    def finish(self) -> list[Event]: ...


class Framed:
    """Feeds a decoder from bytes in any cut (conversion rules §4: any line ending, comments, multi-line data).

    An event counts when its blank line has come: a last one without it is torn, and the decoder misses its end.
    """

    def __init__(self, decoder: EventDecoder) -> None:
        self._decoder = decoder
        self._lines = LineCutter()
        self._name = b""
        self._data: list[bytes] = []

    def feed_bytes(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for line in self._lines.feed(data).split(b"\n")[:-1]:
            if not line:
                events += self._dispatch()
                continue
            name, value = field(line)
            if name == b"data":
                self._data.append(value)
            elif name == b"event":
                self._name = value
        return events

    def finish(self) -> list[Event]:
        return self._decoder.finish()

    def _dispatch(self) -> list[Event]:
        name, data = self._name, self._data
        self._name, self._data = b"", []
        if not data:
            return []
        text = b"\n".join(data).decode("utf-8", "replace")
        return self._decoder.feed(name.decode("utf-8", "replace"), text)
