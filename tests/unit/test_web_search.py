"""The search call, with upstream mocked: which model, what it is asked, and what its failures come to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from app import create_app
from app.settings import Settings
from tests.support.secrets import API_KEY

HOST = "https://copilot.test"
KEY = {"x-api-key": API_KEY}
ASKED = {
    "model": "claude",
    "max_tokens": 100,
    "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    "messages": [{"role": "user", "content": "Kites?"}],
}
CALLS = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "toolu_1", "name": "web_search", "input": {"query": "kites"}}],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 2, "output_tokens": 3},
}
ANSWERS = {**CALLS, "content": [{"type": "text", "text": "They fly."}], "stop_reason": "end_turn"}
LINK = "([Kites](https://kites.test/))"
NOTE = {"type": "url_citation", "url": "https://kites.test/", "title": "Kites", "start_index": 10, "end_index": 40}
FOUND = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "kites"}},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": f"They fly. {LINK}", "annotations": [NOTE]}],
        },
    ],
    "usage": {"input_tokens": 200, "output_tokens": 300, "total_tokens": 500},
}


def entry(name: str, *endpoints: str) -> dict[str, Any]:
    return {"id": name, "vendor": "OpenAI", "supported_endpoints": list(endpoints)}


@pytest.fixture
def ask(
    signed_in: None, environment: dict[str, str], catalogue: Callable[..., None], upstream: responses.RequestsMock
) -> Callable[[str], dict[str, Any]]:
    """Ask a model that searches once, of a bridge with this search model; the result block of the answer."""
    catalogue(entry("claude", "/v1/messages"), entry("gpt-5.4", "/responses"), entry("chat-only", "/chat/completions"))
    upstream.post(f"{HOST}/v1/messages", json=CALLS)
    upstream.post(f"{HOST}/v1/messages", json=ANSWERS)

    def send(model: str) -> dict[str, Any]:
        app = create_app(Settings.from_env({**environment, "WEB_SEARCH_MODEL": model}))
        client: FlaskClient = app.test_client()
        answer = client.post("/v1/messages", json=ASKED, headers=KEY)
        app.extensions["gateway"].close()
        assert answer.status_code == 200, answer.text
        _, result, text = answer.json["content"]
        assert text["text"] == "They fly."
        found: dict[str, Any] = result
        return found

    return send


def bodies(upstream: responses.RequestsMock, path: str) -> list[dict[str, Any]]:
    return [json.loads(call.request.body or b"") for call in upstream.calls if call.request.url == HOST + path]


@pytest.mark.parametrize("name", ["gpt-5.4", "gpt-5-4", "GPT-5.4"])
def test_the_search_model_by_any_usual_spelling(
    ask: Callable[[str], dict[str, Any]], upstream: responses.RequestsMock, name: str
) -> None:
    upstream.post(f"{HOST}/responses", json=FOUND)
    (page,) = ask(name)["content"]
    assert (page["title"], page["url"]) == ("Kites", "https://kites.test/")
    (body,) = bodies(upstream, "/responses")
    assert body["model"] == "gpt-5.4"
    assert "kites" in json.dumps(body["input"])
    assert "Kites?" not in json.dumps(body)


def test_a_search_in_an_answer_that_came_whole_is_told_to_the_model(
    ask: Callable[[str], dict[str, Any]], upstream: responses.RequestsMock
) -> None:
    upstream.post(f"{HOST}/responses", json=FOUND)
    ask("gpt-5.4")
    result = bodies(upstream, "/v1/messages")[1]["messages"][-1]["content"][0]
    assert (result["type"], result["content"]) == ("tool_result", "Kites\nhttps://kites.test/\nThey fly.")


@pytest.mark.parametrize("name", ["unheard-of", "chat-only", "claude"])
def test_a_model_that_cannot_search(
    ask: Callable[[str], dict[str, Any]], upstream: responses.RequestsMock, name: str
) -> None:
    assert ask(name)["content"]["error_code"] == "unavailable"
    assert bodies(upstream, "/responses") == []


def test_a_refused_choice_is_left_out(ask: Callable[[str], dict[str, Any]], upstream: responses.RequestsMock) -> None:
    refusal = {
        "error": {"message": "Invalid value for 'tool_choice'.", "param": "tool_choice", "code": "invalid_value"}
    }
    upstream.post(f"{HOST}/responses", json=refusal, status=400)
    upstream.post(f"{HOST}/responses", json=FOUND)
    assert isinstance(ask("gpt-5.4")["content"], list)
    first, second = bodies(upstream, "/responses")
    assert first.pop("tool_choice") == "required"
    assert first == second


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"json": {"error": {"message": "no"}}, "status": 400}, "unavailable"),
        ({"json": {"error": {"message": "slow down"}}, "status": 429}, "too_many_requests"),
        ({"json": {"error": {"message": "too large"}}, "status": 413}, "request_too_large"),
        ({"json": [7]}, "unavailable"),
        ({"body": b"{", "content_type": "application/json"}, "unavailable"),
        ({"body": b"<html>", "content_type": "text/html"}, "unavailable"),
        ({"json": {**FOUND, "status": "failed", "error": {"message": "oops"}}}, "unavailable"),
    ],
)
def test_failures(
    ask: Callable[[str], dict[str, Any]], upstream: responses.RequestsMock, answer: dict[str, Any], code: str
) -> None:
    upstream.post(f"{HOST}/responses", **answer)
    assert ask("gpt-5.4")["content"] == {"type": "web_search_tool_result_error", "error_code": code}
