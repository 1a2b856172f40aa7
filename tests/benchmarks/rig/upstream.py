"""GitHub and Copilot for benchmarks: one process that does nothing but answer, plain and over TLS.

    python -m tests.benchmarks.rig.upstream --port 27100 [--tls-port 27101 --certificate server.pem --key server.key]

``POST /pace?events=300&per_s=0`` sets what streams from now on are like (0: as fast as they go); ``GET /counts`` tells
how many requests for answers there were, and how many of them were the first on their connection, and begins anew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import re
import ssl
import time
from functools import cache, partial
from urllib.parse import parse_qsl, urlsplit

from tests.benchmarks.rig import answers
from tests.benchmarks.rig.answers import PROTOCOLS, STREAM_HEAD, Frames, plain

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'"model": *"([^"]+)"')
_STREAM = re.compile(rb'"stream": *true')
frames = cache(answers.frames)
whole = cache(answers.whole)


class Pace:
    """What streams are like, and what has been asked."""

    def __init__(self) -> None:
        self.events = 300
        self.per_s = 0.0
        self.begin()

    def begin(self) -> None:
        self.requests = self.new_connections = 0


class Client(asyncio.Protocol):
    """A connection: requests in, one after the other, and what was asked for out."""

    transport: asyncio.Transport

    def __init__(self, pace: Pace, token: bytes) -> None:
        self._pace = pace
        self._token = token
        self._received = bytearray()
        self._needed = 0
        self._has_asked = False
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(1 << 24)
        self.transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        if self._next is not None:
            self._next.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < self._needed:
            return
        head_end = self._received.find(b"\r\n\r\n") + 4
        if head_end < 4:
            return
        head = bytes(self._received[:head_end])
        length = _LENGTH.search(head)
        self._needed = head_end + (int(length[1]) if length else 0)
        if len(self._received) < self._needed:
            return
        body = self._received[head_end : self._needed]
        del self._received[: self._needed]
        self._needed = 0
        method, target, _ = head.split(b" ", 2)
        self._answer(method.decode(), target.decode(), body)

    def _answer(self, method: str, target: str, body: bytearray) -> None:
        address = urlsplit(target)
        protocol = PROTOCOLS.get(address.path)
        if protocol is not None and method == "POST":
            self._pace.requests += 1
            self._pace.new_connections += not self._has_asked
            self._has_asked = True
            found = _MODEL.search(body)
            model = found[1].decode() if found else ""
            if _STREAM.search(body):
                self._stream(frames(protocol, model))
            else:
                self.transport.write(whole(protocol, model))
        elif address.path == "/pace":
            wanted = dict(parse_qsl(address.query))
            self._pace.events, self._pace.per_s = int(wanted["events"]), float(wanted["per_s"])
            self.transport.write(plain({}))
        elif address.path == "/counts":
            self.transport.write(
                plain({"requests": self._pace.requests, "new_connections": self._pace.new_connections})
            )
            self._pace.begin()
        elif address.path == "/copilot_internal/v2/token":
            self.transport.write(self._token)
        elif address.path == "/models":
            self.transport.write(plain({"object": "list", "data": answers.models()}))
        elif address.path in ("/user", "/copilot_internal/user"):
            self.transport.write(plain({"login": "bench", "id": 1, "copilot_plan": "individual"}))
        else:
            self.transport.write(plain({"error": {"message": "not found"}}, "404 Not Found"))

    def _stream(self, it: Frames) -> None:
        events, per_s = self._pace.events, self._pace.per_s
        start = STREAM_HEAD + it.first
        if not per_s:
            self.transport.write(start + it.event() * events + it.last)
            return
        loop, step = asyncio.get_running_loop(), 1 / per_s
        left, due = events, loop.time()
        self.transport.write(start)

        def write() -> None:
            nonlocal left, due
            left -= 1
            self.transport.write(it.event() if left else it.event() + it.last)
            if left:
                due += step
                self._next = loop.call_at(due, write)

        write()


def token(scheme: str, port: int) -> bytes:
    content = {
        "token": "tid=bench;exp=9999999999",
        "expires_at": int(time.time()) + 86400,
        "refresh_in": 86000,
        "chat_enabled": True,
        "sku": "copilot_for_individual",
        "endpoints": {"api": f"{scheme}://127.0.0.1:{port}"},
    }
    return plain(content)


async def serve(port: int, tls_port: int, certificate: str, key: str) -> None:
    loop, pace = asyncio.get_running_loop(), Pace()
    await loop.create_server(partial(Client, pace, token("http", port)), "127.0.0.1", port, backlog=4096)
    if tls_port:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        client = partial(Client, pace, token("https", tls_port))
        await loop.create_server(client, "127.0.0.1", tls_port, ssl=context, backlog=4096)
    gc.freeze()
    gc.disable()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls-port", type=int, default=0)
    parser.add_argument("--certificate", default="")
    parser.add_argument("--key", default="")
    wanted = parser.parse_args()
    asyncio.run(serve(wanted.port, wanted.tls_port, wanted.certificate, wanted.key))


if __name__ == "__main__":
    main()
