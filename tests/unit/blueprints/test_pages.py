"""What all pages have in common: two languages, a switch, and errors that say what to do next."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from app import create_app
from app.auth.github_token import GitHubTokens
from app.errors import (
    AccountError,
    GatewayError,
    Sentence,
    StoreError,
    UpstreamConnectError,
    UpstreamStatusError,
    UpstreamTimeoutError,
)
from app.routing import Model
from app.settings import DEFAULT_API_KEY, Settings
from app.store.sqlite_file import explain
from app.upstream.catalog import Catalog
from tests.support.secrets import API_KEY

TOKEN_URL = "https://api.github.test/copilot_internal/v2/token"
HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
CHINESE = {**HTML, "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
KEY = {"x-api-key": API_KEY}
ENGLISH = re.compile(r"[A-Za-z’']+(?: [A-Za-z’']+){4,}")


def text_of(page: str) -> str:
    """What a person reads, without code and quotations."""
    body = page.partition("<body>")[2]
    for element in ("script", "style", "code", "pre", "svg"):
        body = re.sub(rf"<{element}\b.*?</{element}>", " ", body, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " | ", body).split())


def assert_chinese(page: str) -> None:
    assert '<html lang="zh-Hans">' in page
    assert re.search(r"[\u4e00-\u9fff]", text_of(page))
    assert not ENGLISH.search(text_of(page)), ENGLISH.findall(text_of(page))


def make(environment: dict[str, str], **env: str) -> FlaskClient:
    return create_app(Settings.from_env({**environment, **env})).test_client()


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "says"),
    [
        ("GET", "/usage", {}, 401, "输入 API 密钥"),
        ("GET", "/usage?api_key=wrong", {}, 401, "API 密钥错误"),
        ("POST", "/auth/key", {}, 401, "启动本服务时设置的 API_KEY"),
        ("GET", "/nowhere", {}, 404, "页面不存在"),
        ("GET", "/setup/emacs", KEY, 404, "没有 &#39;emacs&#39; 的设置说明"),
        ("DELETE", "/usage", KEY, 405, "不支持 DELETE"),
        ("GET", "/usage", KEY, 403, "尚未登录 GitHub"),
        ("POST", "/auth/key", {"Sec-Fetch-Site": "cross-site"}, 403, "来自其他网站的页面"),
        ("POST", "/admin/mapping", KEY, 403, "表单已失效"),
        ("GET", "/admin/mapping/set?from=a", KEY, 400, "缺少参数“to”"),
        ("GET", "/admin/mapping/set?from=a&to=%07", KEY, 400, "可打印字符"),
        ("GET", "/admin/mapping/del?from=a", {**KEY, "Sec-Fetch-Site": "none"}, 404, "映射中没有"),
    ],
)
def test_errors_speak_the_language_of_the_browser(
    client: FlaskClient, method: str, path: str, headers: dict[str, str], status: int, says: str
) -> None:
    page = client.open(path, method=method, headers={**CHINESE, **headers})
    assert page.status_code == status
    assert says in page.text
    assert_chinese(page.text)
    english = client.open(path, method=method, headers={**HTML, **headers})
    assert '<html lang="en">' in english.text
    assert not re.search(r"[\u4e00-\u9fff]", english.text.replace("简体中文", ""))


def test_weak_keys_are_explained_from_outside_too(environment: dict[str, str]) -> None:
    client = make(environment, API_KEY=DEFAULT_API_KEY)
    for where in ({"environ_base": {"REMOTE_ADDR": "203.0.113.1"}}, {"headers": {"Host": "evil.example"}}):
        headers = {**CHINESE, "x-api-key": DEFAULT_API_KEY, **where.get("headers", {})}
        page = client.get("/usage", headers=headers, environ_base=where.get("environ_base", {}))
        assert page.status_code == 403
        assert "API_KEY" in page.text
        assert_chinese(page.text)


@pytest.mark.parametrize(
    "error",
    [
        UpstreamConnectError(Sentence("Could not reach %(host)s (%(error)s). Check the network of this machine.",
                                      host="api.github.test", error="OSError")),
        UpstreamTimeoutError(Sentence("%(host)s sent nothing for too long.", host="api.github.test")),
        StoreError(explain(OSError("disk"), Path("/data/state.db"))),
    ],
)  # fmt: skip
def test_failures_behind_a_page_are_told_in_chinese(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, error: GatewayError
) -> None:
    def fail(_: object) -> Any:
        raise error

    monkeypatch.setattr(GitHubTokens, "current", fail)
    page = client.get("/usage", headers={**CHINESE, **KEY})
    assert page.status_code == error.status
    assert_chinese(page.text)
    assert "重试" in page.text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_addresses_in_an_error_are_links_and_nothing_else_is(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    def fail(_: object) -> Any:
        said = '<a href="javascript:alert(1)">x</a> javascript:alert(1)'
        advice = Sentence("Settle the billing problem at https://github.com/settings/billing.")
        words = "GitHub refuses Copilot for this account: %(said)s. %(advice)s%(more)s"
        raise AccountError(Sentence(words, said=said, advice=advice, more=""))

    monkeypatch.setattr(GitHubTokens, "current", fail)
    page = client.get(f"/usage?lang={language}", headers={**HTML, **KEY}).text
    alert = page.partition('role="alert"')[2].partition("</p>")[0]
    assert re.findall(r'<a href="([^"]+)"', alert) == ["https://github.com/settings/billing"]


def test_what_has_no_translation_is_shown_as_the_english_that_it_is(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> Any:
        raise UpstreamStatusError("GitHub said something new today, and that is that.", status=502)

    monkeypatch.setattr(GitHubTokens, "current", fail)
    page = client.get("/usage", headers={**CHINESE, **KEY}).text
    assert 'role="alert" lang="en">GitHub said something new' in page
    assert "服务给出的说明（英文）" in page


def test_errors_of_the_api_stay_english(client: FlaskClient) -> None:
    told = client.post("/v1/chat/completions", headers={"Accept-Language": "zh-CN"}).json["error"]["message"]
    assert told.startswith("No API key.")
    told = client.get("/admin/mapping/set?from=a", headers={**KEY, "Accept-Language": "zh-CN"}).json["error"]["message"]
    assert told.startswith("'to' is missing")


def test_a_browser_at_the_api_gets_json(client: FlaskClient) -> None:
    answer = client.get("/v1/models", headers=CHINESE)
    assert answer.mimetype == "application/json"
    assert answer.json["error"]["message"].startswith("No API key.")


# ── the switch ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_switch_is_remembered(client: FlaskClient) -> None:
    page = client.get("/setup?model=gpt-4.1&api_key=wrong", headers=HTML).text
    link = re.findall(r'<a class="tool" href="([^"]+)" hreflang="zh-Hans"', page)
    assert link == ["/setup?model=gpt-4.1&amp;lang=zh"], "and the key is in no link"
    switched = client.get(link[0].replace("&amp;", "&"), headers=HTML)
    assert '<html lang="zh-Hans">' in switched.text
    assert "SameSite=Lax" in switched.headers["Set-Cookie"]
    assert '<html lang="zh-Hans">' in client.get("/nowhere", headers=HTML).text
    client.get("/nowhere?lang=en", headers=HTML)
    assert '<html lang="en">' in client.get("/nowhere", headers=CHINESE).text


def test_programs_keep_no_language(client: FlaskClient) -> None:
    answer = client.get("/admin/mapping?lang=zh", headers=KEY)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "link"),
    [
        ("GET", "/no where/ä", "/no%20where/%C3%A4?lang=zh"),
        ("GET", "/\\evil.example", "/%5Cevil.example?lang=zh"),
        ("POST", "/auth/key", "/?lang=zh"),  # cannot be asked for again
        ("POST", "/admin/mapping", "/admin/mapping?lang=zh"),
    ],
)
def test_the_switch_leads_to_a_page_of_ours(client: FlaskClient, method: str, path: str, link: str) -> None:
    page = client.open(path, method=method, headers=HTML)
    assert re.findall(r'<a class="tool" href="([^"]+)"', page.text) == [link]


def test_the_switch_knows_the_proxys_prefix(environment: dict[str, str]) -> None:
    client = make(environment, TRUSTED_PROXIES="1")
    page = client.get("/setup", headers={**HTML, "X-Forwarded-Prefix": "/bridge", "X-Forwarded-For": "10.0.0.1"})
    assert 'href="/bridge/setup?lang=zh"' in page.text


# ── the frame ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pages_carry_no_style_or_script_without_the_nonce(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Catalog) -> Any:
        raise AccountError("no plan")

    monkeypatch.setattr(Catalog, "models", fail)
    for path in ("/setup", "/admin/mapping", "/admin/mapping?reset=1", "/nowhere", "/usage"):
        page = client.get(path, headers={**HTML, **KEY})
        nonce = re.findall(r"'nonce-([0-9a-f]+)'", page.headers["Content-Security-Policy"])[0]
        assert set(re.findall(r"<(?:style|script)([^>]*)>", page.text)) == {f' nonce="{nonce}"'}
        assert " style=" not in page.text
        assert not re.search(r"\son\w+=", page.text.partition("<body>")[2].partition("<script")[0])


def test_the_frame_holds_while_the_store_is_away(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client.post("/auth/key", data={"api_key": API_KEY})

    def fail(*_: object) -> Any:
        raise StoreError(explain(OSError("no"), Path("state.db")))

    monkeypatch.setattr(type(client.application.extensions["gateway"].store), "get", fail)
    page = client.get("/admin/mapping", headers=CHINESE)
    assert page.status_code == 503
    assert "无法创建或打开" in page.text
    asked = client.application.test_client().get("/admin/mapping", headers=CHINESE)
    assert asked.status_code == 401
    assert "输入 API 密钥" in asked.text


WARNED = {
    "code": "client_version_deprecated",
    "message": "Your client is <b>old</b>.",
}


@pytest.mark.parametrize("path", ["/setup", "/admin/mapping"])
def test_what_the_model_list_warns_of_stands_on_the_pages(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Once, however many models say so; and the page asks nobody for it."""
    entries = [{"id": f"model-{number}", "warning_messages": [WARNED]} for number in range(8)]
    models = tuple(filter(None, map(Model.parse, entries)))
    monkeypatch.setattr(Catalog, "known", lambda _: models)
    page = client.get(path, headers={**HTML, **KEY}).text
    assert page.count("Your client is &lt;b&gt;old&lt;/b&gt;.") == 1
    assert "model-0, model-1, model-2, model-3, model-4, model-5, …" in page
    assert "Upgrade the bridge" in page
    chinese = client.get(path, headers={**CHINESE, **KEY}).text
    assert "Copilot 提醒" in chinese
    assert_chinese(chinese)
    # Whoever has to enter a key first is told nothing of the account.
    assert "Your client is" not in client.get(path, headers=HTML).text


# ── a token of the operator's that GitHub takes no more ─────────────────────────────────────────────────────────────


def test_a_revoked_token_of_the_environment_is_shown_as_what_it_is_wherever_one_looks(
    environment: dict[str, str], upstream: responses.RequestsMock
) -> None:
    upstream.get(TOKEN_URL, status=401, json={"message": "Bad credentials"})
    client = make(environment, GH_COPILOT_TOKEN="ghu_test_revoked")
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
    assert client.post("/v1/chat/completions", json=body, headers=KEY).status_code == 403
    page = client.get("/auth/device", headers={**HTML, **KEY}).text
    assert "GitHub no longer accepts this sign-in" in page
    assert "Set a new GH_COPILOT_TOKEN" in page
    assert client.get("/auth/device/status", headers=KEY).json == {"state": "none"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json["signed_in"]) == (503, False)
