"""Many hostile answers at once: each client is told in its dialect, and the worker stays within bounds."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
import requests

from tests.support import dialects
from tests.support.bridge import Bridge
from tests.support.dialects import DOORS, PROTOCOLS
from tests.support.effort import IS_THOROUGH
from tests.support.raw_upstream import Answering, Asked, RawUpstream, http

MIB = 1024 * 1024
BOMB_MIB = 200
AT_ONCE = 20 if IS_THOROUGH else 9
MOST_MIB = 640
"""What a worker may take at its worst: itself, its budget of 128 MiB three times over, and what Python keeps."""


@pytest.fixture(scope="module")
def raw() -> Iterator[RawUpstream]:
    with RawUpstream(dialects.MODELS) as running:
        yield running


@pytest.fixture(scope="module")
def bridge(raw: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    # Patient: on a busy machine a stream would begin with a keep-alive, and its failure come with a 200.
    env = {**raw.environment(), "UPSTREAM_RETRIES": "0", "KEEP_ALIVE_S": "60"}
    with Bridge(env, tmp_path_factory.mktemp("bounds")) as running:
        yield running


def peak_mib(bridge: Bridge) -> int:
    """The most that the worker has ever held, in MiB."""
    assert bridge._process is not None
    master = bridge._process.pid
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    status = Path(f"/proc/{children[0]}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


@cache
def bomb(first: bytes, filler: bytes) -> bytes:
    """What unpacks to 200 MiB of this."""
    return gzip.compress(first + filler * (BOMB_MIB * MIB), compresslevel=1)


def zipped(asked: Asked) -> bytes:
    return http(bomb(b"", b" "), extra="Content-Encoding: gzip\r\n")


def plain(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (BOMB_MIB * MIB)
    for _ in range(BOMB_MIB):
        yield b" " * MIB


def refusal(asked: Asked) -> bytes:
    return http(bomb(b"", b" "), status="400 Bad Request", extra="Content-Encoding: gzip\r\n")


def line_without_end(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: "
    for _ in range(BOMB_MIB):
        yield b"x" * MIB


def event_without_end(asked: Asked) -> bytes:
    return http(bomb(b"data: ", b"x"), kind="text/event-stream", extra="Content-Encoding: gzip\r\n")


HOSTILE: dict[str, tuple[Answering, bool]] = {
    "a bomb": (zipped, False),
    "a long answer": (plain, False),
    "a long refusal": (refusal, False),
    "a line without end": (line_without_end, True),
    "a packed event without end": (event_without_end, True),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_are_told_and_the_worker_stays_small(raw: RawUpstream, bridge: Bridge, name: str) -> None:
    raw.answer, stream = HOSTILE[name]

    def ask(number: int) -> requests.Response:
        protocol = PROTOCOLS[number % len(PROTOCOLS)]
        body = dialects.request(protocol, f"{protocol}-model", "hi", stream=stream)
        return bridge.post(DOORS[protocol], json=body)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))
    assert {answer.status_code for answer in answers} <= {502, 503}
    assert all("error" in json.loads(answer.content) for answer in answers)
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 503)
    assert peak_mib(bridge) < MOST_MIB
    # And the next one is served.
    raw.answer = lambda asked: dialects.answer("chat", "<well>", stream=False)
    body = dialects.request("chat", "chat-model", "hi", stream=False)
    assert "<well>" in bridge.post(DOORS["chat"], json=body).text
