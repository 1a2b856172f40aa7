"""What one client's refused request teaches the bridge, and that it costs no other client anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses
from flask import Flask
from flask.testing import FlaskClient

from tests.support.secrets import API_KEY

HOST = "https://copilot.test"
KEY = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}
ANSWERS: dict[str, dict[str, Any]] = {
    "/chat/completions": {
        "id": "1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
    },
    "/v1/messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "/responses": {"id": "resp_1", "object": "response", "status": "completed", "output": []},
}
ENDPOINTS = {"/chat/completions": "/v1/chat/completions", "/v1/messages": "/v1/messages", "/responses": "/v1/responses"}
BODIES: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": [{"role": "user", "content": "hi"}], "response_format": {"type": "json_object"}},
    "/v1/messages": {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "t", "input_schema": {"type": "object"}}],
    },
    "/responses": {
        "input": [{"type": "message", "role": "user", "content": "hi"}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
    },
}


class Upstream:
    """Refuses fields as `judge` says: body → the message of a 400, or None."""

    def __init__(self, mock: responses.RequestsMock, path: str) -> None:
        self.judge: Callable[[dict[str, Any]], str | None] = lambda body: None
        self.seen: list[dict[str, Any]] = []
        self.path = path
        mock.add_callback(responses.POST, HOST + path, callback=self._answer)

    def _answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body or b"")
        self.seen.append(body)
        if (message := self.judge(body)) is not None:
            error = {"message": message, "type": "invalid_request_error"}  # as both vendors say it
            return 400, {}, json.dumps({"type": "error", "error": error})
        return 200, {"Content-Type": "application/json"}, json.dumps(ANSWERS[self.path])


@pytest.fixture(params=list(ENDPOINTS))
def path(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def copilot(signed_in: None, catalogue: Callable[..., None], upstream: responses.RequestsMock, path: str) -> Upstream:
    catalogue({"id": "m", "vendor": "OpenAI", "supported_endpoints": [path]})
    return Upstream(upstream, path)


@pytest.fixture
def post(client: FlaskClient, path: str) -> Callable[..., int]:
    def send(**more: Any) -> int:
        return client.post(ENDPOINTS[path], json={"model": "m", **BODIES[path], **more}, headers=KEY).status_code

    return send


def unknown(*names: str) -> Callable[[dict[str, Any]], str | None]:
    """An upstream that refuses these fields by name, one at a time."""
    return lambda body: next((f"Unsupported parameter: '{name}'." for name in names if name in body), None)


def of_the_client(body: dict[str, Any], path: str) -> dict[str, Any]:
    return {name: body.get(name) for name in BODIES[path]}


def test_a_refused_field_is_remembered_once_the_repeat_was_accepted(
    copilot: Upstream, post: Callable[..., int], app: Flask
) -> None:
    copilot.judge = unknown("mood")
    assert post(mood=1) == 200
    assert post(mood=1) == 200
    assert ["mood" in body for body in copilot.seen] == [True, False, False]
    assert app.extensions["gateway"].refusals.known("m", copilot.path) == {"mood"}


def test_several_refusals_of_one_request_are_followed_up_and_each_is_named(
    copilot: Upstream, client: FlaskClient, path: str, app: Flask
) -> None:
    names = ["mood", "weather", "tide", "moon"]
    copilot.judge = unknown(*names)
    body = {"model": "m", **BODIES[path], **dict.fromkeys(names, 1)}
    answer = client.post(ENDPOINTS[path], json=body, headers=KEY)
    assert answer.status_code == 200
    assert set(answer.headers["x-bridge-dropped"].split(", ")) >= set(names)
    assert len(copilot.seen) == 5
    assert app.extensions["gateway"].refusals.known("m", copilot.path) == set(names)


def test_nothing_is_remembered_of_a_request_that_was_refused_to_the_end(
    copilot: Upstream, post: Callable[..., int], app: Flask
) -> None:
    names = ["mood", "weather", "tide", "moon", "stars"]
    copilot.judge = unknown(*names)
    assert post(**dict.fromkeys(names, 1)) == 400
    assert len(copilot.seen) == 5
    assert app.extensions["gateway"].refusals.all() == []


@pytest.mark.parametrize(
    "words",
    [
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        "`top_p` must be unset when thinking is enabled.",
        "Unsupported value: 'top_p' is not supported together with 'temperature'",
    ],
)
def test_what_depends_on_more_than_the_model_is_repaired_and_not_remembered(
    copilot: Upstream, post: Callable[..., int], app: Flask, words: str
) -> None:
    copilot.judge = lambda body: words if {"top_p", "temperature"} <= body.keys() else None
    assert post(temperature=0.3, top_p=0.9) == 200
    assert post(top_p=0.5) == 200
    assert copilot.seen[-1]["top_p"] == 0.5
    assert len(copilot.seen) == 3
    assert app.extensions["gateway"].refusals.all() == []


@pytest.mark.parametrize(
    "words",
    [
        'reasoning_effort "high" is not supported by model m; supported values: [low]',
        "Unsupported value: 'hi' is not supported.",
        "Unknown parameter: 'weather'.",
        "The requested model is not supported.",
        "invalid signature in thinking block",
        "Something is wrong with what you sent.",
    ],
)
def test_what_was_refused_is_never_sent_again_as_it_was(
    copilot: Upstream, post: Callable[..., int], words: str
) -> None:
    copilot.judge = lambda body: words
    assert post(mood=1) == 400
    assert len(copilot.seen) == 1


@pytest.mark.parametrize(
    "invented",
    [
        "messages.0.content",
        "messages.content",
        "x messages.0.content",
        "tools.0.input_schema",
        "text.format.schema",
        "input[0].content",
        "input.content",
        "max_output_tokens ",
        "unsupported parameter: 'response_format'",
        "unsupported parameter: 'temperature'",
    ],
)
@pytest.mark.parametrize(
    ("words", "is_strict"),
    [("{}: Extra inputs are not permitted", True), ("Unrecognized request argument supplied: {}", False)],
    ids=["strict", "gives in after the first"],
)
def test_no_invented_field_costs_another_client_anything(
    copilot: Upstream, post: Callable[..., int], app: Flask, invented: str, words: str, is_strict: bool
) -> None:
    refused: list[str] = []

    def judge(body: dict[str, Any]) -> str | None:
        if invented not in body or (refused and not is_strict):
            return None
        refused.append(invented)
        return words.format(invented)

    copilot.judge = judge
    post(**{invented: 1}, temperature=1)
    assert app.extensions["gateway"].refusals.all() == []

    assert post(temperature=1) == 200
    victim = copilot.seen[-1]
    copilot.judge = lambda body: None
    app.extensions["gateway"].store.delete(f"refused:{copilot.path}:m")
    assert post(temperature=1) == 200
    assert victim == copilot.seen[-1]


def test_what_cannot_go_is_refused_in_upstreams_words_and_not_sent_again(
    copilot: Upstream, post: Callable[..., int]
) -> None:
    copilot.judge = lambda body: "messages.0.content: Extra inputs are not permitted"
    assert post() == 400
    assert len(copilot.seen) == 1


def test_learned_names_are_listed_and_forgotten(copilot: Upstream, post: Callable[..., int], app: Flask) -> None:
    copilot.judge = unknown("mood")
    assert post(mood=1) == 200
    runner = app.test_cli_runner()
    assert runner.invoke(args=["learned", "list"]).output == f"m  {copilot.path}  mood\n"
    assert runner.invoke(args=["learned", "forget", "m", "other"]).exit_code == 1
    assert runner.invoke(args=["learned", "forget", "m", "mood"]).output == "Forgotten: 1 name of m.\n"
    assert runner.invoke(args=["learned", "list"]).output == "Nothing is remembered.\n"
    assert runner.invoke(args=["learned", "forget", "m"]).exit_code == 1


# ── types of tools ──────────────────────────────────────────────────────────────────────────────────────────────────

GRAMMAR = {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
HOSTED = [{"type": "web_search"}, {"type": "tomorrow"}]


def refusing(*kinds: str) -> Callable[[dict[str, Any]], str | None]:
    def judge(body: dict[str, Any]) -> str | None:
        found = [tool["type"] for tool in body.get("tools", ()) if tool["type"] in kinds]
        return f"The requested tool {found[0]} is not supported." if found else None

    return judge


@pytest.mark.parametrize("path", ["/responses"], indirect=True)
def test_a_refused_type_of_tool_is_repaired_named_and_remembered(
    copilot: Upstream, client: FlaskClient, post: Callable[..., int], app: Flask
) -> None:
    copilot.judge = refusing("custom", "web_search", "tomorrow")
    tools = [GRAMMAR, *HOSTED]
    answer = client.post("/v1/responses", json={"model": "m", **BODIES["/responses"], "tools": tools}, headers=KEY)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-bridge-dropped"] == "tools[].custom, tools[].web_search, tools[].tomorrow"
    assert [[tool["type"] for tool in body["tools"]] for body in copilot.seen] == [
        ["custom", "web_search", "tomorrow"],
        ["function", "web_search", "tomorrow"],
        ["function", "tomorrow"],
        ["function"],
    ]
    assert answer.get_json()["tools"] == tools, "the client hears of its own tools"
    assert post(tools=[GRAMMAR, HOSTED[0]]) == 200
    assert [tool["type"] for tool in copilot.seen[-1]["tools"]] == ["function"]
    assert len(copilot.seen) == 5, "the types of tools that everybody has are remembered"
    listed = app.test_cli_runner().invoke(args=["learned", "list"]).output
    assert "type:custom" in listed
    assert "type:web_search" in listed
    assert "tomorrow" not in listed
    app.test_cli_runner().invoke(args=["learned", "forget", "m", "type:custom"])
    copilot.judge = refusing()
    assert post(tools=[GRAMMAR]) == 200
    assert copilot.seen[-1]["tools"] == [GRAMMAR], "and forgotten, it passes again"


@pytest.mark.parametrize("path", ["/responses"], indirect=True)
def test_a_refused_tool_that_has_to_be_called_is_no_tool_to_leave_out(copilot: Upstream, client: FlaskClient) -> None:
    copilot.judge = refusing("web_search")
    body = {"model": "m", **BODIES["/responses"], "tools": [HOSTED[0]], "tool_choice": {"type": "web_search"}}
    answer = client.post("/v1/responses", json=body, headers=KEY)
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, "tool_choice")
    assert "web_search" in answer.get_json()["error"]["message"]
