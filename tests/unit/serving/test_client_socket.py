from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import gevent.socket
import pytest

from app.serving.client_socket import ClientSocket

Pair = tuple[Any, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    accepted = gevent.socket.socket(ours.family, ours.type, ours.proto, fileno=ours.detach())
    client = ClientSocket.taking(accepted)
    yield client, theirs
    client.close()
    theirs.close()


def test_what_has_room_leaves_with_one_call(pair: Pair) -> None:
    client, theirs = pair

    class Counted:
        def __init__(self, inner: Any) -> None:
            self.inner, self.calls = inner, list[str]()

        def __getattr__(self, name: str) -> Any:
            self.calls.append(name)
            return getattr(self.inner, name)

    inner = client._sock
    client._sock = counted = Counted(inner)
    client.sendall(b"event")
    client._sock = inner
    assert counted.calls == ["send"]
    assert theirs.recv(10) == b"event"


def test_what_has_no_room_waits_and_arrives_in_order(pair: Pair) -> None:
    client, theirs = pair
    sent = bytes(range(256)) * 40_000
    got = bytearray()

    def read() -> None:
        while len(got) < len(sent) + 3:
            got.extend(theirs.recv(65536))

    reader = threading.Thread(target=read)
    reader.start()
    client.sendall(sent)
    client.sendall(b"")
    client.sendall(b"end")
    reader.join(60)
    assert bytes(got) == sent + b"end"


def test_a_client_that_is_gone_is_told(pair: Pair) -> None:
    client, theirs = pair
    theirs.close()
    with pytest.raises(BrokenPipeError):
        client.sendall(b"event")
