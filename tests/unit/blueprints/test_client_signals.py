"""The headers, statuses, codes and words that clients act on are there, in each dialect."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from tests.support.secrets import API_KEY

KEY = {"Authorization": f"Bearer {API_KEY}"}
UPSTREAM_PATHS = {"gpt-4.1": "/chat/completions", "claude-sonnet-4.6": "/v1/messages", "gpt-5.3-codex": "/responses"}
ASKS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 50},
    "/v1/responses": {"input": "hi"},
}


@pytest.fixture
def client(signed_in: None, catalogue: Callable[..., None], app: Any) -> FlaskClient:
    limits = {"max_context_window_tokens": 200000, "max_prompt_tokens": 168000, "max_output_tokens": 32000}
    catalogue(
        "gpt-4.1",
        {
            "id": "claude-sonnet-4.6",
            "vendor": "Anthropic",
            "supported_endpoints": ["/v1/messages"],
            "capabilities": {"type": "chat", "limits": limits},
        },
        {"id": "gpt-5.3-codex", "vendor": "OpenAI", "supported_endpoints": ["/responses"]},
        {"id": "text-embedding-3-small", "capabilities": {"type": "embeddings"}},
    )
    found: FlaskClient = app.test_client()
    return found


def refused_by(upstream: responses.RequestsMock, status: int, body: Any, **headers: str) -> None:
    for path in UPSTREAM_PATHS.values():
        upstream.post(f"https://copilot.test{path}", status=status, json=body, headers=headers)


# ── an overload ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", UPSTREAM_PATHS)
@pytest.mark.parametrize("path", ASKS)
@pytest.mark.parametrize("status", [503, 529])
def test_an_overload_has_the_status_that_each_client_knows(
    client: FlaskClient, upstream: responses.RequestsMock, status: int, path: str, model: str, stream: bool
) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    refused_by(upstream, status, body, **{"retry-after": "7"})
    answer = client.post(path, json={"model": model, "stream": stream, **ASKS[path]}, headers=KEY)
    assert answer.status_code == (529 if path == "/v1/messages" else 503)
    assert answer.headers["Retry-After"] == "7"
    error = answer.json["error"]
    if path == "/v1/messages":
        assert error["type"] == "overloaded_error"
    else:
        assert (error["type"], error["code"]) == ("server_error", "upstream_overloaded")


@pytest.mark.parametrize("path", ASKS)
@pytest.mark.parametrize("status", [500, 502, 504])
def test_other_failures_of_copilot_stay_a_502(
    client: FlaskClient, upstream: responses.RequestsMock, status: int, path: str
) -> None:
    refused_by(upstream, status, {"error": {"message": "broken"}})
    assert client.post(path, json={"model": "gpt-4.1", **ASKS[path]}, headers=KEY).status_code == 502


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [*ASKS, "/v1/embeddings"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_told_as_one_and_nobody_follows_it(
    client: FlaskClient, upstream: responses.RequestsMock, status: int, path: str, stream: bool
) -> None:
    refused_by(upstream, status, {}, Location="https://portal.test/sign-in")
    upstream.post("https://copilot.test/embeddings", status=status, headers={"Location": "https://portal.test/sign-in"})
    asked = {"model": "gpt-4.1", "stream": stream, **ASKS.get(path, {})}
    embedding = {"model": "text-embedding-3-small", "input": "hi"}
    answer = client.post(path, json=asked if path in ASKS else embedding, headers=KEY)
    assert answer.status_code == 502
    message = answer.json["error"]["message"]
    assert f"status {status}" in message
    assert "COPILOT_API_BASE_URL" in message
    assert "portal.test" not in message


# ── the request's id ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/messages", {"model": "gpt-4.1"}),
        ("POST", "/v1/messages", {"model": "nobody", "max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}),
        ("POST", "/v1/messages/count_tokens", {"model": "gpt-4.1"}),
        ("POST", "/v1/messages/batches", {}),
        ("GET", "/v1/messages", None),
    ],
)
def test_errors_for_messages_clients_name_their_request_in_a_header_too(
    client: FlaskClient, method: str, path: str, body: Any
) -> None:
    answer = client.open(path, method=method, json=body, headers={**KEY, "x-request-id": "req-7"})
    assert answer.status_code >= 400
    assert answer.headers["request-id"] == answer.json["request_id"] == "req-7" == answer.headers["x-request-id"]


def test_answers_for_messages_clients_carry_it_and_no_others(client: FlaskClient) -> None:
    counted = client.post("/v1/messages/count_tokens", json={"model": "gpt-4.1", **ASKS["/v1/messages"]}, headers=KEY)
    listed = client.get("/v1/models", headers={**KEY, "anthropic-version": "2023-06-01"})
    for answer in (counted, listed):
        assert answer.status_code == 200
        assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert "request-id" not in client.get("/v1/models", headers=KEY).headers


# ── the model list ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/claude-sonnet-4.6"])
def test_anthropics_models_tell_their_limits(client: FlaskClient, path: str) -> None:
    found = client.get(path, headers={**KEY, "anthropic-version": "2023-06-01"}).json
    model = next(one for one in found.get("data", [found]) if one["id"] == "claude-sonnet-4.6")
    assert (model["max_input_tokens"], model["max_tokens"]) == (168000, 32000)


# ── what is not stored, and what is not there ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", UPSTREAM_PATHS)
@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        (
            {"previous_response_id": "resp_abc"},
            "previous_response_not_found",
            "Previous response with id 'resp_abc' not found",
        ),
        ({"conversation": "conv_1"}, "conversation_not_found", "Conversation with id 'conv_1' not found"),
        ({"conversation": {"id": "conv_1"}}, "conversation_not_found", "Conversation with id 'conv_1' not found"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_stored_is_said_in_openais_words(
    client: FlaskClient, model: str, fields: dict[str, Any], code: str, words: str, stream: bool
) -> None:
    answer = client.post("/v1/responses", json={"model": model, "input": "hi", "stream": stream, **fields}, headers=KEY)
    assert answer.status_code == 400
    assert answer.json["code"] == answer.json["error"]["code"] == code
    assert answer.json["error"]["message"].startswith(words)
    assert "whole conversation" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "advice"),
    [
        ("POST", "/v1/completions", "/v1/chat/completions"),
        ("POST", "/completions", "/v1/chat/completions"),
        ("POST", "/v1/complete", "/v1/messages"),
        ("POST", "/v1/responses/compact", "client compact"),
        ("POST", "/v1/responses/input_tokens", "count_tokens"),
        ("POST", "/v1/responses/resp_1/cancel", "nothing to cancel"),
        ("POST", "/v1/conversations", "Nothing is stored"),
        ("POST", "/v1/messages/batches", "no batches"),
        ("POST", "/v1/files", "no batches"),
        ("POST", "/v1/audio/transcriptions", "no models"),
        ("POST", "/v1/something/new", "/docs"),
    ],
)
def test_an_endpoint_that_is_not_offered_is_not_called_a_wrong_base_url(
    client: FlaskClient, method: str, path: str, advice: str
) -> None:
    answer = client.open(path, method=method, json={}, headers=KEY)
    message = answer.json["error"]["message"]
    assert answer.status_code == 404
    assert f"{method} {path} is not offered here" in message
    assert advice in message
    assert "base URL" not in message


# ── what is no Unicode text ─────────────────────────────────────────────────────────────────────────────────────────

HALVES = {
    "the first half": rb"cut \ud83d here",
    "the second half": rb"cut \ude00 here",
    "in capitals": rb"cut \uD83D",
    "twice": rb"\ud83d\ud83d",
    "before a whole one": rb"\ud83d\ud83d\ude00",
    "as bytes": b"cut \xed\xa0\xbd here",
}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("model", UPSTREAM_PATHS)
@pytest.mark.parametrize("path", ASKS)
def test_half_a_character_never_leaves_the_bridge(
    client: FlaskClient, upstream: responses.RequestsMock, path: str, model: str, half: str
) -> None:
    refused_by(upstream, 400, {"error": {"message": "no"}})
    body = json.dumps({"model": model, "n_1": "a\\ud83d", **ASKS[path]}).replace('"hi"', '"%s"').encode()
    client.post(path, data=body.replace(b"%s", HALVES[half]), content_type="application/json", headers=KEY)
    sent = upstream.calls[-1].request.body
    assert isinstance(sent, bytes)
    text = json.dumps(json.loads(sent), ensure_ascii=False)
    assert "\ufffd" in text
    text.encode()  # would fail for half a character


def test_embeddings_are_asked_for_whole_characters(client: FlaskClient, upstream: responses.RequestsMock) -> None:
    upstream.post("https://copilot.test/embeddings", status=400, json={"error": {"message": "no"}})
    body = rb'{"model": "text-embedding-3-small", "input": ["cut \ud83d", "\\ud83d stays"]}'
    client.post("/v1/embeddings", data=body, content_type="application/json", headers=KEY)
    sent = upstream.calls[-1].request.body
    assert isinstance(sent, bytes)
    assert json.loads(sent)["input"] == ["cut \ufffd", "\\ud83d stays"]
