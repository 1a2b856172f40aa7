"""Upstream refuses a reasoning proof that it did not mint: the conversation goes on, and a tool round keeps its own."""

from __future__ import annotations

from typing import Any

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.upstream import generations

GEMINI, HAIKU = "gemini-3-pro-preview", "claude-haiku-4.5"
PROMPT = '[[think: Hm.]] [[tool: get_weather {"city": "Oslo"}]]'
FUNCTION = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
FOREIGN = {"role": "assistant", "content": "hello", "reasoning_text": "Hi?", "reasoning_opaque": "minted elsewhere"}


def ask(bridge: Bridge, model: str, messages: list[Any]) -> Any:
    tools = [{"type": "function", "function": FUNCTION}]
    response = bridge.post("/v1/chat/completions", json={"model": model, "messages": messages, "tools": tools})
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]


def tool_round(bridge: Bridge, model: str) -> list[Any]:
    """A turn whose tool has just answered."""
    question = {"role": "user", "content": PROMPT}
    message = ask(bridge, model, [question])
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "11 degrees"}
    return [question, message, result]


def opaques(request: dict[str, Any]) -> list[str]:
    messages = request["json"]["messages"]
    return [message["reasoning_opaque"] for message in messages if "reasoning_opaque" in message]


def test_a_tool_round_keeps_its_own_proof(shared_bridge: Bridge, upstream: Simulator) -> None:
    """Gemini refuses a tool round without it."""
    rounds = tool_round(shared_bridge, GEMINI)
    upstream.requests(clear=True)
    message = ask(shared_bridge, GEMINI, [{"role": "user", "content": "hi"}, FOREIGN, *rounds])
    assert "11 degrees" in message["content"]
    refused, served = generations(upstream)
    assert (refused["status"], served["status"]) == (400, 200)
    assert opaques(refused) == ["minted elsewhere", rounds[1]["reasoning_opaque"]]
    assert opaques(served) == [rounds[1]["reasoning_opaque"]]


def test_a_model_that_takes_over_in_a_tool_round_gets_no_proof_at_all(
    shared_bridge: Bridge, upstream: Simulator
) -> None:
    rounds = tool_round(shared_bridge, GEMINI)
    upstream.requests(clear=True)
    message = ask(shared_bridge, HAIKU, [{"role": "user", "content": "hi"}, FOREIGN, *rounds])
    assert "11 degrees" in message["content"]
    assert [request["status"] for request in generations(upstream)] == [400, 400, 200]
    assert opaques(generations(upstream)[-1]) == []


def test_without_earlier_turns_nothing_is_tried_twice(shared_bridge: Bridge, upstream: Simulator) -> None:
    rounds = tool_round(shared_bridge, GEMINI)
    upstream.requests(clear=True)
    assert "11 degrees" in ask(shared_bridge, HAIKU, rounds)["content"]
    assert [request["status"] for request in generations(upstream)] == [400, 200]


def test_native_messages_and_responses_are_repaired_at_the_first_attempt(
    shared_bridge: Bridge, upstream: Simulator
) -> None:
    question = {"role": "user", "content": "hi"}
    thought = {"type": "thinking", "thinking": "Hi?", "signature": "bWludGVkIGVsc2V3aGVyZQ=="}
    answer = {"role": "assistant", "content": [thought, {"type": "text", "text": "hello"}]}
    body: Any = {"model": "claude-sonnet-4.6", "max_tokens": 100, "messages": [question, answer, question]}
    assert shared_bridge.post("/v1/messages", json=body).status_code == 200
    item = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAABelsewhere"}
    body = {"model": "gpt-5.3-codex", "input": [question, item, {"role": "assistant", "content": "hello"}, question]}
    assert shared_bridge.post("/v1/responses", json=body).status_code == 200
    assert [request["status"] for request in generations(upstream)] == [400, 200, 400, 200]
