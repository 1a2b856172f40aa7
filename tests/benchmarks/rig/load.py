"""Load for benchmarks: so many connections, each of which asks again as soon as it has its answer.

    python -m tests.benchmarks.rig.load --port 8000 --path /v1/chat/completions --body FILE --connections 32 --seconds 1

With ``--once`` each connection asks once, spread over so many seconds. Answers count when they are whole: a stream with
all its events and its end. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import time
from pathlib import Path

_MARK = re.compile(rb'"@T(\d{19})# lorem ipsum"')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNK = re.compile(rb"\r\n[0-9A-Fa-f]+\r\n")
_CUT = 40  # bytes of a mark that may be cut off by the end of a read


class Result:
    """What all connections found; times in nanoseconds."""

    def __init__(self) -> None:
        self.answers = self.errors = self.events = 0
        self.first: list[int] = []
        self.delays: list[int] = []
        self.problem = ""

    def as_dict(self) -> dict[str, object]:
        return {
            "answers": self.answers,
            "errors": self.errors,
            "events": self.events,
            "first_ms": _percentiles(self.first),
            "delay_ms": _percentiles(self.delays),
            "problem": self.problem,
        }


def _percentiles(times: list[int]) -> dict[str, float] | None:
    if not times:
        return None
    times.sort()
    return {f"p{p}": times[min(len(times) - 1, len(times) * p // 100)] / 1e6 for p in (50, 99)}


class Asker(asyncio.Protocol):
    """One connection. events: how many a stream has to have; 0: the answer is not streamed."""

    transport: asyncio.Transport

    def __init__(self, request: bytes, events: int, end: bytes, until: float, result: Result) -> None:
        self._request = request
        self._wanted = events
        self._end = end
        self._until = until
        self._result = result
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self._rest = b""
        self._pieces: list[bytes] = []
        self._events = 0
        self._has_ended = False
        self._asked_at = time.monotonic_ns()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        data = self._rest + data
        (self._read_stream if self._wanted else self._read_whole)(data)

    def _read_stream(self, data: bytes) -> None:
        found = _MARK.findall(data)
        if found:
            now = time.monotonic_ns()
            if not self._events:
                self._result.first.append(now - self._asked_at)
            self._events += len(found)
            self._result.delays.extend([now - int(mark) for mark in found])
        self._has_ended = self._has_ended or self._end in data
        if data.endswith(b"\r\n0\r\n\r\n"):
            self._answered(self._has_ended and self._has_all_events(), data)
            return
        # What a mark or the end may begin with, but no mark that was counted already.
        before, closed, tail = data[-_CUT:].rpartition(b'ipsum"')
        self._rest = tail if closed else before + tail

    def _has_all_events(self) -> bool:
        if self._events != self._wanted:  # nginx begins another chunk wherever it likes, in the middle of a mark say
            self._events = len(_MARK.findall(_CHUNK.sub(b"", b"".join(self._pieces))))
        return self._events == self._wanted

    def _read_whole(self, data: bytes) -> None:
        self._rest = data
        head_end = data.find(b"\r\n\r\n") + 4
        if head_end < 4:
            return
        length = _LENGTH.search(data[:head_end])
        is_whole = len(data) >= head_end + int(length[1]) if length else data.endswith(b"\r\n0\r\n\r\n")
        if is_whole:
            self._answered(data.startswith(b"HTTP/1.1 200"), data)

    def _answered(self, is_good: bool, data: bytes) -> None:
        result = self._result
        if is_good:
            result.answers += 1
            result.events += self._events
        else:
            self._failed(f"{self._events} events, end {self._has_ended}: {data[:300]!r}")
        if time.monotonic() < self._until:
            self._ask()
        else:
            self._finish()

    def _failed(self, problem: str) -> None:
        self._result.errors += 1
        self._result.problem = self._result.problem or problem

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._failed(f"the connection ended: {error}")
            self.done.set_result(None)


async def run(wanted: argparse.Namespace) -> Result:
    body = Path(wanted.body).read_bytes()
    head = f"POST {wanted.path} HTTP/1.1\r\nHost: 127.0.0.1:{wanted.port}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {wanted.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    loop, result = asyncio.get_running_loop(), Result()
    until = 0.0 if wanted.once else time.monotonic() + wanted.seconds
    pause = wanted.once / wanted.connections
    askers: list[Asker] = []
    began = loop.time()
    for number in range(wanted.connections):
        if (early := began + number * pause - loop.time()) > 0:
            await asyncio.sleep(early)
        _, asker = await loop.create_connection(
            lambda: Asker(head.encode() + body, wanted.events, wanted.end.encode(), until, result),
            "127.0.0.1",
            wanted.port,
        )
        askers.append(asker)
    await asyncio.wait([asker.done for asker in askers], timeout=wanted.patience)
    for asker in askers:
        if not asker.done.done():
            asker._failed("no answer in time")
            asker.transport.abort()
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--body", required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--once", type=float, default=0)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--end", default="")
    parser.add_argument("--patience", type=float, default=60)
    wanted = parser.parse_args()
    gc.freeze()
    gc.disable()
    print(json.dumps(asyncio.run(run(wanted)).as_dict()))


if __name__ == "__main__":
    main()
