"""The head of an answer is read as http.client reads it, though most of them without its mail parser."""

from __future__ import annotations

import http.client
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from app.http_connection import Answer
from tests.support.rows import rows

LINES = [
    b"Content-Type: application/json",
    b"content-type:text/plain",
    b"X-Empty:",
    b"X-Empty: ",
    b"X-Tab:\tvalue",
    b"X-Trailing: value  ",
    b"X-Many: a",
    b"x-many: b",
    b"X-Long: one\r\n two\r\n\tthree",
    b"X-Latin: \xe9",
    b"X-Control: a\x01b",
    b"X_Under: a",
    b"X Space: a",
    b"No colon at all",
    b": no name",
    b"X-Colon: a: b",
    b"Content-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 5",
    b"Content-Length: 5, 5",
    b"Content-Length: -1",
    b"Content-Length: +5",
    b"Content-Length: 1_0",
    b"Content-Length:\t5 ",
    b"Content-Length: none",
    b"Transfer-Encoding: chunked",
    b"transfer-encoding: Chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Connection: close",
    b"Connection: Keep-Alive",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
]
STATUS = [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304", b"HTTP/1.9 502  Bad  "]


def heads() -> Iterator[bytes]:
    yield from (b"\r\n".join([status, line]) for status in STATUS for line in LINES)
    picks = random.Random(12)
    for _ in range(300):
        chosen = picks.sample(LINES, picks.randint(0, 6))
        yield picks.choice([b"\r\n", b"\r\n", b"\r\n", b"\n"]).join([picks.choice(STATUS), *chosen])


def read(kind: type[http.client.HTTPResponse], head: bytes, method: str) -> dict[str, Any]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(head + b"\r\n\r\nhello")
        answer = kind(ours, method=method)
        answer.begin()
        fields = [(name, " ".join(str(value).split())) for name, value in answer.headers.items()]
        names = ("status", "code", "reason", "version", "chunked", "length", "will_close")
        return {name: getattr(answer, name) for name in names} | {"fields": fields}


@rows("head")
@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("head", list(heads()))
def test_a_head_says_what_it_says_to_http_client(head: bytes, method: str) -> None:
    ours, theirs = [read(kind, head, method) for kind in (Answer, http.client.HTTPResponse)]
    # Ours closes more often: whatever is not framed without doubt, see below.
    assert ours.pop("will_close") >= theirs.pop("will_close")
    assert ours == theirs


@pytest.mark.parametrize(
    ("fields", "closes"),
    [
        (b"Content-Length: 5", False),
        (b"X-Many: a\r\nContent-Length:\t5 \r\nx-many: \xe9", False),
        (b"Transfer-Encoding: chunked", False),
        (b"X-Long: one\r\n two\r\nTransfer-Encoding: Chunked", False),
        (b"X-None: a", True),
        (b"Content-Length: 5\r\nConnection: close", True),
        (b"Content-Length: 5\r\nContent-Length: 5", True),
        (b"Content-Length: +5", True),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", True),
        (b"Transfer-Encoding: gzip, chunked", True),
        (b"Content-Length: 5\r\nno header", True),
        (b"Content-Length: 5\r\nTransfer-Encoding : chunked", True),
    ],
)
def test_a_connection_serves_again_where_the_end_is_in_no_doubt(fields: bytes, closes: bool) -> None:
    assert read(Answer, b"HTTP/1.1 200 OK\r\n" + fields, "POST")["will_close"] is closes


def test_a_value_on_several_lines_is_one() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\n\tthree\r\nContent-Length: 0\r\n\r\n")
        answer = Answer(ours)
        answer.begin()
        assert answer.headers["X-Long"] == "one two three"


@pytest.mark.parametrize("head", [b"X: " + b"x" * 70_000, b"\r\n".join([b"X: y"] * 101)])
def test_a_head_without_end_is_refused(head: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        with pytest.raises(http.client.HTTPException):
            Answer(ours).begin()
