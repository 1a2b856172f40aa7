"""A call has one deadline for its whole answer: a server that sends a byte now and then is as good as silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.errors import UpstreamTimeoutError
from app.outbound import Outbound

HEAD = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[str]:
    """The address of a server whose answer never ends."""
    gone = threading.Event()

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(first)
                while not gone.wait(0.05):
                    connection.sendall(drop)
            except OSError:
                pass  # the caller has hung up

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/copilot_internal/v2/token"
        finally:
            gone.set()
            thread.join()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 ", b" "),
        (HEAD, b"X-Drop: 1\r\n"),
        (HEAD + b"X-Long: ", b"x"),
        (HEAD + b"Content-Length: 1000\r\n\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ],
    ids=["status line", "headers", "one header", "body", "chunks", "interim answers"],
)
def test_no_phase_of_an_answer_has_time_of_its_own(first: bytes, drop: bytes) -> None:
    with dripping(first, drop) as url, pytest.raises(UpstreamTimeoutError):
        Outbound().send("GET", url, headers={}, connect_timeout_s=0.3, read_timeout_s=0.3)
