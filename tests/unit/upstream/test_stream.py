from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamProtocolError, UpstreamTimeoutError
from app.upstream.stream import ChunkedDecoder, iter_bytes


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_payload_is_the_same_wherever_the_bytes_are_cut(chunks: list[bytes], sizes: list[int]) -> None:
    wire, decoder, out, at = chunked(*chunks), ChunkedDecoder(), b"", 0
    for size in [*sizes, len(wire)]:
        out += decoder.feed(wire[at : at + size])
        at += size
    assert out == b"".join(chunks)
    assert decoder.done


def test_extensions_and_trailers_are_passed_over() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"5;name=value\r\nhello\r\n0\r\nTrailer: x\r\n\r\n") == b"hello"
    assert decoder.done


@pytest.mark.parametrize("wire", [b"zz\r\n", b"-5\r\nhello", b"\r\n", b"5" * 5000])
def test_broken_framing_is_told(wire: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        ChunkedDecoder().feed(wire)


SILENCE = b"(nothing comes until the timeout)"


class Wire(io.RawIOBase):
    """A socket that gives one prepared piece per read."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.reads = 0
        self._timeout_occurred = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.reads += 1
        if self._timeout_occurred:
            raise OSError("cannot read from timed out object")
        if not self.pieces:
            return 0
        piece = self.pieces.pop(0)
        if piece is SILENCE:
            self._timeout_occurred = True
            raise TimeoutError("timed out")
        buffer[: len(piece)] = piece
        return len(piece)

    @property
    def _sock(self) -> Wire:
        return self

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(self)

    def sendall(self, *_: Any) -> None: ...


def response_over(*pieces: bytes) -> requests.Response:
    """A requests.Response on a prepared socket, as requests would build it."""
    wire: Any = Wire(list(pieces))
    inner = http.client.HTTPResponse(wire, method="POST")
    inner.begin()
    raw = urllib3.HTTPResponse(
        body=inner, headers=dict(inner.getheaders()), preload_content=False, original_response=inner
    )  # type: ignore[arg-type]
    response = requests.Response()
    response.raw, response.status_code = raw, inner.status
    response.headers.update(dict(inner.getheaders()))
    return response


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_what_one_read_brought_is_one_piece() -> None:
    """Three HTTP chunks in one read come out together; nothing waits for the next read."""
    with response_over(HEAD, b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n", b"1\r\nd\r\n0\r\n\r\n") as response:
        assert list(iter_bytes(response, silence_s=10, idle_s=30)) == [b"abc", b"d"]


def test_end_before_the_last_chunk_is_an_error() -> None:
    with response_over(HEAD, b"5\r\nhel") as response:
        pieces = iter_bytes(response, silence_s=10, idle_s=30)
        assert next(pieces) == b"hel"
        with pytest.raises(UpstreamProtocolError, match="closed the connection"):
            next(pieces)


def test_body_with_a_length_is_read_as_it_comes() -> None:
    with response_over(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"he", b"llo") as response:
        assert list(iter_bytes(response, silence_s=10, idle_s=30)) == [b"he", b"llo"]


def test_connection_that_breaks_is_a_torn_answer() -> None:
    class Broken(Wire):
        def readinto(self, buffer: Any) -> int:
            if not self.pieces:
                raise ConnectionResetError("reset by peer")
            return super().readinto(buffer)

    with response_over(HEAD, b"1\r\na\r\n") as response:
        response.raw._fp.fp.raw.__class__ = Broken
        pieces = iter_bytes(response, silence_s=10, idle_s=30)
        assert next(pieces) == b"a"
        with pytest.raises(UpstreamProtocolError):
            next(pieces)


@pytest.mark.parametrize(
    ("head", "before", "after"),
    [
        (HEAD, b"1\r\na\r\n1", b"\r\nb\r\n0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"a", b"b"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"a", b"b"),
    ],
)
def test_silence_is_told_and_nothing_is_lost_by_it(head: bytes, before: bytes, after: bytes) -> None:
    with response_over(head, SILENCE, before, SILENCE, SILENCE, after) as response:
        assert list(iter_bytes(response, silence_s=10, idle_s=30)) == [b"", b"a", b"", b"", b"b"]


def test_silence_for_too_long_is_a_timeout() -> None:
    with response_over(HEAD, b"1\r\na\r\n", SILENCE, SILENCE, SILENCE) as response:
        pieces = iter_bytes(response, silence_s=10, idle_s=30)
        assert [next(pieces), next(pieces), next(pieces)] == [b"a", b"", b""]
        with pytest.raises(UpstreamTimeoutError):
            next(pieces)


def test_body_shorter_than_its_length_is_torn() -> None:
    with response_over(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"he") as response:
        pieces = iter_bytes(response, silence_s=10, idle_s=30)
        assert next(pieces) == b"he"
        with pytest.raises(UpstreamProtocolError):
            next(pieces)
