"""What every streamed answer on its way to the client has: its state, its books, and one way to end.

`StreamShell` is the state alone; `NormalizedStream` is the shell of a protocol's own stream, read by the one reader.
"""

from __future__ import annotations

from typing import Any

from app.converters.wire.event_reader import EventReader
from app.errors import GatewayError


class StreamShell:
    """The state of a stream.

    For the books, as far as is known: `usage` in the words of whoever reports it, `finish_reason`, and the `account` of
    what it cost.
    """

    def __init__(self) -> None:
        super().__init__()
        self.usage: dict[str, Any] | None = None
        self.finish_reason: str | None = None
        self.account: dict[str, Any] | None = None
        self._started = False
        self._ended = False
        self._error: GatewayError | None = None

    @property
    def ended(self) -> bool:
        """A terminal frame, be it an error, has been given out."""
        return self._ended

    @property
    def started(self) -> bool:
        """Something of the answer has been given out. Comments do not count: no client shows them."""
        return self._started

    @property
    def is_cut(self) -> bool:
        """The answer was ended here, and upstream goes on."""
        return False

    @property
    def error(self) -> GatewayError | None:
        """The error that ended the stream."""
        return self._error


class NormalizedStream(StreamShell, EventReader):
    """A protocol's own stream from upstream in, a clean one out. One per answer.

    Subclasses put what they give out into ``_out`` and write errors in their protocol's way (``_error_frames``).
    """

    def __init__(self) -> None:
        super().__init__()
        self._out: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Whatever one read brought → everything it yields for the client."""
        if self._ended:
            return b""
        try:
            block = self._lines.feed(data)
        except GatewayError as error:
            self._stop(error)
            block = b""
        if block:
            self._read_block(block)
        return self._take_out()

    def finish(self) -> bytes:
        """Upstream closed cleanly: an error, unless the end has come. Idempotent."""
        if self._ended:
            return b""
        self._read_rest()
        return self._take_out()

    def fail(self, error: GatewayError) -> bytes:
        """The transport broke: an error, unless the client has the end already."""
        if self._ended:
            return b""
        self._stop(error)
        return self._take_out()

    def _error_frames(self, error: GatewayError) -> bytes:
        """The in-band form of an error, after which nothing comes."""
        raise NotImplementedError

    def _stop(self, error: GatewayError) -> None:
        self._error = error
        self._ended = True
        self._out.append(self._error_frames(error))

    def _take_out(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out
