"""Connections to other servers that trust none of them: what every outgoing call, images included, goes through.

http.client and urllib3 do HTTP; here stands what they leave open (RFC 9112, RFC 9110 §15.2):

* Interim answers (100, 102, 103 …) are read over. http.client does so for 100 only, without end, and takes any other
  for the answer itself: the real one would then be found by whoever gets the connection next.
* A connection serves again only when its answer was framed without doubt, ended exactly there, and left nothing behind.
* The head of an answer has one deadline, not one for each byte, and a server that floods us cannot keep a worker to
  itself: under gevent a read that finds bytes at once never lets another greenlet run.
* The CA file is read once per process. It holds more than a hundred certificates, which takes some 20 ms.
"""

from __future__ import annotations

import contextlib
import email.parser
import functools
import http.client
import io
import os
import queue
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gevent.monkey import get_original
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError
from urllib3.response import HTTPResponse
from urllib3.util.request import SKIP_HEADER
from urllib3.util.ssl_ import create_urllib3_context

MOST_INTERIM: Final = 100
"""Interim answers before the real one. A front door that sends one every few seconds while it waits is in time."""
MOST_INTERIM_BYTES: Final = 64 * 1024
_TURN_S: Final = 0.01
"""A reader that found bytes at every look lets the others go first after so long."""
_WAITED_S: Final = 0.001  # a read that took longer has waited, and others have had their turn

_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_PLAIN_HEADER: Final = re.compile(r"[A-Za-z0-9-]+: [!-~](?:[ -~]*[!-~])?")
_PLAIN_HEADERS: Final = re.compile(rf"{_PLAIN_HEADER.pattern}(?:\r\n{_PLAIN_HEADER.pattern})*")
_PLAIN_LINE: Final = re.compile(rb"([A-Za-z0-9-]+):[ \t]*([!-~](?:[ -~]*[!-~])?)\r\n")
_FOLD: Final = re.compile(r"(?:(?<![ \t])[ \t]+)?\r\n[ \t]+")
_COPIED: Final = 64 * 1024
"""A body that is larger is sent by itself, rather than be copied behind its head."""
_LINE: Final = 65536
_MOST_HEADERS: Final = 100


class Interrupt:
    """Breaks off the call that a thread (a greenlet) has in progress: ``with interrupt: …`` there, `set` elsewhere.

    From then on that thread can make no call any more; the one in progress fails as if the server had hung up.
    """

    _here: _Here

    def __init__(self) -> None:
        self._is_set = False
        self._sock: Any = None

    def __enter__(self) -> None:
        Interrupt._here.current = self

    def __exit__(self, *_: object) -> None:
        self._sock = Interrupt._here.current = None

    def set(self) -> None:
        self._is_set = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    @staticmethod
    @contextlib.contextmanager
    def held_off() -> Iterator[None]:
        """Within, calls of this thread are not broken off: what they fetch is for others as well."""
        current = Interrupt._here.current
        Interrupt._here.current = None
        try:
            yield
        finally:
            Interrupt._here.current = current

    @staticmethod
    def watch(sock: Any) -> None:
        """This thread has a call on that socket; None: on none. Raises: ConnectionAbortedError, if it is not to."""
        current: Interrupt | None = Interrupt._here.current
        if current is None:
            return
        current._sock = sock
        if current._is_set and sock is not None:
            raise ConnectionAbortedError("nobody waits for this call any more")

    @staticmethod
    @contextlib.contextmanager
    def waking(wake: Callable[[], object]) -> Iterator[None]:
        """Within, this thread waits for something else than a call: `wake` is called if that is broken off."""
        current: Interrupt | None = Interrupt._here.current
        if current is None:
            yield
            return
        current._sock = _Waiting(wake)
        try:
            yield
        finally:
            current._sock = None

    @staticmethod
    def is_called_off() -> bool:
        """Whether nobody waits any more for what this thread does."""
        current: Interrupt | None = Interrupt._here.current
        return current is not None and current._is_set


class _Here(threading.local):
    current: Interrupt | None = None


Interrupt._here = _Here()


