"""Who may enter: every route, every way to show a key, every place to come from."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.blueprints._access import form_token
from app.settings import DEFAULT_API_KEY, Settings
from tests.support.secrets import API_KEY, SECOND_API_KEY

PUBLIC = ("/health", "/livez", "/readyz", "/openapi.json", "/docs")
NO_KEY_NEEDED = {(method, path) for method in ("GET", "HEAD") for path in PUBLIC}
NO_KEY_NEEDED |= {("HEAD", "/"), ("HEAD", "/api/hello")}
NO_KEY_NEEDED |= {("GET", "/metrics"), ("HEAD", "/metrics")}  # on this machine; see test_ledger


INVITED = {(method, f"/auth/invitation{more}") for method in ("GET", "HEAD") for more in ("", "/status")}
INVITED |= {("POST", "/auth/invitation/start")}  # whoever has a link; see test_invitation


def make(environment: dict[str, str], **env: str) -> FlaskClient:
    return create_app(Settings.from_env({**environment, **env})).test_client()


def routes(app: Flask) -> list[tuple[str, str]]:
    found = []
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<path:name>", "x").replace("<path:source>", "x").replace("<name>", "x")
        found += [(method, path) for method in sorted(rule.methods or ()) if method != "OPTIONS"]
    return found


def test_every_route_but_the_named_ones_needs_a_key(environment: dict[str, str]) -> None:
    client = make(environment, GH_COPILOT_TOKEN="ghu_test_linked", WARM_UP="false")
    answers = {route: client.open(route[1], method=route[0]).status_code for route in routes(client.application)}
    open_routes = {route for route, status in answers.items() if status != 401}
    assert open_routes == NO_KEY_NEEDED | INVITED
    assert {answers[route] for route in INVITED} == {404}


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": f"Bearer {API_KEY}"}, ""),
        ({"authorization": f"bearer {API_KEY}"}, ""),
        ({"x-api-key": API_KEY}, ""),
        ({"Authorization": "Bearer sk-dummy", "x-api-key": API_KEY}, ""),
        ({}, f"?api_key={API_KEY}"),
    ],
)
def test_ways_to_show_a_key(client: FlaskClient, headers: dict[str, str], query: str) -> None:
    assert client.get("/admin/mapping" + query, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"Authorization": "Bearer wrong"}, ""),
        ({"Authorization": f"Basic {API_KEY}"}, ""),
        ({"x-api-key": ""}, ""),
        ({}, "?api_key="),
        ({}, f"?api_key={API_KEY}x"),
        ({"Authorization": f"Bearer {DEFAULT_API_KEY}"}, ""),
        ({"Cookie": "bridge_session=0"}, ""),
    ],
)
def test_no_or_wrong_key_is_401_in_the_dialect(client: FlaskClient, headers: dict[str, str], query: str) -> None:
    openai = client.post("/v1/chat/completions" + query, headers=headers)
    assert openai.status_code == 401
    assert openai.json["error"]["type"] == "authentication_error"
    assert openai.json["error"]["code"] == "invalid_api_key"
    assert openai.headers["WWW-Authenticate"] == "Bearer"
    anthropic = client.get("/v1/models" + query, headers={**headers, "anthropic-version": "2023-06-01"})
    assert anthropic.status_code == 401
    assert anthropic.json["type"] == "error"
    assert anthropic.json["error"]["type"] == "authentication_error"
    assert anthropic.json["request_id"] == anthropic.headers["x-request-id"]


def test_several_keys_are_all_right(environment: dict[str, str]) -> None:
    client = make(environment, API_KEY=f"{API_KEY},{SECOND_API_KEY}")
    for key in (API_KEY, SECOND_API_KEY):
        assert client.get("/admin/mapping", headers={"x-api-key": key}).status_code == 200


@pytest.mark.parametrize("key", [DEFAULT_API_KEY, ""])
@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("192.168.1.5", {}, 200),
        ("127.0.0.1", {"X-Forwarded-For": "10.0.0.7"}, 200),
        ("203.0.113.9", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "10.0.0.7, 203.0.113.9"}, 403),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.9"}, 403),
        ("127.0.0.1", {"X-Real-IP": "203.0.113.9"}, 403),
        ("127.0.0.1", {"Host": "evil.example"}, 403),
    ],
)
def test_default_and_empty_key_count_for_private_callers_only(
    environment: dict[str, str], key: str, peer: str, headers: dict[str, str], status: int
) -> None:
    client = make(environment, API_KEY=key)
    answer = client.get(
        "/admin/mapping", headers={"x-api-key": key, **headers} if key else headers, environ_base={"REMOTE_ADDR": peer}
    )
    assert answer.status_code == status
    if status == 403:
        assert "API_KEY" in answer.json["error"]["message"]


def test_own_key_counts_from_everywhere(client: FlaskClient) -> None:
    answer = client.get(
        "/admin/mapping",
        headers={"x-api-key": API_KEY, "X-Forwarded-For": "203.0.113.9", "Host": "bridge.example"},
        environ_base={"REMOTE_ADDR": "203.0.113.1"},
    )
    assert answer.status_code == 200


def test_wrong_key_from_a_public_place_is_401_and_tells_nothing(environment: dict[str, str]) -> None:
    client = make(environment, API_KEY=DEFAULT_API_KEY)
    answer = client.get("/v1/models", headers={"x-api-key": "x"}, environ_base={"REMOTE_ADDR": "203.0.113.1"})
    assert answer.status_code == 401


@pytest.mark.parametrize("action", ["set?from=a&to=b", "del?from=a", "reset"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_changing_gets_refuse_pages_of_other_sites(client: FlaskClient, action: str, site: str) -> None:
    separator = "&" if "?" in action else "?"
    url = f"/admin/mapping/{action}{separator}api_key={API_KEY}"
    refused = client.get(url, headers={"Sec-Fetch-Site": site})
    assert refused.status_code == 403
    assert refused.json["error"]["code"] == "cross_site"
    for own in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}):
        assert client.get(url, headers=own).status_code in (200, 404)


def test_cookie_alone_changes_nothing_where_the_browser_does_not_say_who_asks(environment: dict[str, str]) -> None:
    """Over plain http:// another port of the same host can load any address here, and the cookie travels along."""
    client = make(environment)
    client.post("/auth/key", data={"api_key": API_KEY})
    assert client.get("/admin/mapping").status_code == 200
    assert client.get("/admin/mapping/set?from=a&to=b").status_code == 403
    assert client.get("/admin/mapping/set?from=a&to=b", headers={"Sec-Fetch-Site": "none"}).status_code == 200


