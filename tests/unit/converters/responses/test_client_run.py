"""Tools of their own types that the client runs: passed where the model takes them, else functions, called as what they
are, and remembered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.exchange import Exchange
from app.converters.neutral.model_limits import ModelLimits
from app.errors import GatewayError
from tests.support.exchanges import PROTOCOLS, exchange_between, sent, transformed

Json = dict[str, Any]
ITEM = {"call_id": "call_1", "status": "completed"}
TOOLS: dict[str, tuple[Json, Json, Json, str]] = {
    "tool_search": (
        {
            "type": "tool_search",
            "execution": "client",
            "description": "Finds.",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
        },
        {"type": "tool_search_call", **ITEM, "execution": "client", "arguments": {"query": "calendar"}},
        {
            "type": "tool_search_output",
            **ITEM,
            "execution": "client",
            "tools": [
                {
                    "type": "namespace",
                    "name": "mcp__cal",
                    "tools": [
                        {
                            "type": "function",
                            "name": "list_events",
                            "description": "Lists.",
                            "parameters": {"type": "object", "properties": {}},
                        }
                    ],
                }
            ],
        },
        "list_events",
    ),
    "local_shell": (
        {"type": "local_shell"},
        {"type": "local_shell_call", **ITEM, "action": {"type": "exec", "command": ["ls"], "env": {}}},
        {"type": "local_shell_call_output", "call_id": "call_1", "output": "pears.txt"},
        "pears.txt",
    ),
    "shell": (
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "shell_call", **ITEM, "action": {"commands": ["ls"]}},
        {
            "type": "shell_call_output",
            "call_id": "call_1",
            "output": [{"stdout": "pears.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
        "pears.txt",
    ),
    "apply_patch": (
        {"type": "apply_patch"},
        {"type": "apply_patch_call", **ITEM, "operation": {"type": "update_file", "path": "a", "diff": "+pears"}},
        {"type": "apply_patch_call_output", **ITEM, "output": "patched"},
        "patched",
    ),
    "computer": (
        {"type": "computer"},
        {"type": "computer_call", **ITEM, "pending_safety_checks": [], "action": {"type": "screenshot"}},
        {
            "type": "computer_call_output",
            "call_id": "call_1",
            "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBORw0KGgo="},
        },
        "iVBORw0KGgo=",
    ),
}
REFUSED = frozenset(f"type:{kind}" for kind in (*TOOLS, "namespace"))
"""What a model has refused that takes none of it as it is."""
PAIRS = [(upstream, kind) for upstream in PROTOCOLS for kind in TOOLS]
USER = {"role": "user", "content": "go"}


def asked(kind: str, *items: Json, **fields: Any) -> Json:
    return {"model": "m", "input": [USER, *items], "tools": [TOOLS[kind][0]], **fields}


def translated(exchange: Exchange) -> Json:
    """The body that such a model gets."""
    body: Json = json.loads(exchange.payload(REFUSED).body)
    return body


def names(upstream: str, body: Json) -> list[str]:
    return [(tool["function"] if upstream == "chat" else tool)["name"] for tool in body.get("tools", ())]


@pytest.mark.parametrize(("upstream", "kind"), PAIRS)
def test_it_is_offered_as_a_function(upstream: str, kind: str) -> None:
    body = translated(exchange_between("responses", upstream, asked(kind)))
    assert names(upstream, body) == [f"client_side__{kind}"]


@pytest.mark.parametrize("kind", ["tool_search", "shell", "apply_patch"])
def test_it_passes_where_the_model_takes_it(kind: str) -> None:
    """Contract §7.4, §7.10; local_shell and computer are refused everywhere."""
    tool, call, output, _ = TOOLS[kind]
    newer = ModelLimits(model="gpt-5.6-luna")
    given = asked(kind, call, output, USER, tool_choice={"type": kind})
    body = sent(exchange_between("responses", "responses", given, limits=newer))
    assert (body["tools"], body["tool_choice"]) == ([tool], {"type": kind})
    assert body["input"][1:3] == [call, output]


@pytest.mark.parametrize(("upstream", "kind"), PAIRS)
def test_it_is_told_to_be_left_out_only_where_the_model_has_refused_it(upstream: str, kind: str) -> None:
    told = (f"tools[].{kind}",) if upstream == "responses" else ()
    assert exchange_between("responses", upstream, asked(kind)).payload(REFUSED).dropped == told


@pytest.mark.parametrize(("upstream", "kind"), PAIRS)
def test_it_can_be_forced(upstream: str, kind: str) -> None:
    assert f"client_side__{kind}" in json.dumps(
        translated(exchange_between("responses", upstream, asked(kind, tool_choice={"type": kind})))["tool_choice"]
    )


@pytest.mark.parametrize(("upstream", "kind"), PAIRS)
def test_its_calls_and_what_they_gave_are_remembered(upstream: str, kind: str) -> None:
    _, call, output, told = TOOLS[kind]
    body = translated(exchange_between("responses", upstream, asked(kind, call, output, USER)))
    text = json.dumps(body)
    assert f"client_side__{kind}" in json.dumps({key: value for key, value in body.items() if key != "tools"})
    assert text.count("call_1") >= 2
    assert told in json.dumps({key: value for key, value in body.items() if key != "tools"})


@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_what_a_search_has_loaded_can_be_called(upstream: str) -> None:
    _, call, output, _ = TOOLS["tool_search"]
    loaded = asked("tool_search", call, output, {**call, "call_id": "call_2"}, {**output, "call_id": "call_2"})
    assert names(upstream, translated(exchange_between("responses", upstream, loaded))) == [
        "client_side__tool_search",
        "mcp__cal__list_events",
    ]


def answer(upstream: str, name: str, arguments: str) -> tuple[bytes, bytes]:
    """Upstream's answer with one call, whole and streamed."""
    if upstream == "chat":
        call = {"id": "call_9", "type": "function", "function": {"name": name, "arguments": arguments}}
        choice = {"index": 0, "finish_reason": "tool_calls"}
        base = {"id": "c", "created": 1, "model": "m"}
        chunk = {**base, "choices": [{**choice, "delta": {"role": "assistant", "tool_calls": [{"index": 0, **call}]}}]}
        whole = {
            **base,
            "choices": [{**choice, "message": {"role": "assistant", "content": None, "tool_calls": [call]}}],
        }
        return json.dumps(whole).encode(), f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    if upstream == "messages":
        block = {"type": "tool_use", "id": "call_9", "name": name, "input": {}}
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
        end = {"stop_reason": "tool_use", "stop_sequence": None}
        events: list[Json] = [
            {"type": "message_start", "message": {**message, "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": arguments},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": usage},
            {"type": "message_stop"},
        ]
        whole = {**message, "content": [{**block, "input": json.loads(arguments)}], **end}
        return json.dumps(whole).encode(), framed(events)
    item = {
        "type": "function_call",
        "id": "f",
        "call_id": "call_9",
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }
    response = {"id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": [item]}
    at = {"output_index": 0, "item_id": "f"}
    events = [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "arguments": "", "status": "in_progress"},
        },
        *(
            {"type": "response.function_call_arguments.delta", **at, "delta": piece}
            for piece in (arguments[:4], arguments[4:])
        ),
        {"type": "response.function_call_arguments.done", **at, "arguments": arguments},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]
    return json.dumps(response).encode(), framed(events)