class _Waiting:
    """In place of a socket."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake

    def shutdown(self, _how: int) -> None:
        self._wake()


class StaleConnectionError(http.client.RemoteDisconnected):
    """The server closed a connection that had served before, without a byte of an answer to this request."""


class PatientReader(io.RawIOBase):
    """The raw side of an answer: reads of the socket that keep a deadline and take turns with other greenlets.

    deadline: by `time.monotonic`; None for the socket's own timeout for each read.
    A read that finds nothing on a socket whose timeout is 0 raises TimeoutError, as one that has waited does.
    """

    def __init__(self, inner: Any, deadline: float | None) -> None:
        self._inner = inner  # socket.SocketIO: it counts the readers of its socket
        self._sock = inner._sock
        self._since = time.monotonic()
        self._is_held = False
        self.deadline = deadline
        self.received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._is_held:
            return None
        now = time.monotonic()
        if now - self._since > _TURN_S:
            time.sleep(0)
            self._since = now = time.monotonic()
        if self.deadline is not None:
            if now >= self.deadline:
                raise TimeoutError("timed out")
            self._sock.settimeout(self.deadline - now)
        try:
            count: int = self._sock.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError):
            raise TimeoutError("timed out") from None
        if (after := time.monotonic()) - now > _WAITED_S:
            self._since = after
        self.received += count
        return count

    def settimeout(self, seconds: float) -> None:
        self._sock.settimeout(seconds)

    def has_more(self, buffered: io.BufferedReader) -> bool:
        """Whether bytes have been received that nobody has asked for; looks at no network."""
        self._is_held = True
        try:
            if buffered.peek(1):
                return True
        finally:
            self._is_held = False
        pending = getattr(self._sock, "pending", None)  # decrypted already, when this is TLS
        return bool(pending is not None and pending())

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


class Answer(http.client.HTTPResponse):
    """An answer whose interim heads are read over, and that says whether its connection may serve again."""

    def __init__(self, sock: Any, debuglevel: int = 0, method: str | None = None, url: str | None = None) -> None:
        super().__init__(sock, debuglevel, method, url)
        within_s = sock.gettimeout()
        inner = self.fp.detach()
        self.reader = PatientReader(inner, None if within_s is None else time.monotonic() + within_s)
        self.fp: Any = io.BufferedReader(self.reader)

    def begin(self) -> None:
        """As http.client's, which has the mail parser read every head; it still reads those that are not plain."""
        version, status, reason = self._read_status()
        self.code, self.reason = status, reason.strip()
        self.status = status
        if version in ("HTTP/1.0", "HTTP/0.9"):
            self.version = 10
        elif version.startswith("HTTP/1."):
            self.version = 11
        else:
            raise http.client.UnknownProtocol(version)
        self.headers = self.msg = _read_head(self.fp)
        self.chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        if self.chunked:
            self.chunk_left = None
        self.length = None if self.chunked else _length(self.headers.get("content-length", ""))
        if status in (204, 304) or self._method == "HEAD":  # type: ignore[attr-defined]
            self.length = 0
        # http.client's word for a connection that must not serve again.
        self.will_close = (
            self._check_close()  # type: ignore[attr-defined]
            or (not self.chunked and self.length is None)
            or bool(self.headers.defects)  # where the parser stopped, another would have read on
            or not self._is_framed_clearly()
        )
        self.reader.deadline = None

    def _read_status(self) -> tuple[str, int, str]:
        left = MOST_INTERIM_BYTES
        for _ in range(MOST_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            if status == 101:
                raise http.client.HTTPException("the server switches protocols, which nobody asked for")
            while (line := self.fp.readline(_LINE + 1)) not in (b"\r\n", b"\n"):
                left -= len(line)
                if not line:
                    raise http.client.RemoteDisconnected("the connection ended in an interim answer")
                if left < 0:
                    raise http.client.HTTPException("more interim headers than are read")
        raise http.client.HTTPException(f"more than {MOST_INTERIM} interim answers")

    def _is_framed_clearly(self) -> bool:
        """Whether there is one way only to tell where the body ends (RFC 9112 §6.3)."""
        lengths, codings = self.headers.get_all("content-length", []), self.headers.get_all("transfer-encoding", [])
        if self.status in (204, 304):  # no body; one that is announced may come all the same
            return not codings and all(length.strip() == "0" for length in lengths)
        if codings:
            return self.chunked and len(codings) == 1 and not lengths
        return len(lengths) == 1 and bool(_LENGTH.fullmatch(lengths[0].strip()))

    def end(self) -> bool:
        """The body has been read to its end; whether the connection may serve again. It is no longer ours."""
        is_clean = not self.will_close and not self.reader.has_more(self.fp)
        self._close_conn()  # type: ignore[attr-defined]
        Interrupt.watch(None)
        return is_clean


def _read_head(fp: Any) -> http.client.HTTPMessage:
    """The headers of an answer. Raises: http.client.HTTPException for too many, too long ones, and a head without end,
    which http.client takes for a whole one."""
    lines: list[bytes] = []
    while not lines or lines[-1] not in (b"\r\n", b"\n", b""):
        lines.append(fp.readline(_LINE + 1))
        if len(lines[-1]) > _LINE:
            raise http.client.LineTooLong("header line")
        if len(lines) > _MOST_HEADERS:
            raise http.client.HTTPException(f"more than {_MOST_HEADERS} headers")
    if not lines[-1]:
        raise http.client.HTTPException("the connection ended in the head of an answer")
    message = http.client.HTTPMessage()
    for line in lines[:-1]:
        if (plain := _PLAIN_LINE.fullmatch(line)) is None:
            whole = b"".join(lines).decode("iso-8859-1")
            return _unfolded(email.parser.Parser(_class=http.client.HTTPMessage).parsestr(whole))
        message.set_raw(plain[1].decode("ascii"), plain[2].decode("ascii"))
    return message


def _unfolded(message: http.client.HTTPMessage) -> http.client.HTTPMessage:
    """The same with each value on one line, as urllib3 does it; long ones were once written on several."""
    unfolded = http.client.HTTPMessage()
    for name, value in message.raw_items():
        unfolded.set_raw(name, _FOLD.sub(" ", str(value)))
    unfolded.defects = message.defects
    return unfolded


def _length(text: str) -> int | None:
    """What Content-Length says, as http.client reads it; the rest of its oddities are not framed clearly."""
    try:
        length = int(text)
    except ValueError:
        return None
    return length if length >= 0 else None


# gevent's own would take a turn through the event loop, only to learn at once what there is.
_poll: Any = get_original("select", "poll") if hasattr(select, "poll") else None


class _Reused:
    """Tells a connection that the server closed while it was idle from a server that does not answer."""

    _served = 0
    _asked: tuple[tuple[str, str], dict[str, Any]]
    _buffer: list[bytes]
    sock: Any
    timeout: Any
    putrequest: Any
    endheaders: Any

    @property
    def is_connected(self) -> bool:
        """Whether an idle connection is as it was left: open, and nothing has come on it. Waits for nothing."""
        if self.sock is None or _poll is None:
            return bool(super().is_connected)  # type: ignore[misc]
        poll = _poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def connect(self) -> None:
        self._served = 0
        super().connect()  # type: ignore[misc]
        Interrupt.watch(self.sock)

    def request(self, *asked: Any, **how: Any) -> None:
        """As urllib3's, which puts each header down by itself, and sends a head before its body."""
        if self.sock is not None:
            Interrupt.watch(self.sock)
        # Not what was sent: the connection may wait for the next request for a long time.
        self._asked = asked, {name: flag for name, flag in how.items() if name not in ("body", "headers", "chunked")}
        body, headers = how.get("body"), how.get("headers") or {}
        lines, names = plain_lines(headers), {name.lower() for name in headers}
        is_framed = "content-length" in names and type(body) is bytes
        is_framed = is_framed if body else body is None and asked[0] in ("GET", "HEAD")
        is_usual = "user-agent" in names and "transfer-encoding" not in names and not how.get("chunked")
        if lines is None or not is_framed or not is_usual:
            super().request(*asked, **how)  # type: ignore[misc]
            return
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        self.putrequest(*asked, skip_host="host" in names, skip_accept_encoding="accept-encoding" in names)
        self._buffer.append(lines.encode("ascii"))
        self.endheaders(body)

    def _send_output(self, message_body: Any = None, encode_chunked: bool = False) -> None:
        if type(message_body) is not bytes or len(message_body) > _COPIED or encode_chunked:
            super()._send_output(message_body, encode_chunked)  # type: ignore[misc]
            return
        head = b"\r\n".join([*self._buffer, b"", b""])
        self._buffer.clear()
        self.send(head + message_body)

    def send(self, data: Any) -> None:
        """As http.client's; gevent's `sendall` asks for the size of the kernel's buffer first."""
        if self.sock is None or type(data) is not bytes:
            super().send(data)  # type: ignore[misc]
        elif (sent := self.sock.send(data)) < len(data):
            self.sock.sendall(memoryview(data)[sent:])

    def putheader(self, header: Any, *values: Any) -> None:
        """As urllib3's and http.client's, which look at each part of it by itself; what is not plain goes there."""
        line = f"{header}: {values[0]}" if len(values) == 1 and type(values[0]) is str else ""
        if _PLAIN_HEADER.fullmatch(line) and values[0] != SKIP_HEADER:
            self._buffer.append(line.encode("ascii"))
        else:
            super().putheader(header, *values)  # type: ignore[misc]

    def getresponse(self) -> Any:
        """urllib3's response around the `Answer` that comes next."""
        made: list[Answer] = []

        def make(*given: Any, **more: Any) -> Answer:
            made.append(Answer(*given, **more))
            return made[-1]

        self.response_class = make
        (method, url), how = self._asked
        self.sock.settimeout(self.timeout)
        try:
            answer = http.client.HTTPConnection.getresponse(self)  # type: ignore[arg-type]
            response = HTTPResponse(
                body=answer,
                headers=HTTPHeaderDict(answer.headers.raw_items()),
                status=answer.status,
                version=answer.version,
                reason=answer.reason,
                original_response=answer,
                request_method=method,
                request_url=url,
                **how,
            )
        except BaseException as error:
            for answer in made:  # it may have the socket by now, and nobody will get to see it, and close it
                answer.close()
            is_closed = isinstance(error, http.client.RemoteDisconnected | ConnectionResetError)
            if is_closed and self._served and not any(answer.reader.received for answer in made):
                raise StaleConnectionError("the connection was closed while it was idle") from error
            raise
        self._served += 1
        return response


class Connection(_Reused, HTTPConnection):
    response_class = Answer


class SecureConnection(_Reused, HTTPSConnection):
    response_class = Answer


class _Own:
    """A pool with a straight way through it, and an end for idle connections: urllib3 keeps them until somebody takes
    them, also those that the server has closed long since."""

    pool: Any
    _get_conn: Any

    def ask(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        connect_timeout_s: float,
        read_timeout_s: float,
    ) -> HTTPResponse:
        """Send one request on a connection of this pool; its answer, of which the head has been read.

        What `urlopen` does where there is no proxy and nothing is repeated, redirected, or decoded.
        Raises: whatever went wrong, as it is: HTTPException, OSError (ssl.SSLError is one), urllib3's HTTPError.
        """
        conn = self._get_conn()
        try:
            conn.timeout = connect_timeout_s
            if conn.is_closed:
                conn.connect()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it closed
                conn.request(method, target, body=body, headers=headers, preload_content=False, decode_content=False)
            conn.timeout = read_timeout_s
            response: HTTPResponse = conn.getresponse()
        except BaseException:
            conn.close()
            self._put_conn(None)
            raise
        response._connection, response._pool = conn, self  # type: ignore[assignment]
        return response

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)  # type: ignore[misc]

    def close_idle(self, *, longer_than_s: float) -> None:
        """Close connections that nobody has used for so long, or that the server has closed."""
        waiting, until = [], time.monotonic() - longer_than_s
        with contextlib.suppress(queue.Empty):
            while self.pool is not None:
                waiting.append(self.pool.get(block=False))
        for conn in reversed(waiting):
            if conn and (conn.idle_since <= until or not conn.is_connected):
                conn.close()
                conn = None  # urllib3's word for: room for one
            super()._put_conn(conn)  # type: ignore[misc]