BROWSER = {
    "Host": "nas:22011",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0",
    "Accept-Language": "en-US,en;q=0.9",
}
IMAGE = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}
CHANGES = ["set?from=csrf&to=gpt-4.1", "del?from=gpt-4o-mini", "reset?a=b"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("key", [DEFAULT_API_KEY, ""])
def test_the_well_known_key_in_an_address_is_no_proof_of_intent(
    environment: dict[str, str], key: str, change: str
) -> None:
    """A page can load http://nas:22011/… as an image; there, browsers send neither Sec-Fetch-Site nor Referer."""
    client = make(environment, API_KEY=key)
    mapping = client.application.extensions["gateway"].mapping
    mapping.set("kept", "gpt-4.1")
    before = mapping.all()
    url = f"/admin/mapping/{change}&api_key={key}"
    image = client.get(url, headers={**BROWSER, **IMAGE})
    assert (image.status_code, mapping.all()) == (403, before)
    script = client.get(url, headers={**BROWSER, "Accept": "*/*"})
    assert (script.status_code, mapping.all()) == (403, before)
    fetched = client.get(url, headers={"Host": "nas:22011", "Accept": "*/*", "Accept-Language": "de"})
    assert (fetched.status_code, mapping.all()) == (403, before)

    page = client.get(url, headers={**BROWSER, **HTML})  # typed, or a link on a page: the person is asked
    assert (page.status_code, mapping.all()) == (200, before)
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text.partition("<main")[2]))
    done = client.post("/admin/mapping", data=form, headers={**BROWSER, **HTML, "Origin": "null"})
    assert done.status_code == 303
    assert mapping.all() != before

    forged = client.post("/admin/mapping", data={**form, "token": "0" * 64}, headers={**BROWSER, "Origin": "null"})
    assert forged.status_code == 403


