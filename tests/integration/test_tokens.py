"""Tokens against the simulated GitHub: renewal, direct use, and refusals that tell what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge, LocalBridge
from tests.support.proxies import SocksProxy

Start = Callable[..., LocalBridge]


@pytest.fixture
def start(simulator: Simulator, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(token: str | None, **env: str) -> LocalBridge:
            signed_in = {"GH_COPILOT_TOKEN": token} if token else {}
            return stack.enter_context(LocalBridge({**simulator.settings_env(), **signed_in, **env}, tmp_path))

        yield run


def test_expired_token_is_renewed_once_and_the_call_replayed(start: Start, simulator: Simulator) -> None:
    bridge = start("ghu_test_individual")
    assert bridge.chat("one").status_code == 200
    simulator.invalidate_copilot_tokens()

    assert bridge.chat("[[say: two]]").json()["choices"][0]["message"]["content"] == "two"
    assert simulator.state()["exchanges"] == 2
    # The replay is the same question of the same person: billed as such, once.
    assert simulator.ledger()["user_requests"] == 2


def test_expired_token_is_renewed_before_a_stream_begins(start: Start, simulator: Simulator) -> None:
    bridge = start("ghu_test_individual")
    assert bridge.chat("one").status_code == 200
    simulator.invalidate_copilot_tokens()
    with bridge.chat("hello", stream=True) as response:
        assert response.content.endswith(b"data: [DONE]\n\n")


def test_403_without_a_reason_is_mended_by_a_new_token_as_often_as_it_comes(start: Start, simulator: Simulator) -> None:
    simulator.config(dead_token_status=403)
    bridge = start("ghu_test_individual")
    for calls in range(1, 6):
        assert bridge.chat("again").status_code == 200
        assert simulator.state()["exchanges"] == calls
        simulator.invalidate_copilot_tokens()


@pytest.mark.parametrize(
    ("preset", "exchanges"), [("stale_403", 2), ("not_licensed_403", 1), ("feature_403", 1), ("terms_403", 1)]
)
def test_403_that_stays_is_told_as_one(start: Start, simulator: Simulator, preset: str, exchanges: int) -> None:
    bridge = start("ghu_test_individual")
    simulator.fault(preset, endpoint="/chat/completions", times=None)
    assert bridge.chat("hi").status_code == 403
    assert simulator.state()["exchanges"] == exchanges


def test_copilot_that_refuses_every_token_is_not_answered_with_exchange_after_exchange(
    start: Start, simulator: Simulator
) -> None:
    bridge = start("ghu_test_individual")
    assert bridge.chat("one").status_code == 200
    simulator.fault("opaque_401", times=None)
    for _ in range(10):
        assert bridge.chat("again").status_code == 401
    assert simulator.state()["exchanges"] <= 4


def test_githubs_clock_may_be_off(start: Start, simulator: Simulator, tmp_path: Path) -> None:
    """The simulated GitHub's clock is an hour off in either direction; the token is used, not thrown away."""
    for skew_s in (3600, -3600):
        simulator.reset()
        simulator.config(clock_skew_s=skew_s)
        bridge = start("ghu_test_individual", DATA_DIR=str(tmp_path / f"data{skew_s}"))
        for _ in range(3):
            assert bridge.chat("hi").status_code == 200
        assert simulator.state()["exchanges"] == 1


def test_minimal_envelope_is_enough(start: Start, simulator: Simulator) -> None:
    simulator.config(envelope_minimal=True)
    bridge = start("ghu_test_individual", COPILOT_API_BASE_URL=simulator.capi)
    assert bridge.chat("hi").status_code == 200


def test_business_account_is_served_by_the_host_that_github_names(start: Start, simulator: Simulator) -> None:
    bridge = start("ghu_test_business")
    assert bridge.chat("hi").status_code == 200
    assert simulator.last_request("/chat/completions")["host"] == "capi_business"


def test_configured_host_wins_and_a_wrong_one_is_explained(start: Start, simulator: Simulator) -> None:
    bridge = start("ghu_test_individual", COPILOT_API_BASE_URL=simulator.capi_business)
    response = bridge.chat("hi")
    assert response.status_code >= 400
    assert "COPILOT_API_BASE_URL" in response.json()["error"]["message"]


