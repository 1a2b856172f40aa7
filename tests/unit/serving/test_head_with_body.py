"""What a client gets is what gunicorn's own response sends, in fewer pieces."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.wsgi import Response

from app.serving.head_with_body import HeadWithBody

LARGE = b"x" * 100_000


class Wire:
    """A socket that remembers what each call was given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))


def answer(kind: type[Response], pieces: list[bytes], *, method: str, version: tuple[int, int], more: Any) -> Wire:
    wire = Wire()
    request = SimpleNamespace(method=method, version=version, should_close=lambda: version < (1, 1))
    response = kind(request, wire, Config())
    response.start_response(*more)
    for piece in pieces:
        response.write(piece)
    response.close()
    return wire


TEXT = ("Content-Type", "text/plain")
CASES = [
    ("200 OK", [TEXT, ("Content-Length", "5")], [b"hello"]),
    ("200 OK", [TEXT, ("Content-Length", "5")], [b"hel", b"lo"]),
    ("200 OK", [TEXT, ("Content-Length", "5")], [b"hello and more"]),
    ("200 OK", [TEXT, ("Content-Length", "0")], []),
    ("200 OK", [TEXT, ("Content-Length", "0")], [b""]),
    ("200 OK", [TEXT], [b"data: 1\n\n", b"data: 2\n\n"]),
    ("200 OK", [TEXT], [b"", b"data: 1\n\n"]),
    ("200 OK", [TEXT], []),
    ("200 OK", [TEXT, ("X-Name", "é"), ("Connection", "upgrade")], [LARGE, LARGE]),
    ("200 OK", [TEXT, ("Content-Length", str(len(LARGE)))], [LARGE]),
    ("204 No Content", [], []),
    ("304 Not Modified", [("ETag", '"1"')], []),
    ("400 Bad Request", [TEXT], [b"no"]),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", [(1, 0), (1, 1)])
@pytest.mark.parametrize(("status", "headers", "pieces"), CASES)
def test_the_bytes_are_gunicorns(
    method: str, version: tuple[int, int], status: str, headers: list[tuple[str, str]], pieces: list[bytes]
) -> None:
    wires = [
        answer(kind, pieces, method=method, version=version, more=(status, headers))
        for kind in (Response, HeadWithBody)
    ]
    theirs, ours = [re.sub(rb"Date: [^\r]*", b"Date: -", b"".join(wire.sent)) for wire in wires]
    assert ours == theirs


def test_a_head_leaves_with_the_first_bytes() -> None:
    how: dict[str, Any] = {"method": "POST", "version": (1, 1)}
    whole = answer(HeadWithBody, [b"hello"], more=("200 OK", [("Content-Length", "5")]), **how)
    assert len(whole.sent) == 1
    stream = answer(HeadWithBody, [b"one", b"two"], more=("200 OK", []), **how)
    assert [piece[-8:] for piece in stream.sent] == [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"]


def test_a_piece_without_bytes_sends_the_head() -> None:
    wire = Wire()
    request = SimpleNamespace(method="GET", version=(1, 1), should_close=lambda: False)
    response = HeadWithBody(request, wire, Config())
    response.start_response("200 OK", [])
    response.write(b"")
    assert b"".join(wire.sent).endswith(b"\r\n\r\n")


def test_a_large_body_is_not_copied() -> None:
    how: dict[str, Any] = {"method": "GET", "version": (1, 1)}
    wire = answer(HeadWithBody, [LARGE], more=("200 OK", [("Content-Length", str(len(LARGE)))]), **how)
    assert wire.sent[1] == LARGE


def test_the_date_is_http_s() -> None:
    wire = answer(HeadWithBody, [b""], method="GET", version=(1, 1), more=("200 OK", [("Content-Length", "0")]))
    assert re.search(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", wire.sent[0])


def test_what_is_not_bytes_can_still_become_an_error() -> None:
    response = HeadWithBody(SimpleNamespace(method="GET", version=(1, 1), should_close=lambda: False), Wire(), Config())
    response.start_response("200 OK", [])
    text: Any = "text"
    with pytest.raises(TypeError):
        response.write(text)
    assert not response.headers_sent
