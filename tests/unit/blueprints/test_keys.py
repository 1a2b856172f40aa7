"""Named keys over HTTP: made, listed, changed, revoked; what each role may do; and what limits do to calls."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner

from app.blueprints._navigation import FOR_CLIENTS
from app.gateway import Gateway
from tests.support.secrets import API_KEY

HOST = "https://copilot.test"
ADMIN = {"Authorization": f"Bearer {API_KEY}"}
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
PUBLIC = (
    "/livez",
    "/health",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/api/hello",
    "/auth/key",
    "/usage/ledger",
    "/requests",
    "/metrics",
)
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4.1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10},
    "copilot_usage": {"total_nano_aiu": 2 * 10**9},
}
PRICED = {
    "id": "gpt-4.1",
    "vendor": "OpenAI",
    "billing": {"multiplier": 0.33, "token_prices": {"default": {"input_price": 200, "output_price": 800}}},
}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WARM_UP": "false"}


@pytest.fixture
def client(
    signed_in: None, catalogue: Callable[..., None], app: Flask, upstream: responses.RequestsMock
) -> FlaskClient:
    catalogue(PRICED, {"id": "claude-haiku-4.5", "vendor": "Anthropic", "supported_endpoints": ["/v1/messages"]})
    upstream.post(f"{HOST}/chat/completions", json=ANSWER)
    return app.test_client()


@pytest.fixture
def make(client: FlaskClient) -> Callable[..., dict[str, str]]:
    def make_one(name: str = "alice", **fields: Any) -> dict[str, str]:
        made = client.post("/admin/keys", json={"name": name, **fields}, headers=ADMIN)
        assert made.status_code == 200, made.json
        return {"Authorization": f"Bearer {made.json['secret']}"}

    return make_one


@pytest.fixture
def noon(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    """No test begins on one day and ends on another."""
    monkeypatch.setattr(gateway.client_keys.spending, "_clock", lambda: 1_790_000_000.0)


def chat(client: FlaskClient, key: dict[str, str], **more: Any) -> Any:
    answer = client.post("/v1/chat/completions", json={**BODY, **more}, headers=key)
    answer.get_data()
    answer.close()
    return answer


# ── the keys themselves ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_is_told_once(client: FlaskClient, gateway: Gateway) -> None:
    fields = {"owner": "Alice", "note": "laptop", "models": ["gpt-*"], "expires_at": "2099-01-31T00:00:00+01:00"}
    made = client.post("/admin/keys", json={"name": "alice", **fields}, headers=ADMIN).json
    secret = made.pop("secret")
    assert re.fullmatch(r"cb-[\w-]{43}", secret)
    assert made["expires_at"] == "2099-01-30T23:00:00Z"
    assert (made["state"], made["role"], made["last_used_at"]) == ("active", "client", None)
    listed = client.get("/admin/keys", headers=ADMIN)
    assert listed.json == {"keys": [made]}
    assert client.get("/admin/keys/alice", headers=ADMIN).json == made
    assert secret[9:] not in listed.text


def test_what_is_named_is_changed_and_the_rest_stays(client: FlaskClient) -> None:
    budgets = [{"amount": 5, "unit": "credits", "per": "day"}]
    made = client.post("/admin/keys", json={"name": "alice", "note": "n", "budgets": budgets}, headers=ADMIN).json
    changed = client.patch("/admin/keys/alice", json={"concurrent": 3}, headers=ADMIN).json
    assert changed == {**{k: v for k, v in made.items() if k != "secret"}, "concurrent": 3}
    emptied = client.patch("/admin/keys/alice", json={"budgets": None, "concurrent": None}, headers=ADMIN).json
    assert (emptied["budgets"], emptied["concurrent"], emptied["note"]) == ([], None, "n")


def test_a_key_is_called_the_same_for_ever(client: FlaskClient, make: Callable[..., dict[str, str]]) -> None:
    """What it has spent, its rules and its stored responses go by its name: nobody may come by those of another."""
    make("alice")
    refused = client.patch("/admin/keys/alice", json={"name": "bob"}, headers=ADMIN)
    assert (refused.status_code, refused.json["error"]["param"]) == (400, "name")
    client.delete("/admin/keys/alice", headers=ADMIN)
    again = client.post("/admin/keys", json={"name": "alice"}, headers=ADMIN)
    assert (again.status_code, again.json["error"]["code"]) == (400, "key_exists")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": ["a"]}, "name"),
        ({"name": "default"}, "name"),
        ({"name": "a", "budget": 5}, "budget"),
        ({"name": "a", "role": "root"}, "role"),
        ({"name": "a", "role": ["admin"]}, "role"),
        ({"name": "a", "owner": "x\ny"}, "owner"),
        ({"name": "a", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "a", "expires_at": 5}, "expires_at"),
        ({"name": "a", "models": "gpt-4.1"}, "models"),
        ({"name": "a", "models": [{}]}, "models"),
        ({"name": "a", "requests_per_minute": 0}, "requests_per_minute"),
        ({"name": "a", "requests_per_minute": 10**12}, "requests_per_minute"),
        ({"name": "a", "concurrent": "2"}, "concurrent"),
        ({"name": "a", "budgets": {}}, "budgets"),
        ({"name": "a", "budgets": [5]}, "budgets[0]"),
        ({"name": "a", "budgets": [{"amount": 5}]}, "budgets[0].per"),
        ({"name": "a", "budgets": [{"amount": -1, "per": "day"}]}, "budgets[0].amount"),
        ({"name": "a", "budgets": [{"amount": 0.5, "unit": "tokens", "per": "day"}] * 2}, "budgets"),
        ({"name": "a", "budgets": [{"amount": 5, "per": "week"}]}, "budgets[0].per"),
        ({"name": "a", "budgets": [{"amount": 5, "per": ["day"]}]}, "budgets[0].per"),
        ({"name": "a", "budgets": [{"amount": 5, "per": "day", "unit": {}}]}, "budgets[0].unit"),
        ({"name": "a", "budgets": [{"amount": 5, "per": "day", "x": 1}]}, "budgets[0].x"),
        ({"name": "a", "budgets": [{"amount": 5, "per": "day"}] * 2}, "budgets"),
    ],
)
def test_what_is_wrong_is_named_and_makes_nothing(client: FlaskClient, fields: dict[str, Any], param: str) -> None:
    refused = client.post("/admin/keys", json=fields, headers=ADMIN)
    assert (refused.status_code, refused.json["error"]["param"]) == (400, param)
    assert client.get("/admin/keys", headers=ADMIN).json == {"keys": []}


def test_changes_are_audited(
    client: FlaskClient, make: Callable[..., dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "copilot_bridge")
    make()
    client.patch("/admin/keys/alice", json={"note": "new"}, headers=ADMIN)
    client.delete("/admin/keys/alice", headers=ADMIN)
    told = {record.getMessage(): vars(record).get("fields", {}) for record in caplog.records}
    lines = {message: fields for message, fields in told.items() if "audit" in fields}
    assert list(lines) == ["key made", "key changed", "key revoked"]
    assert (lines["key changed"]["before"], lines["key changed"]["after"]) == ({"note": ""}, {"note": "new"})
    assert all(line["actor"].startswith("key:") and line["name"] == "alice" for line in lines.values())


# ── roles ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_client_may_use_the_api(client: FlaskClient, make: Callable[..., dict[str, str]]) -> None:
    key = make()
    assert chat(client, key).status_code == 200
    assert client.get("/v1/models", headers=key).status_code == 200
    assert client.get("/v1/key", headers=key).json["name"] == "alice"


def test_every_route_of_the_operator_refuses_a_client(
    client: FlaskClient, app: Flask, make: Callable[..., dict[str, str]]
) -> None:
    key = make()
    assert client.get("/usage/ledger", headers=key).status_code == 200
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]*>", "x", rule.rule)
        if re.match(r"/(v1|chat|embeddings|images|models|messages|responses)\b", path):
            continue
        for method in (rule.methods or set()) - {"OPTIONS"}:
            for headers in (key, {"x-api-key": key["Authorization"][7:]}):
                answer = client.open(path, method=method, headers=headers)
                if path in PUBLIC or rule.endpoint in FOR_CLIENTS:
                    continue
                if path.startswith("/auth/invitation"):  # for those who have one; see test_invitation
                    assert answer.status_code == 404
                    continue
                assert answer.status_code == 403, (method, path)
                if method != "HEAD":
                    assert answer.json["error"]["code"] == "admin_key_needed"


def test_an_admin_may_do_everything(client: FlaskClient, make: Callable[..., dict[str, str]]) -> None:
    key = make("boss", role="admin")
    assert client.get("/admin/mapping/set?from=a&to=gpt-4.1", headers=key).status_code == 200
    assert client.post("/admin/keys", json={"name": "alice"}, headers=key).status_code == 200
    assert chat(client, key).status_code == 200


def test_an_admin_comes_in_by_browser(client: FlaskClient, make: Callable[..., dict[str, str]]) -> None:
    secret = make("boss", role="admin")["Authorization"][7:]
    page = {"Accept": "text/html"}
    sent_on = client.get(f"/admin/mapping?api_key={secret}", headers=page)
    assert sent_on.status_code == 303
    assert secret not in sent_on.headers["Location"]
    assert client.get("/admin/mapping", headers=page).status_code == 200
    client.delete("/admin/keys/boss", headers=ADMIN)
    client.application.extensions["gateway"].client_keys.known.forget()
    assert client.get("/admin/mapping", headers=page).status_code == 401


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_key_that_counts_no_longer_is_told_so(
    client: FlaskClient, gateway: Gateway, make: Callable[..., dict[str, str]], how: str
) -> None:
    key = make(expires_at="2020-01-01" if how == "expired" else None)
    if how == "revoked":
        assert chat(client, key).status_code == 200
        assert client.delete("/admin/keys/alice", headers=ADMIN).json["state"] == "revoked"
    refused = chat(client, key)
    assert (refused.status_code, refused.json["error"]["code"]) == (401, f"key_{how}")
    assert refused.json["error"]["type"] == "authentication_error"


def test_keys_nobody_knows_are_braked(client: FlaskClient, make: Callable[..., dict[str, str]]) -> None:
    make()
    wrong = {"Authorization": "Bearer cb-" + "x" * 43}
    statuses = {chat(client, wrong).status_code for _ in range(40)}
    assert statuses == {401, 429}


def test_the_log_names_the_key(
    client: FlaskClient, make: Callable[..., dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "copilot_bridge")
    key = make()
    caplog.clear()
    chat(client, key)
    (line,) = [vars(record)["fields"] for record in caplog.records if record.getMessage() == "request"]
    assert line["key"] == "alice"
    assert key["Authorization"][12:] not in caplog.text


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_models_that_a_key_may_not_use_are_neither_served_nor_listed(
    client: FlaskClient, make: Callable[..., dict[str, str]]
) -> None:
    client.put("/admin/mapping/fast", json={"to": "claude-haiku-4.5"}, headers=ADMIN)
    key = make(models=["gpt-*"])
    assert [model["id"] for model in client.get("/v1/models", headers=key).json["data"]] == ["gpt-4.1"]
    assert client.get("/v1/models/claude-haiku-4.5", headers=key).status_code == 404
    for name in ("claude-haiku-4.5", "fast"):
        refused = chat(client, key, model=name)
        assert (refused.status_code, refused.json["error"]["code"]) == (403, "model_not_allowed")
    assert "'claude-haiku-4.5', which 'fast' stands for here, only" in refused.json["error"]["message"]
    said = {"model": "claude-haiku-4.5", "max_tokens": 9, "messages": BODY["messages"]}
    refused = client.post("/v1/messages", json=said, headers=key)
    assert (refused.status_code, refused.json["error"]["type"]) == (403, "permission_error")
    assert chat(client, key).status_code == 200


def test_requests_per_minute(client: FlaskClient, make: Callable[..., dict[str, str]]) -> None:
    key = make(requests_per_minute=2)
    first, second, third = (chat(client, key) for _ in range(3))
    assert [answer.status_code for answer in (first, second, third)] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in (first, second, third)] == ["1", "0", "0"]
    assert third.headers["x-ratelimit-limit-requests"] == "2"
    assert re.fullmatch(r"(1m0|\d\d?)s", third.headers["x-ratelimit-reset-requests"])
    assert 0 < int(third.headers["Retry-After"]) <= 60
    assert third.json["error"]["code"] == "rate_limit_exceeded"
    assert "x-should-retry" not in third.headers


@pytest.mark.usefixtures("noon")
def test_a_budget_in_credits(client: FlaskClient, make: Callable[..., dict[str, str]]) -> None:
    key = make(budgets=[{"amount": 5, "unit": "credits", "per": "day"}])
    first = chat(client, key)
    assert first.headers["x-ratelimit-limit-credits"] == "5"
    assert float(first.headers["x-ratelimit-remaining-credits"]) < 5
    standing = client.get("/v1/key", headers=key).json["limits"]["budgets"][0]
    assert standing == {
        "amount": 5,
        "unit": "credits",
        "per": "day",
        "used": 2,
        "reserved": 0,
        "left": 3,
        "resets_at": "2026-09-22T00:00:00Z",
    }
    second = chat(client, key)
    assert "x-bridge-budget-warning" not in second.headers
    third = chat(client, key)
    assert third.headers["x-bridge-budget-warning"] == "80% of 5 credits per day used"
    spent = chat(client, key)
    assert (spent.status_code, spent.json["error"]["code"], spent.json["error"]["type"]) == (
        429,
        "insufficient_quota",
        "insufficient_quota",
    )
    assert "2026-09-22T00:00:00Z" in spent.json["error"]["message"]
    assert int(spent.headers["Retry-After"]) == 1_790_035_200 - 1_790_000_000
    assert spent.headers["x-should-retry"] == "false"
    assert spent.headers["x-ratelimit-remaining-credits"] == "0"


@pytest.mark.usefixtures("noon")
def test_anthropics_clients_are_told_in_their_names(client: FlaskClient, make: Callable[..., dict[str, str]]) -> None:
    key = make(budgets=[{"amount": 10, "unit": "tokens", "per": "month"}], requests_per_minute=9)
    body = {**BODY, "max_tokens": 5}
    for status in (200, 429):
        answer = client.post("/v1/messages", json=body, headers=key)
        answer.get_data()
        answer.close()
        assert answer.status_code == status
        assert answer.headers["anthropic-ratelimit-tokens-limit"] == "10"
        assert answer.headers["anthropic-ratelimit-tokens-reset"] == "2026-10-01T00:00:00Z"
        assert answer.headers["anthropic-ratelimit-requests-limit"] == "9"
        assert "x-ratelimit-limit-tokens" not in answer.headers
    assert answer.json["error"]["type"] == "rate_limit_error"


@pytest.mark.usefixtures("noon")
def test_premium_requests_and_a_total(client: FlaskClient, make: Callable[..., dict[str, str]]) -> None:
    key = make(budgets=[{"amount": 0.66, "unit": "premium_requests", "per": "total"}])
    assert [chat(client, key).status_code for _ in range(3)] == [200, 200, 429]
    spent = chat(client, key)
    assert "Retry-After" not in spent.headers
    assert "in total" in spent.json["error"]["message"]


@pytest.mark.usefixtures("noon")
def test_what_is_no_turn_of_a_person_is_no_premium_request(
    client: FlaskClient,
    catalogue: Callable[..., None],
    upstream: responses.RequestsMock,
    make: Callable[..., dict[str, str]],
) -> None:
    catalogue(PRICED, {"id": "embedder", "capabilities": {"type": "embeddings"}})
    key = make(budgets=[{"amount": 1, "unit": "premium_requests", "per": "total"}])
    embedded = {"data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 3}}
    upstream.post(f"{HOST}/embeddings", json=embedded)
    for _ in range(3):
        answer = client.post("/v1/embeddings", json={"model": "embedder", "input": "hi"}, headers=key)
        assert answer.status_code == 200, answer.json
    tool = {"role": "tool", "tool_call_id": "c1", "content": "4"}
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    asked = [*BODY["messages"], {"role": "assistant", "tool_calls": [call]}, tool]
    assert chat(client, key, messages=asked).status_code == 200
    (standing,) = client.get("/v1/key", headers=key).json["limits"]["budgets"]
    assert (standing["used"], standing["reserved"]) == (0, 0)


@pytest.mark.usefixtures("noon")
def test_what_fails_costs_nothing(
    client: FlaskClient, upstream: responses.RequestsMock, make: Callable[..., dict[str, str]]
) -> None:
    key = make(budgets=[{"amount": 5, "unit": "credits", "per": "day"}], concurrent=1)
    upstream.replace(responses.POST, f"{HOST}/chat/completions", status=400, json={"error": {"message": "no"}})
    for _ in range(3):
        assert chat(client, key).status_code == 400
    (standing,) = client.get("/v1/key", headers=key).json["limits"]["budgets"]
    assert (standing["used"], standing["reserved"]) == (0, 0)


def test_the_operators_key_has_no_limits(client: FlaskClient) -> None:
    assert client.get("/v1/key", headers=ADMIN).json["limits"] is None
    answer = chat(client, ADMIN)
    assert not [name for name, _ in answer.headers if "ratelimit" in name.lower()]


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run(app: Flask) -> Callable[..., Any]:
    runner: FlaskCliRunner = app.test_cli_runner()

    def run_one(*arguments: str, code: int = 0) -> Any:
        done = runner.invoke(args=["keys", *arguments])
        assert done.exit_code == code, done.output
        return done

    return run_one


def test_keys_from_the_command_line(client: FlaskClient, gateway: Gateway, run: Callable[..., Any]) -> None:
    assert "no named keys" in run("list").output
    made = run(
        "new", "alice", "--owner", "Alice", "--model", "gpt-*", "--budget", "5 credits per day", "--expires", "30d"
    )
    secret = made.stdout.strip()
    key = {"Authorization": f"Bearer {secret}"}
    assert chat(client, key).status_code == 200
    listed = run("list").output
    assert secret not in listed
    row = r"alice +cb-\S{6}… +client +until 20\d\d-\d\d-\d\d +Alice +– +never +models gpt-\*; 5 credits per day"
    assert re.search(row, listed)
    run("edit", "alice", "--model", "none", "--concurrent", "2", "--budget", "9 tokens in total", "--note", "x")
    shown = client.get("/admin/keys/alice", headers=ADMIN).json
    assert (shown["models"], shown["concurrent"], shown["note"], shown["owner"]) == (None, 2, "x", "Alice")
    assert [(it["amount"], it["unit"], it["per"]) for it in shown["budgets"]] == [(9, "tokens", "total")]
    run("revoke", "alice")
    gateway.client_keys.known.forget()
    assert chat(client, key).status_code == 401
    assert "revoked" in run("list").output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["new", "a b"], "'name' must be"),
        (["new", "a", "--budget", "5 apples per day"], "is no budget"),
        (["new", "a", "--budget", "0 credits per day"], "must be a number above 0"),
        (["new", "a", "--expires", "soon"], "is no day"),
        (["new", "a", "--concurrent", "many"], "is no whole number"),
        (["edit", "nobody", "--note", "x"], "There is no key 'nobody'"),
        (["edit", "nobody"], "Say what to change"),
        (["revoke", "nobody"], "There is no key 'nobody'"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_told(
    client: FlaskClient, run: Callable[..., Any], arguments: list[str], says: str
) -> None:
    assert says in run(*arguments, code=2 if says.startswith("is no ") or says.startswith("Say") else 1).output
