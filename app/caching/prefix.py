"""The parts of a request that a prompt cache goes by, as short keyed hashes: no text, and nothing to try texts on.

A cache holds a prefix: tools first, then instructions, then the conversation. Marks that only say where to cache are
no part of it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

GROUPS: Final = (
    *("tools", "system", "instructions"),
    *("tool_choice", "thinking", "reasoning", "reasoning_effort"),
    *("messages", "input"),
)
"""In the order of the prefix, whichever dialect. The last two grow at their end, which costs nothing."""
_GROWS: Final = frozenset({"messages", "input"})
_LISTS: Final = _GROWS | {"tools"}
_MARKS: Final = frozenset({"cache_control", "copilot_cache_control"})
_SIZE: Final = 5
_MOST: Final = 400

Parts = dict[str, str]
"""The hashes of a group's parts, one behind the other, by its name."""


class Prefix:
    """What the client sent, and what was sent to Copilot for it, last. key: of the hashes."""

    __slots__ = ("_key", "client", "upstream")

    def __init__(self, body: Mapping[str, Any], key: bytes) -> None:
        self._key = key
        self.client = parts_of(body, key)
        self.upstream: Parts = {}

    def sent(self, body: bytes) -> None:
        """Note what goes to Copilot."""
        try:
            told = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        if isinstance(told, dict):
            self.upstream = parts_of(told, self._key)

    def told(self) -> dict[str, Parts]:
        return {"client": self.client, "upstream": self.upstream}


def parts_of(body: Mapping[str, Any], key: bytes) -> Parts:
    """The parts of a body that are there. A list has one for each of its elements, the first few hundred."""
    found: Parts = {}
    for name in GROUPS:
        value = body.get(name)
        if isinstance(value, list):
            found[name] = "".join(_hash(_unmarked(part), key) for part in value[:_MOST])
        elif value is not None:
            found[name] = _hash(value, key)
    return found


def first_change(before: Parts, after: Parts) -> str | None:
    """The first part of the prefix that is another one, as ``tools[3]``; None if what was there is there still."""
    for name in GROUPS:
        one, other = before.get(name, ""), after.get(name, "")
        if one == other or (name in _GROWS and one and other.startswith(one)):
            continue
        at = next(
            (n for n in range(0, min(len(one), len(other)), _SIZE) if one[n : n + _SIZE] != other[n : n + _SIZE]),
            min(len(one), len(other)),
        )
        is_list = name in _LISTS or max(len(one), len(other)) > _SIZE
        return f"{name}[{at // _SIZE}]" if is_list else name
    return None


def _unmarked(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    bare = {name: value for name, value in part.items() if name not in _MARKS}
    content = bare.get("content")
    if isinstance(content, list):
        bare["content"] = [
            {name: value for name, value in block.items() if name not in _MARKS} if isinstance(block, dict) else block
            for block in content
        ]
    return bare


def _hash(value: Any, key: bytes) -> str:
    content = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str)
    return base64.urlsafe_b64encode(hashlib.blake2b(content, key=key, digest_size=6).digest()).decode()[:_SIZE]