@pytest.mark.parametrize("token", ["gho_test_direct", "github_pat_test_direct"])
def test_token_that_cannot_be_exchanged_is_used_directly(start: Start, simulator: Simulator, token: str) -> None:
    bridge = start(token, COPILOT_API_BASE_URL=simulator.capi)
    assert bridge.chat("hi").status_code == 200
    sent = simulator.last_request("/chat/completions")["header"]
    assert sent["authorization"] == f"Bearer {token}"
    assert sent["copilot-integration-id"] == "copilot-developer-cli"
    assert "editor-version" not in sent


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        ("ghu_test_no_copilot", 403, "No access to GitHub Copilot"),
        ("ghu_test_subscription_ended", 403, "Renew the Copilot subscription"),
        ("ghu_test_revoked", 403, "GH_COPILOT_TOKEN"),
        ("ghu_test_rate_limited", 429, "limits how often"),
        ("ghp_test_classic", 403, "GH_COPILOT_TOKEN"),
    ],
)
def test_refusals_of_github_are_told_apart(start: Start, token: str, status: int, words: str) -> None:
    response = start(token).chat("hi")
    assert response.status_code == status
    assert words in response.json()["error"]["message"]
    assert "{EDITOR}" not in response.text


def test_without_a_sign_in_the_error_names_the_sign_in_page(start: Start) -> None:
    bridge = start(None)
    for path in ("/v1/chat/completions", "/chat/completions"):
        body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
        response = bridge.post(path, json=body)
        assert response.status_code == 403
        assert f"{bridge.url}/auth/device" in response.json()["error"]["message"]
    response = bridge.get("/v1/models", headers={"anthropic-version": "2023-06-01"})
    assert response.json()["type"] == "error"
    assert f"{bridge.url}/auth/device" in response.json()["error"]["message"]


def test_revoked_sign_in_asks_to_sign_in_again_and_github_is_asked_once(
    start: Start, simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "hosts.json").write_text('{"127.0.0.1": {"user": "octocat", "oauth_token": "ghu_test_revoked"}}')
    bridge = start(None)
    for _ in range(3):
        response = bridge.chat("hi")
        assert response.status_code == 403
        assert "/auth/device" in response.json()["error"]["message"]
    assert simulator.state()["exchanges"] == 1
    assert bridge.get("/readyz").json()["signed_in"] is False


def test_github_down_is_named_and_an_old_token_lives_on(start: Start, simulator: Simulator) -> None:
    bridge = start("ghu_test_individual")
    simulator.fault("bad_gateway_502_html", endpoint="/copilot_internal/v2/token", times=None)
    response = bridge.chat("hi")
    assert response.status_code == 502
    assert "GitHub" in response.json()["error"]["message"]


def test_network_failure_names_the_host(start: Start) -> None:
    response = start("ghu_test_individual", GITHUB_API_BASE_URL="http://127.0.0.1:9").chat("hi")
    assert response.status_code == 502
    assert "127.0.0.1" in response.json()["error"]["message"]


def test_calls_go_through_a_socks_proxy(simulator: Simulator, tmp_path: Path) -> None:
    hosts = {"api.github.test": simulator.api, "copilot.test": simulator.capi}
    ports = {name: int(url.rpartition(":")[2]) for name, url in hosts.items()}
    with SocksProxy(ports) as proxy:
        env = {
            "GH_COPILOT_TOKEN": "ghu_test_individual",
            "HTTP_PROXY": proxy.url,
            "GITHUB_API_BASE_URL": "http://api.github.test",
            "COPILOT_API_BASE_URL": "http://copilot.test",
        }
        with Bridge({**simulator.settings_env(), **env}, tmp_path) as bridge:
            for _ in range(2):
                assert bridge.chat("hi").status_code == 200
            with bridge.chat("hello", stream=True) as response:
                assert response.content.endswith(b"data: [DONE]\n\n")
        assert set(proxy.asked) == {("api.github.test", 80), ("copilot.test", 80)}


def test_editors_sign_in_is_found(start: Start, simulator: Simulator, tmp_path: Path) -> None:
    folder = tmp_path / "editor"
    folder.mkdir()
    (folder / "apps.json").write_text(
        '{"127.0.0.1:Iv1.b507a08c87ecfe98": {"user": "octocat", "oauth_token": "ghu_test_individual"}}'
    )
    assert start(None, COPILOT_CONFIG_DIR=str(folder)).chat("hi").status_code == 200
