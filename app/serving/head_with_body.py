"""An answer to a client whose head leaves with the first bytes of its body: one call of the kernel, and one packet."""

from __future__ import annotations

import functools
import time
from email.utils import formatdate
from typing import Any, Final

from gunicorn.http import wsgi

_COPIED: Final = 64 * 1024
"""A body that is larger goes by itself, rather than be copied behind its head."""


class HeadWithBody(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response, but that its head waits for what the same call sends next."""

    headers_sent: bool

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._head = b""

    def default_headers(self) -> list[str]:
        """As gunicorn's; the date, which is good for a second, is not put into words anew for each answer."""
        major, minor = self.req.version
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        return [
            f"HTTP/{major}.{minor} {self.status}\r\nServer: {self.version}\r\nDate: {_date(int(time.time()))}\r\n"
            f"Connection: {connection}\r\n" + ("Transfer-Encoding: chunked\r\n" if self.chunked else "")
        ]

    def send_headers(self) -> None:
        if not self.headers_sent:
            fields = [f"{name}: {value}\r\n" for name, value in self.headers]
            self._head = "".join([*self.default_headers(), *fields, "\r\n"]).encode("latin-1")
            self.headers_sent = True

    def write(self, arg: bytes) -> None:
        if not isinstance(arg, bytes):  # while there can be a proper error yet
            raise TypeError(f"{arg!r} is not bytes")
        super().write(arg)
        if self._head:  # there was nothing to send, or no body may be
            self._send(b"")

    def close(self) -> None:
        self.send_headers()
        if self._head or self.chunked:
            self._send(b"0\r\n\r\n" if self.chunked else b"")

    def sendfile(self, _respiter: Any) -> bool:
        """Never: what comes as a file is read and written like all else, behind its head."""
        return False

    def _emit_body(self, data: bytes) -> None:
        self._send(b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def _send(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) > _COPIED:
                self.sock.sendall(head)
            else:
                data = head + data
        self.sock.sendall(data)


@functools.lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    """A moment as HTTP writes it (RFC 9110 §5.6.7)."""
    return formatdate(seconds, usegmt=True)


def install() -> None:
    """Have gunicorn make these for its workers; it has no setting for it."""
    wsgi.Response = HeadWithBody
