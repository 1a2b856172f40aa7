"""JSON that must not fail on what other people write.

orjson is fast and strict; upstreams and clients are not always strict. What orjson refuses (a lone surrogate from an
emoji cut in two, a raw control character, an integer beyond 64 bits) goes through the standard library instead.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

# orjson reads an integer beyond 64 bits as a float, which would change it: 19 digits may not fit.
_BIG_NUMBER = re.compile(rb"[0-9]{19}")


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
    if _BIG_NUMBER.search(raw) is None:
        return loads(raw)
    try:
        return json.loads(raw.decode("utf-8", "replace"), strict=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def has_big_number(raw: bytes) -> bool:
    """Whether `raw` may hold an integer that orjson would turn into a float."""
    return _BIG_NUMBER.search(raw) is not None


def dumps(value: Any) -> bytes:
    """Write compact JSON; big integers and lone surrogates survive."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
