"""Rules of the mapping: by JSON, and what they do to calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient

from app.auth.api_key import key_name
from app.store.rules import MOST_RULES
from tests.support.secrets import API_KEY

KEY = {"Authorization": f"Bearer {API_KEY}"}
RULE: dict[str, Any] = {"match": "claude-*-haiku-*", "to": ["gpt-5-mini", "gpt-4.1"], "fall_back": True}
RULES = "/admin/mapping/rules"


@pytest.fixture
def client(signed_in: None, catalogue: Callable[..., None], app: Flask) -> FlaskClient:
    catalogue(
        "gpt-4.1",
        {"id": "gpt-5-mini", "vendor": "OpenAI", "supported_endpoints": ["/responses"]},
        {"id": "claude-sonnet-4.6", "vendor": "Anthropic", "supported_endpoints": ["/v1/messages"]},
        {"id": "blocked", "policy": {"state": "disabled"}},
        {"id": "text-embedding-3-small", "capabilities": {"type": "embeddings"}},
    )
    return app.test_client()


def call(client: FlaskClient, method: str, path: str, body: Any = None) -> Any:
    return client.open(path, method=method, json=body, headers=KEY)


def set_rules(client: FlaskClient, *rules: dict[str, Any]) -> None:
    assert call(client, "PUT", RULES, {"rules": list(rules)}).status_code == 200


# ── rules as JSON ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_rules_are_added_changed_moved_and_deleted(client: FlaskClient) -> None:
    assert call(client, "GET", RULES).json == {"rules": []}
    assert call(client, "POST", RULES, RULE).json == {"rules": [{"number": 1, **RULE}]}
    title = {"match": "*", "to": "gpt-4.1", "purposes": ["title"], "keys": ["ci-*"], "note": "cheap", "number": 1}
    told = {**title, "to": ["gpt-4.1"]}
    assert call(client, "POST", RULES, title).json == {"rules": [told, {"number": 2, **RULE}]}
    assert call(client, "PUT", f"{RULES}/2", {"match": "x", "to": "y"}).json["rules"][1] == {
        "number": 2,
        "match": "x",
        "to": ["y"],
    }
    assert call(client, "DELETE", f"{RULES}/1").json == {"rules": [{"number": 1, "match": "x", "to": ["y"]}]}
    assert call(client, "GET", RULES).json == {"rules": [{"number": 1, "match": "x", "to": ["y"]}]}
    assert call(client, "PUT", RULES, {"rules": []}).json == {"rules": []}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "'rules' is required."),
        ({"rules": None}, "'rules' must not be null."),
        ({"rules": "x"}, "'rules' must be a list."),
        ({"rules": [None]}, "'rules[0]' must not be null."),
        ({"rules": [{"match": "a", "to": "b", "keys": None}]}, "'rules[0].keys' must not be null."),
        ({"rules": [{"match": "a", "to": "b"}] * (MOST_RULES + 1)}, f"'rules' must not hold more than {MOST_RULES}."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(client: FlaskClient, body: Any, message: str) -> None:
    answer = call(client, "PUT", RULES, body)
    assert (answer.status_code, answer.json["error"]["message"]) == (400, message)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"match": None}, "match"),
        ({"match": ""}, "match"),
        ({"match": ["x"]}, "match"),
        ({"match": "x" * 257}, "match"),
        ({"to": None}, "to"),
        ({"to": []}, "to"),
        ({"to": ["x"] * 11}, "to"),
        ({"to": [["x"]]}, "to"),
        ({"to": {"model": "x"}}, "to"),
        ({"to": ["ok", "line\nbreak"]}, "to"),
        ({"keys": "ci"}, "keys"),
        ({"keys": [{}]}, "keys"),
        ({"keys": ["k"] * 51}, "keys"),
        ({"purposes": ["dinner"]}, "purposes"),
        ({"purposes": [["title"]]}, "purposes"),
        ({"purposes": "title"}, "purposes"),
        ({"fall_back": "yes"}, "fall_back"),
        ({"note": "x" * 201}, "note"),
        ({"note": 5}, "note"),
        ({"fallback": True}, "fallback"),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_by_its_field(client: FlaskClient, change: Any, param: str) -> None:
    wrong = {**RULE, **change}
    for method, path, body, told in (
        ("POST", RULES, wrong, param),
        ("PUT", f"{RULES}/1", wrong, param),
        ("PUT", RULES, {"rules": [RULE, wrong]}, f"rules[1].{param}"),
    ):
        answer = call(client, method, path, body)
        assert (answer.status_code, answer.json["error"]["param"]) == (400, told), answer.json
    assert call(client, "GET", RULES).json == {"rules": []}
    assert call(client, "GET", "/admin/mapping/history").json == {"changes": []}


@pytest.mark.parametrize("body", [{}, {"rules": None}, {"rules": {}}, {"rules": [5]}, {"rules": [], "more": 1}])
def test_a_list_of_rules_has_to_be_one(client: FlaskClient, body: Any) -> None:
    answer = call(client, "PUT", RULES, body)
    assert answer.status_code == 400
    assert answer.json["error"]["param"] in ("rules", "rules[0]", "more")


def test_there_are_not_too_many_rules(client: FlaskClient) -> None:
    set_rules(client, *[RULE] * MOST_RULES)
    for method, body in (("POST", RULE), ("PUT", {"rules": [RULE] * (MOST_RULES + 1)})):
        answer = call(client, method, RULES, body)
        assert (answer.status_code, answer.json["error"]["param"]) == (400, "rules")


@pytest.mark.parametrize("number", ["0", "2", "-1", "x", "1.0", "99999999", "٣"])
def test_a_rule_that_is_not_there(client: FlaskClient, number: str) -> None:
    set_rules(client, RULE)
    assert call(client, "DELETE", f"{RULES}/{number}").status_code == 404
    assert call(client, "PUT", f"{RULES}/{number}", RULE).status_code == 404


def test_changes_are_remembered_with_who_made_them_and_can_be_undone(client: FlaskClient) -> None:
    call(client, "POST", RULES, RULE)
    call(client, "GET", "/admin/mapping/set?from=a&to=b")
    call(client, "DELETE", f"{RULES}/1")
    changes = call(client, "GET", "/admin/mapping/history").json["changes"]
    assert [one["what"] for one in changes] == ["rule 1 deleted", "a → b", "rule for claude-*-haiku-* added"]
    assert {one["by"] for one in changes} == {f"key:{key_name(API_KEY)}"}
    assert changes[0]["before"]["rules"] == [{"number": 1, **RULE}]
    undone = call(client, "POST", "/admin/mapping/undo").json
    assert undone["undone"]["number"] == 3
    assert undone["rules"] == [{"number": 1, **RULE}]
    back = call(client, "POST", "/admin/mapping/undo", {"number": 2}).json
    assert "a" not in back["mapping"]
    for body in ({"number": 99}, {"number": 0}, {"number": "1"}, {"nummer": 1}):
        assert call(client, "POST", "/admin/mapping/undo", body).status_code in (400, 404)


def test_the_addresses_of_the_original_are_as_they_were(client: FlaskClient) -> None:
    set_rules(client, {"match": "*", "to": "gpt-4.1"})
    initial = call(client, "GET", "/admin/mapping").json
    added = call(client, "GET", "/admin/mapping/set?from=a&to=b").json
    assert added == {"status": "ok", "added": {"a": "b"}, "mapping": {**initial, "a": "b"}}
    assert call(client, "GET", "/admin/mapping").json == {**initial, "a": "b"}
    assert call(client, "GET", "/admin/mapping/del?from=a").json == {"status": "ok", "deleted": "a", "mapping": initial}
    assert call(client, "GET", "/admin/mapping/reset").json == {"status": "ok", "mapping": initial}
    assert len(call(client, "GET", RULES).json["rules"]) == 1


def test_a_dry_run_says_what_a_call_would_get(client: FlaskClient) -> None:
    set_rules(client, {"match": "*", "to": "gpt-5-mini", "purposes": ["title"], "keys": ["ci"]})
    path = "/admin/mapping/dry-run?model=claude-opus-4.6"
    told = call(client, "GET", f"{path}&key=ci&purpose=title").json
    assert (told["served"], told["rule"]) == ("gpt-5-mini", 1)
    assert told["said"].startswith(
        "A client with key ci that asks for claude-opus-4.6 for a call of purpose title gets"
    )
    assert call(client, "GET", path).json["rule"] is None
    for query, param in (
        ("", "model"),
        ("?model=", "model"),
        ("?model=x&purpose=y", "purpose"),
        ("?model=x&key=%0A", "key"),
    ):
        answer = call(client, "GET", f"/admin/mapping/dry-run{query}")
        assert (answer.status_code, answer.json["error"]["param"]) == (400, param)


def test_the_page_shows_the_rules(client: FlaskClient) -> None:
    set_rules(client, {**RULE, "keys": ["<ci>"], "purposes": ["title"], "note": "cheap & quick"})
    page = client.get("/admin/mapping/rules", headers={**KEY, "Accept": "text/html", "Accept-Language": "en"}).text
    for shown in ("claude-*-haiku-*", "gpt-5-mini, gpt-4.1", "falls back", "&lt;ci&gt;", "title", "cheap &amp; quick"):
        assert shown in page
    set_rules(client)
    page = client.get("/admin/mapping/rules", headers={**KEY, "Accept": "text/html"}).text
    assert "There are no rules: names go by the table alone." in page


# ── what they do to calls ───────────────────────────────────────────────────────────────────────────────────────────


def answer_of(path: str, text: str) -> dict[str, Any]:
    if path == "/responses":
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        return {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [message]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def up(upstream: responses.RequestsMock, *paths: str) -> None:
    for path in paths:
        upstream.post(f"https://copilot.test{path}", json=answer_of(path, f"by {path}"))


def down(upstream: responses.RequestsMock, path: str, status: int) -> None:
    upstream.post(
        f"https://copilot.test{path}", status=status, json={"error": {"message": "no", "code": "x"}}, headers={}
    )


def chat(client: FlaskClient, model: str, **fields: Any) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
    return client.post("/v1/chat/completions", json=body, headers=KEY)


def models_asked(upstream: responses.RequestsMock) -> list[str]:
    asked = (json.loads(made.request.body or b"{}") for made in upstream.calls if made.request.method == "POST")
    return [body["model"] for body in asked if "model" in body]


def test_a_pattern_leads_to_the_first_model_that_the_account_has(
    client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    up(upstream, "/chat/completions")
    set_rules(client, {"match": "claude-*-haiku-*", "to": ["unknown", "blocked", "gpt-4.1"]})
    answer = chat(client, "claude-3-5-haiku-20241022")
    assert answer.headers["x-bridge-model"] == "gpt-4.1"
    assert answer.json["model"] == "claude-3-5-haiku-20241022"
    assert models_asked(upstream) == ["gpt-4.1"]


def test_a_rule_of_which_the_account_has_nothing_is_an_error_that_says_so(client: FlaskClient) -> None:
    set_rules(client, {"match": "x*", "to": ["unknown", "blocked-too"]})
    answer = call(client, "GET", "/admin/mapping/dry-run?model=x1").json
    assert (answer["served"], answer["is_known"], answer["missing"]) == ("unknown", False, ["unknown", "blocked-too"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [402, 429, 503, 529])
def test_where_a_model_is_full_the_next_one_answers_if_the_rule_says_so(
    client: FlaskClient, upstream: responses.RequestsMock, status: int, stream: bool
) -> None:
    down(upstream, "/responses", status)
    up(upstream, "/chat/completions")
    set_rules(client, {"match": "fast", "to": ["gpt-5-mini", "gpt-4.1"], "fall_back": True})
    answer = chat(client, "fast", stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-bridge-model"] == "gpt-4.1"
    assert "by /chat/completions" in answer.text
    assert models_asked(upstream)[-1] == "gpt-4.1"
    set_rules(client, {"match": "fast", "to": ["gpt-5-mini", "gpt-4.1"]})
    refused = chat(client, "fast", stream=stream)
    assert refused.status_code in (429, 503)


@pytest.mark.parametrize("status", [400, 403, 404, 413, 500])
def test_other_failures_are_told_as_they_are(
    client: FlaskClient, upstream: responses.RequestsMock, status: int
) -> None:
    down(upstream, "/responses", status)
    up(upstream, "/chat/completions")
    set_rules(client, {"match": "fast", "to": ["gpt-5-mini", "gpt-4.1"], "fall_back": True})
    assert chat(client, "fast").status_code >= 400
    assert "gpt-4.1" not in models_asked(upstream)


def test_the_last_model_that_is_full_is_what_the_client_hears_of(
    client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    down(upstream, "/responses", 429)
    down(upstream, "/chat/completions", 429)
    set_rules(client, {"match": "fast", "to": ["gpt-5-mini", "gpt-4.1"], "fall_back": True})
    assert chat(client, "fast").status_code == 429
    assert models_asked(upstream)[-1] == "gpt-4.1"


def test_a_purpose_and_a_key_decide(client: FlaskClient, upstream: responses.RequestsMock) -> None:
    up(upstream, "/chat/completions", "/responses")
    set_rules(
        client,
        {"match": "*", "to": "gpt-5-mini", "keys": ["nobody"]},
        {"match": "*", "to": "gpt-4.1", "keys": [key_name(API_KEY)[:4] + "*"], "purposes": ["title"]},
    )
    title = "### Task:\nGenerate a concise, 3-5 word title with an emoji"
    answer = chat(client, "gpt-5-mini", messages=[{"role": "user", "content": title}])
    assert answer.headers["x-bridge-model"] == "gpt-4.1"
    assert chat(client, "gpt-5-mini").headers["x-bridge-model"] == "gpt-5-mini"
