"""The boundary: the few fields that the bridge itself reads are checked, everything else is let through untouched.

Schemas are used through `check()` and never through ``load()``, so nothing is coerced, reordered or lost.
"""

from __future__ import annotations

from typing import Any

from marshmallow import INCLUDE, Schema, fields

from app.errors import InvalidRequestError


class Boundary(Schema):
    """Base of all request schemas: unknown fields are the upstream's business."""

    class Meta:
        unknown = INCLUDE


class Text(fields.Field[str]):
    """A JSON string, not empty."""

    default_error_messages = {
        "required": "is required",
        "null": "must be a string, not null",
        "invalid": "must be a string that is not empty",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.make_error("invalid")
        return value


class Flag(fields.Field[bool]):
    """A JSON true or false; marshmallow's own would take "yes" and 1 as well."""

    default_error_messages = {"invalid": "must be true or false"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Count(fields.Field[int]):
    """A whole number of at least 1."""

    default_error_messages = {"invalid": "must be a whole number of at least 1"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.make_error("invalid")
        return value


class Objects(fields.Field[list[Any]]):
    """A list of JSON objects, not empty. Only the shape: what is in them is for the converters."""

    default_error_messages = {
        "required": "is required",
        "null": "must be a list, not null",
        "invalid": "must be a list of objects that is not empty",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise self.make_error("invalid")
        return value


class Options(fields.Field[dict[str, Any]]):
    """A JSON object, or null."""

    default_error_messages = {"invalid": "must be an object"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        return value


def check(schema: Schema, body: dict[str, Any]) -> None:
    """Raise InvalidRequestError naming the first field that is wrong."""
    problems = schema.validate(body)
    if problems:
        name, told = next(iter(problems.items()))
        words = told[0] if isinstance(told, list) else "is invalid"
        raise InvalidRequestError(f"'{name}' {words}.", param=str(name))
