"""No client gets arguments that are no JSON object as if they were whole: the object, or an error.

One verdict, whatever the two protocols are, whole and streamed. What the limit has cut off is no whole call: it comes
as it is, and the answer says that it was cut.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import UpstreamProtocolError
from tests.support import grammar
from tests.support.exchanges import PAIRS, exchange_between, transformed
from tests.unit.converters.test_placeholder_arguments import sse

Json = dict[str, Any]

BROKEN = [
    '{"p": "a',
    '{"p": 1}}',
    '{"p": 1} {"p": 2}',
    "[1]",
    '"x"',
    "7",
    "null",
    "nope",
    '{"p": tru}',
    "{'p': 1}",
    "{",
]
WHOLE = [
    '{"p": "a"}',
    "{}",
    "",
    " ",
    '{"p": {"q": [1, "}"]}}',
    '{"p": "\\ud83d"}',
    '{"p": 123456789012345678901234567890}',
]
CUT = ['{"p": "a', "{", '{"p": [1, {"q": "']


# ── upstream's answers: one text, one call, and another call if there is to be one ─────────────────────────────────


def chat_call(at: int, arguments: str) -> Json:
    return {"index": at, "id": f"call_{at}", "type": "function", "function": {"name": "t", "arguments": arguments}}


def chat_whole(calls: list[str], *, cut: bool) -> bytes:
    message = {
        "role": "assistant",
        "content": "So:",
        "tool_calls": [chat_call(at, one) for at, one in enumerate(calls)],
    }
    choice = {"index": 0, "message": message, "finish_reason": "length" if cut else "tool_calls"}
    return json.dumps({"id": "c1", "created": 1, "model": "m", "choices": [choice]}).encode()


def pieces_of(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def chat_stream(calls: list[str], *, cut: bool) -> bytes:
    def chunk(delta: Json, reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    chunks = [chunk({"role": "assistant", "content": "So:"})]
    for at, arguments in enumerate(calls):
        chunks.append(chunk({"tool_calls": [chat_call(at, "")]}))
        chunks += [
            chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}) for piece in pieces_of(arguments)
        ]
    return sse(*chunks, chunk({}, "length" if cut else "tool_calls"), named=False) + b"data: [DONE]\n\n"


USAGE = {"input_tokens": 1, "output_tokens": 1}


def messages_whole(calls: list[str], *, cut: bool) -> bytes:
    """What is no JSON cannot stand there; an upstream might put the text itself."""

    def given(arguments: str) -> Any:
        try:
            return json.loads(arguments) if arguments.strip() else {}
        except ValueError:
            return arguments

    content: list[Json] = [{"type": "text", "text": "So:"}]
    content += [
        {"type": "tool_use", "id": f"call_{at}", "name": "t", "input": given(one)} for at, one in enumerate(calls)
    ]
    ending = {"stop_reason": "max_tokens" if cut else "tool_use", "stop_sequence": None}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content, "usage": USAGE}
    return json.dumps({**message, **ending}).encode()


def messages_stream(calls: list[str], *, cut: bool) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": USAGE}
    events: list[Json] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "So:"}},
        {"type": "content_block_stop", "index": 0},
    ]
    for at, arguments in enumerate(calls):
        block = {"type": "tool_use", "id": f"call_{at}", "name": "t", "input": {}}
        events.append({"type": "content_block_start", "index": at + 1, "content_block": block})
        events += [
            {
                "type": "content_block_delta",
                "index": at + 1,
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }
            for piece in pieces_of(arguments)
        ]
        events.append({"type": "content_block_stop", "index": at + 1})
        events.append({"type": "ping"})
    ending = {"stop_reason": "max_tokens" if cut else "tool_use", "stop_sequence": None}
    return sse(*events, {"type": "message_delta", "delta": ending, "usage": USAGE}, {"type": "message_stop"})


def responses_answer(calls: list[str], *, cut: bool) -> Json:
    text = {"type": "output_text", "text": "So:", "annotations": []}
    output: list[Json] = [{"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [text]}]
    for at, arguments in enumerate(calls):
        status = "incomplete" if cut and at == len(calls) - 1 else "completed"
        item = {"type": "function_call", "id": f"i{at}", "call_id": f"call_{at}", "name": "t", "arguments": arguments}
        output.append({**item, "status": status})
    details = {"reason": "max_output_tokens"} if cut else None
    status = "incomplete" if cut else "completed"
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": status, "output": output,
        "incomplete_details": details,
    }  # fmt: skip


def responses_whole(calls: list[str], *, cut: bool) -> bytes:
    return json.dumps(responses_answer(calls, cut=cut)).encode()


def responses_stream(calls: list[str], *, cut: bool) -> bytes:
    answer = responses_answer(calls, cut=cut)
    begun: Json = {**answer, "status": "in_progress", "output": []}
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**answer["output"][0], "content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "So:"},
        {"type": "response.output_item.done", "output_index": 0, "item": answer["output"][0]},
    ]
    for at, item in enumerate(answer["output"][1:], 1):
        blank = {**item, "arguments": "", "status": "in_progress"}
        events.append({"type": "response.output_item.added", "output_index": at, "item": blank})
        events += [
            {"type": "response.function_call_arguments.delta", "output_index": at, "item_id": "x", "delta": piece}
            for piece in pieces_of(item["arguments"])
        ]
        events.append({"type": "response.output_item.done", "output_index": at, "item": item})
    return sse(*events, {"type": f"response.{answer['status']}", "response": answer})


WHOLES = {"chat": chat_whole, "messages": messages_whole, "responses": responses_whole}
STREAMS = {"chat": chat_stream, "messages": messages_stream, "responses": responses_stream}


# ── what the client gets ────────────────────────────────────────────────────────────────────────────────────────────


def asking(client: str, **more: Any) -> Json:
    said = {"input": "hi"} if client == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    return {"model": "m", **said, **({"max_tokens": 99} if client == "messages" else {}), **more}


def told(client: str, upstream: str, how: str, calls: list[str], *, cut: bool = False, **more: Any) -> Json | None:
    """The answer in the client's form; None: it is told to be broken."""
    exchange = exchange_between(client, upstream, asking(client, stream=how != "whole", **more))
    exchange.payload()
    try:
        if how == "whole":
            answer: Json = json.loads(exchange.whole(WHOLES[upstream](calls, cut=cut)))
            return answer
        raw = (
            transformed(exchange, STREAMS[upstream](calls, cut=cut))
            if how == "streamed"
            else exchange.whole_as_stream(WHOLES[upstream](calls, cut=cut))
        )
    except UpstreamProtocolError:
        return None
    found = grammar.read(client, raw, is_native=client == upstream)
    if found.error is not None:
        assert "arguments" in found.error["message"]
        return None
    return found.answer


