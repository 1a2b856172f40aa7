"""What a conversation must be to pass natively: upstreams of all protocols refuse the same faults.

A body with such a fault is converted, even between equal protocols: conversion mends it, or says in the client's words
where it is. So a client meets the same tolerance whatever its model speaks. A dialect says where things stand
(``<dialect>/native/well_formed.py``). What may be news of the protocol's own, an unknown type say, is no fault here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.converters.wire.reading import is_number

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
NAME_CHARS: Final = 64


def is_name(value: Any, most: int = NAME_CHARS) -> bool:
    """Whether upstreams take this as the name of a tool."""
    return isinstance(value, str) and len(value) <= most and _NAME.fullmatch(value) is not None


def is_id(value: Any) -> bool:
    """Whether a call can be found by this. How ids are spelt is another matter (`wire_call_ids`)."""
    return isinstance(value, str) and value != ""


def has_numbers(body: Mapping[str, Any], *fields: str) -> bool:
    """Whether these hold a number, or nothing."""
    return all(body.get(name) is None or is_number(body[name]) for name in fields)


def is_content(content: Any, texts: frozenset[str]) -> bool:
    """Whether this is a string, or a list of typed parts of which those of the types `texts` hold one."""
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(
        isinstance(part, dict)
        and isinstance(kind := part.get("type"), str)
        and (kind not in texts or isinstance(part.get("text"), str))
        for part in content
    )
