"""JSON that must not fail on what other people write.

orjson is fast and strict; upstreams and clients are not always strict. What orjson refuses (a lone surrogate from an
emoji cut in two, a raw control character, an integer beyond 64 bits) goes through the standard library instead.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


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
    """Write compact JSON; big integers and lone surrogates survive."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