def calls_in(client: str, answer: Json) -> list[Any]:
    """The arguments of all calls: text, or an object."""
    if client == "chat":
        found = answer["choices"][0]["message"].get("tool_calls", [])
        return [call[call["type"]].get("arguments", call[call["type"]].get("input")) for call in found]
    if client == "messages":
        return [block["input"] for block in answer["content"] if block["type"] == "tool_use"]
    return [item.get("arguments", item.get("input")) for item in answer["output"] if item["type"].endswith("_call")]


HOWS = ["whole", "streamed", "whole as a stream"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_arguments_that_are_no_object_break_the_answer(client: str, upstream: str, how: str) -> None:
    for arguments in BROKEN:
        if upstream == "messages" and how != "streamed" and arguments == "null":
            continue  # there it is a call without input
        for calls in ([arguments], ["{}", arguments], [arguments, "{}"]):
            assert told(client, upstream, how, calls) is None, calls


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_arguments_that_are_an_object_arrive(client: str, upstream: str, how: str) -> None:
    for arguments in WHOLE:
        answer = told(client, upstream, how, [arguments, '{"q":1}'])
        assert answer is not None, arguments
        found = [one if isinstance(one, dict) else json.loads(one or "{}") for one in calls_in(client, answer)]
        assert found == [json.loads(arguments.strip() or "{}"), {"q": 1}]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_call_that_the_limit_cut_is_not_told_as_broken(client: str, upstream: str, how: str) -> None:
    for arguments in CUT:
        answer = told(client, upstream, how, ["{}", arguments], cut=True)
        assert answer is not None, arguments
        ending = answer.get("stop_reason") or answer.get("status") or answer["choices"][0]["finish_reason"]
        assert ending in ("max_tokens", "incomplete", "length")
        # One that was over by then is broken for all that.
        assert told(client, upstream, how, [arguments, "{"], cut=True) is None


CUSTOM: dict[str, Json] = {
    "chat": {"type": "custom", "custom": {"name": "t"}},
    "responses": {"type": "custom", "name": "t"},
}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("client", CUSTOM)
def test_free_text_that_came_without_its_wrapping_is_no_broken_call(client: str, upstream: str, how: str) -> None:
    if upstream == "messages" and how != "streamed":
        return
    if client == upstream:
        return  # free-text tools do not pass natively there
    answer = told(client, upstream, how, ["*** Begin Patch"], tools=[CUSTOM[client]])
    assert answer is not None
    assert calls_in(client, answer) == ["*** Begin Patch"]
