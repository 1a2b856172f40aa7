"""Reading an answer as it comes: one piece per read of the socket, and no read that waits for more than has come.

requests and urllib3 hand out a chunked body one HTTP chunk at a time, which costs several Python layers per chunk. An
event stream in a hurry brings many chunks with one read, and joined they cost the client's side one send as well. So
the chunked framing (RFC 9112 §7.1) is taken off here, straight from the connection's buffer. Where the answer is not
of that kind (compressed, not chunked, a mock), urllib3's own `read1` serves.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterator

import requests
import urllib3

from app.errors import UpstreamProtocolError, UpstreamTimeoutError
from app.outbound import explain

_READ_BYTES = 65536
# A chunk-size line with extensions; longer than this is no HTTP.
_MAX_LINE_BYTES = 4096


def iter_bytes(response: requests.Response) -> Iterator[bytes]:
    """Yield the body in pieces, each as soon as it is there.

    Raises: UpstreamTimeoutError after too long a silence, UpstreamProtocolError when the body breaks off.
    """
    try:
        connection = _chunked_connection(response)
        if connection is None:
            while piece := response.raw.read1(_READ_BYTES, decode_content=True):
                yield piece
        else:
            yield from _joined_chunks(connection, response)
    except (urllib3.exceptions.HTTPError, requests.RequestException, http.client.HTTPException, OSError) as error:
        explained = explain(error, response.url or "")
        if isinstance(explained, UpstreamTimeoutError):
            raise explained from error
        # There was a connection, and an answer on it: whatever broke it, this answer is torn.
        raise UpstreamProtocolError("Copilot closed the connection in the middle of its answer.") from error


def _chunked_connection(response: requests.Response) -> http.client.HTTPResponse | None:
    """The plain chunked http.client response below this one, if that is what it is."""
    inner = getattr(response.raw, "_fp", None)
    if (
        isinstance(inner, http.client.HTTPResponse)
        and inner.chunked
        and inner.chunk_left is None  # nobody has begun to read
        and isinstance(inner.fp, io.BufferedReader)
        and response.headers.get("Content-Encoding", "identity").lower() == "identity"
    ):
        return inner
    return None


def _joined_chunks(connection: http.client.HTTPResponse, response: requests.Response) -> Iterator[bytes]:
    decoder = ChunkedDecoder()
    source = connection.fp
    while not decoder.done:
        data = source.read1(_READ_BYTES)
        if not data:
            raise UpstreamProtocolError("Copilot closed the connection in the middle of its answer.")
        if piece := decoder.feed(data):
            yield piece
    # The body is read to its end, so the connection may serve again: tell http.client, then give it back to the pool.
    connection._close_conn()  # type: ignore[attr-defined]
    response.raw.release_conn()


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
