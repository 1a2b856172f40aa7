"""The normalizer's fast path: what always stands around the one string in which frames differ.

When a frame carried nothing but one string (text, reasoning or arguments), the bytes before and after it are
remembered, upstream's and ours. A later line of that template needs no parsing. Fast and slow path give the
same bytes, because one is learned from what the other wrote.

An unescaped ``"key":`` cannot occur inside a JSON string, where each quote is escaped: that is why plain searches for
such tokens find structure, never text.
"""

from __future__ import annotations

import re
from typing import Any

from app.converters.chat import quirks
from app.converters.wire import json_bytes

# Stands for the string while our frame around it is written. Counted afterwards, so that an upstream which happens
# to say it does no harm.
PLACEHOLDER = "<<the-one-string>>"

_OFFSETS = re.compile(rb'"content_filter_offsets":\{[^{}\n]*+\},')

# A raw control character is no JSON: strict clients fail on it, and the slow path writes it anew.
_STRING = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*')
is_string_body = _STRING.fullmatch


class FrameTemplate:
    """What upstream has around a string, and what we have: ``text.join(ours)`` is the normalized frame.

    told: of arguments, where to keep them.
    """

    __slots__ = ("end", "head", "ours", "shortest", "start", "tail", "told")

    def __init__(self, head: bytes, tail: bytes, ours: list[bytes], told: list[bytes] | None) -> None:
        self.head = head
        self.tail = tail
        self.ours = ours
        self.start = len(head)
        self.end = -len(tail)
        self.shortest = len(head) + len(tail)
        self.told = told


def only_string(delta: dict[str, Any]) -> tuple[str, str, dict[str, Any]] | None:
    """Key and text of a normalized delta that holds one string alone, and the delta with a placeholder in its stead."""
    keys = delta.keys()
    if keys == {"content"}:
        name = "content"
    elif len(keys) == 2 and "reasoning_content" in keys:
        name = next((key for key in quirks.REASONING_TEXTS if delta.get(key) == delta["reasoning_content"]), "")
    elif keys == {"tool_calls"} and len(delta["tool_calls"]) == 1:
        return _only_arguments(delta["tool_calls"][0])
    else:
        return None
    if not isinstance(delta.get(name), str):
        return None
    return name, delta[name], dict.fromkeys(keys, PLACEHOLDER)


def _only_arguments(call: dict[str, Any]) -> tuple[str, str, dict[str, Any]] | None:
    if call.keys() != {"index", "function"} or call["function"].keys() != {"arguments"}:
        return None
    blank = {"tool_calls": [{"index": call["index"], "function": {"arguments": PLACEHOLDER}}]}
    return "arguments", call["function"]["arguments"], blank


def learn(
    line: bytes, key: str, text: str, normalized: bytes, times: int, told: list[bytes] | None
) -> FrameTemplate | None:
    """Take apart a raw line that holds `text` under `key`, and the frame that it became, with placeholders `times`."""
    ours = normalized.split(PLACEHOLDER.encode())
    span = _locate(line, key, text)
    if span is None or len(ours) != times + 1:
        return None
    return FrameTemplate(line[: span[0]], line[span[1] :], ours, told)


def _locate(line: bytes, key: str, text: str) -> tuple[int, int] | None:
    """Where in the raw line that string stands, between its quotes."""
    for mark in (f'"{key}":"'.encode(), f'"{key}": "'.encode()):
        if line.count(mark) == 1:
            start = line.find(mark) + len(mark)
            body = _STRING.match(line, start)
            end = body.end() if body else start
            try:
                return (start, end) if json_bytes.loads(b'"' + line[start:end] + b'"') == text else None
            except ValueError:
                return None
    return None


def without_offsets(block: bytes) -> bytes:
    """The lines without their filter offsets, numbers that differ from frame to frame and that no client is given."""
    return _OFFSETS.sub(b"", block) if b'"content_filter_offsets":{' in block else block
