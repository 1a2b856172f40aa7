"""What the ledger and the metrics say, and to whom."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from app import create_app
from app.gateway import Gateway
from app.settings import Settings
from tests.support.secrets import API_KEY
from tests.unit.ledger.test_entries import booking

KEY = {"Authorization": f"Bearer {API_KEY}"}
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "my secret illness"}]}
ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a secret cure"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    "copilot_usage": {"token_details": [], "total_nano_aiu": 1_500_000_001},
}
ACCOUNT = {
    "login": "octocat",
    "copilot_plan": "individual",
    "quota_reset_date": "2099-01-01",
    "quota_snapshots": {
        "premium_interactions": {
            "entitlement": 1500,
            "remaining": 1495,
            "token_based_billing": True,
            "credits_used": 4.5,
        }
    },
}


@pytest.fixture
def ask(
    signed_in: None, catalogue: Callable[..., None], upstream: responses.RequestsMock, client: FlaskClient
) -> Callable[..., int]:
    catalogue("gpt-4.1")
    upstream.post("https://copilot.test/chat/completions", json=ANSWER)

    def call(**more: Any) -> int:
        headers = KEY | {"User-Agent": "OpenAI/Python 1.0"}
        with client.post("/v1/chat/completions", json=BODY | more, headers=headers) as response:
            return response.status_code

    return call


def test_calls_are_in_the_ledger_to_the_nano_credit(ask: Callable[..., int], client: FlaskClient) -> None:
    assert [ask(), ask(), ask(messages="no list")] == [200, 200, 400]
    told = client.get("/usage/ledger?group=model", headers=KEY).json
    assert [(row["model"], row["calls"], row["nano_credits"]) for row in told["rows"]] == [
        ("", 1, 0),
        ("gpt-4.1", 2, 3_000_000_002),
    ]
    assert told["total"]["calls"] == 3
    assert told["total"]["failed_calls"] == 1
    assert told["total"]["input_tokens"] == 24


@pytest.mark.parametrize("group", ["day", "key", "client", "account"])
def test_calls_are_told_by_any_word(ask: Callable[..., int], client: FlaskClient, group: str) -> None:
    ask()
    [row] = client.get(f"/usage/ledger?group={group}", headers=KEY).json["rows"]
    assert row["calls"] == 1
    assert row[group]


@pytest.mark.parametrize("how", [{"query_string": {"format": "csv"}}, {"headers": KEY | {"Accept": "text/csv"}}])
def test_csv(ask: Callable[..., int], client: FlaskClient, how: dict[str, Any]) -> None:
    ask()
    response = client.get("/usage/ledger", **({"headers": KEY} | how))
    assert response.mimetype == "text/csv"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="usage-day-')
    header, row = csv.reader(response.text.splitlines())
    assert dict(zip(header, row, strict=True))["credits"] == "1.500000001"


@pytest.mark.parametrize(
    ("query", "name", "words"),
    [
        ("from=yesterday", "from", "must be a day like 2026-11-30"),
        ("from=20261130", "from", "must be a day like 2026-11-30"),
        ("to=2026-02-30", "to", "must be a day like 2026-11-30"),
        ("to=", "to", "must be a day like 2026-11-30"),
        ("group=conversation", "group", "must be one of day, model, key, client, account"),
        ("format=xml", "format", "must be one of json, csv"),
        ("from=2026-11-30&to=2026-11-29", "from", "must not be after 'to'"),
        ("from=0001-01-01", "from", "must not be more than 36600 days before"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused_by_name(
    client: FlaskClient, query: str, name: str, words: str
) -> None:
    response = client.get(f"/usage/ledger?{query}", headers=KEY)
    assert response.status_code == 400
    assert response.json["error"]["param"] == name
    assert words in response.json["error"]["message"]


@pytest.mark.parametrize("path", ["/usage/ledger", "/usage"])
def test_nobody_sees_it_without_a_key(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 401


def test_a_client_key_sees_its_own_calls_and_nothing_else(ask: Callable[..., int], client: FlaskClient) -> None:
    ask()
    made = client.post("/admin/keys", json={"name": "alice"}, headers=KEY).json
    own = {"Authorization": f"Bearer {made['secret']}"}
    for _ in range(2):
        client.post("/v1/chat/completions", json=BODY, headers=own).close()
    assert client.get("/usage/ledger", headers=KEY).json["total"]["calls"] == 3
    assert client.get("/usage/ledger", headers=own).json["total"]["calls"] == 2
    assert {row["key"] for row in client.get("/usage/ledger?group=key", headers=own).json["rows"]} == {"alice"}
    told: dict[str, Any] = client.get("/usage", headers=own).get_json()  # nothing of the account, which is not its own
    assert (set(told), told["bridge"]["period"]["calls"]) == ({"bridge", "reconciliation"}, 2)
    assert client.get("/metrics", headers=own).status_code == 200
    elsewhere = {"REMOTE_ADDR": "192.168.1.7"}
    assert client.get("/metrics", headers=own, environ_base=elsewhere).status_code == 403


def test_nothing_of_what_was_said_is_in_the_database(
    ask: Callable[..., int], client: FlaskClient, gateway: Gateway
) -> None:
    ask()
    client.get("/usage/ledger", headers=KEY)
    files = list(gateway.settings.data_dir.glob("bridge.db*"))
    content = b"".join(file.read_bytes() for file in files)
    assert b"OpenAI/Python" in content
    assert b"secret" not in content
    assert API_KEY.encode() not in content


def test_usage_keeps_its_shape_and_tells_the_bridges_own_part(
    ask: Callable[..., int], client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    upstream.get("https://api.github.test/copilot_internal/user", json=ACCOUNT)
    ask()
    told = client.get("/usage", headers=KEY).json
    assert {"copilot_plan", "quota_reset_date", "chat_enabled", "quotas", "raw"} <= told.keys()
    assert told["bridge"]["today"]["nano_credits"] == told["bridge"]["period"]["nano_credits"] == 1_500_000_001
    found = told["reconciliation"]
    assert (found["unit"], found["used"], found["by_this_bridge"]) == ("credits", 4.5, 1.500000001)
    # Three were used before the bridge looked for the first time.
    assert (found["elsewhere"], round(found["unknown"], 6)) == (0, 3)
    ask()
    again = client.get("/usage", headers=KEY).json["reconciliation"]
    assert again["by_this_bridge"] == 3.000000002


def test_usage_goes_on_without_the_database(
    ask: Callable[..., int], client: FlaskClient, gateway: Gateway, upstream: responses.RequestsMock
) -> None:
    upstream.get("https://api.github.test/copilot_internal/user", json=ACCOUNT)
    gateway.settings.data_dir.mkdir(parents=True, exist_ok=True)
    (gateway.settings.data_dir / "bridge.db").write_bytes(b"no database " * 100)
    assert ask() == 200
    told = client.get("/usage", headers=KEY).json
    assert told["copilot_plan"] == "individual"
    assert told["bridge"] is told["reconciliation"] is None
    assert "bridge.db" in told["ledger_trouble"]
    response = client.get("/usage/ledger", headers=KEY)
    assert (response.status_code, response.json["error"]["code"]) == (503, "database_unavailable")
    assert gateway.books.waiting == 1
    assert client.get("/readyz").json["ledger"] == {"waiting": 1, "dropped": 0}


# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_metrics_are_in_prometheus_form(ask: Callable[..., int], client: FlaskClient) -> None:
    ask()
    response = client.get("/metrics", headers=KEY)
    assert response.mimetype == "text/plain"
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    [sample] = [it for it in families["bridge_requests"].samples if it.labels["dialect"] == "chat"]
    assert (sample.value, sample.labels["outcome"]) == (1, "finished")
    assert {it.value for it in families["bridge_credits"].samples} == {1.500000001}
    assert families["bridge_requests_in_flight"].samples[0].value == 1  # this one
    for name in [
        "bridge_tokens",
        "bridge_duration_seconds",
        "bridge_ledger_queue",
        "bridge_token_exchanges",
        "bridge_refusals_learned",
        "bridge_upstream_connections_opened",
        "bridge_streams_in_flight",
        "bridge_database_up",
        "bridge_errors",
    ]:
        assert name in families


def make(environment: dict[str, str], **more: str) -> Flask:
    return create_app(Settings.from_env(environment | more))


LOOPBACK = {"REMOTE_ADDR": "127.0.0.1"}
ELSEWHERE = {"REMOTE_ADDR": "192.168.1.7"}


@pytest.mark.parametrize(
    ("rule", "where", "headers", "status"),
    [
        ("admin", LOOPBACK, {}, 200),
        ("admin", {"REMOTE_ADDR": "::1"}, {}, 200),
        ("admin", LOOPBACK, {"X-Forwarded-For": "127.0.0.1"}, 401),
        ("admin", LOOPBACK, {"X-Forwarded-For": ""}, 401),
        ("admin", LOOPBACK, {"Host": "evil.example"}, 401),
        ("admin", LOOPBACK, {"Sec-Fetch-Site": "cross-site"}, 401),
        ("admin", {"REMOTE_ADDR": ""}, {}, 401),
        ("admin", ELSEWHERE, {}, 401),
        ("admin", ELSEWHERE, KEY, 200),
        ("anybody", ELSEWHERE, {}, 200),
        ("off", LOOPBACK, KEY, 404),
    ],
)
def test_who_may_read_metrics(
    environment: dict[str, str], rule: str, where: dict[str, str], headers: dict[str, str], status: int
) -> None:
    client = make(environment, METRICS_ACCESS=rule).test_client()
    assert client.get("/metrics", environ_base=where, headers=headers).status_code == status


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────────


def test_usage_as_a_table(ask: Callable[..., int], app: Flask, gateway: Gateway, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    ask()
    assert gateway.books.flush()
    shown = app.test_cli_runner().invoke(args=["usage", "--group", "model"])
    assert shown.exit_code == 0, shown.output
    [line] = [line for line in shown.output.splitlines() if "gpt-4.1" in line]
    assert "1.50" in line
    assert "Total" in shown.output
    csv_ = app.test_cli_runner().invoke(args=["usage", "--csv"])
    assert "1.500000001" in csv_.output


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_no_number_of_the_table_is_broken(gateway: Gateway, app: Flask, monkeypatch: Any, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    model = "a-model-with-a-name-that-is-longer-than-anybody-would-like-it-to-be"
    big = {"input_tokens": 123_456_788, "output_tokens": 12_345_678, "nano_credits": 98_765 * 10**9}
    small = {"input_tokens": 1, "nano_credits": 10**9, "is_estimated": True}
    now = datetime.now(UTC).timestamp()
    gateway.ledger.write([booking(ended_at=now, served_model=model, **facts) for facts in (big, small)])
    shown = app.test_cli_runner().invoke(args=["usage", "--group", "model"]).output
    assert "123,456,789" in shown
    assert "12,345,678" in shown
    assert "98,765.00 ~1.00" in shown
    for heading in ("Model", "Calls", "Input", "Output", "Credits"):
        assert heading in shown
    # Nothing failed, and there were no premium requests.
    assert "Failed" not in shown
    assert "Premium" not in shown


def test_usage_of_a_new_bridge_is_an_empty_table(app: Flask) -> None:
    shown = app.test_cli_runner().invoke(args=["usage"])
    assert shown.exit_code == 0
    assert "No calls in this period." in shown.output


def test_usage_names_a_wrong_day(app: Flask) -> None:
    shown = app.test_cli_runner().invoke(args=["usage", "--from", "monday"])
    assert shown.exit_code == 1
    assert "'from' must be a day like 2026-11-30" in shown.output
