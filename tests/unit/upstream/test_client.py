"""Calls to Copilot with requests mocked: headers, replay, retry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from app.errors import UpstreamConnectError, UpstreamTimeoutError
from app.gateway import Gateway
from app.settings import Settings
from app.upstream.client import CopilotClient
from app.upstream.headers import Call
from tests.unit.conftest import ENVELOPE, TOKEN_URL

URL = "https://copilot.test/chat/completions"
CALL = Call(path="/chat/completions", request_id="r-1", body=b"{}", initiator="user", interaction_id="i-1")


@pytest.fixture
def client(signed_in: None, settings: Settings) -> Iterator[CopilotClient]:
    gateway = Gateway.build(Settings.from_env({**ENVIRONMENT, "DATA_DIR": str(settings.data_dir)}))
    yield CopilotClient(
        settings=gateway.settings,
        outbound=gateway.outbounds[1],
        tokens=gateway.copilot_tokens,
        sleep=lambda _: None,
    )
    gateway.close()


ENVIRONMENT = {
    "GH_COPILOT_TOKEN": "ghu_test_unit",
    "GITHUB_API_BASE_URL": "https://api.github.test",
    "COPILOT_API_BASE_URL": "https://copilot.test",
    "UPSTREAM_RETRIES": "2",
}


def sent(upstream: responses.RequestsMock) -> list[requests.PreparedRequest]:
    return [call.request for call in upstream.calls if str(call.request.url).startswith("https://copilot.test")]


def test_headers_are_the_contracts(client: CopilotClient, upstream: responses.RequestsMock) -> None:
    upstream.post(URL, json={})
    client.send(replace(CALL, has_images=True, stream=True, extra_headers={"x-of-the-model": "1"})).close()
    headers = dict(sent(upstream)[0].headers)
    headers.pop("Content-Length")
    assert headers == {
        "Authorization": f"Bearer {ENVELOPE['token']}",
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "Accept-Language": "en",
        "User-Agent": "GitHubCopilotChat/0.42.0",
        "Editor-Version": "vscode/1.112.0",
        "Editor-Plugin-Version": "copilot-chat/0.42.0",
        "Copilot-Integration-Id": "vscode-chat",
        "X-GitHub-Api-Version": "2025-10-01",
        "OpenAI-Intent": "conversation-panel",
        "X-Interaction-Type": "conversation-panel",
        "X-Interaction-Id": "i-1",
        "X-Initiator": "user",
        "X-Request-Id": "r-1",
        "X-Agent-Task-Id": "r-1",
        "Copilot-Vision-Request": "true",
        "x-of-the-model": "1",
    }


def test_header_that_does_not_apply_is_absent(client: CopilotClient, upstream: responses.RequestsMock) -> None:
    upstream.get("https://copilot.test/models", json={})
    client.send(Call(path="/models", request_id="r-1")).close()
    names = {name.lower() for name in sent(upstream)[0].headers}
    assert not names & {"copilot-vision-request", "x-initiator", "x-interaction-id", "content-type"}


def test_token_renewal_replays_the_same_call_once_as_the_same_initiator(
    client: CopilotClient, upstream: responses.RequestsMock
) -> None:
    upstream.replace(responses.GET, TOKEN_URL, json={**ENVELOPE, "token": "tid=one;:mac"})
    upstream.post(URL, status=401, body="unauthorized: token expired\n")
    upstream.post(URL, json={"ok": True})
    upstream.get(TOKEN_URL, json={**ENVELOPE, "token": "tid=two;:mac"})
    answer = client.send(CALL)
    assert json.loads(answer.read()) == {"ok": True}
    first, second = sent(upstream)
    assert first.headers["X-Initiator"] == second.headers["X-Initiator"] == "user"
    assert first.headers["Authorization"] != second.headers["Authorization"]


def test_401_that_stays_is_passed_on_after_one_replay(client: CopilotClient, upstream: responses.RequestsMock) -> None:
    upstream.post(URL, status=401, body="no")
    answer = client.send(CALL)
    assert (answer.status, answer.read()) == (401, b"no")
    assert len(sent(upstream)) <= 2


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_passing_failure_is_repeated_as_agent(
    client: CopilotClient, upstream: responses.RequestsMock, status: int
) -> None:
    upstream.post(URL, status=status)
    upstream.post(URL, json={})
    assert client.send(CALL).status == 200
    assert [request.headers["X-Initiator"] for request in sent(upstream)] == ["user", "agent"]


@pytest.mark.parametrize("status", [400, 402, 403, 404, 413, 422, 429, 466, 503, 529])
def test_other_failures_are_never_repeated(
    client: CopilotClient, upstream: responses.RequestsMock, status: int
) -> None:
    upstream.post(URL, status=status, body="why")
    answer = client.send(CALL)
    assert (answer.status, answer.read()) == (status, b"why")
    assert len(sent(upstream)) == 1


def test_retries_end(client: CopilotClient, upstream: responses.RequestsMock) -> None:
    upstream.post(URL, status=502, body="still")
    answer = client.send(CALL)
    assert (answer.status, answer.read()) == (502, b"still")
    assert len(sent(upstream)) == 3


def test_connect_error_is_repeated_and_then_told(client: CopilotClient, upstream: responses.RequestsMock) -> None:
    upstream.post(URL, body=requests.exceptions.ConnectionError("refused"))
    with pytest.raises(UpstreamConnectError, match=r"copilot\.test"):
        client.send(CALL)
    assert len(sent(upstream)) == 3


def test_timeout_is_not_repeated(client: CopilotClient, upstream: responses.RequestsMock) -> None:
    """It may have been worked on (and billed) all the time."""
    upstream.post(URL, body=requests.exceptions.ReadTimeout("silence"))
    with pytest.raises(UpstreamTimeoutError):
        client.send(CALL)
    assert len(sent(upstream)) == 1


def test_proxy_and_ca_settings_of_the_environment_hold(
    client: CopilotClient, upstream: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "api.github.test")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    seen: list[dict[str, Any]] = []
    upstream.post(URL, json={})
    original: Callable[..., Any] = upstream._on_request

    def note(adapter: Any, request: Any, **options: Any) -> Any:
        seen.append({"url": request.url, **options})
        return original(adapter, request, **options)

    monkeypatch.setattr(upstream, "_on_request", note)
    client.send(CALL).close()
    to_github, to_copilot = seen
    assert to_github["proxies"].get("https") is None
    assert to_copilot["proxies"]["https"] == "http://proxy.test:3128"
    assert {call["verify"] for call in seen} == {str(bundle)}
