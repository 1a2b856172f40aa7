"""Reading a client's JSON with a path for every complaint."""

from __future__ import annotations

from typing import Any

from app.errors import InvalidRequestError

Json = dict[str, Any]


def bad(path: str, what: str) -> InvalidRequestError:
    """The complaint about one field, by its path."""
    return InvalidRequestError(f"{path}: {what}", param=path)


def an_object(value: Any, path: str) -> Json:
    if not isinstance(value, dict):
        raise bad(path, "Input should be an object")
    return value


def a_list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise bad(path, "Input should be a list")
    return value


def a_string(fields: Json, name: str, path: str) -> str:
    """A string that must be there."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise bad(f"{path}.{name}" if path else name, "Field required" if value is None else "Input should be a string")
    return value


def maybe_string(fields: Json, name: str, path: str) -> str | None:
    return None if fields.get(name) is None else a_string(fields, name, path)


def maybe_number(fields: Json, name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise bad(name, "Input should be a number")
    return value


def maybe_count(fields: Json, name: str, path: str = "") -> int | None:
    """A whole number of at least 1. What is no whole number by type only (``1024.0``) passes."""
    value = fields.get(name)
    if value is None:
        return None
    path = f"{path}.{name}" if path else name
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad(path, "Input should be a valid integer")
    if value < 1:
        raise bad(path, "Input should be greater than or equal to 1")
    return value


def maybe_flag(fields: Json, name: str, path: str) -> bool | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad(f"{path}.{name}" if path else name, "Input should be a valid boolean")
    return value
