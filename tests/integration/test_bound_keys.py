"""Keys with GitHub accounts of their own: by whose token each call goes, and by whose it never does."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge, Caller, LocalBridge

OWN = "ghu_test_individual"
OTHER = "ghu_test_business"  # hubot's
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
HTML = {"Accept": "text/html"}
POSTED = {
    "/responses": {"model": "gpt-5-mini", "input": "hi"},
    "/embeddings": {"model": "text-embedding-3-small", "input": "hi"},
    "/messages": {**BODY, "max_tokens": 20},
    "/messages/count_tokens": {**BODY, "model": "claude-haiku-4.5"},
}


@pytest.fixture
def env(simulator: Simulator) -> dict[str, str]:
    simulator.config(device_interval_s=0.1, device_account=OTHER, list_restricted=False)
    simulator.catalogue(patch={"gpt-5-mini": {"billing": {"restricted_to": ["business"]}}})
    return {**simulator.settings_env(), "GH_COPILOT_TOKEN": OWN, "WARM_UP": "false"}


@pytest.fixture
def bridge(env: dict[str, str], tmp_path: Path) -> Iterator[LocalBridge]:
    with LocalBridge(env, tmp_path) as running:
        yield running


class Holder:
    """Somebody with a key, and a browser."""

    def __init__(self, bridge: Caller, simulator: Simulator, name: str) -> None:
        made = bridge.post("/admin/keys", json={"name": name}).json()
        self.bridge, self.simulator, self.name = bridge, simulator, name
        self.headers = {"Authorization": f"Bearer {made['secret']}"}
        self.browser = requests.Session()

    def get(self, path: str) -> requests.Response:
        return requests.get(self.bridge.url + path, headers=self.headers, timeout=60)

    def chat(self, at: Caller | None = None) -> requests.Response:
        url = f"{(at or self.bridge).url}/v1/chat/completions"
        return requests.post(url, json=BODY, headers=self.headers, timeout=60)

    def token_of_chat(self, at: Caller | None = None) -> str:
        """Which GitHub account's Copilot token a call goes by; of one that is refused, why."""
        self.simulator.requests(clear=True)
        answer = self.chat(at)
        if answer.status_code != 200:
            return answer.text
        [sent] = self.simulator.requests("/chat/completions")
        return str(re.search(r"tid=([0-9a-f]{32});", sent["header"]["authorization"])[1])

    def invited(self, **body: Any) -> str:
        answer = self.bridge.post(f"/admin/keys/{self.name}/invitation", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["link"])

    def sign_in(self, link: str) -> str:
        """Open the link, begin, approve; how it ended, in words if not well."""
        page = self.browser.get(link, headers=HTML, timeout=60)
        assert page.status_code == 200, page.text
        token = re.search(r'name="token" value="([0-9a-f]+)"', page.text)[1]
        begun = self.browser.post(f"{self.bridge.url}/auth/invitation/start", data={"token": token}, timeout=60)
        assert begun.status_code == 200, begun.text
        self.simulator.approve_device(re.search(r'id="user-code">([^<]+)<', begun.text)[1])
        return self.ended()

    def ended(self) -> str:
        while True:
            told = self.browser.get(f"{self.bridge.url}/auth/invitation/status", timeout=60).json()
            if told["state"] != "pending":
                return str(told["state"] if told["state"] == "done" else told["message"])

    def becomes(self, token: str, at: Caller) -> None:
        """A change is everywhere within a second."""
        until = time.monotonic() + 10
        while self.token_of_chat(at) != tid(token):
            assert time.monotonic() < until, "the change does not get there"


