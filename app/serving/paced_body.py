"""The body of a request on its way in: whoever sends it has to get on with it.

gunicorn waits for each piece of a body for ever. Half a body, or one that drips, would hold its connection, its
greenlet and what has come so far for as long as its sender likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from gevent.socket import wait_read
from gunicorn.http.body import Body, LengthReader

from app.errors import Sentence, SlowBodyError

PATIENCE_S: Final = 30.0
"""What every body may take, however small."""
LEAST_RATE: Final = 8 * 1024
"""Bytes a second, on average, beyond that: a telephone with one bar is faster."""

PIECE_BYTES: Final = 64 * 1024
"""What one read of a socket takes at most. gunicorn takes 8 KiB, and gives them out in pieces of 1 KiB."""


class PacedBody:
    """Stands in for a client's socket while the body of one request is read from it.

    sock: gevent's. The time runs from the first read on. is_given_up: the body did not come in time, and its connection
    cannot serve another request.
    """

    def __init__(self, sock: Any, *, clock: Callable[[], float] = time.monotonic, wait: Any = wait_read) -> None:
        self._sock = sock
        self._clock = clock
        self._wait = wait
        self._began: float | None = None
        self._most_s: float | None = None
        self._received = 0
        self._count: Callable[[int], None] = lambda _: None
        self.is_given_up = False

    def within(self, seconds: float) -> None:
        """Let the whole body take no longer than this."""
        self._most_s = seconds

    def tell(self, count: Callable[[int], None]) -> None:
        """Call this with the number of bytes that have come, at each read. What it raises ends the reading."""
        self._count = count

    def recv(self, size: int) -> bytes:
        """As a socket's. Raises: SlowBodyError."""
        if self._began is None:
            self._began = self._clock()
        while True:
            try:
                # The socket below gevent's: it does not wait.
                data: bytes = self._sock._sock.recv(size)
            except BlockingIOError:
                pass
            else:
                self._received += len(data)
                try:
                    self._count(len(data))
                except BaseException:
                    self.is_given_up = True
                    raise
                return data
            left = self._began + self._allowed_s() - self._clock()
            try:
                if left <= 0:
                    raise self._too_slow()
                self._wait(self._sock.fileno(), timeout=left, timeout_exc=self._too_slow())
            except SlowBodyError:
                self.is_given_up = True
                raise

    def _allowed_s(self) -> float:
        return self._most_s if self._most_s is not None else PATIENCE_S + self._received / LEAST_RATE

    def _too_slow(self) -> SlowBodyError:
        return SlowBodyError(
            Sentence(
                "The body of this request did not come in time: %(bytes)s bytes in %(seconds)s s. Send it again.",
                bytes=self._received,
                seconds=round(self._allowed_s()),
            )
        )


class BodyInPieces(Body):  # type: ignore[misc]
    """The body of a request, in pieces as large as they come and are asked for; otherwise as gunicorn's own."""

    def __init__(self, body: Body) -> None:
        reader = body.reader
        super().__init__(_LengthInPieces(reader.unreader, reader.length) if type(reader) is LengthReader else reader)

    def read(self, size: int | None = None) -> bytes:
        """At most `size` bytes, fewer if fewer have come; all that is left without a size; b"" at the end."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(PIECE_BYTES), b""))
        if self.buf.tell():  # what is left of a line
            return bytes(super().read(min(size, self.buf.tell())))
        return bytes(self.reader.read(min(size, PIECE_BYTES)))


class _LengthInPieces(LengthReader):  # type: ignore[misc]
    """A body of known length: one read of the socket for each read of it."""

    def read(self, size: int) -> bytes:
        size = min(size, self.length)
        if size <= 0:
            return b""
        data: bytes = self.unreader.read()
        if len(data) > size:
            self.unreader.unread(data[size:])
            data = data[:size]
        self.length -= len(data)
        return data
