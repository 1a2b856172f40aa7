"""A messages upstream's stream → neutral events (contract §8.6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.converters.messages.citations import citation, citations
from app.converters.messages.errors import decode_error
from app.converters.messages.upstream.response import (
    after,
    answer_text,
    call_of,
    decode_answer_block,
    extras_of,
    is_answer_tool,
    reason_of,
    refusal_of,
)
from app.converters.messages.vocabulary import PROTOCOL, decode_usage
from app.converters.neutral import tools
from app.converters.neutral.event_decoder import EventDecoder
from app.converters.neutral.events import Event, Ping, ResponseEnd, ResponseStart
from app.converters.neutral.part_sequencer import PartSequencer
from app.converters.neutral.vocabulary import Annotation, Opaque, Part, Reasoning, Text
from app.converters.wire import json_bytes
from app.converters.wire.accounting import extra_with
from app.converters.wire.error_body import is_error
from app.converters.wire.event_reader import kind_of
from app.errors import UpstreamProtocolError

Json = dict[str, Any]


class _Block:
    """One block under way. wire: as it began; what came for it since, where its end needs that."""

    __slots__ = ("has_json", "is_signed", "json", "notes", "wire")

    def __init__(self, wire: Json) -> None:
        self.wire = wire
        self.json: list[str] = []
        self.notes: list[Annotation] = []
        self.has_json = self.is_signed = False

    @property
    def kind(self) -> str:
        return str(self.wire.get("type"))

    @property
    def is_answer(self) -> bool:
        """Structured output that had to travel as a call."""
        return self.kind == "tool_use" and is_answer_tool(self.wire.get("name"))


class StreamDecoder(EventDecoder):
    """One per answer.

    The only good end is ``message_stop``: whatever else ends the stream is a StreamError, and the open part stays open.
    """

    def __init__(self) -> None:
        super().__init__()
        self._parts = PartSequencer()
        self._id = ""
        self._blocks: dict[int, _Block] = {}
        self._told: list[Part] = []
        self._usage: Json = {}
        self._extra: Json = {}
        self._stop_reason: Any = None
        self._stop_sequence: str | None = None

    def _decode(self, name: bytes, event: Json, payload: bytes) -> list[Event]:
        if is_error(event):
            raise decode_error(200, {}, payload)
        return self.read(kind_of(event, name), event)

    def read(self, kind: str, event: Json) -> list[Event]:
        """One event that is no error. Raises: GatewayError, which ends the stream."""
        if kind == "ping":
            return [Ping()] if self._started else []
        if kind == "message_start":
            return self._start(event)
        if not self._started:
            raise no_start()
        match kind:
            case "content_block_delta":
                return self._delta(_index(event), event.get("delta"))
            case "content_block_start":
                return self._open(_index(event), event.get("content_block"))
            case "content_block_stop":
                return self._close(_index(event))
            case "message_delta":
                self._note_end(event)
            case "message_stop":
                return self._end()
        return []

    def _start(self, event: Json) -> list[Event]:
        if self._started:
            raise UpstreamProtocolError("GitHub Copilot began its answer twice. Try again.")
        self._started = True
        given = event.get("message")
        message = given if isinstance(given, dict) else {}
        self._note_usage(message.get("usage"))
        answer_id, model = message.get("id"), message.get("model")
        self._id = answer_id if isinstance(answer_id, str) else ""
        events: list[Event] = [
            ResponseStart(
                self._id,
                model if isinstance(model, str) else "",
                None,
                decode_usage(self._usage),
            )
        ]
        # A message that is whole from its start is unheard of, but costs two lines.
        content = message.get("content")
        for at, block in enumerate(content if isinstance(content, list) else []):
            events += self._open(at, block) + self._close(at)
        return events

    def _open(self, index: int, wire: Any) -> list[Event]:
        if not isinstance(wire, dict):
            raise UpstreamProtocolError("GitHub Copilot began a part of its answer without saying what. Try again.")
        block = self._blocks[index] = _Block(wire)
        match block.kind:
            case "text":
                text = wire.get("text")
                block.notes += citations(wire.get("citations"))
                return list(self._parts.start(index, after(self._told, Text(text if isinstance(text, str) else ""))))
            case "thinking":
                # Whose proof it is is said at once, for another block may end it before its own end is told.
                events = self._parts.start(index, Reasoning(origin=PROTOCOL, is_apart=True))
                for field, value in (("text", wire.get("thinking")), ("signature", wire.get("signature"))):
                    events += self._add(index, field, value)
                    block.is_signed = block.is_signed or (field == "signature" and bool(value))
                return events
            case "tool_use" if block.is_answer:
                return self._parts.start(index, Text())
            case "tool_use":
                return self._parts.start(index, call_of(wire, self._id, index))
        return self._parts.start(index, decode_answer_block(wire, self._id, index))

    def _delta(self, index: int, delta: Any) -> list[Event]:
        block = self._blocks.get(index)
        if block is None or not isinstance(delta, dict):
            raise UpstreamProtocolError("GitHub Copilot went on with a part of its answer that never began. Try again.")
        match delta.get("type"):
            case "text_delta":
                return self._add(index, "text", delta.get("text"))
            case "thinking_delta":
                return self._add(index, "text", delta.get("thinking"))
            case "signature_delta":
                block.is_signed = block.is_signed or bool(delta.get("signature"))
                return self._add(index, "signature", delta.get("signature"))
            case "input_json_delta":
                return self._add_json(index, block, delta.get("partial_json"))
            case "citations_delta" if isinstance(delta.get("citation"), dict):
                block.notes.append(citation(delta["citation"]))
        return []

    def _add(self, index: int, field: str, value: Any) -> list[Event]:
        return self._parts.delta(index, field, value) if isinstance(value, str) and value else []

    def _add_json(self, index: int, block: _Block, piece: Any) -> list[Event]:
        if not isinstance(piece, str) or not piece:
            return []
        block.has_json = True
        if block.kind == "tool_use" and not block.is_answer:
            return self._parts.delta(index, "arguments", piece)
        block.json.append(piece)
        return []

    def _close(self, index: int) -> list[Event]:
        block = self._blocks.pop(index, None)
        if block is None:
            return []
        part = self._finished(block, index)
        self._told.append(part)
        return self._parts.end(index, part)

    def _finished(self, block: _Block, index: int) -> Part:
        """The finished part, empty in what has been streamed."""
        match block.kind:
            case "text":
                return Text("", tuple(block.notes))
            case "thinking":
                return Reasoning(origin=PROTOCOL if block.is_signed else None)
            case "tool_use" if block.is_answer:
                return Text(answer_text(str(block.wire["name"]), self._input(block)))
            case "tool_use":
                given = "" if block.has_json else tools.arguments_of(block.wire.get("input"))
                return replace(call_of(block.wire, self._id, index), arguments=given)
            case "redacted_thinking":
                return decode_answer_block(block.wire, self._id, index)
        return Opaque(PROTOCOL, {**block.wire, "input": self._input(block)} if block.has_json else block.wire)

    def _input(self, block: _Block) -> Any:
        if not block.has_json:
            return block.wire.get("input")
        try:
            return json_bytes.loads_exact("".join(block.json).encode("utf-8", "surrogatepass"))
        except ValueError:
            # Cut off at the limit; a client that parses the text will see that.
            return {tools.RAW_ARGUMENTS: "".join(block.json)}

    def _note_usage(self, usage: Any) -> None:
        """Later wins, field by field; the shares of the input can only be added up when all are known."""
        if isinstance(usage, dict):
            self._usage.update({name: value for name, value in usage.items() if value is not None})

    def _note_end(self, event: Json) -> None:
        self._note_usage(event.get("usage"))
        given = event.get("delta")
        delta = given if isinstance(given, dict) else {}
        self._stop_reason = delta.get("stop_reason") or self._stop_reason
        stopped_at = delta.get("stop_sequence")
        self._stop_sequence = stopped_at if isinstance(stopped_at, str) else self._stop_sequence
        self._extra.update(extras_of(delta) | extras_of(event))

    def _end(self) -> list[Event]:
        if any(block.kind == "tool_use" for block in self._blocks.values()):
            raise UpstreamProtocolError("GitHub Copilot ended its answer inside a tool call. Try again.")
        events: list[Event] = []
        for index in list(self._blocks):
            events += self._close(index)
        for refusal in refusal_of(self._extra, self._told):
            events += self._parts.start("refusal", refusal)
        events += self._parts.flush()
        self._ended = True
        return [
            *events,
            ResponseEnd(
                reason_of(self._stop_reason, self._told),
                self._stop_sequence,
                decode_usage(self._usage),
                ({PROTOCOL: dict(self._extra)} if self._extra else {}) | extra_with(self.account),
            ),
        ]


def no_start() -> UpstreamProtocolError:
    """The error of a stream that begins in its middle."""
    return UpstreamProtocolError("GitHub Copilot's stream does not begin with message_start. Try again.")


def _index(event: Json) -> int:
    index = event.get("index")
    if not isinstance(index, int):
        raise UpstreamProtocolError("GitHub Copilot did not say which part of its answer it means. Try again.")
    return index
