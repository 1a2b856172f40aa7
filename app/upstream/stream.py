"""Reading an answer as it comes: one piece per read of the socket, and no read that waits for more than has come.

requests and urllib3 hand out a chunked body one HTTP chunk at a time, which costs several Python layers per chunk. An
event stream in a hurry brings many chunks with one read, and joined they cost the client's side one send as well. So
the framing (RFC 9112 §6, §7.1) is taken off here, straight from the connection's buffer. That also lets a silence pass
without losing the connection: urllib3 closes it at the first timeout. Where there is no plain connection below
(compressed answers, mocks), urllib3's own `read1` serves.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable, Iterator
from typing import Any

import requests
import urllib3

from app.errors import UpstreamProtocolError, UpstreamTimeoutError, broken_off
from app.outbound import explain

_READ_BYTES = 65536
# A chunk-size line with extensions; longer than this is no HTTP.
_MAX_LINE_BYTES = 4096

NOTHING_CAME = b""
"""What `iter_bytes` yields for a silence."""


def iter_bytes(response: requests.Response, *, silence_s: float, idle_s: float) -> Iterator[bytes]:
    """Yield the body in pieces, each as soon as it is there, and NOTHING_CAME whenever nothing came for `silence_s`.

    Raises: UpstreamTimeoutError after `idle_s` without a byte, UpstreamProtocolError when the body breaks off.
    """
    try:
        connection = _plain_connection(response)
        if connection is None:
            while piece := response.raw.read1(_READ_BYTES, decode_content=True):
                yield piece
            return
        read = _patient_reader(connection, silence_s, idle_s, response.url or "")
        yield from (_chunked if connection.chunked else _unchunked)(connection, read)
        # The body is read to its end, so the connection may serve again: tell http.client, then the pool.
        connection._close_conn()  # type: ignore[attr-defined]
        response.raw.release_conn()
    except (urllib3.exceptions.HTTPError, requests.RequestException, http.client.HTTPException, OSError) as error:
        explained = explain(error, response.url or "")
        if isinstance(explained, UpstreamTimeoutError):
            raise explained from error
        # There was a connection, and an answer on it: whatever broke it, this answer is torn.
        raise _torn() from error


def _torn() -> UpstreamProtocolError:
    return broken_off("It closed the connection.")


def _plain_connection(response: requests.Response) -> http.client.HTTPResponse | None:
    """The plain http.client response below this one, if that is what it is and nobody has begun to read it."""
    inner = getattr(response.raw, "_fp", None)
    if (
        isinstance(inner, http.client.HTTPResponse)
        and (not inner.chunked or inner.chunk_left is None)
        and isinstance(inner.fp, io.BufferedReader)
        and response.headers.get("Content-Encoding", "identity").lower() == "identity"
    ):
        return inner
    return None


Read = Callable[[], bytes | None]
"""One read: bytes, b"" at the end of the connection, None for a silence."""


def _patient_reader(connection: http.client.HTTPResponse, silence_s: float, idle_s: float, url: str) -> Read:
    source = connection.fp
    raw: Any = source.raw
    raw._sock.settimeout(min(silence_s, idle_s))
    silent_s = 0.0

    def read() -> bytes | None:
        nonlocal silent_s
        try:
            data: bytes = source.read1(_READ_BYTES)
        except TimeoutError as error:
            silent_s += silence_s
            if silent_s >= idle_s:
                raise explain(error, url) from error
            # socket.SocketIO refuses to be read after a timeout, lest buffered data be lost; nothing was, here.
            raw._timeout_occurred = False
            return None
        silent_s = 0.0
        return data

    return read


def _chunked(connection: http.client.HTTPResponse, read: Read) -> Iterator[bytes]:
    decoder = ChunkedDecoder()
    while not decoder.done:
        data = read()
        if data is None:
            yield NOTHING_CAME
        elif not data:
            raise _torn()
        elif piece := decoder.feed(data):
            yield piece


def _unchunked(connection: http.client.HTTPResponse, read: Read) -> Iterator[bytes]:
    left = connection.length  # None: the body ends with the connection
    while left is None or left > 0:
        data = read()
        if data is None:
            yield NOTHING_CAME
            continue
        if not data:
            if left is not None:
                raise _torn()
            return
        if left is not None:
            data = data[:left]
            left -= len(data)
        yield data


class ChunkedDecoder:
    """Takes chunked transfer coding off, whatever the cuts. `done` once the last chunk and the trailers are through."""

    def __init__(self) -> None:
        self.done = False
        self._left = 0  # payload bytes still to come of the current chunk
        self._skip = 0  # of the CRLF that closes it
        self._line = b""  # an incomplete chunk-size or trailer line
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """One read in, the payload bytes in it out. Raises: UpstreamProtocolError on broken framing."""
        if self._line:
            data, self._line = self._line + data, b""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.done:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            if self._skip:
                step = min(self._skip, end - at)
                at += step
                self._skip -= step
                continue
            line_end = data.find(b"\n", at)
            if line_end < 0:
                self._line = data[at:]
                if len(self._line) > _MAX_LINE_BYTES:
                    raise UpstreamProtocolError("Copilot's answer is not valid chunked HTTP.")
                break
            self._take_line(data[at:line_end].rstrip(b"\r"))
            at = line_end + 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        if self._in_trailers:
            self.done = not line
            return
        try:
            size = int(line.split(b";", 1)[0].strip() or b"x", 16)
        except ValueError:
            raise UpstreamProtocolError("Copilot's answer is not valid chunked HTTP.") from None
        if size < 0:
            raise UpstreamProtocolError("Copilot's answer is not valid chunked HTTP.")
        if size == 0:
            self._in_trailers = True
        else:
            self._left, self._skip = size, 2
