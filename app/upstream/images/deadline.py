"""One moment at which a fetch must be done, whatever its connections are waiting for."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from app.http_connection import (
    Connection,
    Pool,
    SecureConnection,
    SecurePool,
    SecureSocksConnection,
    SecureSocksPool,
    SocksConnection,
    SocksPool,
)


class Deadline:
    """The moment at which everything must be done."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self.cut = False  # a connection was cut because of it, even if the clock is a hair behind

    def left(self) -> float:
        """Seconds that remain, always more than 0. Raises `TimeoutError` when there are none."""
        seconds = self._end - self._clock()
        if self.cut or seconds <= 0:
            raise TimeoutError
        return seconds


class Guard:
    """Context manager that cuts the connections opened within it when the deadline passes.

    A socket's timeout is about a single wait: a server that sends one byte now and then never runs into it, be it in
    the headers, the body or (under gevent) the TLS handshake, and these waits happen deep inside libraries.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(deadline.left(), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()  # or it might cut a socket whose number is in use for something else already
        for sock in self._sockets:
            sock.close()

    def watch(self, sock: socket.socket) -> None:
        # A duplicate, as TLS detaches the original. Shutting one down shuts both.
        self._sockets.append(sock.dup())
        if self._deadline.cut:
            self._cut()

    def _cut(self) -> None:
        self._deadline.cut = True
        for sock in self._sockets:
            with contextlib.suppress(OSError):  # closed by the other side already
                sock.shutdown(socket.SHUT_RDWR)


class _Guarded:
    """A connection whose socket the guard of its fetch watches."""

    def __init__(self, *given: Any, guard: Guard, **options: Any) -> None:
        super().__init__(*given, **options)
        self._guard = guard

    def _new_conn(self) -> Any:
        sock = super()._new_conn()  # type: ignore[misc]
        self._guard.watch(sock)
        return sock


class _Connection(_Guarded, Connection):
    pass


class _SecureConnection(_Guarded, SecureConnection):
    pass


class _SocksConnection(_Guarded, SocksConnection):
    pass


class _SecureSocksConnection(_Guarded, SecureSocksConnection):
    pass


class HTTPPool(Pool):
    ConnectionCls = _Connection


class HTTPSPool(SecurePool):
    ConnectionCls = _SecureConnection


class SocksHTTPPool(SocksPool):
    ConnectionCls = _SocksConnection


class SocksHTTPSPool(SecureSocksPool):
    ConnectionCls = _SecureSocksConnection
