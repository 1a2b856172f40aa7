"""What the endpoints answer, with upstream mocked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from app.version import VERSION
from tests.support.secrets import API_KEY

KEY = {"Authorization": f"Bearer {API_KEY}"}
ASK = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = {
    "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "Hello", "role": "assistant"}}],
    "id": "chatcmpl-1",
    "model": "gpt-4.1-2025-04-14",
    "usage": {"completion_tokens": 1, "prompt_tokens": 1, "total_tokens": 2},
}
CHAT = "https://copilot.test/chat/completions"


@pytest.fixture
def client(signed_in: None, catalogue: Callable[..., None], app: Any) -> FlaskClient:
    catalogue(
        "gpt-4.1",
        {"id": "claude-sonnet-4.6", "vendor": "Anthropic", "name": "Claude Sonnet 4.6", "preview": True},
        {"id": "gpt-5.3-codex", "vendor": "OpenAI", "supported_endpoints": ["/responses"]},
        {"id": "text-embedding-3-small", "capabilities": {"type": "embeddings"}},
        {"id": "claude-opus-4.6", "vendor": "Anthropic", "version": "claude-opus-4-6-20260115"},
        {"id": "gpt-4.1", "vendor": "second entry", "billing": {"multiplier": 0}},
        {"name": "no id"},
    )
    found: FlaskClient = app.test_client()
    return found


def error_of(answer: Any, status: int) -> dict[str, Any]:
    """The error in OpenAI's envelope, whole and flat."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    error: dict[str, Any] = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    return error


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/chat/completions", "/v1/chat/completions/", "/chat/completions/"]
)
def test_path_may_lack_the_prefix_and_have_a_slash(
    client: FlaskClient, upstream: responses.RequestsMock, path: str
) -> None:
    upstream.post(CHAT, json=ANSWER)
    answer = client.post(path, json=ASK, headers=KEY)
    assert answer.status_code == 200
    assert answer.json["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"", None, "empty"),
        (b"  ", None, "empty"),
        (b"{", None, "not valid JSON"),
        (b'{"a": NaN}', None, "not valid JSON"),
        (b"\xff\xfe", None, "not valid JSON"),
        (b"[1]", None, "must be a JSON object"),
        (b'"x"', None, "must be a JSON object"),
        (b"{}", "model", "'model' is required"),
        (b'{"model": null, "messages": [{}]}', "model", "not null"),
        (b'{"model": 7, "messages": [{}]}', "model", "string"),
        (b'{"model": " ", "messages": [{}]}', "model", "string"),
        (b'{"model": "m"}', "messages", "'messages' is required"),
        (b'{"model": "m", "messages": "hi"}', "messages", "list"),
        (b'{"model": "m", "messages": []}', "messages", "list"),
        (b'{"model": "m", "messages": ["hi"]}', "messages", "list of objects"),
        (b'{"model": "m", "messages": [{}], "stream": "yes"}', "stream", "true or false"),
        (b'{"model": "m", "messages": [{}], "stream": 1}', "stream", "true or false"),
        (b'{"model": "m", "messages": [{}], "n": 0}', "n", "whole number"),
        (b'{"model": "m", "messages": [{}], "n": true}', "n", "whole number"),
        (b'{"model": "m", "messages": [{}], "stream_options": 5}', "stream_options", "object"),
        (b"[" * 100_000, None, "not valid JSON"),
        (b'{"model": "' + b"m" * 300 + b'", "messages": [{}]}', "model", "256"),
        (b'{"model": "a\\nb", "messages": [{}]}', "model", "printable"),
        (b'{"model": "\\ud83d", "messages": [{}]}', "model", "printable"),
    ],
)
def test_bad_body_is_a_400_that_names_the_field(
    client: FlaskClient, body: bytes, param: str | None, words: str
) -> None:
    error = error_of(client.post("/v1/chat/completions", data=body, headers=KEY), 400)
    assert error["param"] == param
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"


