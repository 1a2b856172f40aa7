"""Whoever sends a body has to get on with it. The clock is the test's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from app.errors import SlowBodyError
from app.serving.paced_body import LEAST_RATE, PATIENCE_S, PIECE_BYTES, BodyInPieces, PacedBody


class Sender:
    """A socket whose bytes come one piece in so many seconds; the clock goes on while somebody waits for them."""

    def __init__(self, pieces: int, size: int, every_s: float) -> None:
        self.now = 0.0
        self._sock = self
        self._left, self._size, self._every_s = pieces, size, every_s
        self._there = 0
        self._next_at = every_s

    def fileno(self) -> int:
        return 7

    def recv(self, size: int) -> bytes:
        if self._left and self.now >= self._next_at:
            self._there += self._size
            self._left -= 1
            self._next_at += self._every_s
        if not self._there:
            raise BlockingIOError
        given = min(size, self._there)
        self._there -= given
        return b"x" * given

    def wait(self, fileno: int, *, timeout: float, timeout_exc: Exception) -> None:
        if not self._left or self._next_at - self.now > timeout:
            self.now += timeout
            raise timeout_exc
        self.now = self._next_at


def body_of(sender: Sender) -> PacedBody:
    return PacedBody(sender, clock=lambda: sender.now, wait=sender.wait)


def read(body: PacedBody, count: int) -> None:
    while count > 0:
        count -= len(body.recv(8192))


def test_a_body_that_never_comes_is_given_up_after_half_a_minute() -> None:
    sender = Sender(0, 0, 1)
    body = body_of(sender)
    with pytest.raises(SlowBodyError):
        body.recv(8192)
    assert sender.now == PATIENCE_S
    assert body.is_given_up


@pytest.mark.parametrize("every_s", [1, 5, 29])
def test_a_body_that_drips_is_given_up_though_each_byte_comes_in_time(every_s: float) -> None:
    sender = Sender(10**6, 1, every_s)
    with pytest.raises(SlowBodyError):
        read(body_of(sender), 10**6)
    assert sender.now < PATIENCE_S + 1


def test_a_slow_line_may_take_as_long_as_it_needs() -> None:
    sender = Sender(2000, 4 * LEAST_RATE, 2)
    read(body_of(sender), 2000 * 4 * LEAST_RATE)
    assert sender.now == 4000


@pytest.mark.parametrize("sender", [lambda: Sender(0, 0, 1), lambda: Sender(8000, 100, 1)])
def test_a_form_has_to_come_at_once(sender: Callable[[], Any]) -> None:
    sent = sender()
    body = body_of(sent)
    body.within(5)
    with pytest.raises(SlowBodyError):
        read(body, 8000)
    assert sent.now <= 5


class Wire:
    """A socket whose bytes have all come; each read is noted."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._sock = self
        self.reads: list[int] = []
        self.rests = 0

    def rest(self) -> None:
        self.rests += 1

    def recv(self, size: int) -> bytes:
        given, self.data = self.data[:size], self.data[size:]
        self.reads.append(len(given))
        return given


BODY = bytes(range(256)) * 4096 + b"\nend"
CHUNKED = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:70000], BODY[70000:]))
FRAMED = [
    (b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY, "length"),
    (b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED + b"0\r\n\r\n", "chunked"),
]


def bodies(after: bytes, framed: bytes) -> tuple[Any, Wire, Any]:
    wire = Wire(b"POST /v1/x HTTP/1.1\r\nHost: x\r\n" + framed + after)
    parser = RequestParser(Config(), wire, ("127.0.0.1", 1))
    request: Any = next(parser)
    paced = PacedBody(wire, let_others_on=wire.rest)
    request.unreader.sock, request.unreader.mxchunk = paced, PIECE_BYTES
    request.body = BodyInPieces(request.body, paced)
    return request.body, wire, parser


@pytest.mark.parametrize("framed", [pytest.param(framed, id=name) for framed, name in FRAMED])
@pytest.mark.parametrize("size", [1, 1000, PIECE_BYTES, PIECE_BYTES + 1, 10**9, None, -1])
def test_a_body_is_the_same_whatever_is_asked_for_at_a_time(framed: bytes, size: int | None) -> None:
    body, _, parser = bodies(b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n", framed)
    first = body.readline(), body.read(5)
    # One byte at a time for a while only: it is the edges that count.
    found = b"".join(first) + b"".join(body.read(size) for _ in range(300))
    found += b"".join(iter(lambda: body.read(10**6), b""))
    assert found == BODY
    assert body.read(1) == b""
    assert next(parser).path == "/next"


@pytest.mark.parametrize("framed", [pytest.param(framed, id=name) for framed, name in FRAMED])
def test_a_body_that_has_come_is_read_in_pieces_of_64_kib(framed: bytes) -> None:
    body, wire, _ = bodies(b"", framed)
    got = []
    while piece := body.read(PIECE_BYTES):
        got.append(len(piece))
    # But the first, which came with the head, and the last.
    assert all(read >= 64 * 1024 for read in wire.reads[1:-1])
    assert len(got) <= len(BODY) / PIECE_BYTES + 2


def test_a_body_that_breaks_off_ends() -> None:
    body, _, _ = bodies(b"", b"Content-Length: 10\r\n\r\nhalf")
    assert [body.read(), body.read(1)] == [b"half", b""]


@pytest.mark.parametrize(
    ("framed", "turns"),
    [
        pytest.param(FRAMED[0][0], 15, id="length"),
        pytest.param(FRAMED[1][0], 15, id="chunked"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 10_000 + b"0\r\n\r\n", 39, id="bytes"),
    ],
)
def test_others_get_their_turn_while_a_body_comes_as_fast_as_it_is_read(framed: bytes, turns: int) -> None:
    body, wire, _ = bodies(b"", framed)
    body.read()
    assert wire.rests >= turns


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x1\r\na\r\n0\r\n\r\n",
        b"-1\r\na\r\n0\r\n\r\n",
        b"1_0\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"1\r\na\r\n0\r\nContent-Length: 3\r\n\r\n",
        b"1\r\na\r\n0\r\nno header\r\n\r\n",
        b"1\r\na\r\n",  # broken off
        b"0" * 200_000 + b"\r\n\r\n",
        b"1;" + b"a" * 200_000 + b"\r\na\r\n0\r\n\r\n",
        b"1\r\na\r\n0\r\n" + b"A: b\r\n" * 40_000 + b"\r\n",
    ],
    ids=range(10),
)
def test_nothing_is_served_after_damaged_chunks(chunks: bytes) -> None:
    body, wire, parser = bodies(b"GET /next HTTP/1.1\r\n", b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    with pytest.raises((OSError, ParseException)):
        body.read()
    assert parser.mesg.unreader.sock.is_given_up
    assert sum(wire.reads) < 220_000  # what has no end is not waited for
