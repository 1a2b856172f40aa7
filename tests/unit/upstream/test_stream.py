from __future__ import annotations

from typing import Any

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from app.errors import OverloadedError, UpstreamProtocolError, UpstreamTimeoutError
from app.http_body import ChunkedDecoder, FramingError
from app.http_connection import Answer
from app.memory import Budget, Share
from app.upstream import stream
from app.upstream.stream import Pieces


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


@pytest.mark.parametrize(
    "wire",
    [
        b"zz\r\n",
        b"-5\r\nhello",
        b"+5\r\nhello",
        b"0x5\r\nhello",
        b"1_0\r\nhello",
        b"\r\n",
        b"5" * 5000,
        b"F" * 16 + b"\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"0\r\n" + b"a: b\r\n" * 200,
    ],
)
def test_broken_framing_is_told(wire: bytes) -> None:
    with pytest.raises(FramingError):
        ChunkedDecoder().feed(wire)


SILENCE = b"(nothing comes until the timeout)"


class Wire:
    """A socket that gives one prepared piece per read."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.breaks = False
        self._sock = self

    def recv_into(self, buffer: Any) -> int:
        if not self.pieces:
            if self.breaks:
                raise ConnectionResetError("reset by peer")
            return 0
        piece = self.pieces.pop(0)
        if piece is SILENCE:
            raise TimeoutError("timed out")
        buffer[: len(piece)] = piece
        return len(piece)

    def gettimeout(self) -> float:
        return 60.0

    def settimeout(self, seconds: float) -> None: ...

    def close(self) -> None: ...

    def makefile(self, *_: Any) -> Any:
        return self

    def detach(self) -> Wire:
        return self


def response_over(*pieces: bytes, breaks: bool = False) -> requests.Response:
    """A requests.Response on a prepared socket, as requests would build it."""
    wire: Any = Wire(list(pieces))
    wire.breaks = breaks
    inner = Answer(wire, method="POST")
    inner.begin()
    raw = urllib3.HTTPResponse(
        body=inner, headers=dict(inner.getheaders()), preload_content=False, original_response=inner
    )
    response = requests.Response()
    response.raw, response.status_code = raw, inner.status
    response.headers.update(dict(inner.getheaders()))
    return response


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_what_one_read_brought_is_one_piece() -> None:
    """Three HTTP chunks in one read come out together; nothing waits for the next read."""
    with response_over(HEAD, b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n", b"1\r\nd\r\n0\r\n\r\n") as response:
        assert list(Pieces(response, silence_s=10, idle_s=30, answer_s=3600)) == [b"abc", b"d"]


def test_a_stream_that_only_goes_on_is_ended() -> None:
    """Comments and words without end: each is as good as the one before."""
    now = iter(range(0, 1000, 9))
    with response_over(HEAD, *[b"1\r\n\n\r\n"] * 50) as response:
        pieces = Pieces(response, silence_s=10, idle_s=30, answer_s=60, clock=lambda: next(now))
        received: list[bytes] = []
        with pytest.raises(UpstreamTimeoutError, match="UPSTREAM_ANSWER_TIMEOUT_S"):
            received.extend(pieces)
        assert len(received) < 7


def test_a_stream_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_BYTES", 30)
    with response_over(HEAD, *[b"8\r\nabcdefg\n\r\n"] * 50) as response:
        pieces = Pieces(response, silence_s=10, idle_s=30, answer_s=60)
        assert [next(pieces) for _ in range(3)] == [b"abcdefg\n"] * 3
        with pytest.raises(UpstreamProtocolError, match="larger than 30 bytes"):
            next(pieces)


def test_end_before_the_last_chunk_is_an_error() -> None:
    with response_over(HEAD, b"5\r\nhel") as response:
        pieces = Pieces(response, silence_s=10, idle_s=30, answer_s=3600)
        assert next(pieces) == b"hel"
        with pytest.raises(UpstreamProtocolError, match="closed the connection"):
            next(pieces)


def test_body_with_a_length_is_read_as_it_comes() -> None:
    with response_over(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"he", b"llo") as response:
        assert list(Pieces(response, silence_s=10, idle_s=30, answer_s=3600)) == [b"he", b"llo"]


def test_connection_that_breaks_is_a_torn_answer() -> None:
    with response_over(HEAD, b"1\r\na\r\n", breaks=True) as response:
        pieces = Pieces(response, silence_s=10, idle_s=30, answer_s=3600)
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
        assert list(Pieces(response, silence_s=10, idle_s=30, answer_s=3600)) == [b"", b"a", b"", b"", b"b"]


def test_silence_for_too_long_is_a_timeout() -> None:
    with response_over(HEAD, b"1\r\na\r\n", SILENCE, SILENCE, SILENCE) as response:
        pieces = Pieces(response, silence_s=10, idle_s=30, answer_s=3600)
        assert [next(pieces), next(pieces), next(pieces)] == [b"a", b"", b""]
        with pytest.raises(UpstreamTimeoutError):
            next(pieces)


def test_body_shorter_than_its_length_is_torn() -> None:
    with response_over(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"he") as response:
        pieces = Pieces(response, silence_s=10, idle_s=30, answer_s=3600)
        assert next(pieces) == b"he"
        with pytest.raises(UpstreamProtocolError):
            next(pieces)


class _Dripping(Wire):
    """One byte at a time, each ten seconds after the last."""

    now = 0.0

    def recv_into(self, buffer: Any) -> int:
        self.now += 10
        return super().recv_into(buffer)


@pytest.mark.parametrize(("drop", "is_held"), [(b"a", True), (b"\n", False), (b":\n", False)])
def test_a_line_that_drips_is_no_better_than_silence(drop: bytes, is_held: bool) -> None:
    response = response_over(HEAD, *[chunked(drop)[:-5]] * 200, b"0\r\n\r\n")
    wire = response.raw._fp.reader._sock
    wire.__class__ = _Dripping
    pieces = Pieces(response, silence_s=60, idle_s=600, answer_s=3600, clock=lambda: wire.now)
    if is_held:
        with pytest.raises(UpstreamTimeoutError):
            list(pieces)
        assert wire.now < 700
    else:
        assert b"".join(pieces) == drop * 200


def test_a_line_counts_as_held_until_it_ends() -> None:
    mib = 1024 * 1024
    budget = Budget(2 * mib)
    share = Share(budget)
    share.enter()
    try:
        with response_over(HEAD, *[chunked(b"a" * 4096)[:-5]] * 640, chunked(b"\n")) as response:
            most = 0
            for _ in Pieces(response, silence_s=10, idle_s=30, answer_s=3600):
                most = max(most, budget.taken)
            assert (most, budget.taken) == (640 * 4096 - mib, 0)
        endless = response_over(HEAD, *[chunked(b"a" * 4096)[:-5]] * 960, chunked(b"\n"))
        with endless as response, pytest.raises(OverloadedError):
            list(Pieces(response, silence_s=10, idle_s=30, answer_s=3600))
    finally:
        Share._here.current = None
