"""What the upstream answers, in Copilot's three protocols: the frames of a stream, and whole answers."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

CHAT, MESSAGES, RESPONSES = "chat", "messages", "responses"
PROTOCOLS = {"/chat/completions": CHAT, "/v1/messages": MESSAGES, "/responses": RESPONSES}
"""Upstream's paths and what is spoken there."""

CHAT_MODEL, MESSAGES_MODEL, RESPONSES_MODEL = "gpt-4.1", "claude-sonnet-4.6", "gpt-5.2-codex"
MARK = b'"@T%019d# lorem ipsum"'
"""The text of an event: when it was written, in nanoseconds of the machine's monotonic clock. Texts that are put
together of several look otherwise."""
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_USAGE = {"prompt_tokens": 120, "completion_tokens": 100, "total_tokens": 220}
_HEAD = b"HTTP/1.1 200 OK\r\nX-Request-Id: bench\r\n"
STREAM_HEAD = _HEAD + b"Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Frames:
    """A stream: what comes before its events, one of them around the mark, and what comes after."""

    first: bytes
    before_mark: bytes
    after_mark: bytes
    last: bytes

    def event(self) -> bytes:
        return self.before_mark + MARK % time.monotonic_ns() + self.after_mark


def frames(protocol: str, model: str) -> Frames:
    first, event, last = {CHAT: _chat, MESSAGES: _messages, RESPONSES: _responses}[protocol](model)
    written = _chunk(event.replace(b'"MARK"', MARK % 0))
    before, _, after = written.partition(MARK % 0)
    return Frames(b"".join(map(_chunk, first)), before, after, b"".join(map(_chunk, last)) + b"0\r\n\r\n")


def whole(protocol: str, model: str) -> bytes:
    text = "All of it at once. " * 30
    answer: dict[str, Any]
    if protocol == CHAT:
        message = {"role": "assistant", "content": text, "padding": "abcdef"}
        choice = {"index": 0, "finish_reason": "stop", "content_filter_results": _SAFE, "message": message}
        answer = {"id": "chatcmpl-bench", "created": 1763800000, "model": model, "choices": [choice], "usage": _USAGE}
        answer["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _SAFE}]
    elif protocol == MESSAGES:
        answer = {"id": "msg_bench", "type": "message", "role": "assistant", "model": model, "stop_reason": "end_turn"}
        answer |= {"content": [{"type": "text", "text": text}], "usage": {"input_tokens": 120, "output_tokens": 100}}
    else:
        answer = _response(model, "completed", text)
    return plain(answer)


def plain(content: object, status: str = "200 OK") -> bytes:
    body = json.dumps(content, separators=(",", ":")).encode()
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status.encode(),
        len(body),
        body,
    )


def models() -> list[dict[str, Any]]:
    """The three models, one for each protocol."""
    supports = {"streaming": True, "tool_calls": True, "parallel_tool_calls": True, "vision": True}
    limits = {"max_context_window_tokens": 128000, "max_output_tokens": 16384, "max_prompt_tokens": 111616}
    return [
        {
            "id": model,
            "name": model,
            "object": "model",
            "vendor": vendor,
            "version": model,
            "preview": False,
            "model_picker_enabled": True,
            "policy": {"state": "enabled", "terms": ""},
            "billing": {"is_premium": False, "multiplier": 0},
            "supported_endpoints": [path],
            "capabilities": {
                "family": model,
                "type": "chat",
                "object": "model_capabilities",
                "tokenizer": "o200k_base",
                "limits": limits,
                "supports": supports,
            },
        }
        for model, vendor, path in (
            (CHAT_MODEL, "Azure OpenAI", "/chat/completions"),
            (MESSAGES_MODEL, "Anthropic", "/v1/messages"),
            (RESPONSES_MODEL, "OpenAI", "/responses"),
        )
    ]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _data(content: object) -> bytes:
    return b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n"


def _named(name: str, **fields: Any) -> bytes:
    return b"event: " + name.encode() + b"\n" + _data({"type": name, **fields})


Parts = tuple[list[bytes], bytes, list[bytes]]


def _chat(model: str) -> Parts:
    offsets = {"check_offset": 38, "start_offset": 38, "end_offset": 112}
    filters = {"content_filter_offsets": offsets, "content_filter_results": _SAFE}
    tail = {"created": 1763800000, "id": "chatcmpl-bench", "model": model, "system_fingerprint": "fp_3502f4eb73"}

    def delta(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
        finish = {"finish_reason": finish_reason} if finish_reason else {}
        return {"choices": [{"index": 0, **finish, **filters, "delta": delta}]}

    asked: dict[str, Any] = {"choices": [], "created": 0, "id": ""}
    first = [
        _data(asked | {"prompt_filter_results": [{"content_filter_results": _SAFE, "prompt_index": 0}]}),
        _data(delta(content="", role="assistant") | tail),
    ]
    end = delta("stop", content=None) | {"usage": _USAGE} | tail
    return first, _data(delta(content="MARK") | tail), [_data(end), b"data: [DONE]\n\n"]


def _messages(model: str) -> Parts:
    message: dict[str, Any] = {"id": "msg_bench", "type": "message", "role": "assistant", "model": model}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None}
    message |= {"usage": {"input_tokens": 120, "output_tokens": 1}}
    first = [
        _named("message_start", message=message),
        _named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    ]
    event = _named("content_block_delta", index=0, delta={"type": "text_delta", "text": "MARK"})
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    last = [
        _named("content_block_stop", index=0),
        _named("message_delta", delta=stop, usage={"output_tokens": 100}),
        _named("message_stop"),
    ]
    return first, event, last


def _responses(model: str) -> Parts:
    at = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}
    done = _response(model, "completed", "all of it")
    item = done["output"][0]
    part = item["content"][0]
    first = [
        _named("response.created", sequence_number=0, response=_response(model, "in_progress")),
        _named("response.in_progress", sequence_number=1, response=_response(model, "in_progress")),
        _named(
            "response.output_item.added",
            sequence_number=2,
            output_index=0,
            item=item | {"status": "in_progress", "content": []},
        ),
        _named("response.content_part.added", sequence_number=3, **at, part=part | {"text": ""}),
    ]
    event = _named("response.output_text.delta", sequence_number=4, **at, delta="MARK", logprobs=[], obfuscation="x9Kd")
    last = [
        _named("response.output_text.done", sequence_number=5, **at, text=part["text"], logprobs=[]),
        _named("response.content_part.done", sequence_number=6, **at, part=part),
        _named("response.output_item.done", sequence_number=7, output_index=0, item=item),
        _named("response.completed", sequence_number=8, response=done),
    ]
    return first, event, last


def _response(model: str, status: str, text: str | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    item: dict[str, Any] = {
        "id": "msg_bench",
        "type": "message",
        "status": "completed",
        "content": [part],
        "role": "assistant",
    }
    usage: dict[str, Any] = {"input_tokens": 120, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 100}
    usage |= {"output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 220}
    return {
        "id": "resp_bench",
        "object": "response",
        "created_at": 1763800000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": model,
        "output": [] if text is None else [item],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if text is None else usage,
        "user": None,
        "metadata": {},
    }