class Pool(_Own, HTTPConnectionPool):
    ConnectionCls: Any = Connection


class SecurePool(_Own, HTTPSConnectionPool):
    ConnectionCls: Any = SecureConnection


POOLS: Final = {"http": Pool, "https": SecurePool}


class _ThroughSocks(_Reused):
    """urllib3 does not tell a SOCKS proxy that cannot be reached from the server that cannot be."""

    def _new_conn(self) -> Any:
        try:
            return super()._new_conn()  # type: ignore[misc]
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise ProxyError("the SOCKS proxy gives no connection", error) from error


class SocksConnection(_ThroughSocks, SOCKSConnection):
    response_class = Answer


class SecureSocksConnection(_ThroughSocks, SOCKSHTTPSConnection):
    response_class = Answer


class SocksPool(_Own, HTTPConnectionPool):
    ConnectionCls: Any = SocksConnection


class SecureSocksPool(_Own, HTTPSConnectionPool):
    ConnectionCls: Any = SecureSocksConnection


SOCKS_POOLS: Final = {"http": SocksPool, "https": SecureSocksPool}


def plain_lines(headers: Mapping[str, str]) -> str | None:
    """Headers as they are written, if there is nothing in any of them that may not stand in one."""
    lines = "\r\n".join([f"{name}: {value}" for name, value in headers.items()])
    is_plain = _PLAIN_HEADERS.fullmatch(lines) is not None and lines.count("\r\n") == len(headers) - 1
    return lines if is_plain and SKIP_HEADER not in headers.values() else None


def tls_context(verify: bool | str = True, cert: str | tuple[str, str] | None = None) -> ssl.SSLContext:
    """The TLS settings for a CA bundle (True: the default one; False: none is asked) and a client certificate, made
    once per process.

    Raises: OSError (also as `ssl.SSLError`) if a file cannot be loaded.
    """
    return _tls_context(verify, cert)


@functools.lru_cache(maxsize=16)
def _tls_context(verify: bool | str, cert: str | tuple[str, str] | None) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if verify else ssl.CERT_NONE)
    if verify:
        path = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    if cert is not None:
        context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    return context
