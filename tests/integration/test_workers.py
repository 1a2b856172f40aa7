"""Several workers behave as one service."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.workers import session_on_each_worker


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc to tell workers apart")
def test_mapping_change_through_one_worker_is_seen_by_the_next_request_on_the_other(
    two_workers: Bridge, simulator: Simulator
) -> None:
    first, second = session_on_each_worker(two_workers)
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
