"""The strings of an item that are streamed, and the normalizer's fast path for them.

A *streamed* is one kind of such string: its events, its index and the key of its final value. A *template* is the shape
of upstream's delta line, learned from one: all members are fixed but sequence number, ids, indexes, padding and the
string itself. A later line of that shape is normalized by cutting the string out, without parsing.

An unescaped quote cannot occur inside a JSON string: that is why a template finds structure, never text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class StreamedField:
    """event: stem of its ``.delta`` and ``.done``. index: its second index. part: stem of the events around it.

    key: of the final value, in ``.done`` and in the part or item. blank: the type of that part.
    """

    event: str
    key: str
    index: str | None = None
    part: str | None = None
    blank: str = ""
    has_logprobs: bool = False


TEXT: Final = StreamedField(
    "response.output_text", "text", "content_index", "response.content_part", "output_text", True
)
REFUSAL: Final = StreamedField("response.refusal", "refusal", "content_index", "response.content_part", "refusal")
SUMMARY: Final = StreamedField(
    "response.reasoning_summary_text", "text", "summary_index", "response.reasoning_summary_part", "summary_text"
)
THOUGHT: Final = StreamedField("response.reasoning_text", "text", "content_index")
ARGUMENTS: Final = StreamedField("response.function_call_arguments", "arguments")
INPUT: Final = StreamedField("response.custom_tool_call_input", "input")

CHANNELS: Final = (TEXT, REFUSAL, SUMMARY, THOUGHT, ARGUMENTS, INPUT)
BY_DELTA: Final = {f"{streamed.event}.delta": streamed for streamed in CHANNELS}
BY_DONE: Final = {f"{streamed.event}.done": streamed for streamed in CHANNELS}
BY_PART: Final = {streamed.blank: streamed for streamed in CHANNELS if streamed.part}

_MEMBER: Final = re.compile(
    rb'(?P<before>[{,]\s*)"(?P<key>[a-z_]+)"(?P<colon>\s*:\s*)'
    rb'(?P<value>"[^"\\]*+(?:\\.[^"\\]*+)*"|\d+|\[\])'
)
_VARIABLE: Final = {
    b"sequence_number": rb"\d+",
    b"item_id": rb'"[^"\\]*+"',
    b"obfuscation": rb'"[^"\\]*+"',
    b"output_index": rb"(?P<output>\d+)",
    b"content_index": rb"(?P<inner>\d+)",
    b"summary_index": rb"(?P<inner>\d+)",
    b"delta": rb'"(?P<delta>[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*)"',
}
_FIXED: Final = frozenset({b"type", b"logprobs"})


class Template:
    """A learned shape. groups: where in a match output index, inner index (or the same again) and string stand."""

    __slots__ = ("groups", "match", "pattern")

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        index = pattern.groupindex
        self.pattern = pattern
        self.match = pattern.match
        self.groups = index["output"], index.get("inner", index["output"]), index["delta"]


def template(name: bytes, line: bytes) -> Template | None:
    """The shape of a delta event, of its name and its data line; None if it holds anything but what every delta holds.

    The name may be missing before a later line that says its type itself, e.g. where a read ended between the two.
    """
    start = line.find(b"{")
    pieces = [re.escape(line[:start])]
    seen: set[bytes] = set()
    at = start
    while member := _MEMBER.match(line, at):
        key, value = member["key"], member["value"]
        if key in seen or (key not in _VARIABLE and key not in _FIXED):
            return None
        seen.add(key)
        pieces.append(re.escape(member["before"] + b'"' + key + b'"' + member["colon"]))
        pieces.append(_VARIABLE.get(key) or re.escape(value))
        at = member.end()
    if line[at:].strip() != b"}" or not {b"delta", b"output_index"} <= seen:
        return None
    named = b"(?:event: " + re.escape(name) + b"\n)"
    pieces = [named + b"?+" if b"type" in seen else named, *pieces, re.escape(line[at:]), b"\n\n?+"]
    # The same few shapes again and again: re remembers what it has compiled.
    return Template(re.compile(b"".join(pieces)))
