"""Reading the body of an answer as it comes: one piece per read of the socket, and no read that waits for more than has
come.

requests and urllib3 hand out a chunked body one HTTP chunk at a time, which costs several Python layers per chunk, and
set no bounds to lines and trailers. An event stream in a hurry brings many chunks with one read, and joined they cost
the client's side one send as well. So the framing (RFC 9112 §6, §7.1) is taken off here, straight from the
connection's buffer. That also lets a silence pass without losing the connection: urllib3 closes it at the first
timeout. Where there is no plain connection below (mocks), urllib3's own `read1` serves.
"""

from __future__ import annotations

import http.client
import io
import re
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import urllib3

from app.http_connection import Answer

READ_BYTES: Final = 65536
NOTHING_CAME: Final = b""
"""What `pieces` yields for a silence."""

# A chunk-size line with extensions, or a trailer; longer than this is no HTTP.
_MAX_LINE_BYTES: Final = 4096
_MOST_TRAILERS: Final = 100
_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_UNPACKED_AT_ONCE: Final = 256 * 1024


class TornError(http.client.HTTPException):
    """The body broke off before its end."""


class FramingError(http.client.HTTPException):
    """The body is not what HTTP says it should be."""


class TooLargeError(http.client.HTTPException):
    """The body is larger than the caller takes."""


def pieces(raw: urllib3.BaseHTTPResponse, *, silence_s: float, idle_s: float) -> Iterator[bytes]:
    """Yield the body in pieces, each as soon as it is there, and NOTHING_CAME whenever nothing came for `silence_s`.

    At the end the connection is given back if it may serve again, and closed if there is any doubt. Whoever stops
    before the end closes `raw`.
    Raises: TimeoutError after `idle_s` without a byte; TornError, FramingError, OSError, urllib3's HTTPError.
    """
    return opened(raw, silence_s=silence_s, idle_s=idle_s)[0]


def opened(raw: urllib3.BaseHTTPResponse, *, silence_s: float, idle_s: float) -> tuple[Iterator[bytes], Lookout | None]:
    """The pieces, as `pieces` gives them, and a second way to the same ones, where there can be one."""
    inner = _plain_connection(raw)
    if inner is None:
        return _read_by_urllib3(raw), None
    source = _Source(inner, silence_s, idle_s)
    coding = raw.headers.get("Content-Encoding", "identity").strip().lower()
    is_packed = coding not in ("", "identity")
    if not inner.chunked:
        framed, lookout = _unchunked(raw, inner, source.read), None
    else:
        decoder, kept = ChunkedDecoder(), list[bytes]()
        framed = _chunked(raw, inner, source.read, decoder, kept)
        lookout = None if is_packed or not source.can_look else Lookout(source, decoder, kept)
    return (_unpacked(framed, coding) if is_packed else framed), lookout


def whole(
    raw: urllib3.BaseHTTPResponse, *, within_s: float, max_bytes: int, take: Callable[[int], None] = lambda _: None
) -> bytes:
    """The whole body. take: told of the bytes that are held from now on; what it raises ends the reading.

    Raises: as `pieces`, TimeoutError if it takes longer than `within_s`, and TooLargeError.
    """
    ends_at = time.monotonic() + within_s
    if isinstance(inner := getattr(raw, "_fp", None), Answer):
        inner.reader.deadline = ends_at
    found = bytearray()
    for piece in pieces(raw, silence_s=within_s, idle_s=within_s):
        take(len(piece))
        found += piece
        if len(found) > max_bytes:
            raise TooLargeError(f"more than {max_bytes} bytes")
        if time.monotonic() > ends_at:
            raise TimeoutError("timed out")
    return bytes(found)


def set_patience(raw: urllib3.BaseHTTPResponse, silence_s: float) -> bool:
    """Let the reads of a body that is being read wait for so long; False if there is no connection to say it to."""
    inner = getattr(raw, "_fp", None)
    if not isinstance(inner, http.client.HTTPResponse) or inner.fp is None:
        return False
    source: Any = inner.fp
    source.raw._sock.settimeout(silence_s)
    return True


