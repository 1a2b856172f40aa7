"""Copilot over TLS, as it is in life: connections are kept, whatever the records in which the bytes arrive."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import dialects
from tests.support.authority import Authority
from tests.support.bridge import Bridge
from tests.support.dialects import DOORS, PROTOCOLS
from tests.support.raw_upstream import Asked, RawUpstream


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def raw(authority: Authority) -> Iterator[RawUpstream]:
    with RawUpstream(dialects.MODELS, tls=authority.server_context("127.0.0.1", [])) as running:
        yield running


@pytest.fixture(scope="module")
def bridge(raw: RawUpstream, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    env = {**raw.environment(), "REQUESTS_CA_BUNDLE": authority.bundle, "KEEP_ALIVE_S": "300"}
    with Bridge(env, tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("door", PROTOCOLS)
def test_ten_answers_use_one_connection(
    bridge: Bridge, raw: RawUpstream, door: str, protocol: str, stream: bool
) -> None:
    def answer(asked: Asked) -> list[bytes]:
        *head, last, end = [b"", *dialects.answer(protocol, f"<{dialects.asked_for(asked.json)}>", stream=stream)]
        return [piece for piece in [*head, last + end] if piece]

    raw.answer = answer
    before = len(raw.calls())
    for number in range(10):
        body = dialects.request(door, f"{protocol}-model", f"w{number}", stream=stream)
        answered = bridge.post(DOORS[door], json=body)
        assert (answered.status_code, f"<w{number}>" in answered.text) == (200, True)
    calls = raw.calls()[before:]
    assert (len(calls), len({call.connection for call in calls})) == (10, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("door", PROTOCOLS)
def test_streams_at_the_same_time_get_their_own_events(
    bridge: Bridge, raw: RawUpstream, door: str, protocol: str
) -> None:
    """Upstream writes one piece to each of them in turn, so all of them are in the middle at the same time."""
    words = [f"w{number}w" for number in range(6)]
    turn = threading.Barrier(len(words))

    def answer(asked: Asked) -> Iterator[bytes]:
        for piece in dialects.answer(protocol, f"<{dialects.asked_for(asked.json)}>", stream=True):
            for line in piece.splitlines(keepends=True):
                turn.wait(30)
                yield line

    def ask(word: str) -> str:
        body = dialects.request(door, f"{protocol}-model", word, stream=True)
        return bridge.post(DOORS[door], json=body).text

    raw.answer = answer
    with ThreadPoolExecutor(len(words)) as clients:
        texts = list(clients.map(ask, words))
    for text, own in zip(texts, words, strict=True):
        assert [word for word in words if f"<{word}>" in text] == [own]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_client_that_leaves_has_the_connection_closed(bridge: Bridge, raw: RawUpstream, stream: bool) -> None:
    has_come, is_over = threading.Event(), threading.Event()

    def answer(_: Asked) -> Iterator[bytes]:
        has_come.set()
        is_over.wait(60)
        return iter(())

    raw.answer = answer
    body = json.dumps(dialects.request("chat", "chat-model", "hi", stream=stream)).encode()
    head = (
        f"POST {DOORS['chat']} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bridge.api_key}\r\n"
        f"X-Request-Id: left-{stream}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", bridge.port)) as client:
        client.sendall(head.encode() + body)
        assert has_come.wait(30)
    assert bridge.request_line(f"left-{stream}")["error"] == "client_gone"
    is_over.set()
    raw.wait_closed(raw.calls()[-1].connection)
    assert "Traceback" not in bridge.log
