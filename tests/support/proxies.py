"""Outbound proxies on 127.0.0.1 that lead every name to a port of this machine, and tell who asked for what."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self


class Proxy:
    """``with SocksProxy({"api.github.test": 4711}) as proxy:`` Names that are not listed are refused.

    asked: ``(host, port)`` of every connection, in the order in which they came.
    """

    scheme = ""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ports = ports
        self.asked: list[tuple[str, int]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.url = f"{self.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            host, port = self._target(client)
            self.asked.append((host, port))
            local = self._ports.get(host)
            client.sendall(self._verdict(local is not None))
            if local is None:
                return
            client = self._opened(client, host)
            with client, socket.create_connection(("127.0.0.1", local)) as server:
                self._sockets += [client, server]
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()

    def _target(self, client: socket.socket) -> tuple[str, int]:
        raise NotImplementedError

    def _verdict(self, granted: bool) -> bytes:
        raise NotImplementedError

    def _opened(self, client: socket.socket, host: str) -> socket.socket:
        return client


class SocksProxy(Proxy):
    """SOCKS 5 (RFC 1928), names resolved here, without a password."""

    scheme = "socks5h"

    def _target(self, client: socket.socket) -> tuple[str, int]:
        methods = _read(client, 2)[1]
        _read(client, methods)
        client.sendall(b"\x05\x00")
        kind = _read(client, 4)[3]
        if kind == 3:
            host = _read(client, _read(client, 1)[0]).decode()
        else:
            family, length = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, _read(client, length))
        return host, struct.unpack("!H", _read(client, 2))[0]

    def _verdict(self, granted: bool) -> bytes:
        return bytes((5, 0 if granted else 2, 0, 1)) + bytes(6)


class TlsProxy(Proxy):
    """An HTTP proxy for https URLs that speaks for the servers: TLS ends here, what is within goes on in the clear."""

    scheme = "http"

    def __init__(self, ports: Mapping[str, int], context_of: Callable[[str], ssl.SSLContext]) -> None:
        super().__init__(ports)
        self._context_of = context_of

    def _target(self, client: socket.socket) -> tuple[str, int]:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += _read(client, 1)
        method, target, _ = head.decode().split(" ", 2)
        assert method == "CONNECT", head
        host, _, port = target.rpartition(":")
        return host, int(port)

    def _verdict(self, granted: bool) -> bytes:
        return b"HTTP/1.1 200 OK\r\n\r\n" if granted else b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    def _opened(self, client: socket.socket, host: str) -> socket.socket:
        return self._context_of(host).wrap_socket(client, server_side=True)


def _read(sock: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = sock.recv(count - len(found))
        if not piece:
            raise ConnectionError("the client left")
        found += piece
    return found


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
