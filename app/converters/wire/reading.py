"""Reading a client's JSON: each reader gives the value in its type or says where in the body it is wrong.

`path` is what the client gets as ``param``: ``messages[2].content[0].image_url.url``. Null counts as absent.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from app.errors import InvalidRequestError

CACHE_MARKS: Final = ("copilot_cache_control", "cache_control")
"""Copilot's mark, and the one that clients made for other gateways write."""


def wrong(path: str, expected: str) -> NoReturn:
    raise InvalidRequestError(f"{path} must be {expected}.", param=path)


def string(value: Any, path: str) -> str:
    return value if isinstance(value, str) else wrong(path, "a string")


def opt_string(value: Any, path: str) -> str | None:
    return None if value is None else string(value, path)


def name(value: Any, path: str) -> str:
    return value if isinstance(value, str) and value else wrong(path, "a string that is not empty")


def opt_bool(value: Any, path: str) -> bool | None:
    return value if value is None or isinstance(value, bool) else wrong(path, "true or false")


def opt_count(value: Any, path: str, least: int = 0) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    wrong(path, f"an integer of {least} or more")


def opt_number(value: Any, path: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    wrong(path, "a number")


def obj(value: Any, path: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else wrong(path, "an object")


def opt_obj(value: Any, path: str) -> dict[str, Any] | None:
    return None if value is None else obj(value, path)


def items(value: Any, path: str) -> list[Any]:
    return value if isinstance(value, list) else wrong(path, "a list")


def has_cache_mark(value: dict[str, Any]) -> bool:
    """Whether the prompt cache may end here (contract §6.2; clients.md §3: opencode sends ``cache_control``)."""
    return any(value.get(mark) for mark in CACHE_MARKS)
