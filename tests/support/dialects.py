"""A small conversation in each of the three dialects: requests, upstream's answers, and reading the text again."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.support.raw_upstream import http, streamed

PROTOCOLS: Final = ("chat", "messages", "responses")
UPSTREAM_PATHS: Final = {"chat": "/chat/completions", "messages": "/v1/messages", "responses": "/responses"}
DOORS: Final = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
MODELS: Final = [
    {"id": f"{protocol}-model", "vendor": "OpenAI", "supported_endpoints": [path]}
    for protocol, path in UPSTREAM_PATHS.items()
]
"""One model for each protocol, that speaks no other."""


def request(door: str, model: str, text: str, *, stream: bool) -> dict[str, Any]:
    """What a client of this dialect sends."""
    message = {"role": "user", "content": text}
    if door == "responses":
        return {"model": model, "input": text, "stream": stream}
    limit = {"max_tokens": 50} if door == "messages" else {}
    return {"model": model, "messages": [message], "stream": stream, **limit}


def asked_for(body: Any) -> str:
    """The text of the user in what upstream was sent, whatever the protocol."""
    if "input" in body:
        item = body["input"] if isinstance(body["input"], str) else body["input"][-1]["content"]
    else:
        item = body["messages"][-1]["content"]
    return item if isinstance(item, str) else str(item[-1]["text"])


def said(door: str, body: bytes, *, stream: bool) -> tuple[str, str | None]:
    """What a client of this dialect reads in an answer: its text, and how it ends: "whole", "error", or None."""
    if not stream:
        found = json.loads(body)
        if found.get("error"):
            return "", "error"
        if door == "chat":
            return str(found["choices"][0]["message"]["content"]), "whole"
        parts = found["content"] if door == "messages" else found["output"][0]["content"]
        return "".join(part["text"] for part in parts), "whole"
    text, end = "", None
    for line in body.splitlines():
        if line == b"data: [DONE]":
            end = "whole"
        elif line.startswith(b"data: "):
            piece, ends = _READERS[door](json.loads(line[6:]))
            text, end = text + piece, end or ends
    return text, end


def _read_chat(event: dict[str, Any]) -> tuple[str, str | None]:
    if "error" in event:
        return "", "error"
    return "".join(choice["delta"].get("content") or "" for choice in event["choices"]), None


def _read_messages(event: dict[str, Any]) -> tuple[str, str | None]:
    end = {"error": "error", "message_stop": "whole"}.get(event["type"])
    return event.get("delta", {}).get("text", ""), end


def _read_responses(event: dict[str, Any]) -> tuple[str, str | None]:
    end = {"error": "error", "response.failed": "error", "response.completed": "whole"}.get(event["type"])
    return event["delta"] if event["type"] == "response.output_text.delta" else "", end


_READERS: Final = {"chat": _read_chat, "messages": _read_messages, "responses": _read_responses}


def answer(protocol: str, text: str, *, stream: bool) -> list[bytes]:
    """Upstream's answer with this text, in pieces of HTTP; of a stream the last one is the end of the body."""
    if stream:
        return streamed(*events(protocol, text))
    return [http(json.dumps(whole(protocol, text)).encode())]


def whole(protocol: str, text: str) -> dict[str, Any]:
    if protocol == "chat":
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice]}
    if protocol == "messages":
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    return {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [_item(text)]}


def events(protocol: str, *pieces: str) -> list[bytes]:
    """The same as the events of a stream, one for each piece of the text; the last event ends the answer."""
    text = "".join(pieces)
    if protocol == "chat":
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m"}
        deltas = [{"role": "assistant", "content": piece} for piece in pieces]
        return [
            *(_data({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas),
            _data({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
            b"data: [DONE]\n\n",
        ]
    if protocol == "messages":
        begun = {**whole("messages", ""), "content": [], "stop_reason": None}
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
        return [
            _named({"type": "message_start", "message": begun}),
            _named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            *(_named({"type": "content_block_delta", "index": 0, "delta": delta}) for delta in deltas),
            _named({"type": "content_block_stop", "index": 0}),
            _named({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}),
            _named({"type": "message_stop"}),
        ]
    begun = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "m", "output": []}
    at = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
    part = {"type": "output_text", "text": "", "annotations": []}
    made: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**_item(""), "content": []}},
        {"type": "response.content_part.added", **at, "part": part},
        *({"type": "response.output_text.delta", **at, "delta": piece} for piece in pieces),
        {"type": "response.output_text.done", **at, "text": text},
        {"type": "response.content_part.done", **at, "part": {**part, "text": text}},
        {"type": "response.output_item.done", "output_index": 0, "item": _item(text)},
        {"type": "response.completed", "response": whole("responses", text)},
    ]
    return [_named({**event, "sequence_number": number}) for number, event in enumerate(made)]


def _item(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def _data(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _named(event: dict[str, Any]) -> bytes:
    return b"event: " + event["type"].encode() + b"\n" + _data(event)