@pytest.mark.parametrize("change", CHANGES)
def test_addresses_of_the_original_keep_working_for_programs(environment: dict[str, str], change: str) -> None:
    client = make(environment, API_KEY=DEFAULT_API_KEY)
    answer = client.get(f"/admin/mapping/{change}&api_key={DEFAULT_API_KEY}", headers={"User-Agent": "curl/8.5.0"})
    assert answer.json["status"] == "ok"
    header = {**BROWSER, "x-api-key": DEFAULT_API_KEY}
    assert client.get("/admin/mapping/set?from=a&to=b", headers=header).json["added"] == {"a": "b"}


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "none"}, {}])
def test_addresses_of_the_original_keep_working_for_people(
    environment: dict[str, str], headers: dict[str, str]
) -> None:
    client = make(environment)
    typed = {**BROWSER, **HTML, **headers}
    saved = client.get(f"/admin/mapping/set?api_key={API_KEY}&from=gpt-4&to=claude-sonnet-4.5", headers=typed)
    assert (saved.status_code, saved.headers["Location"]) == (303, "/admin/mapping?done=set&name=gpt-4")
    page = client.get(saved.headers["Location"], headers=typed)
    assert "Saved: gpt-4 now goes to claude-sonnet-4.5." in page.text
    assert client.get("/admin/mapping", headers={"x-api-key": API_KEY}).json["gpt-4"] == "claude-sonnet-4.5"
    deleted = client.get(f"/admin/mapping/del?api_key={API_KEY}&from=gpt-4", headers=typed)
    assert "gpt-4 is no longer mapped." in client.get(deleted.headers["Location"], headers=typed).text
    assert client.get(f"/admin/mapping/del?api_key={API_KEY}&from=gpt-4", headers=typed).status_code == 404


def test_huge_form_is_not_even_read(client: FlaskClient) -> None:
    answer = client.post("/auth/key", data="a&" * 8192, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413


def test_page_of_another_site_cannot_spend_the_subscription_without_a_header(environment: dict[str, str]) -> None:
    """A simple cross-site POST needs no preflight; with the well-known key in the address it would get through."""
    client = make(environment, API_KEY=DEFAULT_API_KEY)
    foreign = {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
    answer = client.post(f"/v1/chat/completions?api_key={DEFAULT_API_KEY}", headers=foreign, data="{}")
    assert answer.status_code == 403
    with_header = client.post("/v1/chat/completions", headers={**foreign, "x-api-key": DEFAULT_API_KEY}, data="{}")
    assert with_header.status_code == 400  # admitted: the empty body is what is wrong


OWN_PAGE = "http://192.168.1.5:8000"


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),  # no browser
        ({"Origin": OWN_PAGE}, False),
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "http://192.168.1.5:9999"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "null", "token": "right"}, False),
        ({"Origin": "null", "token": "wrong"}, True),
        ({"Referer": "http://evil.example/page"}, True),
        ({"Origin": "http://["}, True),
        ({"Referer": "http://[::1/page"}, True),
        ({"Referer": f"{OWN_PAGE}/auth/device"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, False),
    ],
)
def test_page_of_another_site_is_known_on_plain_http_too(
    environment: dict[str, str], upstream: Any, headers: dict[str, str], foreign: bool
) -> None:
    upstream.post("https://github.test/login/device/code", status=503)
    client = make(environment, API_KEY=DEFAULT_API_KEY)
    token = headers.pop("token", None) if (headers := dict(headers)) else None
    if token == "right":
        with client.application.test_request_context():
            token = form_token()
    form = {"token": token} if token else {}
    answer = client.post("/auth/device/start", headers={"Host": "192.168.1.5:8000", **headers}, data=form)
    assert answer.status_code == (403 if foreign else 502)


