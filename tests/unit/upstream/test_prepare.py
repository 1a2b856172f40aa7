"""What goes out is what requests itself would send, though it is put together faster."""

from __future__ import annotations

import socket

import pytest
import requests
from urllib3.connection import HTTPConnection
from urllib3.util.request import SKIP_HEADER

from app.errors import UpstreamError
from app.http_connection import Connection
from app.outbound import Outbound, prepare
from tests.support.raw_upstream import RawUpstream
from tests.support.rows import rows

URLS = [
    "https://api.githubcopilot.com/chat/completions",
    "http://127.0.0.1:8080",
    "http://127.0.0.1:8080/v1?a=b c&d=é#part",
    "https://user:p%40ss@api.github.test/copilot_internal/v2/token",
    "http://bücher.test/ä b",
]
BODIES = [None, b"", b"{}", b"\x00\xff" * 100]
HEADERS: list[dict[str, str]] = [{}, {"Authorization": "Bearer t", "X-Initiator": "user"}, {"content-length": "7"}]


@rows("method")
@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD"])
def test_prepared_request_is_that_of_requests(
    method: str, url: str, body: bytes | None, headers: dict[str, str]
) -> None:
    theirs = requests.Request(method, url, headers=headers, data=body).prepare()
    for ours in (prepare(method, url, headers, body), prepare(method, url, headers, body)):
        assert (ours.method, ours.url, ours.body) == (theirs.method, theirs.url, theirs.body)
        assert dict(ours.headers.lower_items()) == dict(theirs.headers.lower_items())
        assert (ours.path_url, ours.hooks) == (theirs.path_url, theirs.hooks)


@pytest.mark.parametrize("url", ["", "no-scheme", "http://", "http://*.test/"])
def test_an_address_that_is_none_is_told_each_time(url: str) -> None:
    for _ in range(2):
        with pytest.raises(requests.RequestException):
            prepare("GET", url, {}, None)


def test_what_was_sent_is_not_held_for_as_long_as_the_answer_takes(raw: RawUpstream) -> None:
    outbound = Outbound()
    url, wait = f"{raw.url}/models", {"connect_timeout_s": 5.0, "read_timeout_s": 5.0}
    for stream in (False, True):
        with outbound.send("POST", url, headers={}, body=b"{}", stream=stream, **wait) as answer:
            assert answer.request.body is None
    outbound.close()


@pytest.mark.parametrize("value", ["a\nb", " a", "a\r\nX: y"])
def test_a_header_that_would_be_two_is_refused(value: str) -> None:
    outbound = Outbound()
    with pytest.raises(UpstreamError):
        outbound.send("GET", "http://127.0.0.1:9/", headers={"X": value}, connect_timeout_s=1, read_timeout_s=1)
    outbound.close()


@rows("name")
@pytest.mark.parametrize(
    "value", ["text", "a b", "", " a ", "é", "a\nb", "a\r\n b", "\x7f", b"text", 7, SKIP_HEADER, "a" * 10000]
)
@pytest.mark.parametrize("name", ["X-Name", "x", "X:Y", "X Y", "Host", "User-Agent", "É", ""])
def test_a_header_is_written_as_by_urllib3(name: str, value: str | bytes | int) -> None:
    def written(made: HTTPConnection) -> list[bytes] | str:
        made.putrequest("GET", "/", skip_host=True, skip_accept_encoding=True)
        try:
            made.putheader(name, value)  # type: ignore[arg-type]
        except ValueError as problem:
            return str(problem)
        return list(made._buffer)  # type: ignore[attr-defined]

    assert written(Connection("127.0.0.1", 9)) == written(HTTPConnection("127.0.0.1", 9))


def test_an_idle_connection_is_looked_at_without_waiting() -> None:
    ours, theirs = socket.socketpair()
    connection = Connection("127.0.0.1", 9)
    assert not connection.is_connected
    connection.sock = ours
    assert connection.is_connected
    theirs.send(b"x")
    assert not connection.is_connected, "what came unasked belongs to no answer"
    ours.recv(1)
    assert connection.is_connected
    theirs.close()
    assert not connection.is_connected
    ours.close()


def _sent_by(made: HTTPConnection, method: str, body: bytes | None, headers: dict[str, str]) -> bytes | str:
    ours, theirs = socket.socketpair()
    with theirs:
        made.sock = ours
        try:
            made.request(method, "/chat?a=1", body=body, headers=headers)
        except ValueError as problem:
            return str(problem)
        finally:
            made.close()
        found = b""
        while piece := theirs.recv(65536):
            found += piece
        return found


AGENT = {"User-Agent": "bridge"}


@rows("method")
@pytest.mark.parametrize("body", [None, b"", b"{}"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        AGENT,
        AGENT | {"Content-Length": "2", "X-Name": "a b"},
        AGENT | {"content-length": "0"},
        AGENT | {"Content-Length": "2", "Host": "other.test", "Accept-Encoding": "gzip"},
        AGENT | {"Content-Length": "2", "Transfer-Encoding": "chunked"},
        AGENT | {"Content-Length": "2", "X-Name": "é"},
        AGENT | {"Content-Length": "2", "X-Name": ""},
        AGENT | {"Content-Length": "2", "X-Name": "a\r\nX-Other: b"},
        AGENT | {"Content-Length": "2", "X-Name\r\nX-Other": "b"},
        AGENT | {"Content-Length": "2", "X-Name": SKIP_HEADER},
        {"User-Agent": SKIP_HEADER, "Content-Length": "2"},
    ],
)
def test_a_request_is_written_as_by_urllib3(method: str, body: bytes | None, headers: dict[str, str]) -> None:
    made = [kind("127.0.0.1", 9) for kind in (Connection, HTTPConnection)]
    ours, theirs = [_sent_by(one, method, body, headers) for one in made]
    assert ours == theirs


@pytest.mark.parametrize(("size", "calls"), [(0, 1), (2, 1), (65_536, 1), (65_537, 2)])
def test_a_head_leaves_with_its_body_if_that_is_not_large(size: int, calls: int) -> None:
    sent: list[int] = []

    class Wire:
        def settimeout(self, _seconds: float) -> None:
            pass

        def send(self, data: bytes) -> int:
            sent.append(len(data))
            return len(data)

    made = Connection("127.0.0.1", 9)
    made.sock = Wire()
    made.request("POST", "/", body=b"x" * size, headers=AGENT | {"Content-Length": str(size)})
    assert len(sent) == calls
