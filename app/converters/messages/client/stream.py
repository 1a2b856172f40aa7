"""Neutral events → a messages client's stream (conversion rules §4).

``message_start``, then block after block (start, deltas, stop) with contiguous indexes, ``message_delta``,
``message_stop``. A block opens when it has something to say, so that no client meets an empty one.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.messages.citations import citations_of
from app.converters.messages.client.answer_blocks import SERVER_CALLS, answer_id, block_of, call_block, input_of
from app.converters.messages.errors import error_frame
from app.converters.messages.vocabulary import (
    PROTOCOL,
    SERVER_TOOL_USE,
    encode_usage,
    signature_for_client,
    stop_reason,
)
from app.converters.neutral import tools
from app.converters.neutral.events import (
    Event,
    PartDelta,
    PartEnd,
    PartStart,
    Ping,
    ResponseEnd,
    ResponseStart,
    StreamError,
)
from app.converters.neutral.token_text import estimate_input
from app.converters.neutral.vocabulary import Audio, Part, Reasoning, Refusal, Request, Text, ToolCall, Usage
from app.converters.wire import json_bytes
from app.converters.wire.accounting import COPILOT

Json = dict[str, Any]

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'

# What the deltas of an attribute are called: type and key.
_DELTAS: Final[dict[tuple[type, str], tuple[str, str]]] = {
    (Text, "text"): ("text_delta", "text"),
    (Refusal, "text"): ("text_delta", "text"),
    (Audio, "transcript"): ("text_delta", "text"),
    (Reasoning, "text"): ("thinking_delta", "thinking"),
    (ToolCall, "arguments"): ("input_json_delta", "partial_json"),
}
_OPENED: Final[dict[str, Json]] = {
    "text_delta": {"type": "text", "text": ""},
    "thinking_delta": {"type": "thinking", "thinking": "", "signature": ""},
}


def frame(kind: str, **fields: Any) -> bytes:
    """One event; ``event:`` equals ``type``."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json_bytes.dumps({"type": kind, **fields}))


