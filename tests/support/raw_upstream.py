"""GitHub and Copilot on a plain socket of 127.0.0.1, whose every byte a test decides."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

CLOSE = b"(the connection is closed here)"
"""In an answer: nothing more is sent, and the connection is closed."""

LINGER = b"(whoever asks nothing more is left soon)"
"""In an answer, last: the connection is closed unless the next request comes on it, or its other end is closed, soon.
A reader that was told of more than there is waits no longer."""
_SOON_S = 0.05
RESET = b"(the connection is reset here)"
"""In an answer: nothing more is sent, and the other side is told so by a reset."""
STALL = b"(nothing comes until the other side gives up)"
"""In an answer: the connection stays open and silent until its other end is closed."""
_GIVES_UP_S = 60
_RESETS = struct.pack("ii", 1, 0)  # lingering for no time at all


@dataclass(slots=True)
class Asked:
    """One request as it came. connection: the number of the connection it came on, from 0."""

    connection: int
    method: str
    path: str
    body: bytes
    json: Any = field(init=False)

    def __post_init__(self) -> None:
        self.json = json.loads(self.body) if self.body else None


Answering = Callable[[Asked], "bytes | Sequence[bytes] | Iterator[bytes]"]
"""The bytes to answer with, one send for each piece; a generator may wait for something in between."""


def http(body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> bytes:
    """A whole answer with its length."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def streamed(*events: bytes) -> list[bytes]:
    """An event stream, chunked: the head, a chunk for each event, and the end of the body."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%s\r\n" % (len(event), event) for event in events), b"0\r\n\r\n"]


def of_github(path: str, models: Sequence[dict[str, Any]]) -> bytes | None:
    """What GitHub answers for a token, and Copilot for its model list; None for any other path."""
    if path == "/copilot_internal/v2/token":
        token = {"token": "tid=test;exp=1:mac", "expires_at": 4_000_000_000, "refresh_in": 1500}
        return http(json.dumps(token).encode())
    if path == "/models":
        return http(json.dumps({"data": list(models), "object": "list"}).encode())
    return None


def environment(url: str) -> dict[str, str]:
    """Settings of a bridge that has this address for GitHub and Copilot, and somebody signed in."""
    names = ("GITHUB_BASE_URL", "GITHUB_API_BASE_URL", "COPILOT_API_BASE_URL")
    return {**dict.fromkeys(names, url), "GH_COPILOT_TOKEN": "ghu_test_raw"}


class RawUpstream:
    """``with RawUpstream(models) as upstream:`` answers for GitHub and the model list, and as `upstream.answer` says
    for all else. models: entries of the model list. tls: its certificate, for https."""

    def __init__(self, models: Sequence[dict[str, Any]] = (), *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.answer: Answering = lambda asked: http(b"{}")
        self.models = list(models)
        self.requests: list[Asked] = []
        self.accepted = 0  # connections on which a model was called
        self.changed = threading.Condition()
        self.closed: set[int] = set()  # connections that the bridge has closed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.hang_up()

    def environment(self) -> dict[str, str]:
        """Settings of a bridge that has this for GitHub and Copilot, and somebody signed in."""
        return environment(self.url)

    def calls(self) -> list[Asked]:
        """The requests to a model."""
        return [asked for asked in self.requests if asked.method == "POST"]

    def wait_closed(self, connection: int) -> None:
        """Until the bridge has closed its end of this connection."""
        with self.changed:
            assert self.changed.wait_for(lambda: connection in self.closed, 20), f"{connection} is still open"

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Within, nobody listens, and connections that were open are closed."""
        address = self._listener.getsockname()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        try:
            yield
        finally:
            self._listener = socket.create_server(address)
            threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections.append(connection)
                number = len(self._connections) - 1
                threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        if self._tls is not None:
            try:
                connection = self._connections[number] = self._tls.wrap_socket(connection, server_side=True)
            except ssl.SSLError:  # whoever connected does not trust us
                return
        try:
            with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
                while (asked := _read_request(lines, number)) is not None:
                    with self.changed:
                        self.requests.append(asked)
                        self.changed.notify_all()
                    given = self._own(asked) or self.answer(asked)
                    for piece in [given] if isinstance(given, bytes) else given:
                        if not _sent(connection, piece):
                            return
        finally:
            connection.close()
        with self.changed:
            self.closed.add(number)
            self.changed.notify_all()

    def _own(self, asked: Asked) -> bytes | Sequence[bytes] | None:
        return of_github(asked.path, self.models)


def _sent(connection: socket.socket, piece: bytes) -> bool:
    """Whether the connection goes on after this piece of an answer."""
    if piece is LINGER or piece is STALL:
        if select.select([connection], [], [], _SOON_S if piece is LINGER else _GIVES_UP_S)[0]:
            return True
        piece = CLOSE
    if piece is RESET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
    elif piece is CLOSE:
        connection.shutdown(socket.SHUT_RDWR)
    else:
        connection.sendall(piece)
    return piece is not RESET and piece is not CLOSE


def _read_request(lines: Any, number: int) -> Asked | None:
    first = lines.readline()
    if not first:
        return None
    method, path, _ = first.decode().split(" ", 2)
    if method == "CONNECT":  # of a bridge in another process of the tests: this port was that of its proxy
        return None
    length = 0
    while (line := lines.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return Asked(number, method, path, lines.read(length))
