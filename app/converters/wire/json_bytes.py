"""JSON that must not fail on what other people write.

orjson is fast and strict; upstreams and clients are not always strict. What orjson refuses (a lone surrogate from an
emoji cut in two, a raw control character, an integer beyond 64 bits) goes through the standard library instead.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

_LONE: Final = re.compile("[\ud800-\udfff]")
# A pair and any other escape are passed over: an escaped backslash may stand before the letter u.
_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def loads(raw: bytes) -> Any:
    """Parse JSON, leniently about text. Raises: ValueError when it is torn or no JSON at all."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(raw.decode("utf-8", "replace"), strict=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def loads_exact(raw: bytes) -> Any:
    """Parse JSON and keep integers of any size. Raises: ValueError."""
    value = loads(raw)
    if not has_huge_float(value):
        return value
    try:
        return json.loads(raw.decode("utf-8", "replace"), strict=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_same(one: str, other: str) -> bool:
    """Whether two texts are the same JSON; what is none is the same as nothing."""
    try:
        values = [loads_exact(text.encode("utf-8", "surrogatepass")) for text in (one, other)]
    except ValueError:
        return False
    return bool(values[0] == values[1])


def has_huge_float(value: Any) -> bool:
    """Whether parsed JSON holds a float that may have been an integer beyond 64 bits, which orjson rounds.

    Looks at the values, not at the text: a body of many megabytes is mostly a few long strings.
    """
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, float) and abs(item) >= 2.0**63:
            return True
    return False


def dumps(value: Any) -> bytes:
    """Write compact JSON; big integers and lone surrogates survive.

    In an answer half a character is nothing unusual: the next delta of its stream brings the other half.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def dumps_unicode(value: Any) -> bytes:
    """The same for a request, whose strict readers refuse half a character: U+FFFD stands in its place."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return _LONE.sub("\ufffd", json.dumps(value, separators=(",", ":"), ensure_ascii=False)).encode()


def unicode_only(raw: bytes) -> bytes:
    """The text of a JSON document as UTF-8, with U+FFFD for halves of characters, escaped or not; else as it came.

    Raises: ValueError for bytes that are no text.
    """
    text = raw.decode(json.detect_encoding(raw), "surrogatepass")
    return _LONE.sub("\ufffd", _ESCAPE.sub(_whole, text)).encode()


def _whole(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape["lone"] else escape[0]
