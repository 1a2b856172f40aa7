"""Several workers behave as one service."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge


class Pinned(requests.Session):
    """A session on one kept-alive connection, which stays with one worker."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["Authorization"] = f"Bearer {bridge.api_key}"


def worker_of(bridge: Bridge, session: requests.Session) -> int:
    """The process that holds this session's connection, by the sockets of both ends."""
    response = session.get(f"{bridge.url}/livez", stream=True, timeout=30)
    connection = response.raw._connection or response.raw._original_response
    sock = getattr(connection, "sock", None) or response.raw._fp.fp.raw._sock
    local_port = sock.getsockname()[1]
    response.content  # noqa: B018
    inode = _inode_of(bridge.port, local_port)
    for pid in Path(f"/proc/{bridge.pid}/task/{bridge.pid}/children").read_text().split():
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


def sessions_on_both_workers(bridge: Bridge) -> tuple[requests.Session, requests.Session]:
    """Two sessions on two different workers. Connections are opened until the kernel has given some to each."""
    by_worker: dict[int, requests.Session] = {}
    spare = []
    for _ in range(200):
        session = Pinned(bridge)
        pid = worker_of(bridge, session)
        if pid in by_worker:
            spare.append(session)  # kept open, so that the next connection is likelier to go elsewhere
        else:
            by_worker[pid] = session
        if len(by_worker) == 2:
            break
    for session in spare:
        session.close()
    assert len(by_worker) == 2
    first, second = by_worker.values()
    return first, second


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc to tell workers apart")
def test_mapping_change_through_one_worker_is_seen_by_the_next_request_on_the_other(
    two_workers: Bridge, simulator: Simulator
) -> None:
    first, second = sessions_on_both_workers(two_workers)
    with first, second:
        answer = first.get(f"{two_workers.url}/admin/mapping/set?from=my-model&to=gpt-4.1", timeout=30)
        assert answer.json()["added"] == {"my-model": "gpt-4.1"}

        assert second.get(f"{two_workers.url}/admin/mapping", timeout=30).json()["my-model"] == "gpt-4.1"
        body = {"model": "my-model", "messages": [{"role": "user", "content": "hi"}]}
        assert second.post(f"{two_workers.url}/v1/chat/completions", json=body, timeout=30).status_code == 200
        assert simulator.last_request("/chat/completions")["json"]["model"] == "gpt-4.1"

        second.delete(f"{two_workers.url}/admin/mapping/my-model", timeout=30)
        assert "my-model" not in first.get(f"{two_workers.url}/admin/mapping", timeout=30).json()


def test_200_concurrent_first_requests_cause_one_token_exchange(two_workers: Bridge, simulator: Simulator) -> None:
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda number: two_workers.chat(f"question {number}"), range(200)))

    assert [answer.status_code for answer in answers] == [200] * 200
    assert simulator.state()["exchanges"] == 1


def test_200_concurrent_first_requests_without_a_licence_ask_github_once_per_worker_at_most(
    simulator: Simulator, tmp_path: Path
) -> None:
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_no_copilot"}
    with Bridge(env, tmp_path, workers=2) as bridge, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda number: bridge.chat(f"question {number}"), range(50)))

    assert {answer.status_code for answer in answers} == {403}
    assert simulator.state()["exchanges"] <= 2


def test_mapping_survives_a_restart_and_reset_returns_to_the_environments_value(
    simulator: Simulator, tmp_path: Path
) -> None:
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "MODEL_MAPPING": '{"a": "gpt-4.1"}'}
    with Bridge(env, tmp_path) as bridge:
        bridge.call("PUT", "/admin/mapping/b", json={"to": "gpt-4o"})
    with Bridge(env, tmp_path) as bridge:
        assert bridge.get("/admin/mapping").json() == {"a": "gpt-4.1", "b": "gpt-4o"}
        assert bridge.post("/admin/mapping/reset").json() == {"status": "ok", "mapping": {"a": "gpt-4.1"}}
        assert bridge.get("/admin/mapping").json() == {"a": "gpt-4.1"}
