"""What holds for every Responses stream that a client gets, whoever made it. Spec: OpenAI "Streaming events"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.grammar import PRIVATE_MEMBER

FIXTURES = Path(__file__).parents[3] / "fixtures" / "responses"
TERMINAL = {"response.completed", "response.incomplete", "response.failed"}
TEXTS = {
    "response.output_text": ("text", "content_index"),
    "response.refusal": ("refusal", "content_index"),
    "response.reasoning_summary_text": ("text", "summary_index"),
    "response.function_call_arguments": ("arguments", None),
    "response.custom_tool_call_input": ("input", None),
}


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def fixture_json(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(fixture(name))
    return value


def frames(raw: bytes) -> list[bytes]:
    """Whole frames, comments too."""
    pieces = raw.split(b"\n\n")
    assert pieces.pop() == b"", "the last frame has no end"
    return [piece + b"\n\n" for piece in pieces]


def events(raw: bytes) -> list[dict[str, Any]]:
    """All events, whose names must equal their types."""
    found = []
    for piece in frames(raw):
        if piece.startswith(b":"):
            continue
        name, data = piece.rstrip(b"\n").split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        found.append(event)
    return found


def named(raw: bytes) -> list[tuple[str, str]]:
    """A stream as a decoder gets it: names and data."""
    found = []
    for piece in frames(raw):
        name, data = piece.rstrip(b"\n").split(b"\n")
        found.append((name.removeprefix(b"event: ").decode(), data.removeprefix(b"data: ").decode()))
    return found


class Stream:
    """A client's stream, taken apart and checked."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.events = events(raw)
        self.types = [event["type"] for event in self.events]
        self.told: dict[tuple[Any, ...], str] = {}
        self.items: dict[int, dict[str, Any]] = {}
        self.open: dict[int, str] = {}
        assert not PRIVATE_MEMBER.search(raw)
        assert [event["sequence_number"] for event in self.events] == list(range(len(self.events)))
        ends = [at for at, kind in enumerate(self.types) if kind in TERMINAL]
        if self.types and self.types[0] == "error":
            assert self.types == ["error"]
            return
        assert self.types[:1] == ["response.created"]
        assert len({event["response"]["id"] for event in self.events if "response" in event}) == 1
        assert ends == [len(self.events) - 1], self.types[-3:]
        assert self.is_failed == ("error" in self.types)
        for event in self.events:
            self._check(event)
        self.final: dict[str, Any] = self.events[-1]["response"]
        self._check_end()

    @property
    def is_failed(self) -> bool:
        return self.types[-1] in ("response.failed", "error")

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = next(event for event in self.events if event["type"] == "error")
        return found

    @property
    def output(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.final["output"]
        return found

    def _check(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        index: Any = event.get("output_index")
        if kind == "response.output_item.added":
            assert index == len(self.items) + len(self.open)
            assert 0 < len(event["item"]["id"]) <= 64
            self.open[index] = event["item"]["id"]
            return
        if kind == "response.output_item.done":
            assert event["item"]["id"] == self.open.pop(index)
            self.items[index] = event["item"]
            return
        if index is None:
            return
        assert event.get("item_id") == self.open[index], kind
        stem, _, verb = kind.rpartition(".")
        if stem not in TEXTS:
            return
        key, inner = TEXTS[stem]
        place = (stem, index, event[inner] if inner else 0)
        if verb == "delta":
            assert event["delta"]
            assert (*place, "over") not in self.told
            self.told[place] = self.told.get(place, "") + event["delta"]
        else:
            assert event[key] == self.told.get(place, "")
            self.told[(*place, "over")] = ""

    def _check_end(self) -> None:
        assert self.output == [item for _, item in sorted(self.items.items())]
        if self.is_failed:
            return
        assert not self.open
        for index, item in self.items.items():
            for stem, at, text in _texts(item):
                assert self.told.get((stem, index, at), "") == text
                assert (stem, index, at, "over") in self.told


def _texts(item: dict[str, Any]) -> list[tuple[str, int, str]]:
    if item["type"] == "message":
        return [
            ("response.refusal", at, part["refusal"])
            if part["type"] == "refusal"
            else ("response.output_text", at, part["text"])
            for at, part in enumerate(item["content"])
        ]
    if item["type"] == "reasoning":
        return [("response.reasoning_summary_text", at, part["text"]) for at, part in enumerate(item["summary"])]
    if item["type"] == "function_call":
        return [("response.function_call_arguments", 0, item["arguments"])]
    if item["type"] == "custom_tool_call":
        return [("response.custom_tool_call_input", 0, item["input"])]
    return []
