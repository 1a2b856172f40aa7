"""An upstream may open a call with an empty object and then send the arguments: no client gets both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.exchanges import PAIRS, exchange_between, transformed
from tests.support.rows import rows

Json = dict[str, Any]
REAL = '{"p":"a"}'
PIECES: dict[str, tuple[list[str], Json]] = {
    "a placeholder, then all": (["{}", REAL], {"p": "a"}),
    "a placeholder, then pieces": (["{}", '{"p":', '"a"}'], {"p": "a"}),
    "nothing, a placeholder, then all": (["", "{}", REAL], {"p": "a"}),
    "a placeholder twice": (["{}", "{}", REAL], {"p": "a"}),
    "a placeholder alone": (["{}"], {}),
    "nothing at all": ([""], {}),
    "an object within": (['{"p":', "{}", "}"], {"p": {}}),
    "no placeholder": ([REAL], {"p": "a"}),
}


def sse(*events: Json, named: bool = True) -> bytes:
    heads = [f"event: {event['type']}\n" if named else "" for event in events]
    return "".join(f"{head}data: {json.dumps(event)}\n\n" for head, event in zip(heads, events, strict=True)).encode()


def chat_stream(pieces: list[str]) -> bytes:
    def chunk(delta: Json, reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "t", "arguments": pieces[0]}}
    chunks = [chunk({"role": "assistant", "tool_calls": [first]})]
    chunks += [chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces[1:]]
    return sse(*chunks, chunk({}, "tool_calls"), named=False) + b"data: [DONE]\n\n"


def messages_stream(pieces: list[str]) -> bytes:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    block = {"type": "tool_use", "id": "call_1", "name": "t", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return sse(
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    )


def responses_stream(pieces: list[str]) -> bytes:
    response = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "model": "m",
        "output": [],
    }
    whole = pieces[-1] if "{}" in pieces and pieces[-1] == REAL else "".join(pieces).removeprefix("{}") or "{}"
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "t"}
    done = {**item, "arguments": whole, "status": "completed"}
    at = {"output_index": 0, "item_id": "fc_1"}
    return sse(
        {"type": "response.created", "response": response},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "arguments": "", "status": "in_progress"},
        },
        *({"type": "response.function_call_arguments.delta", **at, "delta": piece} for piece in pieces),
        {"type": "response.function_call_arguments.done", **at, "arguments": whole},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": {**response, "status": "completed", "output": [done]}},
    )


STREAMS = {"chat": chat_stream, "messages": messages_stream, "responses": responses_stream}


def arguments_in(client: str, raw: bytes) -> str:
    """The arguments as a client gathers them from the deltas."""
    found = ""
    for line in raw.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        if client == "chat":
            for choice in event.get("choices", ()):
                for call in choice["delta"].get("tool_calls", ()):
                    assert call["index"] == 0
                    found += call["function"].get("arguments") or ""
        elif client == "messages":
            found += event.get("delta", {}).get("partial_json", "")
        elif event["type"] == "response.function_call_arguments.delta":
            found += event["delta"]
    return found


# Claude's own deltas pass as bytes, and Claude opens no call so.
ROWS = [
    (client, upstream, case)
    for client, upstream in PAIRS
    for case in PIECES
    if not (client == upstream == "messages" and "{}" in PIECES[case][0] and PIECES[case][0][-1] in (REAL, '"a"}'))
]


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case"), ROWS)
def test_the_arguments_that_a_client_gathers_are_one_object(client: str, upstream: str, case: str) -> None:
    pieces, meant = PIECES[case]
    said = {"input": "hi"} if client == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    body = {"model": "m", "stream": True, **said, **({"max_tokens": 99} if client == "messages" else {})}
    exchange = exchange_between(client, upstream, body)
    exchange.payload()
    gathered = arguments_in(client, transformed(exchange, STREAMS[upstream](pieces)))
    assert json.loads(gathered or "{}") == meant


def early(*, is_repeated: bool, is_done: bool) -> bytes:
    """A call that is told whole at its beginning; then again in a delta, or never again."""
    head, *frames = responses_stream([REAL]).split(b"\n\n")
    told = [frame.replace(b'"arguments": ""', b'"arguments": ' + json.dumps(REAL).encode()) for frame in frames]
    kept = [frame for frame in told if is_repeated or b"arguments.delta" not in frame]
    empty = json.dumps(REAL).encode()
    if not is_done:
        kept = [
            frame.replace(b'"arguments": ' + empty, b'"arguments": ""')
            if b"done" in frame or b"completed" in frame
            else frame
            for frame in kept
        ]
    return b"\n\n".join([head, *kept])


@pytest.mark.parametrize("client", STREAMS)
@pytest.mark.parametrize(("is_repeated", "is_done"), [(True, True), (False, True), (True, False), (False, False)])
def test_arguments_that_stand_in_the_beginning_of_a_call_come_once(
    client: str, is_repeated: bool, is_done: bool
) -> None:
    said = {"input": "hi"} if client == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    body = {"model": "m", "stream": True, **said, **({"max_tokens": 99} if client == "messages" else {})}
    exchange = exchange_between(client, "responses", body)
    exchange.payload()
    gathered = arguments_in(client, transformed(exchange, early(is_repeated=is_repeated, is_done=is_done)))
    assert client == "responses" or json.loads(gathered) == {"p": "a"}


@pytest.mark.parametrize("client", STREAMS)
@pytest.mark.parametrize("kind", ["output_text", "refusal"])
def test_a_text_that_stands_in_its_done_event_alone_is_told(client: str, kind: str) -> None:
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": [], "status": "in_progress"}
    field = "text" if kind == "output_text" else kind
    stream = sse(
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": f"response.{kind}.done", "output_index": 0, "content_index": 0, "item_id": "m", field: "Pears."},
        {"type": "response.completed", "response": {**response, "status": "completed"}},
    )
    said = {"input": "hi"} if client == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    body = {"model": "m", "stream": True, **said, **({"max_tokens": 99} if client == "messages" else {})}
    exchange = exchange_between(client, "responses", body)
    exchange.payload()
    told = transformed(exchange, stream)
    assert b"Pears." in told
    assert b"error" not in told or client == "responses"
