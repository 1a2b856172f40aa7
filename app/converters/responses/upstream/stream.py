"""Copilot's ``/responses`` stream → neutral events. Contract §7.5, §7.6; conversion rules §1.3, §4.

Everything is known by its `output_index` (and `content_index`): ids differ in every event. What an item says when it is
done is authoritative: there come calls whose deltas are ciphertext (contract §7.6), and thoughts without deltas.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Final

from app.converters.neutral.event_decoder import EventDecoder
from app.converters.neutral.events import Event, Ping, ResponseEnd, ResponseStart
from app.converters.neutral.part_sequencer import PartSequencer
from app.converters.neutral.vocabulary import Part, Reasoning, Refusal, Text, ToolCall, apart
from app.converters.responses.errors import error_in
from app.converters.responses.output_items import decode_call, decode_content_part, decode_item
from app.converters.responses.upstream.response import finish_of
from app.converters.responses.vocabulary import TERMINALS, created_at_of, decode_usage, response_id
from app.converters.wire.accounting import extra_with
from app.converters.wire.event_reader import kind_of
from app.errors import UpstreamProtocolError


class StreamDecoder(EventDecoder):
    """One per answer."""

    def __init__(self) -> None:
        super().__init__()
        self._parts = PartSequencer()
        self._items: dict[int, _Item] = {}

    def _decode(self, name: bytes, event: dict[str, Any], _payload: bytes) -> list[Event]:
        kind = kind_of(event, name)
        error = error_in(event, kind)
        if error is not None:
            raise error
        if not kind.startswith("response."):
            return [Ping()] if self._started else []
        events = [] if self._started else self._start(_dict(event.get("response")))
        if kind in TERMINALS:
            return events + self._end(_dict(event.get("response")), kind)
        reader = _READERS.get(kind)
        if reader is not None:
            return events + reader(self, event)
        return events or [Ping()]

    def _start(self, response: dict[str, Any]) -> list[Event]:
        self._started = True
        own_id = response_id(str(response.get("id") or ""))
        return [ResponseStart(own_id, str(response.get("model") or ""), created_at_of(response))]

    def _item_of(self, event: dict[str, Any], kind: str = "") -> _Item:
        index = event.get("output_index")
        at = index if type(index) is int and index >= 0 else max(self._items, default=0)
        if at not in self._items:
            self._items[at] = _Item(at, kind)
        return self._items[at]

    # -- items -------------------------------------------------------------------------------------------------------

    def _added(self, event: dict[str, Any]) -> list[Event]:
        raw = _dict(event.get("item"))
        item = self._item_of(event)
        item.kind = str(raw.get("type") or "")
        item.phase = raw.get("phase") if isinstance(raw.get("phase"), str) else None
        if item.kind in ("function_call", "custom_tool_call"):
            item.part = call = decode_call(raw)
            # What it holds may come again in deltas; only when it is done is it known.
            return self._begin(item.key(), replace(call, arguments=""), item)
        return []

    def _done(self, event: dict[str, Any]) -> list[Event]:
        raw = _dict(event.get("item"))
        item = self._item_of(event)
        if item.is_done:
            return []
        item.is_done = True
        item.kind = str(raw.get("type") or item.kind)
        if item.kind == "message":
            return self._end_message(item, raw)
        events: list[Event] = []
        for part in decode_item(raw):
            if isinstance(part, ToolCall) and not part.arguments and isinstance(item.part, ToolCall):
                part = part if item.has_deltas else replace(part, arguments=item.part.arguments)
            if item.key() not in item.started:
                events += self._begin(item.key(), part, item)
            events += self._parts.end(item.key(), part)
        if item.key() in item.started:
            events += self._parts.end(item.key())
        return events

    def _end_message(self, item: _Item, raw: dict[str, Any]) -> list[Event]:
        content = raw.get("content")
        events: list[Event] = []
        for at, part in enumerate(content if isinstance(content, list) else []):
            if isinstance(part, dict):
                events += self._end_content(item, at, decode_content_part(part, item.phase))
        for key in item.started:
            events += self._parts.end(key)
        return events

    def _end_content(self, item: _Item, at: int, part: Part) -> list[Event]:
        key = item.key(at)
        events = [] if key in item.started else self._begin(key, part, item)
        return events + self._parts.end(key, part)

    def _begin(self, key: Hashable, part: Part, item: _Item) -> list[Event]:
        part = part if item.started else apart(part)
        item.started.append(key)
        item.parts.append(part)
        return self._parts.start(key, part)

    # -- content of messages -----------------------------------------------------------------------------------------

    def _part_added(self, event: dict[str, Any]) -> list[Event]:
        item = self._item_of(event, "message")
        if item.kind != "message":
            return []
        part = decode_content_part(_dict(event.get("part")), item.phase)
        key = item.key(_index(event, "content_index"))
        return [] if key in item.started else self._begin(key, part, item)

    def _part_done(self, event: dict[str, Any]) -> list[Event]:
        item = self._item_of(event, "message")
        if item.kind != "message":
            return []
        part = decode_content_part(_dict(event.get("part")), item.phase)
        return self._end_content(item, _index(event, "content_index"), part)

    def _text_delta(self, event: dict[str, Any]) -> list[Event]:
        return self._content_delta(event, Text(phase=self._item_of(event, "message").phase))

    def _text_done(self, event: dict[str, Any]) -> list[Event]:
        item = self._item_of(event, "message")
        item.finals[_index(event, "content_index")] = Text(_str(event.get("text")), phase=item.phase)
        return [Ping()]

    def _refusal_done(self, event: dict[str, Any]) -> list[Event]:
        self._item_of(event, "message").finals[_index(event, "content_index")] = Refusal(_str(event.get("refusal")))
        return [Ping()]

    def _refusal_delta(self, event: dict[str, Any]) -> list[Event]:
        return self._content_delta(event, Refusal())

    def _content_delta(self, event: dict[str, Any], blank: Part) -> list[Event]:
        item = self._item_of(event, "message")
        key = item.key(_index(event, "content_index"))
        events = [] if key in item.started else self._begin(key, blank, item)
        return events + self._parts.delta(key, "text", _str(event.get("delta")))

    # -- calls -------------------------------------------------------------------------------------------------------

    def _arguments_delta(self, event: dict[str, Any]) -> list[Event]:
        item, delta = self._item_of(event), _str(event.get("delta"))
        if item.is_cipher is None and delta.strip():
            # Contract §7.6: what does not begin an object is ciphertext; `.done` has the plain text.
            item.is_cipher = item.kind == "function_call" and not delta.lstrip().startswith("{")
        if item.is_cipher or item.key() not in item.started:
            return []
        item.has_deltas = True
        return self._parts.delta(item.key(), "arguments", delta)

    def _arguments_done(self, event: dict[str, Any]) -> list[Event]:
        item = self._item_of(event)
        told = event.get("arguments", event.get("input"))
        if isinstance(item.part, ToolCall) and isinstance(told, str) and told:
            call = item.part
            final = ToolCall(call.call_id, call.name, told, call.kind, namespace=call.namespace)
            return self._parts.end(item.key(), final)
        return []

    # -- thoughts ----------------------------------------------------------------------------------------------------

    def _summary_delta(self, event: dict[str, Any]) -> list[Event]:
        return self._thought_delta(event, _index(event, "summary_index"), "summary")

    def _thinking_delta(self, event: dict[str, Any]) -> list[Event]:
        return self._thought_delta(event, _index(event, "content_index"), "content")

    def _thought_delta(self, event: dict[str, Any], at: int, source: str) -> list[Event]:
        item, delta = self._item_of(event, "reasoning"), _str(event.get("delta"))
        item.source = item.source or source
        if not delta or item.source != source:
            return []
        key = item.key()
        events = [] if key in item.started else self._begin(key, Reasoning(), item)
        if item.section is not None and item.section != at:
            delta = "\n\n" + delta
        item.section = at
        return events + self._parts.delta(key, "text", delta)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _end(self, response: dict[str, Any], kind: str) -> list[Event]:
        events: list[Event] = []
        output = response.get("output")
        for at, raw in enumerate(output if isinstance(output, list) else []):
            if isinstance(raw, dict):
                events += self._done({"output_index": at, "item": raw})
        for item in list(self._items.values()):
            for at, part in item.finals.items() if not item.is_done else ():
                events += self._end_content(item, at, part)
        response = {"status": TERMINALS[kind], **response}
        if response["status"] != "incomplete" and any(item.is_half_a_call for item in self._items.values()):
            # A client would run it.
            raise UpstreamProtocolError("GitHub Copilot ended its answer inside a tool call. Try again.")
        events += self._parts.flush()
        parts = tuple(part for item in self._items.values() for part in item.parts)
        self._ended = True
        usage, extra = decode_usage(response.get("usage")), extra_with(self.account)
        return [*events, ResponseEnd(finish_of(response, parts), usage=usage, extra=extra)]


class _Item:
    """One output item under way. parts: as they began, for the finish reason alone. finals: contents that were told
    whole, by their index. has_deltas: of a call's arguments."""

    __slots__ = (
        *("finals", "has_deltas", "index", "is_cipher", "is_done", "kind", "part", "parts", "phase", "section"),
        *("source", "started"),
    )

    def __init__(self, index: int, kind: str) -> None:
        self.index = index
        self.kind = kind
        self.phase: str | None = None
        self.part: Part | None = None
        self.finals: dict[int, Part] = {}
        self.has_deltas = False
        self.parts: list[Part] = []
        self.started: list[Hashable] = []
        self.is_cipher: bool | None = None
        self.is_done = False
        self.section: int | None = None
        self.source = ""

    def key(self, content_index: int = 0) -> Hashable:
        return self.index, content_index

    @property
    def is_half_a_call(self) -> bool:
        return isinstance(self.part, ToolCall) and not self.is_done


_Reader = Callable[[StreamDecoder, dict[str, Any]], list[Event]]
_READERS: Final[dict[str, _Reader]] = {
    "response.output_item.added": StreamDecoder._added,
    "response.output_item.done": StreamDecoder._done,
    "response.content_part.added": StreamDecoder._part_added,
    "response.content_part.done": StreamDecoder._part_done,
    "response.output_text.delta": StreamDecoder._text_delta,
    "response.output_text.done": StreamDecoder._text_done,
    "response.refusal.delta": StreamDecoder._refusal_delta,
    "response.refusal.done": StreamDecoder._refusal_done,
    "response.function_call_arguments.delta": StreamDecoder._arguments_delta,
    "response.function_call_arguments.done": StreamDecoder._arguments_done,
    "response.custom_tool_call_input.delta": StreamDecoder._arguments_delta,
    "response.custom_tool_call_input.done": StreamDecoder._arguments_done,
    "response.reasoning_summary_text.delta": StreamDecoder._summary_delta,
    "response.reasoning_text.delta": StreamDecoder._thinking_delta,
}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(event: dict[str, Any], name: str) -> int:
    at = event.get(name)
    return at if type(at) is int else 0
