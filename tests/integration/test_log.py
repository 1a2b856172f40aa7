"""The log line of an answer: the same facts in the same words for every protocol, streamed and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge

CLIENTS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
MODELS = {"chat": "gpt-4.1", "messages": "claude-sonnet-4.6", "responses": "gpt-5.3-codex"}
TOOL = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
TOTALS = ("input_tokens", "output_tokens", "total_tokens")
NAMES = {*TOTALS, "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"}


@pytest.fixture(scope="module")
def bridge(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        yield running


def tools_for(client: str) -> list[dict[str, Any]]:
    if client == "chat":
        return [{"type": "function", "function": TOOL}]
    if client == "messages":
        return [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]}]
    return [{"type": "function", **TOOL}]


def ask(bridge: Bridge, client: str, upstream: str, prompt: str, **fields: Any) -> requests.Response:
    turns: dict[str, Any] = {"input" if client == "responses" else "messages": [{"role": "user", "content": prompt}]}
    limit = {"max_tokens": 1000} if client == "messages" else {}
    body = {"model": MODELS[upstream], **turns, **limit, **fields}
    headers = {"User-Agent": "claude-cli/2.1 (external, cli)"}
    return bridge.post(CLIENTS[client], json=body, headers=headers)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("upstream", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_answer_tells_its_usage_and_its_end_in_the_same_words(
    bridge: Bridge, client: str, upstream: str, stream: bool
) -> None:
    answer = ask(bridge, client, upstream, "[[say: Hello there.]]", stream=stream)
    line = bridge.request_line(answer.headers["x-request-id"])
    assert line["finish_reason"] == "stop"
    usage = line["usage"]
    assert set(TOTALS) <= usage.keys() <= NAMES
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 1
    assert all(type(count) is int for count in usage.values())
    assert (line["client"], line["address"]) == ("claude-cli", "127.0.0.1")
    assert len(line["key"]) == 8


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("upstream", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_answer_that_calls_a_tool_ends_with_tool_calls(
    bridge: Bridge, client: str, upstream: str, stream: bool
) -> None:
    answer = ask(bridge, client, upstream, "[[tool: look {}]]", stream=stream, tools=tools_for(client))
    assert answer.status_code == 200, answer.text
    assert bridge.request_line(answer.headers["x-request-id"])["finish_reason"] == "tool_calls"


def test_whole_and_streamed_tell_the_same_counts(bridge: Bridge) -> None:
    for client in CLIENTS:
        for upstream in MODELS:
            lines = [
                bridge.request_line(
                    ask(bridge, client, upstream, "[[say: Hi.]]", stream=stream).headers["x-request-id"]
                )
                for stream in (False, True)
            ]
            whole, streamed = ([line["usage"][name] for name in TOTALS] for line in lines)
            assert whole == streamed, (client, upstream)


def test_embeddings_tell_their_tokens(bridge: Bridge) -> None:
    answer = bridge.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": ["one", "two"]})
    usage = bridge.request_line(answer.headers["x-request-id"])["usage"]
    assert usage == {"input_tokens": answer.json()["usage"]["prompt_tokens"]} | {"total_tokens": usage["input_tokens"]}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", CLIENTS)
def test_upstream_quoting_a_prompt_is_told_to_the_client_and_not_to_the_log(
    bridge: Bridge, simulator_process: Simulator, client: str, stream: bool
) -> None:
    secret = f"my medicine {client} {stream}"
    body = {"error": {"message": f"Invalid 'messages[0].content': got '{secret}'", "code": "invalid_request_body"}}
    simulator_process.fault(endpoint="*", model=MODELS[client], status=400, body=body)
    answer = ask(bridge, client, client, secret, stream=stream)
    assert answer.status_code == 400
    bridge.request_line(answer.headers["x-request-id"])
    lines = [json.loads(line) for line in bridge.log.splitlines() if secret in line]
    assert {line["level"] for line in lines} == {"DEBUG"}


ODD_ANSWERS: dict[str, dict[str, Any]] = {
    "chat": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": 5}]},
    "messages": {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}], "stop_reason": 5},
    "responses": {"object": "response", "status": "completed", "output": [5, {"type": 5}], "incomplete_details": 5},
}


@pytest.mark.parametrize(
    "usage", [None, "x", 5, [], True, {"input_tokens": "a"}, {"prompt_tokens_details": [1]}], ids=str
)
@pytest.mark.parametrize("client", CLIENTS)
def test_no_answer_fails_for_what_the_log_would_say_of_it(
    bridge: Bridge, simulator_process: Simulator, client: str, usage: object
) -> None:
    odd = {**ODD_ANSWERS[client], "usage": usage}
    simulator_process.fault(endpoint="*", model=MODELS[client], status=200, body=odd)
    answer = ask(bridge, client, client, "Hello")
    assert answer.status_code in (200, 502), answer.text
    bridge.request_line(answer.headers["x-request-id"])
    assert "unexpected failure" not in bridge.log
