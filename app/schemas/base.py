"""The boundary: the few fields that the bridge itself reads are checked, everything else is let through untouched.

Schemas are used through `check()` and never through ``load()``, so nothing is coerced, reordered or lost.
"""

from __future__ import annotations

from typing import Any

from marshmallow import INCLUDE, Schema, fields

from app.errors import InvalidRequestError

# No conversation is that long, and walking through millions of empty objects would hold up everybody.
_MAX_OBJECTS = 50_000


class Boundary(Schema):
    """Base of all request schemas: unknown fields are the upstream's business."""

    class Meta:
        unknown = INCLUDE


MAX_NAME_CHARACTERS = 256
NAME_RULE = f"must be a string of 1 to {MAX_NAME_CHARACTERS} printable characters"


def is_name(value: object) -> bool:
    """Whether this can be the name of a model: it goes into logs, headers and the store."""
    return isinstance(value, str) and bool(value.strip()) and len(value) <= MAX_NAME_CHARACTERS and value.isprintable()


class Name(fields.Field[str]):
    """The name of a model."""

    default_error_messages = {
        "required": "is required",
        "null": "must be a string, not null",
        "invalid": NAME_RULE,
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not is_name(value):
            raise self.make_error("invalid")
        return str(value)


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
        "many": f"must not hold more than {_MAX_OBJECTS} objects",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise self.make_error("invalid")
        if len(value) > _MAX_OBJECTS:
            raise self.make_error("many")
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
