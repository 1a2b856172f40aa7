"""What upstream adds to a native answer reaches the client, but for what is known to hurt one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import grammar
from tests.support.exchanges import exchange_between, request_of, transformed
from tests.unit.converters.test_placeholder_arguments import sse

Json = dict[str, Any]

RESULTS = {"hate": {"filtered": False, "severity": "safe"}}
PROMPT = [{"prompt_index": 0, "content_filter_results": RESULTS}]
NOTES = {"IPCodeCitations": [{"id": 0, "citations": {"url": "https://code.test"}}]}
TOMORROW = {"of_tomorrow": [1, {"a": None}]}


def chat_whole() -> bytes:
    message = {"role": "assistant", "content": "Hi", "copilot_annotations": NOTES, "annotations": NOTES, **TOMORROW}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "content_filter_results": RESULTS, **TOMORROW}
    answer = {"id": "c1", "created": 1, "model": "m", "choices": [choice], "prompt_filter_results": PROMPT}
    return json.dumps({**answer, "code_references": [1], "padding": "abc", **TOMORROW}).encode()


def chunk(*choices: Json, **more: Any) -> Json:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": list(choices), **more}


def entry(delta: Json, reason: Any = None, **more: Any) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": reason, **more}


def chat_stream() -> bytes:
    told = entry({"content": "Hi", "padding": "x"}, content_filter_results=RESULTS, content_filter_offsets={"a": 1})
    noted = {"content": None, "copilot_annotations": NOTES, "annotations": NOTES, **TOMORROW}
    return (
        sse(
            {**chunk(prompt_filter_results=PROMPT), "id": "", "created": 0},
            chunk(entry({"role": "assistant", "content": ""}, content_filter_results={})),
            chunk(told),
            chunk(told),
            chunk(entry(noted)),
            {"choices": None, "copilot_references": [{"type": "x"}], "id": None},
            chunk(entry({}, content_filter_results={"violence": {"filtered": True}}, **TOMORROW)),
            chunk(entry({}, "content_filter", content_filter_results={"self_harm": {"filtered": True}})),
            chunk(code_references=[1], **TOMORROW),
            named=False,
        )
        + b"data: [DONE]\n\n"
    )


ENDING = {"stop_reason": "end_turn", "stop_sequence": None}
USAGE = {"input_tokens": 1, "output_tokens": 1}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": USAGE}


def messages_whole() -> bytes:
    block = {"type": "text", "text": "Hi", "copilot_annotations": NOTES, **TOMORROW}
    ending = {"stop_reason": "end_turn", "stop_sequence": None, "prompt_filter_results": PROMPT}
    return json.dumps({**MESSAGE, "content": [block], **ending, "copilot_annotations": NOTES, **TOMORROW}).encode()


def messages_stream() -> bytes:
    text = {"type": "text_delta", "text": "Hi"}
    delta = {"type": "content_block_delta", "index": 0, "delta": text, "copilot_annotations": NOTES}
    start = {**MESSAGE, "content": [], "stop_reason": None, "stop_sequence": None, "prompt_filter_results": PROMPT}
    return sse(
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}, **TOMORROW},
        delta,
        {**delta, **TOMORROW},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": USAGE,
            **TOMORROW,
        },
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"a": 1}},
    )


def response(status: str) -> Json:
    part = {"type": "output_text", "text": "HiHi", "annotations": [], "copilot_annotations": NOTES, **TOMORROW}
    item = {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [part], **TOMORROW}
    answer = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": status}
    filters = {"content_filters": [{"blocked": False, "source_type": "prompt", "content_filter_results": RESULTS}]}
    return {**answer, "output": [item] if status == "completed" else [], **filters, "padding": "x", **TOMORROW}


def responses_whole() -> bytes:
    return json.dumps({**response("completed"), "prompt_filter_results": PROMPT, "copilot_annotations": NOTES}).encode()


def responses_stream() -> bytes:
    done = response("completed")
    at = {"output_index": 0, "item_id": "x"}
    delta = {"type": "response.output_text.delta", **at, "content_index": 0, "delta": "Hi", "obfuscation": "abc"}
    return sse(
        {"type": "response.created", "response": response("in_progress")},
        {"type": "response.in_progress", "response": response("in_progress")},
        {"type": "response.output_item.added", **at, "item": {**done["output"][0], "content": []}, **TOMORROW},
        {**delta, "copilot_annotations": NOTES},
        {**delta, **TOMORROW},
        {"type": "response.of_tomorrow", **at, "copilot_annotations": NOTES},
        {"type": "response.output_item.done", **at, "item": done["output"][0]},
        {"type": "response.completed", "response": done, "copilot_quota_snapshots": {"chat": {}}, **TOMORROW},
    )


WHOLES = {"chat": chat_whole(), "messages": messages_whole(), "responses": responses_whole()}
STREAMS = {"chat": chat_stream(), "messages": messages_stream(), "responses": responses_stream()}
HURTS = {"padding", "obfuscation", "content_filter_offsets", "amazon-bedrock-invocationMetrics"}


def members(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every member of every object, by name and content; those that the bridge itself has to change are left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in HURTS or (key == "annotations" and isinstance(inner, dict)):
                continue
            if key in ("of_tomorrow", "code_references") or key.startswith(("copilot_", "content_filter", "prompt_f")):
                yield key, json.dumps(inner, sort_keys=True)
            yield from members(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner, name)


def asked(protocol: str, content: bytes, how: str) -> Any:
    exchange = exchange_between(protocol, protocol, {**request_of(protocol, "text"), "stream": how != "whole"})
    exchange.payload()
    if how == "whole":
        return json.loads(exchange.whole(content))
    raw = exchange.whole_as_stream(content) if how == "whole as a stream" else transformed(exchange, content)
    return grammar.read(protocol, raw, is_native=True).events


@pytest.mark.parametrize("how", ["whole", "whole as a stream"])
@pytest.mark.parametrize("protocol", WHOLES)
def test_what_upstream_adds_to_a_whole_answer_reaches_the_client(protocol: str, how: str) -> None:
    wanted = set(members(json.loads(WHOLES[protocol])))
    assert wanted <= set(members(asked(protocol, WHOLES[protocol], how)))


@pytest.mark.parametrize("protocol", STREAMS)
def test_what_upstream_adds_to_events_reaches_the_client(protocol: str) -> None:
    lines = STREAMS[protocol].decode().splitlines()
    sent = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    told = asked(protocol, STREAMS[protocol], "streamed")
    assert set(members(sent)) <= set(members(told))
    for name in ("of_tomorrow", "copilot_annotations"):
        assert json.dumps(told).count(f'"{name}"') >= json.dumps(sent).count(f'"{name}"') - 1


def test_no_chat_client_meets_a_chunk_without_a_choice() -> None:
    told = asked("chat", STREAMS["chat"], "streamed")
    assert all(len(event["choices"]) == 1 for event in told)
    assert told[0]["prompt_filter_results"] == PROMPT
    assert [event for event in told[1:] if "prompt_filter_results" in event] == []
    assert told[-1]["choices"][0]["content_filter_results"] == {"self_harm": {"filtered": True}}


@pytest.mark.parametrize("protocol", STREAMS)
def test_what_is_known_to_hurt_is_kept_out(protocol: str) -> None:
    for how, content in (("whole", WHOLES[protocol]), ("streamed", STREAMS[protocol])):
        text = json.dumps(asked(protocol, content, how))
        assert not [name for name in HURTS if f'"{name}"' in text]
        assert '"annotations": {' not in text
