"""Reading a client's JSON, the one set of readers: each gives the value in its type, or says where the body is wrong.

`path` is what the client gets as ``param``: ``messages[2].content[0].image_url.url``. For those whose name begins with
``opt_`` null counts as absent.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, NoReturn

from app.errors import InvalidRequestError


def complaint(path: str, what: str) -> InvalidRequestError:
    """The error about one place of the body."""
    return InvalidRequestError(f"'{path}' {what}.", param=path)


def wrong(path: str, expected: str, value: Any = ...) -> NoReturn:
    """Raises: InvalidRequestError. value: what stands there; None if nothing does."""
    raise complaint(path, f"is missing: it must be {expected}" if value is None else f"must be {expected}")


def string(value: Any, path: str) -> str:
    return value if isinstance(value, str) else wrong(path, "a string", value)


def opt_string(value: Any, path: str) -> str | None:
    return None if value is None else string(value, path)


def name(value: Any, path: str) -> str:
    return value if isinstance(value, str) and value else wrong(path, "a string that is not empty", value)


def opt_bool(value: Any, path: str) -> bool | None:
    return value if value is None or isinstance(value, bool) else wrong(path, "true or false")


def opt_count(value: Any, path: str, least: int = 0) -> int | None:
    """A whole number. What is none by type only (``1024.0``) passes."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    wrong(path, f"a whole number of {least} or more")


def is_number(value: Any) -> bool:
    """Whether this is a number that JSON can say: ``1e999`` is read as one that it cannot."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and isfinite(value))


def opt_number(value: Any, path: str) -> float | None:
    if value is not None and not is_number(value):
        wrong(path, "a number")
    given: float | None = value
    return given


def obj(value: Any, path: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else wrong(path, "an object", value)


def opt_obj(value: Any, path: str) -> dict[str, Any] | None:
    return None if value is None else obj(value, path)


def items(value: Any, path: str) -> list[Any]:
    return value if isinstance(value, list) else wrong(path, "a list", value)
