"""Copilot's chat stream → neutral events. Contract §6.4, §6.5.

All quirks are the normalizer's affair: this decoder reads the clean chunks that a chat client would get. One
home for each quirk, at the price of parsing a chunk once more (some 3 µs).
"""

from __future__ import annotations

from typing import Any

from app.converters.chat.annotations import decode_annotations
from app.converters.chat.native.stream import StreamNormalizer
from app.converters.chat.quirks import make_call_id
from app.converters.chat.upstream.response import UNNAMED, decode_call, extra_of
from app.converters.chat.vocabulary import finish_from_chat, usage_from_chat
from app.converters.codec import Identity
from app.converters.neutral.events import Event, Ping, ResponseEnd, ResponseStart, StreamError
from app.converters.neutral.part_sequencer import PartSequencer
from app.converters.neutral.vocabulary import Annotation, Reasoning, Refusal, Text
from app.converters.wire import json_bytes
from app.converters.wire.accounting import extra_with
from app.errors import GatewayError, UpstreamProtocolError

_LEGACY = "function_call"

# A chunk with nothing beside id, object, created, model and choices.
_PLAIN = 5


class StreamDecoder:
    """One per answer."""

    def __init__(self) -> None:
        self._normalizer = StreamNormalizer(Identity("", 0, UNNAMED), include_usage=True, checks_calls=False)
        self._parts = PartSequencer()
        self._id = ""
        self._extra: dict[str, dict[str, Any]] = {}
        self._annotations: list[Annotation] = []
        self._thoughts = 0
        self._thought: tuple[str, int] | None = None
        self._proof_id: str | None = None
        self._is_signed = False
        self._calls: set[object] = set()
        self._nameless: dict[int, dict[str, Any]] = {}
        self._has_text = self._has_refusal = self._has_started = self._is_over = False

    def feed_bytes(self, data: bytes) -> list[Event]:
        """Raw bytes in any cut, and what stands outside of events (bare errors: contract §6.5.16)."""
        return [] if self._is_over else self._read(self._normalizer.feed(data))

    def finish(self) -> list[Event]:
        """Upstream closed; idempotent. Without an end it is a StreamError."""
        return [] if self._is_over else self._read(self._normalizer.finish())

    def _read(self, normalized: bytes) -> list[Event]:
        events: list[Event] = []
        try:
            for frame in normalized.split(b"\n\n"):
                if frame.startswith(b"data: {"):
                    self._read_chunk(json_bytes.loads(frame[6:]), events)
                elif frame.startswith(b":") and self._has_started:
                    events.append(Ping())
            if self._normalizer.error is not None:
                events += self._stop(self._normalizer.error)
            elif self._normalizer.ended:
                events += self._end()
        except UpstreamProtocolError as error:
            events += self._stop(error)
        return events

    def _read_chunk(self, chunk: dict[str, Any], events: list[Event]) -> None:
        entries = chunk.get("choices")
        if not entries:
            # The usage chunk, which the normalizer has read; or the error, which it tells by itself.
            return
        if not self._has_started:
            self._has_started = True
            self._id = chunk["id"]
            events.append(ResponseStart(self._id, self._normalizer.upstream_model, chunk["created"] or None))
        self._extra = extra_of(chunk) if len(chunk) > _PLAIN else {}
        delta = entries[0]["delta"]
        text = _string(delta, "content")
        if text and len(delta) == 1 and self._has_text and self._thought is None:
            events += self._parts.delta("text", "text", text)
        elif delta:
            self._read_delta(delta, events)

    def _read_delta(self, delta: dict[str, Any], events: list[Event]) -> None:
        """Thought first: what comes in one chunk belongs together, and a proof belongs to what it stands before."""
        if text := _string(delta, "reasoning_content"):
            events += self._think(text)
        self._proofs(delta, events)
        if text := _string(delta, "content"):
            events += self._say(text)
        if text := _string(delta, "refusal"):
            events += self._refuse(text)
        self._annotations += decode_annotations(delta.get("annotations"))
        for fragment in delta.get("tool_calls") or []:
            events += self._call(fragment)
        if isinstance(delta.get(_LEGACY), dict):
            events += self._legacy(delta[_LEGACY])

    def _think(self, text: str) -> list[Event]:
        events: list[Event] = []
        if self._is_signed:
            # A proof is the last of a thought: what comes after it is another thought.
            events += self._end_thought()
        return events + self._open_thought() + self._parts.delta(self._thought, "text", text)

    def _proofs(self, delta: dict[str, Any], events: list[Event]) -> None:
        proof = _string(delta, "reasoning_opaque") or _string(delta, "signature")
        cot_id = _string(delta, "cot_id")
        if not proof and cot_id and cot_id != self._proof_id:
            # Azure's proof is nothing but an id (`thoughts`).
            proof = self._proof_id = cot_id
        if proof:
            events += self._open_thought()
            self._is_signed = True
            events += self._parts.delta(self._thought, "signature", proof)

    def _open_thought(self) -> list[Event]:
        if self._thought is not None:
            return []
        self._thought = ("thought", self._thoughts)
        self._thoughts += 1
        return self._parts.start(self._thought, Reasoning())

    def _end_thought(self) -> list[Event]:
        """Only now is it known whether there was a proof."""
        key, self._thought = self._thought, None
        if key is None:
            return []
        part = Reasoning(origin="chat" if self._is_signed else None, id=self._proof_id if self._is_signed else None)
        self._is_signed = False
        return self._parts.end(key, part)

    def _say(self, text: str) -> list[Event]:
        events = self._end_thought()
        if not self._has_text:
            self._has_text = True
            events += self._parts.start("text", Text())
        return events + self._parts.delta("text", "text", text)

    def _refuse(self, text: str) -> list[Event]:
        events = self._end_thought()
        if not self._has_refusal:
            self._has_refusal = True
            events += self._parts.start("refusal", Refusal())
        return events + self._parts.delta("refusal", "text", text)

    def _call(self, fragment: dict[str, Any]) -> list[Event]:
        key = fragment["index"]
        details = fragment.get("function") or fragment.get("custom") or {}
        if key in self._calls:
            return self._parts.delta(key, "arguments", str(details.get("arguments") or details.get("input") or ""))
        if key in self._nameless:
            first = self._nameless[key]
            known = first.get("function") or {}
            known["arguments"] = str(known.get("arguments") or "") + str(details.get("arguments") or "")
            known["name"] = details.get("name")
        else:
            first = fragment
        if not details.get("name"):
            # No part can open without its name; hardly ever seen, and then it follows at once.
            self._nameless[key] = first
            return []
        self._nameless.pop(key, None)
        return self._open_call(key, first)

    def _open_call(self, key: object, first: dict[str, Any]) -> list[Event]:
        self._calls.add(key)
        return self._end_thought() + self._parts.start(key, decode_call(first))

    def _legacy(self, function: dict[str, Any]) -> list[Event]:
        if _LEGACY in self._calls:
            return self._parts.delta(_LEGACY, "arguments", str(function.get("arguments") or ""))
        return self._open_call(_LEGACY, {"id": make_call_id(self._id, 0, 0), "function": function})

    def _end(self) -> list[Event]:
        self._is_over = True
        events = [event for key, first in self._nameless.items() for event in self._open_call(key, first)]
        events += self._end_thought()
        if self._annotations and self._parts.is_open("text"):
            events += self._parts.end("text", Text(annotations=tuple(self._annotations)))
        events += self._parts.flush()
        reason = finish_from_chat(
            self._normalizer.finish_reason, has_calls=bool(self._calls), has_refusal=self._has_refusal
        )
        extra = self._extra | extra_with(self._normalizer.account)
        events.append(ResponseEnd(reason, usage=usage_from_chat(self._normalizer.usage), extra=extra))
        return events

    def _stop(self, error: GatewayError) -> list[Event]:
        self._is_over = True
        return [StreamError(error)]


def _string(delta: dict[str, Any], name: str) -> str:
    value = delta.get(name)
    return value if isinstance(value, str) else ""
