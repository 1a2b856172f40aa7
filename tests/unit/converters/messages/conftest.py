"""Fixture conversations, and a checker of the grammar that every messages client relies on (conversion rules §4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.converters.messages.upstream.stream import StreamDecoder
from app.converters.neutral.events import Event
from app.converters.neutral.model_limits import ModelLimits
from tests.support.streams import sse_event

FIXTURES = Path(__file__).parents[3] / "fixtures" / "messages"
CASES = sorted(path.name.split(".")[0] for path in FIXTURES.glob("*.request.json"))

SONNET = ModelLimits(
    model="claude-sonnet-4.6",
    vendor="Anthropic",
    max_prompt_tokens=168_000,
    max_output_tokens=32_000,
    max_non_streaming_output_tokens=16_000,
    min_thinking_budget=1024,
    max_thinking_budget=32_000,
    reasoning_effort=("low", "medium", "high"),
    adaptive_thinking=True,
    vision=True,
    structured_outputs=True,
)
OLDER = ModelLimits(
    model="claude-sonnet-4.5", max_output_tokens=32_000, min_thinking_budget=1024, max_thinking_budget=32_000
)
NEWEST = ModelLimits(
    model="claude-opus-4.8", max_output_tokens=64_000, adaptive_thinking=True, reasoning_effort=("high",)
)


def load(case: str, kind: str) -> Any:
    return json.loads((FIXTURES / f"{case}.{kind}.json").read_text("utf-8"))


def stream(case: str) -> bytes:
    return (FIXTURES / f"{case}.stream.sse").read_bytes()


def frames_of(raw: bytes) -> list[tuple[str, str]]:
    """Name and data of each event."""
    found = []
    for event in raw.decode("utf-8").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.split("\n") if ": " in line)
        if "data" in fields:
            found.append((fields.get("event", ""), fields["data"]))
    return found


def decode(raw: bytes) -> list[Event]:
    decoder = StreamDecoder()
    events = [event for name, data in frames_of(raw) for event in decoder.feed_bytes(sse_event(name, data))]
    events += decoder.finish()
    assert decoder.finish() == []
    return events


class Accumulated:
    """What a strict client makes of a stream; asserts the grammar on the way."""

    def __init__(self, raw: bytes) -> None:
        assert raw.endswith(b"\n\n") or not raw
        assert b"[DONE]" not in raw
        self.message: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.is_complete = False
        self._open: int | None = None
        self._deltas: list[str] = []
        for name, data in frames_of(raw):
            event = json.loads(data)
            assert event["type"] == name
            assert not self.is_complete
            assert self.error is None
            getattr(self, "_" + name)(event)
        assert self.is_complete != (self.error is not None)

    def _ping(self, _: Any) -> None:
        pass

    def _error(self, event: Any) -> None:
        assert set(event) == {"type", "error"}
        self.error = event["error"]

    def _message_start(self, event: Any) -> None:
        assert self.message is None
        self.message = event["message"]
        assert self.message["content"] == []
        assert self.message["type"] == "message"
        assert self.message["role"] == "assistant"
        assert self.message["stop_reason"] is None
        assert self.message["id"]
        assert isinstance(self.message["usage"]["input_tokens"], int)
        assert isinstance(self.message["usage"]["output_tokens"], int)

    @property
    def content(self) -> list[dict[str, Any]]:
        assert self.message is not None
        return self.message["content"]

    def _content_block_start(self, event: Any) -> None:
        assert self._open is None
        assert event["index"] == len(self.content)
        block = event["content_block"]
        self._open = event["index"]
        self._deltas = []
        if block["type"] == "tool_use":
            assert block["input"] == {}
            assert block["id"].replace("-", "_").isidentifier() or block["id"].replace("-", "_")[0].isdigit()
        self.content.append(block)

    def _content_block_delta(self, event: Any) -> None:
        assert event["index"] == self._open
        block, delta = self.content[-1], event["delta"]
        kind = delta["type"]
        self._deltas.append(kind)
        if kind == "text_delta":
            assert block["type"] == "text"
            block["text"] += delta["text"]
        elif kind == "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        elif kind == "thinking_delta":
            assert "signature_delta" not in self._deltas[:-1]
            block["thinking"] += delta["thinking"]
        elif kind == "signature_delta":
            block["signature"] = delta["signature"]
        else:
            assert kind == "input_json_delta"
            assert block["type"] in ("tool_use", "server_tool_use")
            block["_json"] = block.get("_json", "") + delta["partial_json"]

    def _content_block_stop(self, event: Any) -> None:
        assert event["index"] == self._open
        self._open = None
        block = self.content[-1]
        if block["type"] == "thinking":
            assert block["signature"]
        if block["type"] == "text":
            assert block["text"]
        if "_json" in block:
            block["input_text"] = block.pop("_json")
            if block["input_text"]:
                try:
                    block["input"] = json.loads(block["input_text"])
                except ValueError:
                    block["input"] = None

    def _message_delta(self, event: Any) -> None:
        assert self._open is None
        assert self.message is not None
        assert event["delta"]["stop_reason"]
        self.message.update(event["delta"])
        self.message["usage"].update(event["usage"])
        self.message.update({name: event[name] for name in event if name in ("context_management", "copilot_usage")})

    def _message_stop(self, event: Any) -> None:
        assert self.message is not None
        assert self.message["stop_reason"]
        assert event == {"type": "message_stop"}
        self.is_complete = True


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)
