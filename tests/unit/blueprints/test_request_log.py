"""The log tells who did what, and nothing of what was said."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.auth.api_key import key_name
from app.blueprints._request_log import client_name
from app.logs import LineFormatter
from app.settings import DEFAULT_API_KEY, Settings
from tests.support.secrets import API_KEY, SECOND_API_KEY

KEY = {"Authorization": f"Bearer {API_KEY}"}
PROMPT = "my secret illness"


class Log:
    """What the formatter makes of the service's lines."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def lines(self, least: int = logging.INFO) -> list[dict[str, Any]]:
        json_lines = LineFormatter(as_json=True)
        return [json.loads(json_lines.format(one)) for one in self._caplog.records if one.levelno >= least]

    def text(self, least: int = logging.INFO) -> str:
        return json.dumps(self.lines(least)) + "\n".join(map(LineFormatter(as_json=False).format, self._caplog.records))

    def one(self, event: str) -> dict[str, Any]:
        [line] = [line for line in self.lines() if line["event"] == event]
        return line


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.DEBUG, logger="copilot_bridge")
    return Log(caplog)


class Client(FlaskClient):
    """Reads each answer to its end, which is when its line is written."""

    def open(self, *args: Any, **options: Any) -> Any:
        return super().open(*args, **{"buffered": True, **options})


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    app.test_client_class = Client
    return app.test_client()


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("claude-cli/2.1.15 (external, cli)", "claude-cli"),
        ("codex_cli_rs/0.98.0 (Ubuntu 24.04; x86_64) xterm", "codex_cli_rs"),
        ("opencode/1.2 ai-sdk/provider-utils/3", "opencode"),
        ("OpenAI/Python 2.3.0", "OpenAI/Python"),
        ("Anthropic/JS 0.7", "Anthropic/JS"),
        ("python-requests/2.32", "python-requests"),
        ("curl/8.5.0", "curl"),
        ("node", "node"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140 Safari/537.36", "browser"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) CherryStudio/1.6 Chrome/138 "
            "Electron/37 Safari/537.36",
            "CherryStudio",
        ),
        ("", None),
        ("  ((((", None),
        ("我的", None),
        ("a" * 5000, "a" * 40),
    ],
)
def test_a_client_is_named_by_its_program(user_agent: str, name: str | None) -> None:
    assert client_name(user_agent) == name


def test_a_key_has_a_name_that_does_not_lead_back_to_it() -> None:
    assert key_name(DEFAULT_API_KEY) == "default"
    assert re.fullmatch("[0-9a-f]{8}", key_name(API_KEY))
    assert key_name(API_KEY) != key_name(SECOND_API_KEY)


def test_a_line_names_twenty_losses_and_counts_the_rest(
    signed_in: None, client: FlaskClient, log: Log, catalogue: Callable[..., None], upstream: responses.RequestsMock
) -> None:
    catalogue({"id": "claude-sonnet-4.6", "vendor": "Anthropic", "supported_endpoints": ["/v1/messages"]})
    answer = {"id": "m", "type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn", "usage": {}}
    upstream.post("https://copilot.test/v1/messages", json=answer)
    unknown = {f"unknown_{number}": 1 for number in range(25)}
    body = {"model": "claude-sonnet-4.6", "messages": [{"role": "user", "content": "hi"}], **unknown}
    assert client.post("/v1/chat/completions", json=body, headers=KEY).status_code == 200
    line = log.one("request")
    assert (len(line["dropped"]), line["dropped"][-1]) == (21, "+5 more")
    assert (len(line["losses"]), line["losses"][-1]) == (21, "+5 more")


@pytest.mark.parametrize(
    "how",
    [
        {"headers": KEY},
        {"headers": {"x-api-key": API_KEY}},
        {"headers": {"Authorization": "Bearer dummy", "x-api-key": API_KEY}},
        {"query_string": {"api_key": API_KEY}},
    ],
)
def test_a_request_is_logged_with_key_address_and_client(client: FlaskClient, log: Log, how: dict[str, Any]) -> None:
    client.get("/admin/mapping", **how, environ_overrides={"REMOTE_ADDR": "10.1.2.3", "HTTP_USER_AGENT": "curl/8"})
    line = log.one("request")
    assert (line["key"], line["address"], line["client"]) == (key_name(API_KEY), "10.1.2.3", "curl")
    assert API_KEY not in log.text(logging.DEBUG)


def test_a_browser_is_logged_with_the_key_that_it_once_showed(client: FlaskClient, log: Log) -> None:
    client.post("/auth/key", data={"api_key": API_KEY})
    client.get("/admin/mapping")
    assert [line["key"] for line in log.lines() if line["event"] == "request"] == [key_name(API_KEY)] * 2
    assert log.one("browser let in")["actor"] == f"key:{key_name(API_KEY)}"


