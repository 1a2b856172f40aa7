"""A body's own bytes with little changed in them, so that everything else stays as the client wrote it."""

from __future__ import annotations

import re
from typing import Any, Final

from app.converters.wire import json_bytes

_MODEL: Final = re.compile(rb'"model"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*)"')


def replace_model(raw: bytes, body: dict[str, Any], model: str) -> bytes | None:
    """The bytes with another model; None where it cannot be told surely which text is the field.

    An unescaped ``"model":`` cannot stand inside a JSON string, but it may be a key elsewhere, e.g. in the input of a
    call: only a lone one is surely the right one.
    """
    found: list[re.Match[bytes]] = []
    at = raw.find(b'"model"')
    while at >= 0 and len(found) < 2:
        member = _MODEL.match(raw, at)
        found += [member] if member else []
        at = raw.find(b'"model"', at + 1)
    if len(found) != 1:
        return None
    start, end = found[0].span(1)
    if json_bytes.loads(b'"' + raw[start:end] + b'"') != body.get("model"):
        return None
    # A view, because a body with images is large enough for one copy less to show.
    return b"".join((raw[: start - 1], json_bytes.dumps(model), memoryview(raw)[end + 1 :]))


def exact(raw: bytes, body: dict[str, Any]) -> dict[str, Any]:
    """The body with all its integers: a fast parser may have turned one beyond 64 bits into a float."""
    if json_bytes.has_huge_float(body):
        try:
            parsed = json_bytes.loads_exact(raw)
        except ValueError:
            return body
        if isinstance(parsed, dict):
            return parsed
    return body