def tid(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def bound_token(simulator: Simulator) -> str:
    return str([device["token"] for device in simulator.devices() if device["token"]][-1])


@pytest.fixture
def alice(bridge: LocalBridge, simulator: Simulator) -> Holder:
    return Holder(bridge, simulator, "alice")


@pytest.fixture
def bob(bridge: LocalBridge, simulator: Simulator) -> Holder:
    return Holder(bridge, simulator, "bob")


def test_each_key_goes_by_its_own_account_alone(
    bridge: LocalBridge, simulator: Simulator, alice: Holder, bob: Holder, tmp_path: Path
) -> None:
    assert alice.token_of_chat() == tid(OWN)
    assert alice.sign_in(alice.invited()) == "done"
    hers = bound_token(simulator)
    alice.becomes(hers, bridge)
    for _ in range(3):
        assert alice.token_of_chat() == tid(hers)
        assert bob.token_of_chat() == tid(OWN)
    assert bridge.chat("hi").status_code == 200
    # Its own list of models, and its own figures.
    lists = {who: {model["id"] for model in who.get("/v1/models").json()["data"]} for who in (alice, bob)}
    assert lists[alice] != lists[bob]
    assert lists[bob] == {model["id"] for model in bridge.get("/v1/models").json()["data"]}
    usage = alice.get("/usage").json()
    assert usage["copilot_plan"] == "business"
    assert bridge.get("/usage").json()["copilot_plan"] == "individual"
    assert "copilot_plan" not in bob.get("/usage").json()  # that account is none of his
    # And its own row in the ledger.
    rows = bridge.get("/usage/ledger?group=account").json()["rows"]
    assert {row["account"]: row["calls"] for row in rows}["hubot"] >= 4
    assert alice.get("/v1/key").json()["account"] == "hubot"
    # The bridge's own sign-in is what it was.
    assert not (tmp_path / "hosts.json").exists()


def test_nothing_that_its_holder_can_ask_for_goes_by_another_account(
    bridge: LocalBridge, simulator: Simulator, alice: Holder
) -> None:
    assert alice.sign_in(alice.invited()) == "done"
    alice.becomes(bound_token(simulator), bridge)
    asked, count = [], 0
    for rule in bridge._app.url_map.iter_rules():
        path = re.sub(r"<[^>]*>", "gpt-4.1", rule.rule)
        simulator.requests(clear=True)
        goes_on = rule.endpoint == "calls.events"
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            for headers in (alice.headers, alice.headers | HTML):
                body = POSTED.get(path.removeprefix("/v1"), BODY) if method == "POST" else None
                answer = requests.request(
                    method, bridge.url + path, json=body, headers=headers, timeout=60, stream=goes_on
                )
                asked.append((method, path, answer.status_code))
                answer.close()
        by = [one["header"].get("authorization", "") for one in simulator.requests()]
        count += len([one for one in by if tid(bound_token(simulator)) in one])
        assert not [one for one in by if tid(OWN) in one or OWN in one], path
    assert count > 10
    assert {path for _, path, status in asked if status == 200} >= {
        "/v1/models",
        "/usage",
        "/catalogue",
        "/v1/messages",
    }


def test_two_processes_agree(env: dict[str, str], simulator: Simulator, tmp_path: Path) -> None:
    with Bridge(env, tmp_path) as one, Bridge(env, tmp_path) as other:
        alice = Holder(one, simulator, "alice")
        assert alice.token_of_chat(other) == tid(OWN)
        link = alice.invited()
        # Begun at one and looked at by the other, as behind a proxy.
        assert alice.sign_in(link) == "done"
        alice.bridge = other
        assert alice.ended() == "done"
        hers = bound_token(simulator)
        for bridge in (one, other):
            alice.becomes(hers, bridge)
        assert one.call("DELETE", "/admin/keys/alice/binding").status_code == 200
        for bridge in (one, other):
            alice.becomes(OWN, bridge)
        for bridge in (one, other):
            assert link.partition("link=")[2] not in bridge.log
            assert hers not in bridge.log


@pytest.mark.parametrize("path", ["/admin/keys/alice/binding", "/admin/keys/alice"])
def test_nothing_is_left_of_an_account_that_is_let_go(
    bridge: LocalBridge, simulator: Simulator, alice: Holder, tmp_path: Path, path: str
) -> None:
    def all_kept() -> str:
        kept = ""
        for name in ("state.db", "bridge.db"):
            with closing(sqlite3.connect(tmp_path / name)) as file:
                kept += "\n".join(file.iterdump())
        return kept

    assert alice.sign_in(alice.invited()) == "done"
    hers = bound_token(simulator)
    alice.becomes(hers, bridge)
    assert f"tid={tid(hers)}" in all_kept()
    assert hers not in all_kept()  # it lies there encrypted
    let_go = bridge.call("DELETE", path)
    assert let_go.json()["account"] is None
    fingerprint = hashlib.sha256(hers.encode()).hexdigest()[:16]
    for trace in (f"tid={tid(hers)}", fingerprint, hers):
        assert trace not in all_kept()


def test_what_the_account_cannot_do_no_other_does(bridge: LocalBridge, simulator: Simulator, alice: Holder) -> None:
    assert alice.sign_in(alice.invited()) == "done"
    alice.becomes(bound_token(simulator), bridge)
    simulator.revoke_github_token(bound_token(simulator))
    simulator.invalidate_copilot_tokens(bound_token(simulator))
    simulator.requests(clear=True)
    refused = alice.chat()
    assert refused.status_code == 403
    assert "hubot, the account that this API key is bound to" in refused.json()["error"]["message"]
    assert "/auth/device" not in refused.text
    assert not [one for one in simulator.requests("/chat/completions") if tid(OWN) in one["header"]["authorization"]]
    assert bridge.chat("hi").status_code == 200
    # A new invitation mends it.
    assert alice.sign_in(alice.invited()) == "done"
    alice.becomes(bound_token(simulator), bridge)


def test_an_account_serves_one_person(bridge: LocalBridge, simulator: Simulator, alice: Holder, bob: Holder) -> None:
    assert alice.sign_in(alice.invited()) == "done"
    assert "serves another API key already" in bob.sign_in(bob.invited())
    assert bob.token_of_chat() == tid(OWN)
    for name in ("alice", "bob"):
        bridge.call("PATCH", f"/admin/keys/{name}", json={"owner": "Alice"})
    # The same link: the sign-in before has failed.
    page = bob.browser.get(f"{bridge.url}/auth/invitation", headers=HTML, timeout=60)
    assert "serves another API key already" in page.text
    assert bob.sign_in(f"{bridge.url}/auth/invitation") == "done"
    bob.becomes(bound_token(simulator), bridge)
    refused = bridge.call("PATCH", "/admin/keys/bob", json={"owner": "Bob"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "account_in_use")


def test_the_bridges_own_account_is_none_of_a_keys(bridge: LocalBridge, simulator: Simulator, alice: Holder) -> None:
    simulator.config(device_account=OWN)
    assert "octocat is the bridge's own account" in alice.sign_in(alice.invited())
    assert alice.get("/v1/key").json()["account"] is None


def test_a_link_is_good_once_and_for_one_browser(bridge: LocalBridge, simulator: Simulator, alice: Holder) -> None:
    link = alice.invited()
    other = requests.Session()
    assert other.get(link, timeout=60).status_code == 200  # a look uses nothing up
    token = re.search(r'name="token" value="([0-9a-f]+)"', other.get(link, timeout=60).text)[1]
    assert alice.sign_in(link) == "done"
    for _ in range(2):
        for answer in (
            other.get(link, timeout=60),
            other.get(f"{bridge.url}/auth/invitation/status", timeout=60),
            other.post(f"{bridge.url}/auth/invitation/start", data={"token": token}, timeout=60),
            requests.get(link, timeout=60),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "invitation_invalid")
    assert len(simulator.devices()) == 1
    # She herself is shown that it is done, and cannot use it again.
    again = alice.browser.get(link, timeout=60)
    assert "hubot" in again.text
    assert alice.browser.post(f"{bridge.url}/auth/invitation/start", data={"token": token}).status_code == 404
