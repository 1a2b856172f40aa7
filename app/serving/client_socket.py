"""A client's connection: what is written to it leaves with one call of the kernel, if there is room."""

from __future__ import annotations

from typing import Any

from gevent.socket import socket


class ClientSocket(socket):  # type: ignore[misc]
    """gevent's socket, but that `sendall` sends at once. gevent's asks for the size of the kernel's buffer first, for
    every event of a stream."""

    __slots__ = ()

    @classmethod
    def taking(cls, accepted: Any) -> ClientSocket:
        """The same connection; the other object is closed, without it."""
        family, kind, proto = accepted.family, accepted.type, accepted.proto
        return cls(family, kind, proto, fileno=accepted.detach())

    def sendall(self, data: bytes, flags: int = 0) -> None:
        try:
            sent = self._sock.send(data, flags)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            super().sendall(memoryview(data)[sent:], flags)