def test_half_a_character_is_replaced_and_nothing_else_is_changed(
    client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    upstream.post(CHAT, json=ANSWER)
    body = b'{"model": "gpt-4.1",  "messages": [{"role": "user", "content": "cut \\ud83d \\ud83d\\ude00 \\\\ud83d"}]}'
    assert client.post("/v1/chat/completions", data=body, headers=KEY).status_code == 200
    assert upstream.calls[-1].request.body == body.replace(b"cut \\ud83d", b"cut \\ufffd")


DEEP = "[" * 900 + "]" * 900


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", '{"model": "text-embedding-3-small", "input": "a", "x": ' + DEEP + "}"),
        ("/v1/chat/completions", '{"model": "gpt-4.1", "messages": [{}], "store": true, "x": ' + DEEP + "}"),
    ],
)
def test_deep_nesting_is_no_bug(client: FlaskClient, upstream: responses.RequestsMock, path: str, body: str) -> None:
    upstream.post(CHAT, json=ANSWER)
    upstream.post("https://copilot.test/embeddings", json={"data": []})
    assert client.post(path, data=body, headers=KEY).status_code in (200, 400)


def test_half_a_character_from_upstream_is_told_all_the_same(
    client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    upstream.post(CHAT, body=b'{"error":{"message":"cut \\ud83d"}}', status=400)
    assert "cut" in error_of(client.post("/v1/chat/completions", json=ASK, headers=KEY), 400)["message"]


def test_double_slashes_are_one(client: FlaskClient) -> None:
    assert client.get("/v1//models", headers=KEY).status_code == 200


def test_model_list_that_fails_is_not_asked_for_by_every_waiting_request(
    environment: dict[str, str], signed_in: None, upstream: Any
) -> None:
    from app import create_app
    from app.settings import Settings

    app = create_app(Settings.from_env({**environment, "UPSTREAM_RETRIES": "0"}))
    models = upstream.get("https://copilot.test/models", status=500)
    for _ in range(5):
        assert app.test_client().get("/v1/models", headers=KEY).status_code == 502
    assert models.call_count == 1
    app.extensions["gateway"].close()


def test_unknown_route_and_wrong_method_are_clear(client: FlaskClient) -> None:
    assert "base URL" in error_of(client.post("/chat/nothing", headers=KEY), 404)["message"]
    assert "/v1 too many" in error_of(client.post("/v1/v1/chat/completions", headers=KEY), 404)["message"]
    answer = client.get("/v1/chat/completions", headers=KEY)
    assert "POST" in error_of(answer, 405)["message"]
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/v1/chat/completions/chat/completions", "/v1"),
        ("/chat/completions/chat/completions", "/v1"),
        ("/v1/chat/completions/v1/chat/completions", ""),
        ("/v1/chat/completions/responses", "/v1"),
        ("/v1/responses/responses", "/v1"),
        ("/v1/responses/v1/responses", ""),
        ("/v1/responses/chat/completions", "/v1"),
        ("/v1/messages/v1/messages", ""),
        ("/v1/messages/messages", "/v1"),
        ("/v1/messages/v1/messages/count_tokens", ""),
        ("/v1/embeddings/embeddings", "/v1"),
        ("/anthropic/v1/messages", ""),
        ("/openai/v1/chat/completions", "/v1"),
    ],
)
def test_a_base_url_with_too_much_in_it_is_told_what_it_should_be(client: FlaskClient, path: str, base: str) -> None:
    message = client.post(path, json={}, headers=KEY).get_json()["error"]["message"]
    assert f"POST {path}." in message
    assert re.search(r"base URL [^.]*http://localhost" + base + r"\.$", message)


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/v1/chat/completions/chatcmpl-1/messages", "Nothing is stored"),
        ("/v1/threads/thread_1/messages", "http://localhost/docs"),
        ("/v1/nothing", "http://localhost/docs"),
    ],
)
def test_what_is_not_offered_is_not_blamed_on_the_base_url(client: FlaskClient, path: str, advice: str) -> None:
    assert advice in error_of(client.get(path, headers=KEY), 404)["message"]


def test_oversized_bodies_are_refused(client: FlaskClient) -> None:
    client.application.config["MAX_CONTENT_LENGTH"] = 100
    error = error_of(client.post("/v1/chat/completions", data=b"x" * 101, headers=KEY), 413)
    assert "MAX_BODY_BYTES" in error["message"]