def framed(events: list[Json]) -> bytes:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


@pytest.mark.parametrize(("upstream", "kind"), PAIRS)
def test_a_call_comes_back_as_its_own_item_whole_and_streamed(upstream: str, kind: str) -> None:
    given, call, _, _ = TOOLS[kind]
    key = next(key for key in ("arguments", "action", "operation") if key in call)
    raw, stream = answer(upstream, f"client_side__{kind}", json.dumps(call[key]))
    exchange = exchange_between("responses", upstream, asked(kind))
    exchange.payload(REFUSED)
    whole = json.loads(exchange.whole(raw))
    exchange = exchange_between("responses", upstream, asked(kind, stream=True))
    exchange.payload(REFUSED)
    frames = transformed(exchange, stream).decode().split("\n\n")
    events = [json.loads(frame.split("data: ", 1)[1]) for frame in frames if "data: {" in frame]
    wanted = {**call, "call_id": "call_9"}
    done = next(event["item"] for event in events if event["type"] == "response.output_item.done")
    final = events[-1]["response"]["output"][0]
    for item in (whole["output"][0], done, final):
        assert item.pop("id")
        assert item == wanted
    assert whole["tools"] == events[-1]["response"]["tools"] == [given]
    assert not any("function_call" in event["type"] for event in events)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "tool_search"},
        {"type": "tool_search", "execution": "server"},
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "code_interpreter", "container": {"type": "auto"}},
    ],
)
@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_what_the_provider_would_run_is_not_offered(upstream: str, tool: Json) -> None:
    prepared = exchange_between("responses", upstream, {"model": "m", "input": "hi", "tools": [tool]}).payload(REFUSED)
    assert not json.loads(prepared.body).get("tools")
    assert prepared.dropped == (f"tools[].{tool['type']}",)
    with pytest.raises(GatewayError):
        exchange_between(
            "responses", upstream, {"model": "m", "input": "hi", "tools": [tool], "tool_choice": {"type": tool["type"]}}
        ).payload(REFUSED)


@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"type": "tool_search_call", "execution": "server", "arguments": {"query": "pears"}}, "pears"),
        ({"type": "mcp_call", "name": "count", "arguments": '{"fruit": "pear"}', "output": "42 pears"}, "42 pears"),
        (
            {"type": "code_interpreter_call", "code": "print(41)", "outputs": [{"type": "logs", "logs": "41"}]},
            "print(41)",
        ),
    ],
)
def test_what_the_provider_ran_before_is_told_as_text(upstream: str, item: Json, told: str) -> None:
    body = translated(exchange_between("responses", upstream, {"model": "m", "input": [USER, item, USER]}))
    assert told in json.dumps(body)
