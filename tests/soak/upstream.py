"""GitHub and Copilot for a soak: on one event loop, so that it costs little, and it does what each prompt says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
from typing import Final

from tests.soak.plan import Wanted
from tests.support import dialects
from tests.support.dialects import UPSTREAM_PATHS
from tests.support.raw_upstream import http, of_github, streamed

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_PROTOCOL_OF: Final = {path: protocol for protocol, path in UPSTREAM_PATHS.items()}
_REFUSAL: Final = http(
    b'{"error": {"message": "Sorry, you have hit a rate limit.", "code": "rate_limited"}}',
    status="429 Too Many Requests",
    extra="Retry-After: 7\r\n",
)
RESET: Final = struct.pack("ii", 1, 0)  # for SO_LINGER: whoever closes sends RST


class Upstream:
    """pace_s: from one event of a stream to the next; a whole answer takes as long as one event."""

    def __init__(self, pace_s: float) -> None:
        self._pace_s = pace_s
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections: set[asyncio.StreamWriter] = set()
        self.answering: set[str] = set()
        self.closed_at: dict[str, float] = {}
        """When the bridge closed the connection of an answer that its client had left."""

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(self._serve, sock=self._listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.close_idle()

    def close_idle(self) -> None:
        """As a server does with connections on which nothing has been asked for a while."""
        for writer in self.connections:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self.connections.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may serve another."""
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        own = of_github(path, dialects.MODELS)
        if own is not None:
            writer.write(own)
            return True
        wanted = Wanted.seen_upstream(_PROTOCOL_OF[path], json.loads(body))
        self.answering.add(wanted.id)
        try:
            answer = self._stream if wanted.kind.stream else self._whole
            return await answer(wanted, reader, writer)
        finally:
            self.answering.discard(wanted.id)
            if wanted.kind.ending == "left":
                self.closed_at[wanted.id] = asyncio.get_running_loop().time()

    async def _whole(self, wanted: Wanted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(self._pace_s)
        [answer] = dialects.answer(wanted.protocol, "".join(wanted.texts), stream=False)
        match wanted.kind.name:
            case "whole, finished":
                writer.write(answer)
                return True
            case "whole, refused by upstream":
                writer.write(_REFUSAL)
                return True
            case "whole, upstream closed within the body":
                writer.write(answer[:-5])
            case "whole, client left":
                await reader.read(1)
        return False

    async def _stream(self, wanted: Wanted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        kind = wanted.kind
        if kind.name == "stream, refused by upstream":
            writer.write(_REFUSAL)
            return True
        if kind.name == "stream, client left before the answer":
            await reader.read(1)
            return False
        head, *events, end = streamed(*dialects.events(wanted.protocol, *wanted.texts))
        writer.write(head)
        if kind.ending == "right":
            await self._paced(events, writer)
            writer.write(end)
            return True
        # Whatever else happens does so after `at` pieces of text, of which the first may stand behind others.
        before = next(number for number, event in enumerate(events) if f"{wanted.id}:0 ".encode() in event)
        await self._paced(events[: before + wanted.at], writer)
        if kind.ending == "left":
            await reader.read(1)
        elif kind.name == "stream, upstream reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif kind.name == "stream, upstream closed within a piece":
            writer.write(events[before + wanted.at][:-9])
        else:
            writer.write(end)
        return False

    async def _paced(self, events: list[bytes], writer: asyncio.StreamWriter) -> None:
        for event in events:
            if writer.is_closing():
                raise ConnectionAbortedError("the bridge has closed the connection")
            writer.write(event)
            await asyncio.sleep(self._pace_s)