def _plain_connection(raw: urllib3.BaseHTTPResponse) -> http.client.HTTPResponse | None:
    """The plain http.client response below this one, if that is what it is and nobody has begun to read it."""
    inner = getattr(raw, "_fp", None)
    if (
        isinstance(inner, http.client.HTTPResponse)
        and (not inner.chunked or inner.chunk_left is None)
        and isinstance(inner.fp, io.BufferedReader)
    ):
        return inner
    return None


def _read_by_urllib3(raw: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    while piece := raw.read1(READ_BYTES, decode_content=True):
        yield piece


class _Source:
    """The connection below a body: it is read with patience, or looked at without waiting."""

    def __init__(self, inner: http.client.HTTPResponse, silence_s: float, idle_s: float) -> None:
        buffered: Any = inner.fp
        self._buffered, self._sock = buffered, buffered.raw._sock
        self._reader = inner.reader if isinstance(inner, Answer) else None
        self.patience_s = min(silence_s, idle_s)
        self._sock.settimeout(self.patience_s)
        self._silence_s, self._idle_s = silence_s, idle_s
        self._silent_s = 0.0
        self._found: bytes | Exception | None = None
        # Below gevent's sockets, which wait: its TLS, or the kernel's.
        self._tls = getattr(self._sock, "_sslobj", None)
        self._plain: Any = getattr(self._sock, "_sock", None)

    def read(self) -> bytes | None:
        """One read: bytes, b"" at the end of the connection, None for a silence."""
        try:
            data = self._buffered.read1(READ_BYTES) if self._found is None else self._taken()
        except TimeoutError:
            self._silent_s += self._silence_s
            if self._silent_s >= self._idle_s:
                raise
            return None
        self._silent_s = 0.0
        return data

    def _taken(self) -> bytes:
        found, self._found = self._found, None
        if isinstance(found, Exception):
            raise found
        return found or b""

    @property
    def can_look(self) -> bool:
        return self._reader is not None and self._plain is not None

    @property
    def is_drained(self) -> bool:
        """Whether whatever comes next will make the socket readable."""
        return self._reader is not None and not self._reader.has_more(self._buffered)

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def look(self) -> bytes | None:
        """What has come: b"" if nothing has, None if `read` is to tell what."""
        try:
            # A read of TLS takes a record, which is smaller: nothing is left that the socket would not tell of.
            data: bytes = self._tls.read(READ_BYTES) if self._tls is not None else self._plain.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        except ssl.SSLEOFError:
            data = b""
        except OSError as error:
            self.leave(error)
            return None
        if not data:
            self.leave(data)
            return None
        self._silent_s = 0.0
        return data

    def leave(self, found: bytes | Exception) -> None:
        """Let the next `read` find this."""
        self._found = found


class Lookout:
    """The pieces of a body for somebody who watches its socket, and never waits. The iterator beside it goes on where
    this one stopped, and the other way round."""

    def __init__(self, source: _Source, decoder: ChunkedDecoder, kept: list[bytes]) -> None:
        self._source = source
        self._decoder = decoder
        self._kept = kept
        self.patience_s = source.patience_s
        self.fileno = source.fileno
        self.accepts: Callable[[bytes], bool] = lambda _: True
        """Which pieces may be seen here; the others are the iterator's."""

    @property
    def is_clear(self) -> bool:
        """Whether everything that has come has been taken: what comes next can be seen at the socket."""
        return not self._kept and not self._decoder.done and self._source.is_drained

    def look(self) -> bytes | None:
        """The piece that has come, b"" if there is none yet. None: it is for the iterator to say how it goes on."""
        data = self._source.look()
        if not data:
            return data
        try:
            piece = self._decoder.feed(data)
        except FramingError as error:
            self._source.leave(error)
            return None
        if self._decoder.done or (piece and not self.accepts(piece)):
            self._kept.append(piece)
            return None
        return piece

    def note_silence(self) -> None:
        """Nothing has come for `patience_s`; the iterator is to tell."""
        self._source.leave(TimeoutError("timed out"))


def _chunked(
    raw: urllib3.BaseHTTPResponse,
    inner: http.client.HTTPResponse,
    read: Callable[[], bytes | None],
    decoder: ChunkedDecoder,
    kept: list[bytes],
) -> Iterator[bytes]:
    is_done = False
    while not is_done:
        if not kept and not decoder.done:
            data = read()
            if data is None:
                yield NOTHING_CAME
                continue
            if not data:
                raise TornError("the connection ended before the last chunk")
            kept.append(decoder.feed(data))
        is_done = decoder.done
        if is_done:
            _give_back(raw, inner, is_exact=not decoder.rest)
        piece = kept[0] if len(kept) == 1 else b"".join(kept)
        kept.clear()
        if piece:
            yield piece


def _unchunked(
    raw: urllib3.BaseHTTPResponse, inner: http.client.HTTPResponse, read: Callable[[], bytes | None]
) -> Iterator[bytes]:
    left = inner.length  # None: the body ends with the connection
    if left == 0:
        _give_back(raw, inner, is_exact=True)
    while left is None or left > 0:
        data = read()
        if data is None:
            yield NOTHING_CAME
            continue
        if not data:
            if left is not None:
                raise TornError("the connection ended before the announced length")
            _give_back(raw, inner, is_exact=False)
            return
        if left is not None:
            is_exact, data = len(data) <= left, data[:left]
            left -= len(data)
            if left == 0:
                _give_back(raw, inner, is_exact=is_exact)
        yield data


def _give_back(raw: urllib3.BaseHTTPResponse, inner: http.client.HTTPResponse, *, is_exact: bool) -> None:
    """The body has been read to its end: the connection goes back to its pool, to serve again only if nothing is left
    of this answer."""
    if isinstance(inner, Answer):
        is_exact = inner.end() and is_exact
    else:
        inner._close_conn()  # type: ignore[attr-defined]
    if not is_exact:
        raw.close()
    raw.release_conn()


def _unpacked(framed: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """Take gzip or deflate off, never much at once however much there is in it. Raises: FramingError, TornError."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise FramingError(f"the content coding {coding[:20]!r} was not asked for")
    unpacker: Any = None
    for packed in framed:
        if not packed:
            yield NOTHING_CAME
            continue
        if unpacker is None:
            # "deflate" means zlib's format; some send it without its head, the low bits of which are always 8.
            bare = coding == "deflate" and packed[0] & 0x0F != 8
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
        try:
            while packed:
                if piece := unpacker.decompress(packed, _UNPACKED_AT_ONCE):
                    yield piece
                packed = unpacker.unconsumed_tail
        except zlib.error as error:
            raise FramingError("the body is not compressed as announced") from error
    if unpacker is not None and not unpacker.eof:
        raise TornError("the compressed body has no end")


class ChunkedDecoder:
    """Takes chunked transfer coding off, whatever the cuts. `done` once the last chunk and the trailers are through;
    rest: what came after that, which belongs to no answer."""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self._left = 0  # payload bytes still to come of the current chunk
        self._at_end_of_chunk = False  # an empty line comes next
        self._line = b""  # an incomplete line
        self._trailers: int | None = None  # how many there were, once the last chunk is through

    def feed(self, data: bytes) -> bytes:
        """One read in, the payload bytes in it out. Raises: FramingError."""
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
            line_end = data.find(b"\n", at)
            if line_end < 0:
                self._line = data[at:]
                if len(self._line) > _MAX_LINE_BYTES:
                    raise FramingError("a line of the chunked coding has no end")
                at = end
                break
            self._take_line(data[at:line_end].rstrip(b"\r"))
            at = line_end + 1
        if self.done:
            self.rest = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        if self._trailers is not None:
            self.done = not line
            self._trailers += 1
            if self._trailers > _MOST_TRAILERS:
                raise FramingError("too many trailers")
            return
        if self._at_end_of_chunk:
            if line:
                raise FramingError("a chunk is longer than announced")
            self._at_end_of_chunk = False
            return
        size = line.split(b";", 1)[0].strip()
        if not _SIZE.fullmatch(size):
            raise FramingError("a chunk has no size")
        self._left = int(size, 16)
        if self._left:
            self._at_end_of_chunk = True
        else:
            self._trailers = 0