# ── browsers ────────────────────────────────────────────────────────────────────────────────────────────────────────

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_key_in_the_address_is_swapped_for_a_cookie(environment: dict[str, str]) -> None:
    client = make(environment, GH_COPILOT_TOKEN="ghu_test_linked")
    answer = client.get(f"/auth/device?api_key={API_KEY}&a=b", headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/auth/device?a=b")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert API_KEY not in cookie
    assert client.get("/auth/device", headers=HTML).status_code == 200
    assert client.get("/v1/models").status_code == 401  # the cookie opens pages, not the API


def test_browser_without_a_key_gets_a_form_and_can_enter_it(environment: dict[str, str]) -> None:
    client = make(environment, GH_COPILOT_TOKEN="ghu_test_linked")
    page = client.get("/auth/device", headers=HTML)
    assert page.status_code == 401
    assert 'action="/auth/key"' in page.text
    wrong = client.post("/auth/key", data={"api_key": "x", "next": "/auth/device"}, headers=HTML)
    assert wrong.status_code == 401
    assert "Wrong API key" in wrong.text
    right = client.post("/auth/key", data={"api_key": API_KEY, "next": "/auth/device"}, headers=HTML)
    assert (right.status_code, right.headers["Location"]) == (303, "/auth/device")
    assert client.get("/auth/device", headers=HTML).status_code == 200


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "/\n/x"]
)
def test_key_form_leads_to_no_other_site(client: FlaskClient, target: str) -> None:
    answer = client.post("/auth/key", data={"api_key": API_KEY, "next": target})
    assert answer.headers["Location"] == "/"


def test_pages_carry_their_guards(environment: dict[str, str]) -> None:
    client = make(environment, GH_COPILOT_TOKEN="ghu_test_linked")
    page = client.get("/auth/device", headers={**HTML, "x-api-key": API_KEY})
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


# ── CORS ────────────────────────────────────────────────────────────────────────────────────────────────────────────

ORIGIN = "https://chat.example.com"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,x-stainless-os",
}


def cors(headers: Any) -> set[str]:
    return {name for name, _ in headers if name.startswith("Access-Control-")}


def test_cors_is_off_by_default(client: FlaskClient) -> None:
    answer = client.options("/v1/chat/completions", headers=PREFLIGHT)
    assert answer.status_code == 200
    assert cors(answer.headers) == set()


def test_cors_allows_named_origins_on_the_api_only(environment: dict[str, str]) -> None:
    client = make(environment, CORS_ORIGINS=ORIGIN)
    answer = client.options("/v1/chat/completions", headers=PREFLIGHT)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-stainless-os"
    assert "Origin" in answer.headers["Vary"]
    refused = client.post("/v1/chat/completions", headers={"Origin": ORIGIN})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)
    assert cors(client.options("/admin/mapping/set", headers=PREFLIGHT).headers) == set()
    other = {**PREFLIGHT, "Origin": "https://evil.example"}
    assert cors(client.options("/v1/chat/completions", headers=other).headers) == set()


# ── first run ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", [DEFAULT_API_KEY, ""])
def test_first_run_opens_the_sign_in_page_to_private_callers_only(
    environment: dict[str, str], upstream: Any, key: str
) -> None:
    upstream.post("https://github.test/login/device/code", status=503)
    client = make(environment, API_KEY=key)
    assert client.get("/auth/device", headers=HTML).status_code == 502  # admitted; GitHub gave no code
    stranger = client.application.test_client()
    public = stranger.get("/auth/device", headers=HTML, environ_base={"REMOTE_ADDR": "203.0.113.1"})
    assert public.status_code == (401 if key else 403)
    foreign = client.post("/auth/device/start", headers={**HTML, "Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/auth/device"), ("POST", "/auth/device/start")])
def test_only_who_knows_a_key_of_the_operators_own_connects_an_account(
    environment: dict[str, str], upstream: Any, method: str, path: str
) -> None:
    asked = upstream.post("https://github.test/login/device/code", status=503)
    client = make(environment)
    refused = client.open(path, method=method, headers={**HTML, "Sec-Fetch-Site": "same-origin"})
    assert refused.status_code == 401
    assert asked.call_count == 0
    assert "Set-Cookie" not in refused.headers
    assert client.open(path, method=method, headers={"x-api-key": API_KEY}).status_code in (303, 502)


CODE = {"device_code": "d" * 40, "user_code": "ABCD-1234", "verification_uri": "https://github.com/login/device"}


