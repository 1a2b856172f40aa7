"""A client that hangs up is noticed at every phase: upstream's connection is closed, and the log line says so."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import dialects
from tests.support.bridge import Bridge
from tests.support.dialects import DOORS, PROTOCOLS
from tests.support.raw_upstream import Asked, RawUpstream, http


@pytest.fixture(scope="module")
def raw() -> Iterator[RawUpstream]:
    with RawUpstream(dialects.MODELS) as running:
        yield running


@pytest.fixture(scope="module")
def patient(raw: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge that says nothing on its own for far longer than the test lasts."""
    folder: Path = tmp_path_factory.mktemp("patient")
    with Bridge({**raw.environment(), "KEEP_ALIVE_S": "300"}, folder) as running:
        yield running


def post(bridge: Bridge, protocol: str, request_id: str, *, stream: bool) -> socket.socket:
    """A request whose answer is not waited for."""
    body = json.dumps(dialects.request(protocol, f"{protocol}-model", "hi", stream=stream)).encode()
    head = (
        f"POST {DOORS[protocol]} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bridge.api_key}\r\n"
        f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", bridge.port))
    connection.sendall(head.encode() + body)
    return connection


def before_the_head(protocol: str, stream: bool) -> list[bytes]:
    return []


def before_the_first_event(protocol: str, stream: bool) -> list[bytes]:
    return [dialects.answer(protocol, "hi", stream=stream)[0][:-1]]


def between_two_events(protocol: str, stream: bool) -> list[bytes]:
    return dialects.answer(protocol, "hi", stream=stream)[:-3]


PHASES: dict[str, tuple[bool, Callable[[str, bool], list[bytes]]]] = {
    "whole, before the head": (False, before_the_head),
    "whole, in the body": (False, before_the_first_event),
    "stream, before the head": (True, before_the_head),
    "stream, before the first event": (True, before_the_first_event),
    "stream, between two events": (True, between_two_events),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_client_that_leaves_is_noticed_while_nothing_is_written(
    raw: RawUpstream, patient: Bridge, protocol: str, phase: str
) -> None:
    stream, sent = PHASES[phase]
    is_over, calls = threading.Event(), len(raw.calls())

    def answer(asked: Asked) -> Iterator[bytes]:
        yield from sent(protocol, stream)
        is_sent.set()
        is_over.wait(60)

    raw.answer, is_sent = answer, threading.Event()
    request_id = f"gone-{protocol}-{list(PHASES).index(phase)}"
    client = post(patient, protocol, request_id, stream=stream)
    assert is_sent.wait(30)
    if sent is between_two_events:
        assert client.recv(1)  # the bridge has begun to answer
    client.close()
    line = patient.request_line(request_id)
    is_over.set()
    assert line["error"] == "client_gone"
    assert len(raw.calls()) == calls + 1
    raw.wait_closed(raw.calls()[-1].connection)
    # The next request is served as if nothing had been.
    raw.answer = lambda asked: dialects.answer(protocol, "<well>", stream=False)
    body = dialects.request(protocol, f"{protocol}-model", "hi", stream=False)
    assert "<well>" in patient.post(DOORS[protocol], json=body).text


def test_client_that_leaves_ends_the_further_calls_of_an_embeddings_request(raw: RawUpstream, patient: Bridge) -> None:
    is_sent, is_over, calls = threading.Event(), threading.Event(), len(raw.calls())

    def answer(asked: Asked) -> Iterator[bytes]:
        if len(raw.calls()) == calls + 2:
            is_sent.set()
            is_over.wait(60)
        data = [{"embedding": [0.5], "index": n} for n in range(len(asked.json["input"]))]
        yield http(json.dumps({"data": data}).encode())

    raw.answer = answer
    body = json.dumps({"model": "many", "input": ["a"] * 2000}).encode()
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {patient.api_key}\r\n"
        f"X-Request-Id: gone-embed\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    client = socket.create_connection(("127.0.0.1", patient.port))
    client.sendall(head.encode() + body)
    assert is_sent.wait(30)
    client.close()
    assert patient.request_line("gone-embed")["error"] == "client_gone"
    is_over.set()
    raw.wait_closed(raw.calls()[-1].connection)
    assert len(raw.calls()) == calls + 2  # of four
