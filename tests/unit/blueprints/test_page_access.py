"""Who gets into the pages by which key, what each may see there, and what ends it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.blueprints._access import COOKIE
from app.blueprints._navigation import FOR_CLIENTS, PAGES, page_at, pages_for
from app.gateway import Gateway
from app.settings import DEFAULT_API_KEY, Settings
from tests.support.secrets import API_KEY

ADMIN = {"Authorization": f"Bearer {API_KEY}"}
PAGE = {"Accept": "text/html"}
SENT = {**PAGE, "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def client(
    signed_in: None, catalogue: Callable[..., None], app: Flask, upstream: responses.RequestsMock
) -> FlaskClient:
    catalogue("gpt-4.1")
    upstream.get("https://api.github.test/copilot_internal/user", json={"login": "octocat", "copilot_plan": "business"})
    return app.test_client()


@pytest.fixture
def enter(client: FlaskClient, gateway: Gateway) -> Callable[..., FlaskClient]:
    """A browser that has typed in a new key of this role."""

    def browser(name: str = "alice", **fields: Any) -> FlaskClient:
        made = client.post("/admin/keys", json={"name": name, **fields}, headers=ADMIN).json
        gateway.client_keys.known.forget()
        other = client.application.test_client()
        entered = other.post("/auth/key", data={"api_key": made["secret"], "next": "/setup"}, headers=SENT)
        assert (entered.status_code, entered.headers["Location"]) == (303, "/setup")
        cookie = entered.headers["Set-Cookie"]
        assert made["secret"] not in cookie
        assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        return other

    return browser


def test_every_line_of_the_table_is_a_page(client: FlaskClient) -> None:
    endpoints = client.application.view_functions
    for page in PAGES:
        rules = [str(rule) for rule in client.application.url_map.iter_rules(page.endpoint)]
        assert page.path in rules
        assert not [part for part in page.parts if part not in endpoints]
        assert page_at(page.path) == page
    assert len({page.path for page in PAGES}) == len(PAGES)


def test_a_page_is_no_prefix_of_another_word() -> None:
    assert page_at("/setup/codex") == page_at("/setup") is not None
    assert page_at("/setups") is None
    assert page_at("//evil.example/setup") is None


@pytest.mark.parametrize("role", ["client", "admin"])
def test_the_navigation_shows_what_a_key_may_see_and_all_of_it_opens(
    client: FlaskClient, enter: Callable[..., FlaskClient], role: str
) -> None:
    browser = enter(role=role)
    shown = browser.get("/setup", headers=PAGE).text
    for page in PAGES:
        may_see = role == "admin" or page.for_clients
        assert (f'<a href="{page.path}"' in shown) is may_see, page.path
        answer = browser.get(page.path, headers=PAGE)
        assert answer.status_code == (200 if may_see else 403), page.path
        if not may_see:
            assert "Not allowed" in answer.text
            assert "or a key of the role admin" in answer.text
            assert "&#39;alice&#39;" in answer.text


def test_a_clients_browser_opens_nothing_but_what_is_its_own(
    client: FlaskClient, enter: Callable[..., FlaskClient]
) -> None:
    browser = enter()
    for rule in client.application.url_map.iter_rules():
        view = client.application.view_functions[rule.endpoint]
        if rule.endpoint in FOR_CLIENTS or hasattr(view, "admission"):
            continue
        path = str(rule).replace("<path:name>", "alice").replace("<path:source>", "x").replace("<number>", "1")
        path = path.replace("<client>", "codex").replace("<path:model_id>", "x").replace("<response_id>", "x")
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            answer = browser.open(path, method=method, headers=SENT)
            # Outside the pages the cookie counts for nothing.
            assert answer.status_code in (401, 403), (method, path)


@pytest.mark.parametrize("role", ["client", "admin"])
@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_the_cookie_ends_with_its_key(
    client: FlaskClient, gateway: Gateway, enter: Callable[..., FlaskClient], role: str, how: str
) -> None:
    browser = enter(role=role)
    assert browser.get("/setup", headers=PAGE).status_code == 200
    if how == "revoked":
        client.delete("/admin/keys/alice", headers=ADMIN)
    else:
        client.patch("/admin/keys/alice", json={"expires_at": "2020-01-01"}, headers=ADMIN)
    gateway.client_keys.known.forget()
    assert browser.get("/setup", headers=PAGE).status_code == 401


def test_a_cookie_says_nothing_of_another_key(client: FlaskClient, enter: Callable[..., FlaskClient]) -> None:
    alice, boss = enter("alice"), enter("boss", role="admin")
    mine, theirs = alice.get_cookie(COOKIE), boss.get_cookie(COOKIE)
    assert mine is not None
    assert theirs is not None
    forged = theirs.value.partition("~")[0] + "~" + mine.value.partition("~")[2]
    alice.set_cookie(COOKIE, forged)
    assert alice.get("/setup", headers=PAGE).status_code == 401


def test_a_role_that_is_taken_away_is_taken_from_the_browser_too(
    client: FlaskClient, gateway: Gateway, enter: Callable[..., FlaskClient]
) -> None:
    browser = enter(role="admin")
    assert browser.get("/admin/mapping", headers=PAGE).status_code == 200
    client.patch("/admin/keys/alice", json={"role": "client"}, headers=ADMIN)
    gateway.client_keys.known.forget()
    assert browser.get("/admin/mapping", headers=PAGE).status_code == 403


def test_a_clients_browser_can_log_out(client: FlaskClient, enter: Callable[..., FlaskClient]) -> None:
    browser = enter()
    page = browser.get("/setup", headers=PAGE).text
    token = page.partition('name="token" value="')[2].partition('"')[0]
    kept = browser.get_cookie(COOKIE)
    assert browser.post("/auth/logout", data={"token": token}, headers=SENT).status_code == 303
    assert kept is not None
    browser.set_cookie(COOKIE, kept.value)  # somebody has kept it
    assert browser.get("/setup", headers=PAGE).status_code == 401


@pytest.mark.parametrize("role", ["client", "admin"])
def test_a_page_of_another_site_may_change_nothing_by_a_named_keys_cookie(
    enter: Callable[..., FlaskClient], gateway: Gateway, role: str
) -> None:
    browser, before = enter(role=role), gateway.mapping.all()
    for path in ("/admin/mapping/set?from=a&to=b", "/admin/mapping/reset", "/admin/mapping/del?from=gpt-4"):
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {}):  # a plain http:// address tells nothing
            browser.get(path, headers={**PAGE, **headers})
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}, {"Origin": "http://evil.example"}):
        sent = {"action": "set", "from": "a", "to": "b"}
        assert browser.post("/admin/mapping", data=sent, headers={**PAGE, **headers}).status_code == 403
    assert gateway.mapping.all() == before


def test_a_wrong_key_is_told_and_braked(client: FlaskClient) -> None:
    statuses = {
        client.post("/auth/key", data={"api_key": f"cb-{'x' * 43}"}, headers=SENT).status_code for _ in range(40)
    }
    assert statuses == {401, 429}


def test_the_log_names_the_key_of_the_browser(
    client: FlaskClient, enter: Callable[..., FlaskClient], caplog: pytest.LogCaptureFixture
) -> None:
    browser = enter()
    with caplog.at_level("INFO"):
        browser.get("/setup", headers=PAGE).close()
    lines: list[Any] = [vars(record).get("fields", {}) for record in caplog.records]
    assert "alice" in [line.get("key") for line in lines]


def rooms(page: str) -> list[str]:
    """Where the navigation leads."""
    return re.findall(r'<a href="([^"]*)"', page.partition('<nav aria-label="Pages">')[2].partition("</nav>")[0])


@pytest.mark.parametrize("role", [None, "client", "admin"])
@pytest.mark.parametrize("at", ["/docs", "/nowhere", "/admin/keys", "/usage?from=x", "/auth/invitation?link=bad"])
def test_whatever_is_shown_the_navigation_is_that_of_the_role(
    client: FlaskClient, enter: Callable[..., FlaskClient], role: str | None, at: str
) -> None:
    browser = enter(role=role) if role else client.application.test_client()
    shown = rooms(browser.get(at, headers=PAGE).text)
    for page in PAGES:
        may_open = browser.get(page.path, headers=PAGE).status_code == 200
        assert (page.path in shown) is may_open, page.path
    assert len(shown) == len(set(shown))


def test_the_operators_own_key_has_all_rooms_and_one_that_is_well_known_in_its_network_alone(
    environment: dict[str, str], client: FlaskClient
) -> None:
    every = [page.path for page in PAGES]
    assert client.post("/auth/key", data={"api_key": API_KEY, "next": "/"}, headers=SENT).status_code == 303
    assert [rooms(client.get(path, headers=PAGE).text) for path in ("/usage", "/docs", "/nowhere")] == [every] * 3
    assert rooms(client.application.test_client().get("/usage", headers=PAGE | ADMIN).text) == every
    del environment["API_KEY"]
    weak = create_app(Settings.from_env(environment))
    browser = weak.test_client()
    try:
        assert rooms(browser.get("/nowhere", headers=PAGE).text) == []
        data = {"api_key": DEFAULT_API_KEY, "next": "/"}
        assert browser.post("/auth/key", data=data, headers=SENT).status_code == 303
        assert rooms(browser.get("/nowhere", headers=PAGE).text) == every
        far = {"REMOTE_ADDR": "203.0.113.9"}
        assert rooms(browser.get("/nowhere", headers=PAGE, environ_overrides=far).text) == []
    finally:
        weak.extensions["gateway"].close()


def test_who_has_an_invitation_is_shown_no_room(client: FlaskClient, enter: Callable[..., FlaskClient]) -> None:
    alice = enter()
    invited = client.post("/admin/keys/alice/invitation", json={}, headers=ADMIN).json
    link = invited["link"].removeprefix("http://localhost")
    for browser, of_role in ((client.application.test_client(), None), (alice, "client")):
        browser.get(link, headers=PAGE)
        page = browser.get("/auth/invitation", headers=PAGE)
        assert page.status_code == 200
        assert rooms(page.text) == [it.path for it in pages_for(of_role)]
