"""Paths into a JSON body: the one grammar, for what upstream names and for what the bridge leaves out.

Ours is ``reasoning.effort``, ``tools[].strict``, ``messages[].content[].citations``: keys with dots between them,
``[]`` behind those that hold a list. Upstreams write indexes as well, with brackets, dots or slashes, and name members
of unions, which are no level of the body: ``tools.3.custom.strict``, ``input[3].content[0].x``, ``/messages/0/name``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

LONGEST_PATH: Final = 200
MOST_STEPS: Final = 10

_INDEX: Final = re.compile(r"\[\d*\]|\.\d+(?=\.|$)")
_STEP: Final = re.compile(r"[^.\[\]/'\"`\s]+")


def general(path: str) -> str:
    """The path with all indexes forgotten: ``input[3].content[0].x`` → ``input[].content[].x``."""
    return _INDEX.sub("[]", path)


def steps(path: str) -> list[str]:
    """The keys of a path in any of the grammars; [] for one that is too long to be a path of anybody's."""
    if len(path) > LONGEST_PATH:
        return []
    found = [step for step in _STEP.findall(path) if not step.isdecimal() and step != "$"]
    return found if len(found) <= MOST_STEPS else []


def find(body: Any, path: str) -> str | None:
    """The path, in our grammar, that leads to something in this body; None if it leads nowhere.

    Lists are looked through. What is no key at its place is passed over, and so is a key that holds neither object nor
    list: it may be the name of a union's member (``content.0.text.citations``).
    """
    return _find(body, steps(path), "")


def without(body: dict[str, Any], path: str) -> dict[str, Any]:
    """The body without that key, wherever the path leads; the same object if it leads nowhere.

    The given body stays as it is. An object that is emptied goes too, but for those in lists.
    """

    def drop(value: dict[str, Any], key: str) -> dict[str, Any]:
        return {name: item for name, item in value.items() if name != key}

    return _changed(body, steps(path), drop)


def with_value(body: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    """The body with this value wherever the path leads; the same object if it leads nowhere, or has it already."""

    def put(value: dict[str, Any], key: str) -> dict[str, Any]:
        return value if value[key] == new else {**value, key: new}

    return _changed(body, steps(path), put)


def _find(value: Any, rest: list[str], prefix: str) -> str | None:
    if isinstance(value, list):
        found = (_find(item, rest, f"{prefix}[]") for item in value)
        return next((path for path in found if path is not None), None)
    if not isinstance(value, dict):
        return None
    for at, step in enumerate(rest):
        if step not in value:
            continue
        path = f"{prefix}.{step}" if prefix else step
        if at == len(rest) - 1:
            return path
        if isinstance(value[step], dict | list):
            return _find(value[step], rest[at + 1 :], path)
    return None


def _changed(
    body: dict[str, Any], rest: list[str], change: Callable[[dict[str, Any], str], dict[str, Any]]
) -> dict[str, Any]:
    changed = _change(body, rest, change)
    return changed if isinstance(changed, dict) else body


def _change(value: Any, rest: list[str], change: Callable[[dict[str, Any], str], dict[str, Any]]) -> Any:
    if isinstance(value, list):
        items = [_change(item, rest, change) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not isinstance(value, dict):
        return value
    for at, step in enumerate(rest):
        if step not in value:
            continue
        if at == len(rest) - 1:
            return change(value, step)
        inner = value[step]
        if isinstance(inner, dict | list):
            new = _change(inner, rest[at + 1 :], change)
            if new is inner:
                return value
            return {**value, step: new} if new else {name: item for name, item in value.items() if name != step}
    return value
