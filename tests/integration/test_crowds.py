"""More connections than a worker holds, and bodies that never come: health checks are answered all the same."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.bridge import Bridge

MOST = 20


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    env = {"WORKER_CONNECTIONS": str(MOST), "GH_COPILOT_TOKEN": "ghu_test_crowd"}
    with Bridge(env, tmp_path_factory.mktemp("small")) as running:
        yield running


def dial(bridge: Bridge, sent: str = "") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", bridge.port), timeout=30)
    connection.sendall(sent.encode())
    return connection


def answer(connection: socket.socket) -> str:
    """All that comes until the other side closes."""
    with contextlib.closing(connection):
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received.decode()


def get(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"


FORM = "Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 8000\r\n"
HALF = {
    "a form without a key": f"POST /auth/key HTTP/1.1\r\n{FORM}\r\na",
    "a form of which nothing comes": f"POST /auth/key HTTP/1.1\r\n{FORM}\r\n",
    "a form that hides where it comes from": f"POST /auth/key HTTP/1.1\r\nOrigin: null\r\n{FORM}\r\na",
    "a multipart form": "POST /auth/key HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 8000\r\n\r\n--x\r\n",
}


def test_half_a_form_is_given_up_and_its_connection_closed(small: Bridge) -> None:
    told = {}

    def send(name: str) -> None:
        told[name] = answer(dial(small, HALF[name]))

    threads = [threading.Thread(target=send, args=(name,)) for name in HALF]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in HALF:
        assert told[name].startswith("HTTP/1.1 408 "), name
        assert "Connection: close" in told[name], name


@pytest.mark.parametrize("chunks", ["0x1\r\na\r\n0\r\n\r\n", "1\r\na\r\n0\r\nContent-Length: 3\r\n\r\n"])
def test_damaged_chunks_end_their_connection(small: Bridge, chunks: str) -> None:
    head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {small.api_key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    told = answer(dial(small, head + chunks))
    assert told.startswith("HTTP/1.1 400 ")
    assert "Connection: close" in told
    assert "not valid HTTP" in told


@pytest.mark.parametrize("first", ["", "GET / HT", HALF["a form without a key"]], ids=["silent", "half a head", "form"])
def test_a_full_worker_answers_health_checks_and_tells_all_others(small: Bridge, first: str) -> None:
    crowd: list[socket.socket] = []
    try:
        crowd += [dial(small, first) for _ in range(MOST * 10)]
        for path in ("/livez", "/health"):
            assert answer(dial(small, get(path))).startswith("HTTP/1.1 200 ")
        refused = answer(dial(small, get("/v1/models")))
        assert refused.startswith("HTTP/1.1 503 ")
        assert "Retry-After: 5" in refused
        assert '"overloaded"' in refused
    finally:
        for connection in crowd:
            connection.close()


def test_a_crowd_that_has_gone_leaves_room(small: Bridge) -> None:
    for connection in [dial(small) for _ in range(MOST * 10)]:
        connection.close()
    # Their ends are noticed one after the other; a connection that is kept alive is none of those that are too many.
    assert any(requests.get(f"{small.url}/livez", timeout=30).headers["Connection"] == "keep-alive" for _ in range(50))


def test_a_crowd_is_one_line_in_the_log(tmp_path: Path) -> None:
    with Bridge({"WORKER_CONNECTIONS": str(MOST)}, tmp_path) as bridge:
        crowd = [dial(bridge) for _ in range(MOST * 4)]
        assert answer(dial(bridge, get("/livez"))).startswith("HTTP/1.1 200 ")
        assert bridge.log.count("WORKER_CONNECTIONS") == 1
        for connection in crowd:
            connection.close()
