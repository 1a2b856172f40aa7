"""Fixtures and readers for normalized chat streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.converters.chat.native.stream import StreamNormalizer
from tests.support.grammar import PRIVATE_MEMBER
from tests.support.identities import identity_of

FIXTURES = Path(__file__).parents[3] / "fixtures" / "chat"


class Normalized:
    """A normalized stream, taken apart."""

    def __init__(self, raw: bytes, normalizer: StreamNormalizer) -> None:
        self.raw = raw
        self.normalizer = normalizer
        events = raw.decode().split("\n\n")
        assert events.pop() == ""
        self.comments = [event for event in events if event.startswith(":")]
        data = [event.removeprefix("data: ") for event in events if not event.startswith(":")]
        self.is_done = data[-1:] == ["[DONE]"]
        assert data.count("[DONE]") == int(self.is_done)
        frames = [json.loads(event) for event in (data[:-1] if self.is_done else data)]
        self.errors = [frame["error"] for frame in frames if "error" in frame]
        self.chunks = [frame for frame in frames if "error" not in frame]
        assert not self.errors or "error" in frames[-1]
        self._check_grammar()

    def _check_grammar(self) -> None:
        """Conversion rules §4: what holds for every chat stream, whatever upstream did."""
        assert len({(c["id"], c["created"], c["model"], c["object"]) for c in self.chunks}) <= 1
        assert not PRIVATE_MEMBER.search(self.raw)
        seen = set()
        for chunk in self.chunks:
            assert chunk["object"] == "chat.completion.chunk"
            assert chunk["id"]
            assert chunk["created"]
            assert chunk["choices"] or chunk["usage"]
            for entry in chunk["choices"]:
                assert ("role" in entry["delta"]) == (entry["index"] not in seen)
                seen.add(entry["index"])
        if self.is_done and not self.errors:
            assert sorted(i for i, _ in self.finishes) == sorted(seen)

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [entry["delta"] for chunk in self.chunks for entry in chunk["choices"]]

    @property
    def finishes(self) -> list[tuple[int, str]]:
        entries = [entry for chunk in self.chunks for entry in chunk["choices"]]
        return [(entry["index"], entry["finish_reason"]) for entry in entries if entry["finish_reason"]]

    @property
    def finish(self) -> str:
        ((_, reason),) = self.finishes
        return reason

    @property
    def usages(self) -> list[dict[str, Any]]:
        return [chunk["usage"] for chunk in self.chunks if "usage" in chunk]

    def text(self, key: str = "content") -> str:
        return "".join(delta.get(key) or "" for delta in self.deltas)

    @property
    def calls(self) -> list[tuple[str, str, str]]:
        """(id, name, arguments), checking that id, type and name come in the first fragment only."""
        calls: list[list[str]] = []
        for fragment in (f for delta in self.deltas for f in delta.get("tool_calls", [])):
            if fragment["index"] == len(calls):
                assert fragment["type"] == "function"
                assert fragment["id"]
                calls.append([fragment["id"], fragment["function"]["name"], ""])
            else:
                assert not {"id", "type"} & fragment.keys()
                assert "name" not in fragment["function"]
            calls[fragment["index"]][2] += fragment["function"]["arguments"]
        return [(call[0], call[1], call[2]) for call in calls]


def normalize(data: bytes, *, cut: int = 0, include_usage: bool = False, choices: int = 1) -> Normalized:
    normalizer = StreamNormalizer(
        identity_of("asked-for", created=1111, fallback_id="chatcmpl-fallback"),
        include_usage=include_usage,
        choices=choices,
    )
    pieces = [data[i : i + cut] for i in range(0, len(data), cut)] if cut else [data]
    raw = b"".join(normalizer.feed(piece) for piece in pieces) + normalizer.finish()
    assert normalizer.finish() == b""
    assert normalizer.ended
    return Normalized(raw, normalizer)


@pytest.fixture(name="normalize")
def _normalize() -> Callable[..., Normalized]:
    return normalize


@pytest.fixture
def case() -> Callable[[str], bytes]:
    """A fixture file by name, e.g. ``claude_text.stream.sse``."""
    return lambda name: (FIXTURES / name).read_bytes()