def test_request_id_is_taken_over_or_made_and_echoed(client: FlaskClient, upstream: responses.RequestsMock) -> None:
    upstream.post(CHAT, json=ANSWER)
    given = client.post("/v1/chat/completions", json=ASK, headers={**KEY, "x-request-id": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    assert upstream.calls[-1].request.headers["X-Request-Id"] == "mine-1"
    for bad in ("a b", "x" * 200, "é"):
        made = client.get("/health", headers={"x-request-id": bad})
        assert re.fullmatch(r"[0-9a-f-]{36}", made.headers["x-request-id"])


def test_bug_is_a_500_that_tells_nothing(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = client.application.extensions["gateway"]

    def explode(*_: Any) -> None:
        raise RuntimeError("inner workings")

    monkeypatch.setattr(type(gateway.relay), "answer", explode)
    error = error_of(client.post("/v1/chat/completions", json=ASK, headers=KEY), 500)
    assert "inner workings" not in error["message"]


@pytest.mark.parametrize(
    ("status", "body", "headers", "seen", "code"),
    [
        (429, {"error": {"message": "Slow", "code": "user_global_rate_limited:pro"}}, {"retry-after": "9"}, 429, None),
        (402, {"error": {"message": "You have no quota", "code": "quota_exceeded"}}, {}, 429, "insufficient_quota"),
        (413, "413 Request Entity Too Large\n", {}, 413, None),
        (403, "unauthorized: not authorized to use this Copilot feature", {}, 403, None),
        (500, "<html><body><h1>Bad gateway</h1></body></html>", {}, 502, "upstream_error"),
        (422, "filtered", {}, 400, "content_filter"),
    ],
)
def test_upstreams_errors_are_readable(
    client: FlaskClient,
    upstream: responses.RequestsMock,
    status: int,
    body: Any,
    headers: dict[str, str],
    seen: int,
    code: str | None,
) -> None:
    text = body if isinstance(body, str) else json.dumps(body) + "\n"
    upstream.post(CHAT, body=text, status=status, content_type="text/plain; charset=utf-8", headers=headers)
    answer = client.post("/v1/chat/completions", json=ASK, headers=KEY)
    error = error_of(answer, seen)
    assert "<" not in error["message"]
    assert code is None or error["code"] == code
    assert answer.headers.get("Retry-After") == headers.get("retry-after")


def test_unknown_model_names_near_matches_and_the_mapping(
    client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    refusal = {"error": {"message": "The requested model is not supported.", "code": "model_not_supported"}}
    upstream.post(CHAT, json=refusal, status=400)
    client.put("/admin/mapping/mine", json={"to": "claude-sonnet-9"}, headers=KEY)
    error = error_of(client.post("/v1/chat/completions", json={**ASK, "model": "mine"}, headers=KEY), 404)
    assert error["code"] == "model_not_found"
    assert "claude-sonnet-4.6" in error["message"]
    assert "'claude-sonnet-9'" in error["message"]


# ── models ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_model_list_in_openais_form(client: FlaskClient) -> None:
    listed = client.get("/v1/models", headers=KEY).json
    assert listed["object"] == "list"
    by_id = {model["id"]: model for model in listed["data"]}
    assert len(by_id) == len(listed["data"])  # duplicates merged
    assert {"object", "created", "owned_by", "supported_endpoints"} <= set(by_id["gpt-4.1"])
    assert by_id["gpt-4.1"]["owned_by"] == "OpenAI"
    assert by_id["gpt-4.1"]["billing"] == {"multiplier": 0}
    assert by_id["gpt-4o-mini"]["mapped_to"] == "claude-opus-4.6"
    assert by_id["claude-sonnet-4.6"]["name"] == "Claude Sonnet 4.6 (Preview)"


def test_model_list_in_anthropics_form(client: FlaskClient) -> None:
    headers = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}
    listed = client.get("/v1/models?limit=1000", headers=headers).json
    ids = [model["id"] for model in listed["data"]]
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == (ids[0], ids[-1], False)
    assert "text-embedding-3-small" not in ids
    opus = next(model for model in listed["data"] if model["id"] == "claude-opus-4.6")
    assert (opus["type"], opus["created_at"]) == ("model", "2026-01-15T00:00:00Z")
    page = client.get("/v1/models?limit=2", headers=headers).json
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (ids[:2], True)
    rest = client.get(f"/v1/models?limit=1000&after_id={page['last_id']}", headers=headers).json
    assert [model["id"] for model in rest["data"]] == ids[2:]
    before = client.get(f"/v1/models?limit=1&before_id={ids[2]}", headers=headers).json
    assert [model["id"] for model in before["data"]] == [ids[1]]
    bad = client.get("/v1/models?limit=many", headers=headers)
    assert (bad.status_code, bad.json["error"]["type"]) == (400, "invalid_request_error")
    single = client.get("/v1/models/claude-sonnet-4-6", headers=headers).json
    assert (single["id"], single["display_name"]) == ("claude-sonnet-4.6", "Claude Sonnet 4.6 (Preview)")


def test_one_model(client: FlaskClient) -> None:
    assert client.get("/v1/models/gpt-4.1", headers=KEY).json["id"] == "gpt-4.1"
    assert client.get("/models/gpt-4o-mini", headers=KEY).json["mapped_to"] == "claude-opus-4.6"
    error = error_of(client.get("/v1/models/claude-sonnet-5", headers=KEY), 404)
    assert "claude-sonnet-4.6" in error["message"]


def test_stale_list_serves_while_copilot_is_down(client: FlaskClient, upstream: responses.RequestsMock) -> None:
    catalog = client.application.extensions["gateway"].catalog
    assert client.get("/v1/models", headers=KEY).status_code == 200
    upstream.replace(responses.GET, "https://copilot.test/models", status=503, body="down")
    catalog._clock = lambda clock=catalog._clock: clock() + 3600
    assert "gpt-4.1" in client.get("/v1/models", headers=KEY).text


def test_list_that_cannot_be_had_is_an_error(environment: dict[str, str], signed_in: None, upstream: Any) -> None:
    from app import create_app
    from app.settings import Settings

    app = create_app(Settings.from_env(environment))
    upstream.get("https://copilot.test/models", status=503, body="down for maintenance")
    error = error_of(app.test_client().get("/v1/models", headers=KEY), 502)
    assert "down for maintenance" in error["message"]
    app.extensions["gateway"].close()


# ── mapping ─────────────────────────────────────────────────────────────────────────────────────────────────────────

DEFAULT = {"gpt-o4-mini": "claude-opus-4.6", "gpt-4o-mini": "claude-opus-4.6"}


def test_mapping_by_address_bar_answers_as_the_original(client: FlaskClient) -> None:
    def get(path: str) -> Any:
        return client.get(f"/admin/mapping{path}", headers=KEY)

    assert get("").json == DEFAULT
    added = {**DEFAULT, "gpt-4": "claude-sonnet-4.5"}
    assert get("/set?from=gpt-4&to=claude-sonnet-4.5").json == {
        "status": "ok",
        "added": {"gpt-4": "claude-sonnet-4.5"},
        "mapping": added,
    }
    assert get("").json == added
    assert get("/del?from=gpt-4").json == {"status": "ok", "deleted": "gpt-4", "mapping": DEFAULT}
    missing = get("/del?from=gpt-4")
    assert (missing.status_code, missing.json) == (404, {"error": "'gpt-4' not found"})
    get("/set?from=x&to=y")
    assert get("/reset").json == {"status": "ok", "mapping": DEFAULT}
    assert error_of(get("/set?to=y"), 400)["param"] == "from"
    assert error_of(get("/set?from=x"), 400)["param"] == "to"
    assert error_of(get("/del"), 400)["param"] == "from"


def test_mapping_by_rest(client: FlaskClient) -> None:
    answer = client.put("/admin/mapping/vendor/model-x", json={"to": "gpt-4.1"}, headers=KEY)
    assert answer.json["added"] == {"vendor/model-x": "gpt-4.1"}
    assert error_of(client.put("/admin/mapping/a", json={}, headers=KEY), 400)["param"] == "to"
    assert error_of(client.put("/admin/mapping/a", data="x", headers=KEY), 400)
    assert client.delete("/admin/mapping/vendor/model-x", headers=KEY).json["deleted"] == "vendor/model-x"
    assert client.delete("/admin/mapping/vendor/model-x", headers=KEY).status_code == 404
    client.delete("/admin/mapping/gpt-4o-mini", headers=KEY)
    assert client.post("/admin/mapping/reset", headers=KEY).json["mapping"] == DEFAULT


# ── health ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_whoever_asks_whether_it_lives_learns_the_version(client: FlaskClient) -> None:
    assert client.get("/livez").json == {"status": "ok", "version": VERSION}


def test_probes_answer_without_a_body(client: FlaskClient) -> None:
    for path in ("/", "/api/hello"):
        answer = client.head(path)
        assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.parametrize(
    ("path", "waits"), [("/health", 0), ("/livez", 0), ("/readyz", 0), ("/v1/models", 1), ("/", 1), ("/nowhere", 1)]
)
def test_all_but_health_checks_wait_for_their_turn(client: FlaskClient, path: str, waits: int) -> None:
    turns: list[str] = []
    client.get(path, headers=KEY, environ_overrides={"bridge.turn": lambda: turns.append(path)})
    assert len(turns) == waits
