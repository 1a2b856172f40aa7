"""The body of a request on its way in: whoever sends it has to get on with it.

gunicorn waits for each piece of a body for ever. Half a body, or one that drips, would hold its connection, its
greenlet and what has come so far for as long as its sender likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.socket import wait_read
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidChunkExtension

from app.errors import Sentence, SlowBodyError

PATIENCE_S: Final = 30.0
"""What every body may take, however small."""
LEAST_RATE: Final = 8 * 1024
"""Bytes a second, on average, beyond that: a telephone with one bar is faster."""

PIECE_BYTES: Final = 64 * 1024
"""What one read of a socket takes at most. gunicorn takes 8 KiB, and gives them out in pieces of 1 KiB."""

_CHUNKS_AT_A_TIME: Final = 256
"""Chunks of one byte take us a second for each megabyte; then others have their turn."""


def _let_others_on() -> None:
    gevent.sleep(0)


class PacedBody:
    """Stands in for a client's socket while the body of one request is read from it.

    sock: gevent's. The time runs from the first read on. is_given_up: the body did not come in time or is damaged, and
    its connection cannot serve another request. let_others_on: called between two pieces, for who sends as fast as we
    read never has us wait.
    """

    def __init__(
        self,
        sock: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Any = wait_read,
        let_others_on: Callable[[], None] = _let_others_on,
    ) -> None:
        self._sock = sock
        self._clock = clock
        self._wait = wait
        self.let_others_on = let_others_on
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
        if self._received:
            self.let_others_on()
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
    """The body of a request, in pieces as large as they come and are asked for; otherwise as gunicorn's own.

    paced: what it is read from.
    """

    def __init__(self, body: Body, paced: PacedBody) -> None:
        reader = body.reader
        if type(reader) is LengthReader:
            reader = _LengthInPieces(reader.unreader, reader.length)
        elif type(reader) is ChunkedReader:
            reader = _Chunks(reader.req, reader.req.unreader, paced)
        super().__init__(reader)

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


class _Chunks(ChunkedReader):  # type: ignore[misc]
    """A body in chunks. Where they are damaged, nobody knows where the next request begins: what follows may have been
    meant as a part of this one, so it must not be served."""

    def __init__(self, request: Any, unreader: Any, paced: PacedBody) -> None:
        super().__init__(request, unreader)
        self._paced = paced
        self._chunks = 0

    def read(self, size: int) -> bytes:
        try:
            data: bytes = super().read(size)
        except BaseException:
            self._paced.is_given_up = True
            raise
        return data

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> Any:
        self._chunks += 1
        if self._chunks % _CHUNKS_AT_A_TIME == 0:
            self._paced.let_others_on()
        return super().parse_chunk_size(unreader, data)

    def get_data(self, unreader: Any, buf: Any) -> None:
        """More of the line with a chunk's size, or of the trailers; both are searched anew each time."""
        if buf.tell() > PIECE_BYTES:
            raise InvalidChunkExtension("a line without an end")
        super().get_data(unreader, buf)
