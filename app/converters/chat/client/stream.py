"""Neutral events → a chat stream for a client (conversion rules §4).

``role`` in the first delta; id, type and name of a call in its first fragment; one chunk with the finish reason; the
usage chunk exactly if asked for; ``[DONE]``. On failure the error, and nothing after it.
"""

from __future__ import annotations

from typing import Any

from app.converters.chat.annotations import encode_annotations
from app.converters.chat.client.cursor_tools import enveloped_names
from app.converters.chat.client.response import (
    answer_id,
    between,
    encode_call,
    proof_of,
    wants_functions,
)
from app.converters.chat.vocabulary import finish_to_chat, usage_to_chat
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
from app.converters.neutral.sealed_signatures import BLANK_LINE
from app.converters.neutral.tools import ToolNames
from app.converters.neutral.vocabulary import Reasoning, Refusal, Request, Text, ToolCall, Usage, going_on
from app.converters.wire import json_bytes, sse
from app.converters.wire.accounting import COPILOT
from app.converters.wire.openai_errors import error_frame

KEEP_ALIVE = sse.comment(b"keep-alive")


class StreamEncoder:
    """One per answer.

    request:       the client's, which knows its custom tools and namespaces.
    model:         the name the client asked for.
    include_usage: whether the client gets the usage chunk; by default as it asked.
    """

    def __init__(self, request: Request, *, model: str, include_usage: bool | None = None) -> None:
        self._names = ToolNames(request.tools)
        self._enveloped = enveloped_names(request.tools)
        self._is_legacy = wants_functions(request)
        self._include_usage = request.include_usage if include_usage is None else include_usage
        self._model = model
        self._envelope: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._open: Text | Refusal | Reasoning | ToolCall | None = None
        self._calls = 0
        self._is_held = False
        self._chars = 0
        self._phase: str | None = None
        self._has_refusal = False
        self._thinks = False  # whether a thought has been told
        self._lead = ""  # what was told before the text of the thought that is open

    def feed(self, event: Event) -> bytes:
        """Whole frames for the client; b"" if it gets nothing of this event."""
        match event:
            case PartDelta():
                return self._delta(event)
            case PartStart():
                return self._start(event)
            case PartEnd():
                return self._end_part(event)
            case ResponseStart():
                return self._begin(event)
            case ResponseEnd():
                return self._end(event)
            case StreamError():
                return error_frame(event.error)
            case Ping():
                return KEEP_ALIVE

    def _begin(self, event: ResponseStart) -> bytes:
        self._usage = event.usage
        self._envelope = {
            "id": answer_id(event.id),
            "object": "chat.completion.chunk",
            "created": event.created_at or 0,
            "model": self._model,
        }
        return self._chunk({"role": "assistant", "content": ""})

    def _start(self, event: PartStart) -> bytes:
        part = event.part
        self._open = part if isinstance(part, Text | Refusal | Reasoning | ToolCall) else None
        if not isinstance(part, ToolCall):
            return b""
        # The JSON around the text of a custom call means nothing to the client: it gets the text when that is whole.
        self._is_held = self._names.changes_kind(part)
        self._open = call = self._names.restore(part)
        self._calls += 1
        if self._is_legacy:
            return self._function_call({"name": call.name, "arguments": ""}) if self._calls == 1 else b""
        first = encode_call(call, self._enveloped)
        if "function" in first:
            first["function"]["arguments"] = ""
        return self._chunk({"tool_calls": [{"index": self._calls - 1, **first}]})

    def _delta(self, event: PartDelta) -> bytes:
        part, value = self._open, event.value
        if isinstance(part, Text):
            value = between(self._chars > 0, self._phase, part) + value
            self._phase = part.phase
            self._open = going_on(part)
            self._chars += len(value)
            return self._chunk({"content": value})
        if isinstance(part, ToolCall):
            return b"" if self._is_held else self._arguments(part, value)
        if isinstance(part, Refusal):
            self._has_refusal = True
            return self._chunk({"refusal": value})
        if isinstance(part, Reasoning) and event.field == "text":
            if self._thinks and part.is_apart and not self._lead:
                self._lead = BLANK_LINE
                value = self._lead + value
            return self._chunk({"reasoning_content": value, "reasoning_text": value})
        # A proof is sealed as a whole, so it goes out with the end of its part.
        return b""

    def _arguments(self, call: ToolCall, value: str) -> bytes:
        if self._is_legacy:
            return self._function_call({"arguments": value}) if self._calls == 1 else b""
        is_custom = call.kind == "custom" and call.name not in self._enveloped
        key, name = ("custom", "input") if is_custom else ("function", "arguments")
        return self._chunk({"tool_calls": [{"index": self._calls - 1, key: {name: value}}]})

    def _function_call(self, details: dict[str, str]) -> bytes:
        return self._chunk({"function_call": details})

    def _end_part(self, event: PartEnd) -> bytes:
        part, opened, self._open = event.part, self._open, None
        if isinstance(part, Reasoning):
            proof = proof_of(part, lead=len(self._lead))
            self._thinks, self._lead = self._thinks or bool(part.text), ""
            return self._chunk(proof) if proof else b""
        if isinstance(part, Text):
            annotations = encode_annotations(part.annotations, self._chars - len(part.text), len(part.text))
            return self._chunk({"annotations": annotations}) if annotations else b""
        if isinstance(part, ToolCall) and isinstance(opened, ToolCall):
            call = self._names.restore(part)
            if self._is_held:
                self._is_held = False
                return self._arguments(opened, call.arguments) if call.arguments else b""
            if call.kind == "function" and not call.arguments.strip():
                return self._arguments(opened, "{}")
        return b""

    def _end(self, event: ResponseEnd) -> bytes:
        usage = self._usage.updated(event.usage) if self._usage else event.usage
        self._envelope.update(event.extra.get("chat", {}))
        reason = finish_to_chat(
            event.finish_reason,
            has_refusal=self._has_refusal,
            has_calls=self._calls > 0,
            is_legacy=self._is_legacy and self._calls > 0,
        )
        account = event.extra.get(COPILOT, {})
        if self._include_usage and usage is not None:
            told = {**self._envelope, "choices": [], "usage": usage_to_chat(usage), **account}
            return self._chunk({}, reason) + self._frame(told) + sse.DONE
        self._envelope.update(account)
        return self._chunk({}, reason) + sse.DONE

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        entry = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._frame({**self._envelope, "choices": [entry]})

    @staticmethod
    def _frame(chunk: dict[str, Any]) -> bytes:
        return sse.frame(json_bytes.dumps(chunk))
