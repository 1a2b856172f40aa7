"""Sockets and HTTP/1.1 by hand, because the faults of contract §13.10 need control over every byte.

One thread per connection; keep-alive, chunked request bodies, ``Expect: 100-continue``, chunked or
connection-delimited answers, one-byte segments, RST before or inside an answer.
"""

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_HANGUP = getattr(select, "POLLRDHUP", 0)
Headers = list[tuple[str, str]]


class ClientGone(Exception):
    """The other side closed the connection before the answer was complete."""


class Closed(Exception):
    """We closed the connection on purpose (fault injection)."""


class Request:
    """One parsed HTTP request."""

    def __init__(self, port: str, method: str, target: str, headers: Headers, body: bytes) -> None:
        self.port = port
        self.method = method
        parts = urlsplit(target)
        self.path = unquote(parts.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.target = target
        self.headers = headers
        self.lower = {name.lower(): value for name, value in headers}
        self.body = body
        self.json: Any = None
        self.json_error = False
        if body:
            try:
                self.json = json.loads(body)
            except ValueError:
                self.json_error = True

    def header(self, name: str) -> str | None:
        return self.lower.get(name.lower())

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON body when it is an object, else an empty one."""
        return self.json if isinstance(self.json, dict) else {}


def client_closed(sock: socket.socket) -> bool:
    """Whether the peer has hung up, without consuming anything it may have sent."""
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def pause(sock: socket.socket, seconds: float, wake: socket.socket | None = None) -> bytes | None:
    """Wait while watching the client: returns what ``wake`` received, None after the time, raises ClientGone."""
    poller = select.poll()
    poller.register(sock, select.POLLIN | _HANGUP)
    if wake is not None:
        poller.register(wake, select.POLLIN)
    deadline = time.monotonic() + seconds
    watching = True
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        for fileno, _ in poller.poll(left * 1000):
            if wake is not None and fileno == wake.fileno():
                return wake.recv(1)
            if watching:
                if client_closed(sock):
                    raise ClientGone
                poller.unregister(sock)  # a pipelined request: not a hang-up, and it would spin the poll
                watching = False


class Exchange:
    """The answer side of one request."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float], keep_alive: bool) -> None:
        self.sock = sock
        self.clock = clock
        self.keep_alive = keep_alive
        self.byte_mode = False
        self.cut: tuple[int | None, bool] | None = None  # whole answers: (bytes to send or None for half, with RST)
        self.status = 0
        self.record: dict[str, Any] = {}  # the status is noted here before a byte of the answer leaves
        self.base: Headers = []  # headers every answer of this request carries
        self._chunked = False

    def _send(self, data: bytes) -> None:
        try:
            if self.byte_mode:
                for position in range(len(data)):
                    self.sock.sendall(data[position : position + 1])
            else:
                self.sock.sendall(data)
        except OSError as error:
            raise ClientGone from error

    def _head(self, status: int, headers: Headers) -> bytes:
        self.status = self.record["status"] = status
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Unknown"
        names = {name.lower() for name, _ in headers}
        lines = [f"HTTP/1.1 {status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in self.base if name.lower() not in names]
        lines += [f"{name}: {value}" for name, value in headers]
        lines.append(f"date: {formatdate(self.clock(), usegmt=True)}")
        if not self.keep_alive:
            lines.append("connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer with a content-length, broken off where a fault says so."""
        data = self._head(status, [*headers, ("content-length", str(len(body)))])
        if self.cut is None:
            return self._send(data + body)
        size, reset = self.cut
        self._send(data + body[: len(body) // 2 if size is None else size])
        return self.break_off(reset)

    def reply_json(
        self,
        status: int,
        value: Any,
        content_type: str = "application/json; charset=utf-8",
        headers: Headers | None = None,
    ) -> None:
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        self.reply(status, [("content-type", content_type), *(headers or [])], body)

    def begin(self, status: int, headers: Headers, chunked: bool = True) -> None:
        """Head of an answer of unknown length."""
        self._chunked = chunked
        if chunked:
            headers = [*headers, ("transfer-encoding", "chunked")]
        else:
            self.keep_alive = False
        self._send(self._head(status, headers))

    def write(self, data: bytes) -> None:
        if client_closed(self.sock):
            raise ClientGone
        if data:
            self._send(f"{len(data):x}\r\n".encode() + data + b"\r\n" if self._chunked else data)

    def end(self) -> None:
        if self._chunked:
            self._send(b"0\r\n\r\n")

    def break_off(self, reset: bool) -> None:
        """Close now: with RST, or with a FIN in the middle of the message."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Closed


Handler = Callable[[Request, Exchange], None]


class Port:
    """One listening port: accepts connections and hands each request to ``handler``."""

    def __init__(self, name: str, port: int, handler: Handler, clock: Callable[[], float]) -> None:
        self.name = name
        self.handler = handler
        self.clock = clock
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512, reuse_port=False)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def start(self) -> None:
        threading.Thread(target=self._accept, name=f"accept-{self.name}", daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock.makefile("rb") as reader:
                while self._one(sock, reader):
                    pass
        except (ClientGone, Closed, OSError, ValueError):
            pass
        finally:
            sock.close()

    def _one(self, sock: socket.socket, reader: Any) -> bool:
        line = reader.readline(65536)
        if not line.strip():
            return False
        method, target, version = line.decode("latin-1").split()
        headers: Headers = []
        while (raw := reader.readline(65536)).strip():
            name, _, value = raw.decode("latin-1").partition(":")
            headers.append((name.strip(), value.strip()))
        lower = {name.lower(): value for name, value in headers}
        if lower.get("expect", "").lower() == "100-continue":
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _read_body(reader, lower)
        if body is None:
            return False
        keep = version == "HTTP/1.1" and lower.get("connection", "").lower() != "close"
        exchange = Exchange(sock, self.clock, keep)
        self.handler(Request(self.name, method, target, headers, body), exchange)
        return exchange.keep_alive


def _read_body(reader: Any, headers: dict[str, str]) -> bytes | None:
    """The request body, or None when the client hung up half way."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        parts: list[bytes] = []
        while True:
            line = reader.readline(1024)
            if not line:
                return None
            size = int(line.split(b";")[0], 16)
            data = reader.read(size)
            reader.readline(1024)
            if size == 0:
                return b"".join(parts)
            parts.append(data)
    length = int(headers.get("content-length") or 0)
    body = reader.read(length) if length else b""
    return body if len(body) == length else None