@pytest.fixture
def first_run(environment: dict[str, str], upstream: Any, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """Nobody is signed in, the key is the default; GitHub gives a code, and nobody polls for it."""
    monkeypatch.setattr("app.auth.device.DeviceSignIn._ensure_polling", lambda _: None)
    upstream.post("https://github.test/login/device/code", json=CODE)
    return make(environment, API_KEY=DEFAULT_API_KEY)


def sign_in(client: FlaskClient) -> None:
    """GitHub gives out a token; the bridge keeps it."""
    client.application.extensions["gateway"].github_tokens.save("ghu_test_unit", "octocat")


def test_the_browser_that_signed_in_stays_known(first_run: FlaskClient) -> None:
    page = first_run.get("/auth/device", headers=HTML)
    assert "ABCD-1234" in page.text
    cookie = page.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie
    assert DEFAULT_API_KEY not in cookie
    sign_in(first_run)
    assert first_run.get("/admin/mapping", headers=HTML).status_code == 200
    stranger = first_run.application.test_client().get("/admin/mapping", headers=HTML)
    assert stranger.status_code == 401
    assert DEFAULT_API_KEY in stranger.text, "the page names the key while it is the default"


def test_the_cookie_is_kept_to_https_behind_it(environment: dict[str, str]) -> None:
    client = make(environment, TRUSTED_PROXIES="1")
    form = {"api_key": API_KEY}
    answer = client.post("/auth/key", data=form, headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.1"})
    assert "Secure" in answer.headers["Set-Cookie"]


def test_strangers_learn_neither_code_nor_key(first_run: FlaskClient) -> None:
    first_run.get("/auth/device", headers=HTML)
    stranger = first_run.application.test_client()
    for page in (
        stranger.get("/auth/device", headers=HTML, environ_base={"REMOTE_ADDR": "203.0.113.1"}),
        stranger.get("/auth/device", headers={**HTML, "Host": "evil.example"}),
    ):
        assert page.status_code == 401
        assert "ABCD-1234" not in page.text
        assert DEFAULT_API_KEY not in page.text
        assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Referer": "http://evil.example/"}])
def test_a_page_of_another_site_begins_no_sign_in_by_an_image(
    first_run: FlaskClient, upstream: Any, headers: dict[str, str]
) -> None:
    page = first_run.get("/auth/device", headers={**HTML, **headers})
    assert page.status_code == 200
    assert "Set-Cookie" not in page.headers
    assert not upstream.calls
    assert 'action="/auth/device/start"' in page.text


def test_who_logs_out_is_asked_for_the_key_again(environment: dict[str, str]) -> None:
    client = make(environment)
    client.post("/auth/key", data={"api_key": API_KEY})
    kept = client.get_cookie("bridge_session")
    assert kept is not None
    page = client.get("/admin/mapping", headers=HTML).text
    token = re.findall(r'action="/auth/logout"><input type="hidden" name="token" value="([0-9a-f]+)"', page)[0]
    assert client.post("/auth/logout", headers=HTML).status_code == 403, "no token of the form"
    assert client.post("/auth/logout", data={"token": token}, headers=HTML).headers["Location"] == "/"
    assert client.get_cookie("bridge_session") is None
    assert client.get("/admin/mapping", headers=HTML).status_code == 401
    client.set_cookie("bridge_session", kept.value)
    assert client.get("/admin/mapping", headers=HTML).status_code == 401, "a copy of the cookie ended as well"


def test_a_form_of_one_browser_is_none_of_another(environment: dict[str, str]) -> None:
    """Who may use the bridge cannot make others' browsers use it."""
    app = make(environment).application
    tokens = []
    for _ in range(2):
        client = app.test_client()
        client.post("/auth/key", data={"api_key": API_KEY})
        tokens += re.findall(r'name="token" value="([0-9a-f]+)"', client.get("/admin/mapping", headers=HTML).text)[:1]
    assert tokens[0] != tokens[1]
    form = {"action": "set", "from": "a", "to": "b"}
    assert client.post("/admin/mapping", data={**form, "token": tokens[0]}).status_code == 403
    assert client.post("/admin/mapping", data={**form, "token": tokens[1]}).status_code == 303


def test_home_leads_a_browser_to_what_it_needs_next(environment: dict[str, str]) -> None:
    assert make(environment, API_KEY=DEFAULT_API_KEY).get("/", headers=HTML).headers["Location"] == "/auth/device"
    linked = make(environment, GH_COPILOT_TOKEN="ghu_test_linked")
    assert linked.get("/", headers={"x-api-key": API_KEY}).headers["Location"] == "/usage"
