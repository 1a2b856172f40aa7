"""The page behind an invitation: who may see it, what it says, and what a hostile link comes to."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient

from app.auth.device import DeviceSignIn
from app.gateway import Gateway
from tests.support.secrets import API_KEY

ADMIN = {"Authorization": f"Bearer {API_KEY}"}
HTML = {"Accept": "text/html"}
CHINESE = {**HTML, "Accept-Language": "zh"}
PAGE = "/auth/invitation"
USER = "https://api.github.test/copilot_internal/user"


@pytest.fixture
def client(app: Flask, upstream: responses.RequestsMock, poll: Callable[[], None]) -> FlaskClient:
    upstream.post(
        "https://github.test/login/device/code",
        json={"device_code": "d" * 40, "user_code": "K7QF-2MZD", "expires_in": 899, "interval": 5},
    )
    client = app.test_client()
    client.post("/admin/keys", json={"name": "alice", "owner": "<b>Alice</b>"}, headers=ADMIN)
    return client


@pytest.fixture
def poll(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """GitHub is asked how a sign-in stands only when a test says so."""
    waiting: list[Callable[[], None]] = []
    sign_in = functools.partial(DeviceSignIn, spawn=waiting.append, sleep=lambda _: None)
    monkeypatch.setattr(gateway.bindings, "_sign_in", sign_in)

    def ask() -> None:
        while waiting:
            waiting.pop(0)()

    return ask


@pytest.fixture
def invite(client: FlaskClient) -> Callable[..., str]:
    def made(**body: Any) -> str:
        answer = client.post("/admin/keys/alice/invitation", json=body, headers=ADMIN)
        assert answer.status_code == 200, answer.json
        return str(answer.json["link"]).removeprefix("http://localhost")

    return made


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    """Of somebody without a key."""
    return app.test_client()


def begin(browser: FlaskClient, link: str) -> Any:
    browser.get(link, headers=HTML)
    token = re.search(r'name="token" value="([0-9a-f]+)"', browser.get(PAGE, headers=HTML).text)
    assert token is not None
    return browser.post(f"{PAGE}/start", data={"token": token[1]}, headers=HTML)


def test_a_link_is_swapped_for_a_cookie(invite: Callable[..., str], browser: FlaskClient) -> None:
    link = invite()
    assert re.fullmatch(rf"{PAGE}\?link=[0-9a-f]{{12}}\.[\w-]{{43}}", link)
    swapped = browser.get(link, headers=HTML)
    assert (swapped.status_code, swapped.headers["Location"]) == (303, PAGE)
    cookie = swapped.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert f"Path={PAGE}" in cookie
    page = browser.get(PAGE, headers=HTML)
    assert "“alice”" in page.text
    assert link.partition("=")[2] not in page.text
    assert "Alice" not in page.text  # what the operator notes is none of theirs
    over_https = browser.get(link, headers=HTML, base_url="https://bridge.example.com")
    assert "Secure" in over_https.headers["Set-Cookie"]


def test_it_is_a_key_to_nothing_else(invite: Callable[..., str], browser: FlaskClient) -> None:
    link = invite()
    begin(browser, link)
    for path in ("/usage", "/v1/models", "/admin/keys", "/auth/device", "/auth/device/status", "/setup"):
        assert browser.get(path, headers={"Accept": "application/json"}).status_code == 401, path
        query = link.partition("?")[2]
        assert browser.get(f"{path}?{query}").status_code == 401, path


def test_a_sign_in_begins_by_a_form_of_ours_alone(
    invite: Callable[..., str], browser: FlaskClient, upstream: responses.RequestsMock
) -> None:
    browser.get(invite(), headers=HTML)
    for headers, data in (
        ({"Sec-Fetch-Site": "cross-site"}, {}),
        ({"Origin": "https://evil.example"}, {}),
        ({}, {}),
        ({}, {"token": "0" * 64}),
    ):
        assert browser.post(f"{PAGE}/start", headers={**HTML, **headers}, data=data).status_code == 403
    browser.get(PAGE, headers=HTML)
    assert not [call for call in upstream.calls if "device/code" in str(call.request.url)]


def test_from_the_code_to_the_account(
    invite: Callable[..., str],
    client: FlaskClient,
    browser: FlaskClient,
    upstream: responses.RequestsMock,
    gateway: Gateway,
    poll: Callable[[], None],
) -> None:
    upstream.get(USER, json={"login": "<i>hubot</i>"})
    upstream.post("https://github.test/login/oauth/access_token", json={"access_token": "ghu_test_granted"})
    assert begin(browser, invite()).status_code == 303
    told = browser.get(f"{PAGE}/status").json
    assert (told["state"], told["user_code"], "d" * 40 in str(told)) == ("pending", "K7QF-2MZD", False)
    poll()
    told = browser.get(f"{PAGE}/status").json
    assert (told["state"], told["user"]) == ("done", "<i>hubot</i>")
    page = browser.get(PAGE, headers=HTML)
    assert "&lt;i&gt;hubot&lt;/i&gt;" in page.text
    assert "<i>" not in page.text
    assert client.get("/admin/keys/alice", headers=ADMIN).json["account"] == "<i>hubot</i>"
    assert gateway.github_tokens.current() is None  # the bridge's own is as before
    assert client.get("/auth/device/status", headers=ADMIN).json == {"state": "none"}
    # Let go again.
    assert client.delete("/admin/keys/alice/binding", headers=ADMIN).json["account"] is None
    assert browser.get(PAGE, headers=HTML).status_code == 404


def test_a_sign_in_that_fails_can_be_tried_again(
    invite: Callable[..., str], browser: FlaskClient, upstream: responses.RequestsMock, poll: Callable[[], None]
) -> None:
    refused = upstream.post("https://github.test/login/oauth/access_token", json={"error": "access_denied"})
    assert begin(browser, invite()).status_code == 303
    poll()
    assert browser.get(f"{PAGE}/status").json["state"] == "failed"
    assert refused.call_count == 1
    for headers, words in ((HTML, "was cancelled on GitHub"), (CHINESE, "重试")):
        assert words in browser.get(PAGE, headers=headers).text
    assert begin(browser, PAGE).status_code == 303


def test_a_github_without_a_code_is_told(
    invite: Callable[..., str], browser: FlaskClient, upstream: responses.RequestsMock
) -> None:
    upstream.replace(responses.POST, "https://github.test/login/device/code", status=503, json={})
    answer = begin(browser, invite())
    assert answer.status_code == 502
    assert "GitHub gave no sign-in code" in answer.text
    assert 'action="/auth/invitation/start"' in answer.text


@pytest.mark.parametrize(
    "link",
    [
        "",
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
        "000000000000." + "A" * 43,
        "%00",
        "%ff%fe",
        "x" * 5000,
        "{good}&link=<script>",
        "{good}%0d%0aSet-Cookie:%20a=b",
    ],
)
def test_a_hostile_link_opens_nothing_and_is_not_repeated(
    invite: Callable[..., str], browser: FlaskClient, link: str
) -> None:
    good = invite().partition("=")[2]
    answer = browser.get(f"{PAGE}?link={link.replace('{good}', good)}", headers=HTML)
    if "&link=" in link:  # the first counts
        assert answer.status_code == 303
        return
    assert answer.status_code == 404
    assert "This invitation is not valid" in answer.text
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert "Set-Cookie" not in answer.headers
    assert browser.get(f"{PAGE}?link={link}").json["error"]["code"] == "invitation_invalid"


@pytest.mark.parametrize("cookie", ["", "x", "<script>", "a.b.c", "é" * 40])
def test_nor_does_a_hostile_cookie(browser: FlaskClient, cookie: str) -> None:
    answer = browser.get(PAGE, headers={**HTML, "Cookie": f"bridge_invitation={cookie}"})
    assert answer.status_code == 404
    assert "<script>" not in answer.text.partition("<body")[2].partition("</main>")[0]


def test_guessing_is_slowed_down(browser: FlaskClient) -> None:
    answers = {browser.get(f"{PAGE}?link=000000000000.{'A' * 43}").status_code for _ in range(40)}
    assert answers == {404, 429}


def test_it_speaks_chinese(invite: Callable[..., str], browser: FlaskClient) -> None:
    browser.get(invite(), headers=CHINESE)
    page = browser.get(PAGE, headers=CHINESE).text
    assert "连接你的 GitHub 账号" in page
    begin(browser, PAGE)
    pending = browser.get(PAGE, headers=CHINESE).text
    assert "“alice”" in pending or "「alice」" in pending
    assert "K7QF-2MZD" in pending


@pytest.mark.parametrize("hours", [0, -1, 169, 1.5, "24", True, None])
def test_a_time_that_makes_no_sense_is_refused(client: FlaskClient, hours: object) -> None:
    answer = client.post("/admin/keys/alice/invitation", json={"hours": hours}, headers=ADMIN)
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "hours")


def test_only_the_operators_keys_invite_and_unbind(client: FlaskClient) -> None:
    secret = client.post("/admin/keys", json={"name": "bob"}, headers=ADMIN).json["secret"]
    for name in ("alice", "bob"):
        for method, path in (("POST", "invitation"), ("DELETE", "binding")):
            answer = client.open(f"/admin/keys/{name}/{path}", method=method, headers={"x-api-key": secret})
            assert (answer.status_code, answer.json["error"]["code"]) == (403, "admin_key_needed")
    for method, path in (("POST", "invitation"), ("DELETE", "binding")):
        assert client.open(f"/admin/keys/nobody/{path}", method=method, headers=ADMIN).status_code == 404


def test_from_the_command_line(
    app: Flask, browser: FlaskClient, client: FlaskClient, upstream: responses.RequestsMock, poll: Callable[[], None]
) -> None:
    def run(*arguments: str, code: int = 0) -> Any:
        done = app.test_cli_runner().invoke(args=["keys", *arguments])
        assert done.exit_code == code, done.output
        return done

    link = run("invite", "alice", "--hours", "2", "--url", "https://bridge.example.com/v1/").stdout.strip()
    assert link.startswith(f"https://bridge.example.com{PAGE}?link=")
    assert browser.get(link.removeprefix("https://bridge.example.com")).status_code == 303
    assert "bound to no account" in run("unbind", "alice").output
    assert browser.get(PAGE).status_code == 404  # that ended the invitation too
    at_home = run("invite", "alice").stdout.strip()
    assert re.match(rf"http://localhost:\d+{PAGE}\?link=", at_home)
    upstream.get(USER, json={"login": "hubot"})
    upstream.post("https://github.test/login/oauth/access_token", json={"access_token": "ghu_test_granted"})
    begin(browser, PAGE + at_home.partition(PAGE)[2])
    poll()
    assert re.search(r"alice .* hubot ", run("list").output)
    assert "own account serves it now" in run("unbind", "alice").output
    assert client.get("/admin/keys/alice", headers=ADMIN).json["account"] is None
    run("invite", "nobody", code=1)
    run("invite", "alice", "--hours", "999", code=2)
    run("invite", "alice", "--url", "ftp://x", code=2)
    run("revoke", "alice")
    assert "counts no longer" in run("invite", "alice", code=1).output
