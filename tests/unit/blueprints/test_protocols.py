"""The Messages and Responses endpoints, with upstream mocked: which way a request goes, and what is told about it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from tests.support.secrets import API_KEY

KEY = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}
HOST = "https://copilot.test"
MESSAGE = {"model": "both", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
RESPONSE = {"model": "both", "input": "hi"}
CHAT = {"model": "both", "messages": [{"role": "user", "content": "hi"}]}

FROM_CHAT = {
    "id": "chatcmpl-1",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "from chat"}}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
}
FROM_MESSAGES = {
    "id": "msg_bdrk_1",
    "type": "message",
    "role": "assistant",
    "model": "x",
    "content": [{"type": "text", "text": "from messages"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 2, "output_tokens": 3},
}
FROM_RESPONSES = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "from responses", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5},
}


@pytest.fixture
def client(signed_in: None, catalogue: Callable[..., None], app: Any, upstream: Any) -> FlaskClient:
    catalogue(
        {"id": "chat-only", "vendor": "OpenAI"},
        {"id": "messages-only", "vendor": "Anthropic", "supported_endpoints": ["/v1/messages"]},
        {"id": "responses-only", "vendor": "OpenAI", "supported_endpoints": ["/responses", "ws:/responses"]},
        {"id": "both", "vendor": "OpenAI", "supported_endpoints": ["/chat/completions", "/responses"]},
        {"id": "embedder", "capabilities": {"type": "embeddings"}},
    )
    upstream.post(f"{HOST}/chat/completions", json=FROM_CHAT)
    upstream.post(f"{HOST}/v1/messages", json=FROM_MESSAGES)
    upstream.post(f"{HOST}/responses", json=FROM_RESPONSES)
    found: FlaskClient = app.test_client()
    return found


def text_of(path: str, body: Any) -> str:
    if path == "/v1/messages":
        return str(body["content"][0]["text"])
    if path == "/v1/responses":
        return str(body["output"][-1]["content"][0]["text"])
    return str(body["choices"][0]["message"]["content"])


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/messages", MESSAGE), ("/v1/responses", RESPONSE)]
)
@pytest.mark.parametrize("model", ["chat-only", "messages-only", "responses-only"])
def test_every_dialect_reaches_every_model(client: FlaskClient, path: str, body: dict[str, Any], model: str) -> None:
    answer = client.post(path, json={**body, "model": model}, headers=KEY)
    assert answer.status_code == 200, answer.text
    expected = model.removesuffix("-only")
    assert text_of(path, answer.json) == f"from {expected}"
    assert answer.headers["x-bridge-upstream"] == expected
    assert answer.json["model"] == model


def test_own_protocol_is_preferred_then_the_richest(client: FlaskClient) -> None:
    assert client.post("/v1/chat/completions", json=CHAT, headers=KEY).headers["x-bridge-upstream"] == "chat"
    assert client.post("/v1/responses", json=RESPONSE, headers=KEY).headers["x-bridge-upstream"] == "responses"
    assert client.post("/v1/messages", json=MESSAGE, headers=KEY).headers["x-bridge-upstream"] == "responses"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_what_an_answer_cost_is_in_its_header_in_the_answer_and_in_the_log(
    client: FlaskClient, upstream: responses.RequestsMock, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    account = {"token_details": [], "total_nano_aiu": 70_721_925_000}
    upstream.replace("POST", f"{HOST}/chat/completions", json={**FROM_CHAT, "copilot_usage": account})
    bodies: dict[str, dict[str, Any]] = {"/v1/messages": MESSAGE, "/v1/responses": RESPONSE}
    with caplog.at_level(logging.INFO, logger="copilot_bridge"):
        answer = client.post(path, json={**bodies.get(path, CHAT), "model": "chat-only"}, headers=KEY)
        answer.close()
    assert answer.headers["x-bridge-credits"] == "70.721925"
    assert answer.json["copilot_usage"] == account
    line = next(record.fields for record in caplog.records if record.msg == "request")  # type: ignore[attr-defined]
    assert line["credits"] == 70.721925


def test_an_answer_that_does_not_tell_its_cost_has_no_header_for_it(client: FlaskClient) -> None:
    assert "x-bridge-credits" not in client.post("/v1/chat/completions", json=CHAT, headers=KEY).headers


def test_embeddings_tell_what_all_their_calls_cost(client: FlaskClient, upstream: responses.RequestsMock) -> None:
    account = {"token_details": [], "total_nano_aiu": 1_500_000_000}
    vectors = [{"embedding": [0.5], "index": 0}]
    upstream.post(f"{HOST}/embeddings", json={"data": vectors, "copilot_usage": account})
    answer = client.post("/v1/embeddings", json={"model": "embedder", "input": ["a"]}, headers=KEY)
    assert answer.headers["x-bridge-credits"] == "1.5"


def test_what_could_not_be_carried_is_named(client: FlaskClient) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, "model": "messages-only", "seed": 7}, headers=KEY)
    assert answer.headers["x-bridge-dropped"] == "seed"


def test_the_log_says_why_too(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    body = {**CHAT, "model": "messages-only", "seed": 7, "temperature": 1.5}
    with caplog.at_level(logging.INFO, logger="copilot_bridge"):
        client.post("/v1/chat/completions", json=body, headers=KEY).close()
    line = next(record.fields for record in caplog.records if record.msg == "request")  # type: ignore[attr-defined]
    assert line["dropped"] == ["seed"]
    assert line["losses"] == [
        "temperature: lowered to 1, the most that the messages protocol has",
        "seed: only the chat protocol has it",
    ]


def test_model_for_something_else_is_refused_in_the_dialect(client: FlaskClient) -> None:
    answer = client.post("/v1/messages", json={**MESSAGE, "model": "embedder"}, headers=KEY)
    assert answer.status_code == 400
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.json["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/messages", "/messages", "/v1/messages/", "/v1/messages?beta=true"])
def test_paths_of_messages(client: FlaskClient, path: str) -> None:
    assert client.post(path, json=MESSAGE, headers=KEY).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/messages", {"model": "both", "messages": [{}]}, "max_tokens"),
        ("/v1/messages", {"model": "both", "max_tokens": 0, "messages": [{}]}, "max_tokens"),
        ("/v1/messages", {"max_tokens": 1, "messages": [{}]}, "model"),
        ("/v1/messages", {"model": "both", "max_tokens": 1}, "messages"),
        ("/v1/messages/count_tokens", {"model": "both"}, "messages"),
    ],
)
def test_missing_field_is_named_in_anthropics_envelope(
    client: FlaskClient, path: str, body: dict[str, Any], param: str
) -> None:
    answer = client.post(path, json=body, headers=KEY)
    assert answer.status_code == 400
    assert answer.json["type"] == "error"
    assert param in answer.json["error"]["message"]


def test_tokens_are_counted_upstream_where_it_can_and_here_otherwise(client: FlaskClient, upstream: Any) -> None:
    counting = upstream.post(f"{HOST}/v1/messages/count_tokens", json={"input_tokens": 42})
    body = {"model": "messages-only", "messages": MESSAGE["messages"]}
    answer = client.post("/v1/messages/count_tokens", json=body, headers=KEY)
    assert answer.json == {"input_tokens": 42}
    assert "max_tokens" not in json.loads(counting.calls[0].request.body)

    local = client.post("/v1/messages/count_tokens", json={**body, "model": "chat-only"}, headers=KEY)
    assert 0 < local.json["input_tokens"] < 20

    upstream.replace(responses.POST, f"{HOST}/v1/messages/count_tokens", status=404)
    assert client.post("/v1/messages/count_tokens", json=body, headers=KEY).json == local.json


def test_field_that_upstream_refuses_by_name_is_left_out_once_and_from_then_on(
    client: FlaskClient, upstream: Any
) -> None:
    url = f"{HOST}/chat/completions"
    upstream.replace(
        responses.POST,
        url,
        status=400,
        json={"error": {"message": "Unsupported parameter: 'logit_bias' is not supported with this model."}},
    )
    second = upstream.post(url, json=FROM_CHAT)
    body = {**CHAT, "model": "chat-only", "logit_bias": {}}
    answer = client.post("/v1/chat/completions", json=body, headers=KEY)
    assert answer.status_code == 200
    assert "logit_bias" not in json.loads(second.calls[0].request.body)
    assert answer.headers["x-bridge-dropped"] == "logit_bias"

    client.post("/v1/chat/completions", json=body, headers=KEY)
    assert second.call_count == 2
    assert "logit_bias" not in json.loads(second.calls[1].request.body)


def test_refusal_that_stays_is_told(client: FlaskClient, upstream: Any) -> None:
    refusal = {"error": {"message": "Unsupported parameter: 'logit_bias' is not supported with this model."}}
    refusing = upstream.replace(responses.POST, f"{HOST}/chat/completions", status=400, json=refusal)
    body = {**CHAT, "model": "chat-only", "logit_bias": {}}
    answer = client.post("/v1/chat/completions", json=body, headers=KEY)
    assert answer.status_code == 400
    assert "logit_bias" in answer.json["error"]["message"]
    assert refusing.call_count == 2


def test_thread_is_refused_so_that_the_sdk_goes_on_without(client: FlaskClient) -> None:
    answer = client.post("/v1/messages", json={**MESSAGE, "thread": {"type": "create"}}, headers=KEY)
    assert answer.status_code == 400
    assert answer.json["error"]["details"]["error_code"] == "thread_unsupported_request"


def test_free_text_tool_goes_to_a_chat_model_as_a_function_and_comes_back_as_itself(
    client: FlaskClient, upstream: Any
) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": '{"input": "ls -l"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    asked = upstream.replace(
        responses.POST,
        f"{HOST}/chat/completions",
        json={**FROM_CHAT, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]},
    )
    tools = [{"type": "custom", "custom": {"name": "shell"}}]
    answer = client.post("/v1/chat/completions", json={**CHAT, "model": "chat-only", "tools": tools}, headers=KEY)
    assert json.loads(asked.calls[0].request.body)["tools"][0]["type"] == "function"
    (told,) = answer.json["choices"][0]["message"]["tool_calls"]
    assert (told["type"], told["custom"]) == ("custom", {"name": "shell", "input": "ls -l"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/messages", 405),
        ("GET", "/messages/count_tokens", 405),
        ("POST", "/v1/messages/batches", 404),
        ("POST", "/messages/batches/msgbatch_1", 404),
        ("POST", "/v1/models/claude-x", 405),
        ("POST", "/v1/v1/messages", 404),
    ],
)
def test_what_lies_at_or_below_an_endpoint_is_refused_in_its_dialect(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method, headers=KEY, json={} if method == "POST" else None)
    assert answer.status_code == status
    assert answer.json["type"] == "error"
    assert answer.json["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/messagesandmore", "/v1/nothing", "/v1/chat/completions/more", "/"])
def test_everything_else_is_refused_in_openais_dialect(client: FlaskClient, path: str) -> None:
    answer = client.post(path, headers=KEY, json={})
    assert answer.status_code in (404, 405)
    assert answer.json.keys() == {"error"}
