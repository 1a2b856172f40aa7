"""Neutral events → a Responses stream for the client. Spec: OpenAI "Streaming events"; conversion rules §4.

One part is one output item. What an item holds in its ``output_item.done`` is what the terminal event holds: both are
made by ``output_items.encode_part``, so the sum of the deltas, the items and the final object are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from app.converters.neutral.tools import ToolNames
from app.converters.neutral.vocabulary import Part, Reasoning, Refusal, Request, Text, ToolCall
from app.converters.responses.client.response import NOTHING_TOLD, finished, incomplete_reason, response_object
from app.converters.responses.errors import error_events, frame_of
from app.converters.responses.output_items import blank_of, encode_content_part, encode_part, with_status
from app.converters.responses.vocabulary import encode_usage, response_id
from app.converters.wire import sse
from app.converters.wire.accounting import COPILOT

KEEP_ALIVE = sse.comment(b"keep-alive")


class StreamEncoder:
    """One answer for one client. ``feed`` returns whole frames, b"" if there is nothing to say.

    model: the name the client asked for. told: what the object says of storing (`Identity.told`).
    """

    def __init__(self, request: Request, *, model: str, told: Mapping[str, Any] = NOTHING_TOLD) -> None:
        self._request = request
        self._model = model
        self._told = told
        self._names = ToolNames(request.tools)
        self._response: dict[str, Any] | None = None
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._parts: list[Part] = []
        self._item: dict[str, Any] | None = None
        self._is_told_at_end = False
        self._pending: tuple[Part, dict[str, Any]] | None = None
        self._usage: dict[str, Any] | None = None
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """One event → the frames that it makes. Nothing comes after the end."""
        if self._ended:
            return b""
        match event:
            case PartDelta():
                return self._delta(event)
            case ResponseStart():
                return self._start(event)
            case PartStart():
                return self._part_start(event.part)
            case PartEnd():
                return self._part_end(event.part)
            case Ping():
                return KEEP_ALIVE
            case ResponseEnd():
                return self._end(event)
            case StreamError():
                self._ended = True
                return error_events(event.error, self._number, self._failed())

    def _tell(self, kind: str, **fields: Any) -> bytes:
        frame = frame_of(kind, {"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return frame

    def _of_item(self, kind: str, **fields: Any) -> bytes:
        """An event inside the item that is open."""
        item_id = self._item["id"] if self._item else ""
        return self._tell(kind, item_id=item_id, output_index=len(self._output), **fields)

    def _start(self, event: ResponseStart) -> bytes:
        own_id = response_id(event.id)
        body = response_object(
            self._request, model=self._model, id=own_id, created_at=event.created_at, told=self._told
        )
        self._response = body
        self._usage = encode_usage(event.usage)
        return self._tell("response.created", response=body) + self._tell("response.in_progress", response=body)

    def _part_start(self, part: Part) -> bytes:
        restored = self._names.restore(part) if isinstance(part, ToolCall) else part
        self._is_told_at_end = isinstance(part, ToolCall) and self._names.changes_kind(part)
        self._item = None
        if encode_part(restored, self._own_id, 0) is None:
            return b""
        frames = self._settle("completed")
        self._item = item = encode_part(restored, self._own_id, len(self._output)) or {}
        frames += self._tell("response.output_item.added", output_index=len(self._output), item=blank_of(item))
        if item.get("type") == "web_search_call":
            frames += b"".join(map(self._of_item, _SEARCH_EVENTS[item.get("status") == "completed"]))
        if isinstance(part, Text | Refusal):
            # Sources are told when the text is complete.
            content = {**encode_content_part(part), **({"annotations": []} if isinstance(part, Text) else {})}
            frames += self._of_item("response.content_part.added", content_index=0, part=content)
        return frames

    def _delta(self, event: PartDelta) -> bytes:
        item = self._item
        if item is None or self._is_told_at_end:
            return b""
        kind = item["type"]
        if kind == "message":
            return self._text_delta(item, event.value)
        if kind == "reasoning":
            return self._thought(event.value) if event.field == "text" else b""
        return self._of_item(_ARGUMENTS[kind][0] + ".delta", delta=event.value)

    def _text_delta(self, item: dict[str, Any], value: str) -> bytes:
        if item["content"][0]["type"] == "refusal":
            return self._of_item("response.refusal.delta", content_index=0, delta=value)
        return self._of_item("response.output_text.delta", content_index=0, delta=value, logprobs=[])

    def _thought(self, value: str) -> bytes:
        frames = b""
        item = self._item
        if item is not None and not item["summary"]:
            # The part is told when there is something in it: a thought may have a proof alone.
            item["summary"] = [{"type": "summary_text", "text": ""}]
            part = {"type": "summary_text", "text": ""}
            frames = self._of_item("response.reasoning_summary_part.added", summary_index=0, part=part)
        return frames + self._of_item("response.reasoning_summary_text.delta", summary_index=0, delta=value)

    def _part_end(self, part: Part) -> bytes:
        begun = self._item
        if begun is None:
            return b""
        restored = self._names.restore(part) if isinstance(part, ToolCall) else part
        item = encode_part(restored, self._own_id, len(self._output))
        if item is None:
            return b""
        if isinstance(part, ToolCall):
            frames = self._call_end(item, part)
        elif isinstance(part, Reasoning):
            frames = self._thought_end(begun, item)
        elif isinstance(part, Text | Refusal):
            frames = self._content_end(item["content"][0])
        else:
            frames = b""
        self._item = item
        self._pending = restored, item
        self._parts.append(restored)
        return frames

    def _call_end(self, item: dict[str, Any], part: ToolCall) -> bytes:
        if item["type"] not in _ARGUMENTS:
            return b""
        kind, key = _ARGUMENTS[item["type"]]
        whole = item[key]
        # Nothing was told of what changes kind; and a call without arguments is one with "{}".
        is_untold = self._is_told_at_end or not part.arguments
        frames = self._of_item(kind + ".delta", delta=whole) if is_untold and whole else b""
        names = {"name": item["name"]} if key == "arguments" else {}
        return frames + self._of_item(kind + ".done", **{key: whole}, **names)

    def _thought_end(self, begun: dict[str, Any], item: dict[str, Any]) -> bytes:
        if not item["summary"]:
            return b""
        text = item["summary"][0]["text"]
        frames = b"" if begun["summary"] else self._thought(text)
        frames += self._of_item("response.reasoning_summary_text.done", summary_index=0, text=text)
        return frames + self._of_item("response.reasoning_summary_part.done", summary_index=0, part=item["summary"][0])

    def _content_end(self, content: dict[str, Any]) -> bytes:
        if content["type"] == "refusal":
            frames = self._of_item("response.refusal.done", content_index=0, refusal=content["refusal"])
        else:
            frames = b"".join(
                self._of_item(
                    "response.output_text.annotation.added", content_index=0, annotation_index=at, annotation=note
                )
                for at, note in enumerate(content["annotations"])
            )
            frames += self._of_item("response.output_text.done", content_index=0, text=content["text"], logprobs=[])
        return frames + self._of_item("response.content_part.done", content_index=0, part=content)

    def _settle(self, status: str) -> bytes:
        """The last item's end, held back until it is known whether the answer was cut off inside it."""
        if self._pending is None:
            return b""
        part, item = self._pending
        item = with_status(part, status, item)
        self._pending = None
        frame = self._tell("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        return frame

    def _end(self, event: ResponseEnd) -> bytes:
        self._ended = True
        reason = incomplete_reason(event.finish_reason, tuple(self._parts))
        frames = self._settle("incomplete" if reason else "completed")
        usage = encode_usage(event.usage) or self._usage
        body = finished(self._response or {}, self._output, reason, usage) | event.extra.get(COPILOT, {})
        return frames + self._tell(f"response.{body['status']}", response=body)

    def _failed(self) -> dict[str, Any] | None:
        return {**self._response, "output": self._output, "usage": self._usage} if self._response else None

    @property
    def _own_id(self) -> str:
        return str(self._response["id"]) if self._response else ""


# A search is told when it is over. One that failed has no event of its own.
_SEARCH_EVENTS = {
    True: (
        "response.web_search_call.in_progress",
        "response.web_search_call.searching",
        "response.web_search_call.completed",
    ),
    False: ("response.web_search_call.in_progress", "response.web_search_call.searching"),
}

_ARGUMENTS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}
