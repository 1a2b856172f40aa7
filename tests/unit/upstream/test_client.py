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
from requests.utils import DEFAULT_CA_BUNDLE_PATH

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
        "User-Agent": "GitHubCopilotChat/0.49.0",
        "Editor-Version": "vscode/1.121.0",
        "Editor-Plugin-Version": "copilot-chat/0.49.0",
        "Copilot-Integration-Id": "vscode-chat",
        "X-GitHub-Api-Version": "2026-06-01",
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


@pytest.mark.parametrize(("status", "body"), [(401, "unauthorized: token expired\n"), (403, "forbidden\n")])
def test_token_renewal_replays_the_same_call_once_as_the_same_initiator(
    client: CopilotClient, upstream: responses.RequestsMock, status: int, body: str
) -> None:
    upstream.replace(responses.GET, TOKEN_URL, json={**ENVELOPE, "token": "tid=one;:mac"})
    upstream.post(URL, status=status, body=body)
    upstream.post(URL, json={"ok": True})
    upstream.get(TOKEN_URL, json={**ENVELOPE, "token": "tid=two;:mac"})
    answer = client.send(CALL)
    assert json.loads(answer.read()) == {"ok": True}
    first, second = sent(upstream)
    assert first.headers["X-Initiator"] == second.headers["X-Initiator"] == "user"
    assert first.headers["Authorization"] != second.headers["Authorization"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("first", "then"), [(401, 401), (401, 403), (403, 401), (403, 403)])
def test_refusal_that_stays_is_passed_on_after_one_replay(
    client: CopilotClient, upstream: responses.RequestsMock, first: int, then: int, stream: bool
) -> None:
    upstream.replace(responses.GET, TOKEN_URL, json={**ENVELOPE, "token": "tid=one;:mac"})
    upstream.get(TOKEN_URL, json={**ENVELOPE, "token": "tid=two;:mac"})
    upstream.post(URL, status=first, body="forbidden")
    upstream.post(URL, status=then, body="forbidden")
    answer = client.send(replace(CALL, stream=stream))
    assert (answer.status, answer.read()) == (then, b"forbidden")
    assert len(sent(upstream)) == 2


def test_tokens_that_die_again_and_again_are_renewed_as_often_as_they_work(
    client: CopilotClient, upstream: responses.RequestsMock
) -> None:
    upstream.replace(responses.GET, TOKEN_URL, json={**ENVELOPE, "token": "tid=0;:mac"})
    for number in range(1, 9):
        upstream.get(TOKEN_URL, json={**ENVELOPE, "token": f"tid={number};:mac"})
        upstream.post(URL, status=401 if number % 2 else 403, body="forbidden")
        upstream.post(URL, json={})
    for _ in range(8):
        assert client.send(CALL).status == 200


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_passing_failure_is_repeated_as_agent(
    client: CopilotClient, upstream: responses.RequestsMock, status: int
) -> None:
    upstream.post(URL, status=status)
    upstream.post(URL, json={})
    assert client.send(CALL).status == 200
    assert [request.headers["X-Initiator"] for request in sent(upstream)] == ["user", "agent"]


def test_a_400_without_a_word_is_a_passing_failure(client: CopilotClient, upstream: responses.RequestsMock) -> None:
    upstream.post(URL, status=400, headers={"Content-Length": "0"})
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
    bundle.write_bytes(Path(DEFAULT_CA_BUNDLE_PATH).read_bytes())
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


def test_github_token_that_is_used_as_it_is_comes_without_the_headers_of_an_editor(
    upstream: responses.RequestsMock, settings: Settings
) -> None:
    client, gateway = direct_client(settings, "https://copilot.test", upstream)
    upstream.post(URL, json={})
    client.send(CALL).close()
    gateway.close()
    headers = sent(upstream)[0].headers
    assert headers["Authorization"] == "Bearer gho_test_unit"
    assert headers["Copilot-Integration-Id"] == "copilot-developer-cli"
    assert headers["X-GitHub-Api-Version"] == "2026-06-01"
    assert not {"editor-version", "editor-plugin-version"} & {name.lower() for name in headers}


def direct_client(settings: Settings, host: str, upstream: responses.RequestsMock) -> tuple[CopilotClient, Gateway]:
    upstream.get(TOKEN_URL, status=404, json={"message": "Not Found"})
    changed = {"GH_COPILOT_TOKEN": "gho_test_unit", "COPILOT_API_BASE_URL": host, "DATA_DIR": str(settings.data_dir)}
    gateway = Gateway.build(Settings.from_env({**ENVIRONMENT, **changed}))
    tokens = gateway.copilot_tokens
    return CopilotClient(settings=gateway.settings, outbound=gateway.outbounds[1], tokens=tokens), gateway


@pytest.mark.parametrize(
    ("host", "first", "second"),
    [
        ("https://api.business.githubcopilot.com", "token", "Bearer"),
        ("https://api.enterprise.githubcopilot.com", "token", "Bearer"),
        ("https://api.individual.githubcopilot.com", "Bearer", "token"),
        ("https://copilot-api.tenant.ghe.com", "Bearer", "token"),
    ],
)
@pytest.mark.parametrize("body", ["bad request: Authorization header is badly formatted\n", ""])
def test_scheme_is_the_hosts_and_the_other_one_where_it_changed_its_mind(
    upstream: responses.RequestsMock, settings: Settings, host: str, first: str, second: str, body: str
) -> None:
    client, gateway = direct_client(settings, host, upstream)
    upstream.post(f"{host}/chat/completions", status=400, body=body)
    upstream.post(f"{host}/chat/completions", json={})
    for _ in range(2):
        assert client.send(CALL).status == 200
    gateway.close()
    calls = [call.request for call in upstream.calls if str(call.request.url).startswith(host)]
    schemes = [str(call.headers["Authorization"]).split(" ")[0] for call in calls]
    assert schemes == [first, second, second]


@pytest.mark.parametrize("status", [400, 401])
def test_scheme_that_was_no_better_is_not_kept(
    upstream: responses.RequestsMock, settings: Settings, status: int
) -> None:
    client, gateway = direct_client(settings, "https://copilot.test", upstream)
    upstream.post(URL, status=400, body="")
    upstream.post(URL, status=status, body="")
    upstream.post(URL, json={})
    assert [client.send(CALL).status for _ in range(2)] == [status, 200]
    gateway.close()
    schemes = [str(request.headers["Authorization"]).split(" ")[0] for request in sent(upstream)]
    assert schemes == ["Bearer", "token", "Bearer"]


def test_400_for_another_reason_is_the_callers(upstream: responses.RequestsMock, settings: Settings) -> None:
    client, gateway = direct_client(settings, "https://copilot.test", upstream)
    upstream.post(URL, status=400, json={"error": {"message": "invalid request body", "code": ""}})
    assert b"invalid request body" in client.send(CALL).read()
    gateway.close()
    assert len(sent(upstream)) == 1