@pytest.mark.parametrize(("proxies", "address"), [("0", "127.0.0.1"), ("1", "203.0.113.9")])
def test_the_address_behind_a_trusted_proxy_is_the_clients(
    environment: dict[str, str], log: Log, proxies: str, address: str
) -> None:
    app = create_app(Settings.from_env({**environment, "TRUSTED_PROXIES": proxies}))
    headers = {**KEY, "X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
    app.test_client_class = Client
    assert app.test_client().get("/admin/mapping", headers=headers).status_code == 200
    assert log.one("request")["address"] == address
    app.extensions["gateway"].close()


def _by_header(client: FlaskClient) -> int:
    return client.get("/v1/models", headers={"Authorization": "Bearer wrong"}).status_code


def _by_query(client: FlaskClient) -> int:
    return client.get("/usage?api_key=wrong").status_code


def _by_form(client: FlaskClient) -> int:
    return client.post("/auth/key", data={"api_key": "wrong"}).status_code


@pytest.mark.parametrize("attempt", [_by_header, _by_query, _by_form])
def test_a_failed_login_is_logged_with_its_address(
    client: FlaskClient, log: Log, attempt: Callable[[FlaskClient], int]
) -> None:
    assert attempt(client) == 401
    line = log.one("request")
    assert (line["status"], line["error"], line["address"]) == (401, "invalid_api_key", "127.0.0.1")
    assert "key" not in line
    [told] = [line for line in log.lines() if line.get("code") == "invalid_api_key"]
    assert told["address"] == "127.0.0.1"
    assert "wrong" not in log.text().replace("Wrong API key", "")


def test_mapping_changes_leave_who_what_and_how_it_was(client: FlaskClient, log: Log) -> None:
    initial: Any = client.get("/admin/mapping", headers=KEY).json
    client.get("/admin/mapping/set?from=a&to=b", headers=KEY)
    client.put("/admin/mapping/a", json={"to": "c"}, headers=KEY)
    client.delete("/admin/mapping/a", headers=KEY)
    client.delete("/admin/mapping/a", headers=KEY)
    client.get("/admin/mapping/set?from=d&to=e", headers=KEY)
    client.post("/admin/mapping/reset", headers=KEY)
    lines = [line for line in log.lines() if line.get("audit")]
    assert {(line["actor"], line["address"]) for line in lines} == {(f"key:{key_name(API_KEY)}", "127.0.0.1")}
    assert [(line["event"], line.get("from"), line.get("before"), line.get("after")) for line in lines] == [
        ("mapping set", "a", None, "b"),
        ("mapping set", "a", "b", "c"),
        ("mapping deleted", "a", "c", None),
        ("mapping set", "d", None, "e"),
        ("mapping reset", None, {**initial, "d": "e"}, initial),
    ]


def test_commands_leave_who_ran_them(app: Flask, log: Log, tmp_path: Path) -> None:
    app.extensions["gateway"].store.put("key", "value")
    runner = app.test_cli_runner()
    runner.invoke(args=["backup", str(tmp_path / "state.backup")])
    runner.invoke(args=["restore", str(tmp_path / "state.backup")])
    runner.invoke(args=["store", "copy", "sqlite", str(tmp_path / "copy" / "state.db")])
    lines = [line for line in log.lines() if line.get("audit")]
    assert [line["event"] for line in lines] == ["backup written", "backup restored", "store copied"]
    assert all(re.fullmatch(r"cli:\w+", line["actor"]) for line in lines)


def test_signing_in_and_out_leaves_who_did_it(app: Flask, upstream: responses.RequestsMock, log: Log) -> None:
    code = {"device_code": "d" * 40, "user_code": "K7QF-2MZD", "expires_in": 899, "interval": 0}
    upstream.post("https://github.test/login/device/code", json=code)
    upstream.post("https://github.test/login/oauth/access_token", json={"access_token": "ghu_test_cli"})
    upstream.get("https://api.github.test/copilot_internal/user", json={"login": "octocat"})
    app.test_cli_runner().invoke(args=["login"])
    app.test_cli_runner().invoke(args=["logout"])
    signed_in, signed_out = log.one("signed in"), log.one("signed out")
    assert signed_in["actor"].startswith("cli:")
    assert (signed_in["after"], signed_in.get("before")) == ("octocat", None)
    assert (signed_out["actor"], signed_out["before"]) == (signed_in["actor"], "octocat")


@pytest.mark.parametrize(
    "body",
    [
        {"model": "gpt-4.1", "messages": [{"role": PROMPT, "content": "x"}]},
        {"model": "gpt-4.1", "messages": PROMPT},
        {"model": "gpt-4.1", "messages": [{"role": "user", "content": [{"type": PROMPT}]}]},
        {"model": "gpt-4.1", "messages": [], PROMPT: 1},
        PROMPT,
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_what_a_client_wrote_is_in_no_line_but_those_for_debugging(
    client: FlaskClient, log: Log, path: str, body: object
) -> None:
    answer = client.post(path, json=body, headers=KEY)
    assert answer.status_code >= 400
    assert log.one("request")["status"] == answer.status_code
    assert PROMPT not in json.dumps(log.lines())


def test_an_excerpt_for_debugging_is_cut_and_masked(client: FlaskClient, log: Log) -> None:
    told = client.get("/v1/models/" + "x" * 3000 + "ghu_test_secret", headers=KEY)
    assert told.status_code >= 400
    assert all(len(line.get("message", "")) <= 300 for line in log.lines(logging.DEBUG))
    assert "ghu_test_secret" not in log.text(logging.DEBUG)
