"""Which worker answers: connections that stay with one, and what each of them knows."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import requests

from tests.support.bridge import Bridge
from tests.support.waiting import until


class Pinned(requests.Session):
    """A session on one kept-alive connection, which stays with one worker."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["Authorization"] = f"Bearer {bridge.api_key}"


def session_on_each_worker(bridge: Bridge) -> list[requests.Session]:
    """A session on each worker. Connections are opened until the kernel has given some to all of them."""
    by_worker: dict[int, requests.Session] = {}
    spare: list[requests.Session] = []
    workers = _workers(bridge)
    for _ in range(400):
        session = Pinned(bridge)
        pid = _worker_of(bridge, session)
        if pid in by_worker:
            spare.append(session)  # kept open, so that the next connection is likelier to go elsewhere
        else:
            by_worker[pid] = session
        if len(by_worker) == len(workers):
            break
    for one in spare:
        one.close()
    assert len(by_worker) == len(workers)
    return list(by_worker.values())


def until_each_worker(bridge: Bridge, is_so: Callable[[requests.Session], bool]) -> None:
    """Wait until each worker answers as it should."""
    for session in session_on_each_worker(bridge):
        with session:
            until(partial(is_so, session))


def _workers(bridge: Bridge) -> list[str]:
    return Path(f"/proc/{bridge.pid}/task/{bridge.pid}/children").read_text().split()


def _worker_of(bridge: Bridge, session: requests.Session) -> int:
    """The process that holds this session's connection, by the sockets of both ends."""
    response = session.get(f"{bridge.url}/livez", stream=True, timeout=30)
    connection = response.raw._connection or response.raw._original_response
    sock = getattr(connection, "sock", None) or response.raw._fp.fp.raw._sock
    local_port = sock.getsockname()[1]
    response.content  # noqa: B018
    inode = _inode_of(bridge.port, local_port)
    for pid in _workers(bridge):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(descriptor) == f"socket:[{inode}]":
                    return int(pid)
            except OSError:
                continue
    raise AssertionError("no worker holds the connection")


def _inode_of(server_port: int, client_port: int) -> str:
    loopback = socket.inet_aton("127.0.0.1")[::-1].hex().upper()
    wanted = (f"{loopback}:{server_port:04X}", f"{loopback}:{client_port:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1], fields[2]) == wanted:
            return fields[9]
    raise AssertionError("no such connection")
