"""The stream that tells pages of new calls, under the real server: of two workers, when they stop, when one leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge

EVENT = b"event: news"


@pytest.fixture
def bridge(simulator: Simulator, tmp_path: Path) -> Iterator[Bridge]:
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "GRACEFUL_TIMEOUT_S": "60"}
    with Bridge(env, tmp_path, workers=2) as running:
        yield running


@contextlib.contextmanager
def followed(bridge: Bridge, id: str) -> Iterator[Iterator[bytes]]:
    """The lines of a stream that has begun."""
    with bridge.get("/requests/events", headers={"x-request-id": id}, stream=True) as stream:
        assert stream.status_code == 200
        lines = stream.iter_lines(chunk_size=1)
        assert next(lines) == b"retry: 2000"
        yield lines


def test_each_worker_tells_of_the_calls_of_all_and_none_is_held_up_by_who_follows(bridge: Bridge) -> None:
    with contextlib.ExitStack() as all_of_them:
        streams = [all_of_them.enter_context(followed(bridge, f"follower-{n}")) for n in range(4)]
        assert bridge.chat("hello").ok
        for lines in streams:
            assert EVENT in lines
        bridge.terminate()
        for lines in streams:
            list(lines)  # to its end: none is cut off
    assert bridge.wait() == 0
    assert "still in use at the end of GRACEFUL_TIMEOUT_S" not in bridge.log
    assert [bridge.request_line(f"follower-{n}")["status"] for n in range(4)] == [200] * 4


def test_who_has_left_is_noticed(bridge: Bridge) -> None:
    with followed(bridge, "gone"):
        pass
    assert bridge.request_line("gone")["path"] == "/requests/events"
    calls = bridge.get("/requests").json()["calls"]
    assert [call for call in calls if call["path"] == "/requests/events"] == []
    assert requests.get(bridge.url + "/requests/events", timeout=30).status_code == 401