class StreamEncoder:
    """One per answer. `feed` takes one event and gives whole frames.

    model: the name that the client asked for. ``message_start`` tells an estimate where upstream says nothing by then,
    because some clients look nowhere else; the final usage corrects it.
    After a StreamError nothing comes any more, above all no end.
    """

    def __init__(self, request: Request, *, model: str) -> None:
        self._request = request
        self._names = tools.ToolNames(request.tools)
        self._model = model
        self._id = ""
        self._usage: Usage | None = None
        self._index = -1  # of the block that was opened last
        self._is_open = False
        self._has_calls = False
        self._is_ended = False
        self._part: Part | None = None
        self._heads: dict[str, bytes] = {}
        self._held: list[str] = []
        self._is_held = False

    def feed(self, event: Event) -> bytes:
        """b"" if the event says nothing to this client."""
        if self._is_ended:
            return b""
        match event:
            case PartDelta():
                return self._delta(event)
            case PartStart():
                return self._start_part(event)
            case PartEnd():
                return self._end_part(event)
            case Ping():
                return PING
            case ResponseStart():
                return self._start(event)
            case ResponseEnd():
                return self._end(event)
            case StreamError():
                self._is_ended = True
                return error_frame(event.error)

    def _start(self, event: ResponseStart) -> bytes:
        self._id, self._usage = answer_id(event.id), event.usage
        usage = event.usage
        if usage is None or usage.input_tokens is None:
            usage = Usage(input_tokens=estimate_input(self._request)).updated(usage)
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(usage),
        }
        return frame("message_start", message=message)

    def _start_part(self, event: PartStart) -> bytes:
        part = event.part
        self._heads.clear()
        self._held.clear()
        if isinstance(part, ToolCall):
            part = self._names.restore(part)
            self._has_calls = True
            self._part = part
            # Until the first character has shown that an object follows; free text never is one.
            self._is_held = True
            return self._open(call_block(part, event.index, self._id))
        self._part = part
        return b""

    def _delta(self, event: PartDelta) -> bytes:
        head = self._heads.get(event.field)
        if head is not None:
            return head + json_bytes.dumps(event.value) + b"}}\n\n"
        known = _DELTAS.get((type(self._part), event.field))
        if known is None:
            return b""  # a signature is told whole, at the end of its block
        if isinstance(self._part, ToolCall) and self._is_held:
            return self._hold(event, *known)
        opening = b"" if self._is_open else self._open(_OPENED[known[0]])
        return opening + self._first_delta(event.field, event.value, *known)

    def _hold(self, event: PartDelta, kind: str, key: str) -> bytes:
        self._held.append(event.value)
        text = "".join(self._held).lstrip()
        if not text.startswith("{") or self._is_custom:
            return b""
        self._is_held = False
        whole = "".join(self._held)
        self._held.clear()
        return self._first_delta(event.field, whole, kind, key)

    @property
    def _is_custom(self) -> bool:
        return isinstance(self._part, ToolCall) and self._part.kind == "custom"

    def _first_delta(self, field: str, value: str, kind: str, key: str) -> bytes:
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%s","%s":'
        self._heads[field] = head % (self._index, kind.encode(), key.encode())
        return self._heads[field] + json_bytes.dumps(value) + b"}}\n\n"

    def _open(self, block: Json) -> bytes:
        self._index += 1
        self._is_open = True
        return frame("content_block_start", index=self._index, content_block=block)

    def _told(self, delta: Json) -> bytes:
        return frame("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> bytes:
        if not self._is_open:
            return b""
        self._is_open = False
        return frame("content_block_stop", index=self._index)

    def _end_part(self, event: PartEnd) -> bytes:
        part = event.part
        out = b""
        if isinstance(part, ToolCall):
            if self._is_held:
                # Nothing, or no object: told at once, as the object that a client can parse.
                restored = self._names.restore(part)
                given = json_bytes.dumps(input_of(restored)).decode()
                out = self._told({"type": "input_json_delta", "partial_json": given})
        elif isinstance(part, Reasoning):
            out = self._end_thought(part)
        elif isinstance(part, Text) and self._is_open:
            out = b"".join(
                self._told({"type": "citations_delta", "citation": one}) for one in citations_of(part.annotations)
            )
        elif not self._is_open:
            block = block_of(part, event.index, self._id)
            out = self._open_whole(block) if block is not None else b""
        return out + self._close()

    def _open_whole(self, block: Json) -> bytes:
        """A block of which nothing was told yet. What the server calls is told as Anthropic tells it: input apart."""
        if block["type"] not in SERVER_CALLS:
            return self._open(block)
        given = json_bytes.dumps(block.get("input") or {}).decode()
        return self._open({**block, "input": {}}) + self._told({"type": "input_json_delta", "partial_json": given})

    def _end_thought(self, part: Reasoning) -> bytes:
        out = b""
        if not self._is_open:
            block = block_of(part, 0, self._id)
            if block is None:
                return b""
            if block["type"] != "thinking":
                return self._open(block)
            out = self._open(_OPENED["thinking_delta"])
        return out + self._told({"type": "signature_delta", "signature": signature_for_client(part)})

    def _end(self, event: ResponseEnd) -> bytes:
        self._is_ended = True
        extra = dict(event.extra.get(PROTOCOL, {}))
        delta = {
            "stop_reason": stop_reason(event.finish_reason, has_calls=self._has_calls),
            "stop_sequence": event.stop_sequence,
        }
        delta |= {name: extra.pop(name) for name in ("stop_details", "container") if name in extra}
        usage = self._usage.updated(event.usage) if self._usage else event.usage
        wire = encode_usage(usage, extra.pop(SERVER_TOOL_USE, None))
        extra |= event.extra.get(COPILOT, {})
        return frame("message_delta", delta=delta, **extra, usage=wire) + frame("message_stop")
