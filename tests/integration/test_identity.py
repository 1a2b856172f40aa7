"""Every way to be somebody at GitHub, from the outside: which hosts are asked, and with which headers.

The bridge believes that it talks to the real hosts: a proxy leads each name to a port of the simulator, and a name that
is not listed leads nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.simulator.client import Simulator
from tests.support import apps
from tests.support.authority import Authority
from tests.support.bridge import Bridge, Caller, LocalBridge
from tests.support.proxies import TlsProxy

Start = Callable[..., tuple[Caller, TlsProxy]]
PUBLIC = {
    "github.com": "web",
    "api.github.com": "api",
    "api.githubcopilot.com": "capi",
    "api.individual.githubcopilot.com": "capi",
    "api.business.githubcopilot.com": "capi_business",
}
TENANT = {"tenant.ghe.com": "web", "api.tenant.ghe.com": "api", "copilot-api.tenant.ghe.com": "capi"}
EDITOR = {
    "user-agent": "GitHubCopilotChat/0.49.0",
    "editor-version": "vscode/1.121.0",
    "editor-plugin-version": "copilot-chat/0.49.0",
}
NAMED_BY_GITHUB = "https://api.individual.githubcopilot.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def start(
    simulator: Simulator, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """A service with these hosts around it: in this process, or with several workers."""
    with ExitStack() as stack:

        def run(hosts: dict[str, str], env: dict[str, str], *, workers: int = 1) -> tuple[Caller, TlsProxy]:
            ports = {name: urlsplit(simulator.urls[port]).port or 0 for name, port in hosts.items()}
            proxy = stack.enter_context(TlsProxy(ports, lambda host: authority.server_context(host, [])))
            way = {"HTTPS_PROXY": proxy.url, "REQUESTS_CA_BUNDLE": authority.bundle}
            if workers > 1:
                return stack.enter_context(Bridge({**way, **env}, tmp_path, workers=workers)), proxy
            # The service leaves these to requests, which looks for them in the environment of its process.
            for name, value in way.items():
                monkeypatch.setenv(name, value)
            return stack.enter_context(LocalBridge(env, tmp_path)), proxy

        yield run


@pytest.fixture
def app(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    simulator.config(app_public_key=apps.key_pair()[1])
    return apps.settings(tmp_path)


def names_api(simulator: Simulator, url: str = NAMED_BY_GITHUB) -> None:
    simulator.config(envelope_extra={"endpoints": {"api": url}})


def sent(simulator: Simulator, path: str) -> dict[str, Any]:
    headers: dict[str, Any] = simulator.last_request(path)["header"]
    return headers


def has(headers: dict[str, Any], expected: dict[str, str | None]) -> None:
    assert {name: headers.get(name) for name in expected} == expected


def calls_as_an_editor(simulator: Simulator, github_token: str) -> None:
    """An exchanged token: contract §2.1, §5.1."""
    has(
        sent(simulator, "/copilot_internal/v2/token"),
        {**EDITOR, "authorization": f"token {github_token}", "x-github-api-version": "2025-04-01"},
    )
    for path in ("/models", "/chat/completions"):
        headers = sent(simulator, path)
        assert headers["authorization"].startswith("Bearer tid=")
        has(headers, {**EDITOR, "copilot-integration-id": "vscode-chat", "x-github-api-version": "2026-06-01"})


def calls_directly(simulator: Simulator, token: str, scheme: str = "Bearer") -> None:
    """A GitHub token as it is: contract §2.7, §11.4."""
    for path in ("/models", "/chat/completions"):
        expected = {
            "authorization": f"{scheme} {token}",
            "copilot-integration-id": "copilot-developer-cli",
            "x-github-api-version": "2026-06-01",
            "editor-version": None,
            "editor-plugin-version": None,
        }
        has(sent(simulator, path), expected)


def test_ghu_is_exchanged_and_copilot_is_where_github_says(start: Start, simulator: Simulator) -> None:
    names_api(simulator)
    bridge, proxy = start(PUBLIC, {"GH_COPILOT_TOKEN": "ghu_test_individual"})
    assert bridge.chat("hi").status_code == 200
    calls_as_an_editor(simulator, "ghu_test_individual")
    assert {host for host, _ in proxy.asked} == {"api.github.com", "api.individual.githubcopilot.com"}


def test_gho_is_used_directly_at_the_generic_host(start: Start, simulator: Simulator) -> None:
    bridge, proxy = start(PUBLIC, {"GH_COPILOT_TOKEN": "gho_test_direct"})
    assert bridge.chat("hi").status_code == 200
    calls_directly(simulator, "gho_test_direct")
    assert {host for host, _ in proxy.asked} == {"api.github.com", "api.githubcopilot.com"}


def test_host_of_businesses_wants_githubs_own_scheme(start: Start, simulator: Simulator) -> None:
    url = "https://api.business.githubcopilot.com"
    simulator.set_account("gho_test_direct", host="capi_business")
    bridge, _ = start(PUBLIC, {"GH_COPILOT_TOKEN": "gho_test_direct", "COPILOT_API_BASE_URL": url})
    assert bridge.chat("hi").status_code == 200
    calls_directly(simulator, "gho_test_direct", "token")


def test_ghs_is_exchanged(start: Start, simulator: Simulator) -> None:
    names_api(simulator)
    bridge, proxy = start(PUBLIC, {"GH_COPILOT_TOKEN": "ghs_test_actions"})
    assert bridge.chat("hi").status_code == 200
    calls_as_an_editor(simulator, "ghs_test_actions")
    assert {host for host, _ in proxy.asked} == {"api.github.com", "api.individual.githubcopilot.com"}


def test_ghs_is_used_directly_where_it_is_not_exchanged(start: Start, simulator: Simulator) -> None:
    simulator.config(installation_exchange=False)
    bridge, proxy = start(PUBLIC, {"GH_COPILOT_TOKEN": "ghs_test_actions"})
    assert bridge.chat("hi").status_code == 200
    calls_directly(simulator, "ghs_test_actions")
    assert {host for host, _ in proxy.asked} == {"api.github.com", "api.githubcopilot.com"}
    said = bridge.get("/usage")
    assert said.status_code == 403
    assert "billed to the organization" in said.json()["error"]["message"]
    assert simulator.state()["user_info"] == 0


@pytest.mark.parametrize(("form", "exchanges"), [("organization", True), ("repository", False)])
def test_github_app_signs_in_with_its_key(
    start: Start, simulator: Simulator, app: dict[str, str], form: str, exchanges: bool
) -> None:
    names_api(simulator)
    simulator.config(app_permission_form=form, installation_exchange=exchanges)
    repository = {"GITHUB_APP_REPOSITORY_ID": str(apps.REPOSITORY)} if form == "repository" else {}
    bridge, proxy = start(PUBLIC, {**app, **repository})
    for _ in range(3):
        assert bridge.chat("hi").status_code == 200
    asked = simulator.last_request(f"/app/installations/{apps.INSTALLATION}/access_tokens")
    assert asked["header"]["authorization"].startswith("Bearer eyJ")
    has(asked["header"], {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"})
    if form == "repository":
        assert asked["json"] == {"repository_ids": [apps.REPOSITORY], "permissions": {"copilot_requests": "write"}}
    else:
        assert asked["json"] == {"permissions": {"organization_copilot_requests": "read"}}
    if exchanges:
        calls_as_an_editor(simulator, "ghs_test_made_0001")
    else:
        calls_directly(simulator, "ghs_test_made_0001")
    copilot = "api.individual.githubcopilot.com" if exchanges else "api.githubcopilot.com"
    assert {host for host, _ in proxy.asked} == {"api.github.com", copilot}
    assert (simulator.state()["installation_tokens"], simulator.state()["exchanges"]) == (1, 1)


def test_apps_tokens_are_shared_by_the_workers_and_made_anew_when_they_are_refused(
    start: Start, simulator: Simulator, app: dict[str, str]
) -> None:
    simulator.config(installation_exchange=False)
    bridge, _ = start(PUBLIC, app, workers=2)
    for _ in range(6):
        assert bridge.chat("hi").status_code == 200
    assert simulator.state()["installation_tokens"] == 1
    simulator.revoke_github_token("ghs_test_made_0001")
    simulator.invalidate_copilot_tokens()
    for _ in range(6):
        assert bridge.chat("hi").status_code == 200
    assert simulator.state()["installation_tokens"] == 2


@pytest.mark.parametrize("token", ["gho_test_direct", None])
def test_one_setting_keeps_everything_at_the_tenant(
    start: Start, simulator: Simulator, app: dict[str, str], token: str | None
) -> None:
    names_api(simulator, "https://copilot-api.tenant.ghe.com")
    signed_in = {"GH_COPILOT_TOKEN": token} if token else app
    bridge, proxy = start(PUBLIC | TENANT, {"GITHUB_HOST": "tenant.ghe.com", **signed_in})
    assert bridge.chat("hi").status_code == 200
    if token == "gho_test_direct":
        calls_directly(simulator, token)
    else:
        calls_as_an_editor(simulator, token or "ghs_test_made_0001")
    assert {host for host, _ in proxy.asked} == {"api.tenant.ghe.com", "copilot-api.tenant.ghe.com"}


def test_sign_in_page_of_a_tenant_is_the_tenants(start: Start, simulator: Simulator) -> None:
    bridge, proxy = start(PUBLIC | TENANT, {"GITHUB_HOST": "tenant.ghe.com"})
    assert bridge.get("/auth/device").status_code == 200
    assert {host for host, _ in proxy.asked} == {"tenant.ghe.com"}


def test_host_that_is_not_the_tenants_gets_neither_token_nor_prompt(start: Start, simulator: Simulator) -> None:
    names_api(simulator, "https://api.githubcopilot.com")
    bridge, proxy = start(PUBLIC | TENANT, {"GITHUB_HOST": "tenant.ghe.com", "GH_COPILOT_TOKEN": "ghu_test_individual"})
    assert bridge.chat("hi").status_code == 200
    assert {host for host, _ in proxy.asked} == {"api.tenant.ghe.com", "copilot-api.tenant.ghe.com"}


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"app_public_key": None}, "GITHUB_APP_ID"),
        ({"organization_allows_apps": 401, "installation_exchange": False}, "owner of the organization"),
    ],
)
def test_fault_of_an_app_says_what_to_mend_and_github_is_not_pestered(
    start: Start, simulator: Simulator, app: dict[str, str], knobs: dict[str, Any], words: str
) -> None:
    simulator.config(**knobs)
    bridge, _ = start(PUBLIC, app)
    for _ in range(8):
        answer = bridge.chat("hi")
        assert answer.status_code in (401, 403), answer.text
        assert words in answer.json()["error"]["message"]
    assert simulator.state()["installation_tokens"] <= 7  # the first, and three in vain for each of two endpoints


SEARCHING = {
    "model": "claude-sonnet-4.6",
    "max_tokens": 500,
    "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    "messages": [{"role": "user", "content": '[[tool: web_search {"query": "kites"}]][[next]][[say: They fly.]]'}],
}


@pytest.mark.parametrize(
    ("token", "hosts", "env", "host"),
    [
        ("ghu_test_individual", PUBLIC, {}, "api.githubcopilot.com"),
        (None, PUBLIC | TENANT, {"GITHUB_HOST": "tenant.ghe.com"}, "copilot-api.tenant.ghe.com"),
    ],
    ids=["person", "app-of-a-tenant"],
)
def test_a_web_search_goes_to_the_shared_host_with_githubs_own_token(
    start: Start,
    simulator: Simulator,
    app: dict[str, str],
    token: str | None,
    hosts: dict[str, str],
    env: dict[str, str],
    host: str,
) -> None:
    """Contract §14.2, and a tenant's searches stay with the tenant."""
    names_api(simulator, NAMED_BY_GITHUB if hosts == PUBLIC else f"https://{host}")
    bridge, proxy = start(hosts, {**env, **({"GH_COPILOT_TOKEN": token} if token else app)})
    found = bridge.post("/v1/messages", json=SEARCHING)
    assert [block["type"] for block in found.json()["content"]] == ["server_tool_use", "web_search_tool_result", "text"]
    assert isinstance(found.json()["content"][1]["content"], list)
    headers = sent(simulator, "/mcp")
    has(headers, {"authorization": f"Bearer {token or 'ghs_test_made_0001'}", "host": host})
    assert {name for name, _ in proxy.asked if "githubcopilot.com" in name or "ghe.com" in name} <= {
        host,
        "api.individual.githubcopilot.com",
        "api.tenant.ghe.com",
    }


def test_an_apps_token_that_is_refused_at_a_search_is_made_anew(
    start: Start, simulator: Simulator, app: dict[str, str]
) -> None:
    bridge, _ = start(PUBLIC, app)
    assert bridge.chat("hi").status_code == 200
    simulator.revoke_github_token("ghs_test_made_0001")
    found = bridge.post("/v1/messages", json=SEARCHING)
    assert isinstance(found.json()["content"][1]["content"], list)
    has(sent(simulator, "/mcp"), {"authorization": "Bearer ghs_test_made_0002"})
