"""The clients of a soak, on one event loop: each asks one thing after the other, and says what it heard."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.soak.plan import Wanted
from tests.soak.upstream import RESET
from tests.support import dialects
from tests.support.dialects import DOORS

_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d\d\d) ")
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_END: Final = b"\r\n0\r\n\r\n"
_PATIENCE_S: Final = 300.0
"""For one answer: far more than it takes on a machine with much else to do."""


class Wrong(Exception):
    """An answer that is not what it should be."""


@dataclass(slots=True)
class Heard:
    """What all clients heard. answers: what was wanted, and what was wrong with it, "" for nothing; left_at: when which
    answer was left."""

    answers: dict[str, tuple[Wanted, str]] = field(default_factory=dict)
    left_at: dict[str, float] = field(default_factory=dict)


class Client:
    """One client, that keeps its connection as long as both sides like."""

    def __init__(self, port: int, key: str, heard: Heard) -> None:
        self._port = port
        self._key = key
        self._heard = heard
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def ask_all(self, wanted: Iterator[Wanted]) -> None:
        """Ask for these, until there are no more."""
        answers = self._heard.answers
        for one in wanted:
            answers[one.id] = (one, "no answer")
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._ask(one)
                answers[one.id] = (one, "")
            except (Wrong, OSError, asyncio.IncompleteReadError, TimeoutError) as problem:
                answers[one.id] = (one, f"{type(problem).__name__} {problem}")
                self.close()
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _ask(self, wanted: Wanted) -> None:
        body = wanted.body()
        head = (
            f"POST {DOORS[wanted.door]} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._key}\r\n"
            f"X-Request-Id: {wanted.id}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(head.encode() + body)
        match wanted.kind.name:
            case "whole, client left" | "stream, client left before the answer":
                await asyncio.sleep(0.2)
                self._leave(wanted)
            case "stream, client left":
                await self._until_text(wanted)
                self._leave(wanted)
            case "stream, client left with a reset":
                await self._until_text(wanted)
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self._leave(wanted)
            case _:
                await self._hear(wanted)

    def _leave(self, wanted: Wanted) -> None:
        self._heard.left_at[wanted.id] = asyncio.get_running_loop().time()
        self.close()

    async def _until_text(self, wanted: Wanted) -> None:
        """Until the last piece has come that upstream gives out for it."""
        heard, last = b"", wanted.texts[wanted.at - 1].encode()
        while last not in heard:
            heard += await self._piece()

    async def _piece(self) -> bytes:
        piece = await self._reader.read(65536)
        if not piece:
            raise Wrong("the connection was closed within an answer")
        return piece

    async def _hear(self, wanted: Wanted) -> None:
        """Read the answer to its end. Raises: Wrong."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, length = int(_STATUS.match(head)[1]), _LENGTH.search(head)
        if length:
            body = await self._reader.readexactly(int(length[1]))
        else:
            body = b""
            while not body.endswith(_END):
                body += await self._piece()
            body = _unchunked(body)
        if b"\r\nConnection: close" in head:
            self.close()
        if not wanted.kind.may_end(status, wanted.kind.error):
            raise Wrong(f"status {status}")
        text, end = dialects.said(wanted.door, body, stream=not length)
        if wanted.kind.ending == "right":
            if (text, end) != ("".join(wanted.texts), "whole"):
                raise Wrong(f"ends {end} with {text[-40:]!r}")
        elif end != "error":
            raise Wrong(f"ends {end}, and no error is told")
        elif not "".join(wanted.texts).startswith(text):
            raise Wrong(f"other text before the error: {text[-40:]!r}")


def _unchunked(body: bytes) -> bytes:
    whole: list[bytes] = []
    at = 0
    while True:
        line = body.index(b"\r\n", at)
        size = int(body[at:line], 16)
        if not size:
            return b"".join(whole)
        whole.append(body[line + 2 : line + 2 + size])
        at = line + 2 + size + 2


async def asked(port: int, path: str) -> bytes:
    """The body of a GET, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return (await reader.read()).partition(b"\r\n\r\n")[2]
