"""Behind nginx, with the configuration that deploy/ ships: streams are not held back, addresses are judged right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.settings import DEFAULT_API_KEY
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.nginx import NGINX, Nginx
from tests.support.streams import arriving, text_of

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture
def nginx(bridge: Bridge, tmp_path: Path) -> Iterator[Nginx]:
    with Nginx(bridge, tmp_path) as running:
        yield running


def test_each_event_passes_nginx_while_upstream_waits(bridge: Bridge, nginx: Nginx, simulator: Simulator) -> None:
    simulator.config(leading_filter_chunk=False)
    body = {
        "model": "gpt-4.1",
        "stream": True,
        "messages": [{"role": "user", "content": "[[gate]] [[say: one two three]]"}],
    }
    headers = {"Authorization": f"Bearer {bridge.api_key}"}
    with requests.post(
        f"{nginx.url}/v1/chat/completions", json=body, headers=headers, stream=True, timeout=30
    ) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        coming, text = arriving(response), ""
        while text != "one two three":
            text += text_of([next(coming)])
            simulator.release()
        simulator.open_gate()
        assert list(coming)[-1] == "[DONE]"


def test_key_in_the_address_is_in_none_of_nginxs_logs(bridge: Bridge, nginx: Nginx) -> None:
    assert requests.get(f"{nginx.url}/admin/mapping?api_key={bridge.api_key}", timeout=30).status_code == 200
    logs = "".join(file.read_text() for file in nginx.folder.glob("*.log"))
    assert "/admin/mapping" in logs
    assert bridge.api_key not in logs


def test_default_key_counts_behind_nginx_for_private_callers_only(simulator: Simulator, tmp_path: Path) -> None:
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "TRUSTED_PROXIES": "1"}
    (tmp_path / "nginx").mkdir()
    with Bridge(env, tmp_path, api_key=DEFAULT_API_KEY) as bridge, Nginx(bridge, tmp_path / "nginx") as nginx:
        key = {"x-api-key": DEFAULT_API_KEY}
        assert requests.get(f"{nginx.url}/admin/mapping", headers=key, timeout=30).status_code == 200
        # nginx appends the peer to what came; a public address anywhere in it is enough.
        forged = {**key, "X-Forwarded-For": "203.0.113.9"}
        assert requests.get(f"{nginx.url}/admin/mapping", headers=forged, timeout=30).status_code == 403


def test_links_are_those_of_the_outside(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    env = {**simulator.settings_env(), "TRUSTED_PROXIES": "1"}
    with Bridge(env, tmp_path) as bridge, Nginx(bridge, tmp_path / "nginx") as nginx:
        answer = requests.get(f"{nginx.url}/v1/models", headers={"x-api-key": bridge.api_key}, timeout=30)
        assert f"{nginx.url}/auth/device" in answer.json()["error"]["message"]
