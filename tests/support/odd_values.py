"""Every odd JSON value in the place of every value: of requests, and of what upstream answers.

Places that differ in nothing but an index, or in the body that they stand in, are one: a place is known by the keys on
the way to it and by the ``type`` and ``role`` of the objects that it passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final


def _deep() -> Any:
    found: Any = "x"
    for _ in range(60):
        found = [{"type": found}]
    return found


ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 0.5, 10**30, 1e308, "", "x", "a\ud800", [], {}, [None], ["x"], [[]], [{}], {"x": None},
    {"": []}, {"type": []}, {"type": {}}, {"type": "text"}, [{"type": "text", "text": []}], _deep(),
)  # fmt: skip
"""One of each JSON type and more: what cannot be hashed, counted, sliced, compared or written as text."""


@dataclass(frozen=True, slots=True)
class Place:
    """A value within a body. keys: the way to it. name: what a failed test says."""

    body: Any
    keys: tuple[str | int, ...]
    name: str

    def holding(self, value: Any) -> Any:
        """The body with this value there; all else is shared with it."""
        return _holding(self.body, self.keys, value)


def places(bodies: Iterable[Any]) -> list[Place]:
    """All places of these bodies, each kind once."""
    found: dict[str, Place] = {}
    for body in bodies:
        for keys, name in _walk(body):
            found.setdefault(name, Place(body, keys, name))
    return list(found.values())


def _walk(value: Any, keys: tuple[str | int, ...] = (), name: str = "") -> Iterator[tuple[tuple[str | int, ...], str]]:
    if keys:
        yield keys, name
    if isinstance(value, dict):
        kinds = [value[key] for key in ("type", "role") if isinstance(value.get(key), str)]
        shown = f"{name}({'/'.join(kinds)})" if kinds else name
        for key, inner in value.items():
            yield from _walk(inner, (*keys, key), f"{shown}.{key}".lstrip("."))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _walk(inner, (*keys, at), f"{name}[]")


def _holding(value: Any, keys: tuple[str | int, ...], new: Any) -> Any:
    if not keys:
        return new
    changed = value.copy()
    changed[keys[0]] = _holding(value[keys[0]], keys[1:], new)
    return changed
