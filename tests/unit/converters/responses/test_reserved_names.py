"""A function whose name Responses keeps for itself has another name upstream, and its own again for the client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import grammar
from tests.support.exchanges import exchange_between, sent, transformed
from tests.unit.converters.test_placeholder_arguments import sse

Json = dict[str, Any]

TOOL = {
    "type": "function",
    "name": "tool_search",
    "description": "Finds tools.",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
    "strict": True,
}
OTHER = {"type": "function", "name": "read", "parameters": {"type": "object", "properties": {}}}
HISTORY = [
    {"role": "user", "content": "go"},
    {"type": "function_call", "call_id": "c1", "name": "tool_search", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "found"},
]
CHOICES: list[tuple[Any, Any]] = [
    (None, None),
    ("auto", "auto"),
    ({"type": "function", "name": "tool_search"}, {"type": "function", "name": "tool_search_"}),
    ({"type": "function", "name": "read"}, {"type": "function", "name": "read"}),
]


def asked(**more: Any) -> Json:
    return {"model": "m", "input": HISTORY, "tools": [TOOL, OTHER], **more}


@pytest.mark.parametrize(("choice", "wanted"), CHOICES)
def test_upstream_gets_another_name_everywhere(choice: Any, wanted: Any) -> None:
    body = sent(exchange_between("responses", "responses", asked(**({"tool_choice": choice} if choice else {}))))
    assert body["tools"] == [{**TOOL, "name": "tool_search_"}, OTHER]
    assert [item.get("name") for item in body["input"]] == [None, "tool_search_", None]
    assert body.get("tool_choice") == wanted


def answer(name: str) -> Json:
    item = {"type": "function_call", "id": "x", "call_id": "c2", "name": name, "arguments": '{"q":"a"}'}
    return {
        "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "output": [{**item, "status": "completed"}], "tools": [{**TOOL, "name": "tool_search_"}],
    }  # fmt: skip


def stream(name: str) -> bytes:
    done = answer(name)
    begun = {**done, "status": "in_progress", "output": []}
    item, at = done["output"][0], {"output_index": 0, "item_id": "x"}
    return sse(
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", **at, "item": {**item, "arguments": "", "status": "in_progress"}},
        {"type": "response.function_call_arguments.delta", **at, "delta": '{"q":'},
        {"type": "response.function_call_arguments.delta", **at, "delta": '"a"}'},
        {"type": "response.function_call_arguments.done", **at, "arguments": '{"q":"a"}'},
        {"type": "response.output_item.done", **at, "item": item},
        {"type": "response.completed", "response": done},
    )


@pytest.mark.parametrize(("upstream", "own"), [("tool_search_", "tool_search"), ("read", "read")])
def test_the_client_gets_its_own_name_back(upstream: str, own: str) -> None:
    exchange = exchange_between("responses", "responses", asked())
    exchange.payload()
    whole = json.loads(exchange.whole(json.dumps(answer(upstream)).encode()))
    streaming = exchange_between("responses", "responses", asked(stream=True))
    streaming.payload()
    told = grammar.read("responses", transformed(streaming, stream(upstream)), is_native=True)
    for found in (whole, told.answer):
        assert (found["output"][0]["name"], found["output"][0]["arguments"]) == (own, '{"q":"a"}')
        assert found["tools"] == [TOOL, OTHER]
    assert b"tool_search_" not in json.dumps(told.events).encode().replace(b"tool_search_call", b"")
