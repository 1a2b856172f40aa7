"""Dotted paths into a JSON body: ``reasoning.context``, ``input[].phase``."""

from __future__ import annotations

import re
from typing import Any

_INDEX = re.compile(r"\[\d*\]|\.\d+(?=\.|$)")


def general(path: str) -> str:
    """The path with all indexes forgotten: ``input[3].content[0].x`` → ``input[].content[].x``."""
    return _INDEX.sub("[]", path)


def without(body: dict[str, Any], path: str) -> tuple[dict[str, Any], bool]:
    """The body without a field, wherever the path leads, and whether it was there. An emptied object goes too.

    The given body stays as it is; what has not changed is shared with it.
    """
    head, _, rest = path.partition(".")
    name, is_list = (head[:-2], True) if head.endswith("[]") else (head, False)
    if name not in body:
        return body, False
    kept = {key: value for key, value in body.items() if key != name}
    if not rest:
        return kept, True
    inner = body[name]
    if is_list:
        if not isinstance(inner, list):
            return body, False
        pairs = [without(item, rest) if isinstance(item, dict) else (item, False) for item in inner]
        return {**body, name: [item for item, _ in pairs]}, any(is_found for _, is_found in pairs)
    if not isinstance(inner, dict):
        return body, False
    changed, is_found = without(inner, rest)
    return ({**body, name: changed} if changed else kept, True) if is_found else (body, False)
