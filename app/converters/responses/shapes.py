"""Reading other people's JSON: values of the type that is wanted, or an error that names the field."""

from __future__ import annotations

from typing import Any

from app.errors import InvalidRequestError


def need_list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidRequestError(f"`{path}` must be a list.", param=path)
    return value


def need_dict(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"`{path}` must be an object.", param=path)
    return value


def need_str(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"`{path}` must be a string.", param=path)
    return value


def name_in(value: dict[str, Any], path: str) -> str:
    """The `name` of something, which must have one."""
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequestError(f"`{path}.name` must be a string that is not empty.", param=f"{path}.name")
    return name


def may_str(value: Any, path: str) -> str | None:
    return None if value is None else need_str(value, path)


def may_bool(value: Any, path: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise InvalidRequestError(f"`{path}` must be true or false.", param=path)
    return value


def may_int(value: Any, path: str) -> int | None:
    if value is not None and type(value) is not int:
        raise InvalidRequestError(f"`{path}` must be a whole number.", param=path)
    return value


def may_number(value: Any, path: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequestError(f"`{path}` must be a number.", param=path)
    return value


def may_dict(value: Any, path: str) -> dict[str, Any] | None:
    return None if value is None else need_dict(value, path)
