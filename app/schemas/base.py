"""The boundary: the few fields that the bridge itself reads are checked, everything else is let through untouched.

Schemas are made once, and used through `check()`, never through ``load()``: nothing is coerced, reordered or lost. Each
kind of field says by its `shape` how JSON Schema has it, for /openapi.json.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import INCLUDE, Schema, ValidationError, fields, missing

from app.errors import InvalidRequestError, Sentence

# No conversation is that long, and walking through millions of empty objects would hold up everybody.
_MAX_OBJECTS = 50_000


class Boundary(Schema):
    """Base of all request schemas: unknown fields are the upstream's business."""

    class Meta:
        unknown = INCLUDE


MAX_NAME_CHARACTERS = 256
NAME_RULE = Sentence("must be a string of 1 to %(most)s printable characters", most=MAX_NAME_CHARACTERS)


def is_name(value: object) -> bool:
    """Whether this can be the name of a model: it goes into logs, headers and the store."""
    if not isinstance(value, str) or "\ufffd" in value:  # what half a character became
        return False
    return bool(value.strip()) and len(value) <= MAX_NAME_CHARACTERS and value.isprintable()


class Name(fields.Field[str]):
    """The name of a model."""

    shape: ClassVar[dict[str, Any]] = {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_NAME_CHARACTERS,
        "pattern": r"\S",
    }
    default_error_messages = {
        "required": Sentence("is required"),
        "null": Sentence("must be a string, not null"),
        "invalid": NAME_RULE,
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not is_name(value):
            raise self.make_error("invalid")
        return str(value)


class Flag(fields.Field[bool]):
    """A JSON true or false; marshmallow's own would take "yes" and 1 as well."""

    shape: ClassVar[dict[str, Any]] = {"type": "boolean"}
    default_error_messages = {"invalid": Sentence("must be true or false")}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Count(fields.Field[int]):
    """A whole number of at least 1."""

    shape: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 1}
    default_error_messages = {"invalid": Sentence("must be a whole number of at least 1")}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.make_error("invalid")
        return value


class Objects(fields.Field[list[Any]]):
    """A list of JSON objects, not empty. Only the shape: what is in them is for the converters."""

    shape: ClassVar[dict[str, Any]] = {
        "type": "array",
        "items": {"type": "object"},
        "minItems": 1,
        "maxItems": _MAX_OBJECTS,
    }
    default_error_messages = {
        "required": Sentence("is required"),
        "null": Sentence("must be a list, not null"),
        "invalid": Sentence("must be a list of objects that is not empty"),
        "many": Sentence("must not hold more than %(most)s objects", most=_MAX_OBJECTS),
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise self.make_error("invalid")
        if len(value) > _MAX_OBJECTS:
            raise self.make_error("many")
        return value


class Options(fields.Field[dict[str, Any]]):
    """A JSON object, or null."""

    shape: ClassVar[dict[str, Any]] = {"type": "object"}
    default_error_messages = {"invalid": Sentence("must be an object")}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        return value


def check(schema: Schema, body: dict[str, Any]) -> None:
    """Raise InvalidRequestError naming the first field that is wrong.

    A field that is read here must not stand there in other letters: upstream may be written in Go, which takes
    ``Model`` for ``model``, and would serve another model than the one that was looked at.
    """
    for name in body:
        if name not in schema.fields and (meant := name.lower()) in schema.fields:
            raise InvalidRequestError(
                Sentence("'%(name)s' must be written '%(meant)s'.", name=name[:100], meant=meant), param=name[:100]
            )
    problems = {} if _is_right(schema, body) else schema.validate(body)
    if problems:
        path, words = _first(problems)
        raise InvalidRequestError(Sentence("'%(path)s' %(what)s.", path=path, what=words), param=path)


def _is_right(schema: Schema, body: dict[str, Any]) -> bool:
    """Whether each field is right by itself. The library's own walk, which makes a copy of the body and keeps account
    of all problems, is for those that are not, and for schemas that look at more than their fields."""
    if schema.unknown != INCLUDE or any(schema._hooks.values()):
        return False
    try:
        for name, field in schema.fields.items():
            field.deserialize(body.get(name, missing), name, body)
    except ValidationError:
        return False
    return True


# What the library says of a field that has no words of its own: they are sentences, and ours need the end of one.
_OURS: Final = {
    fields.Field.default_error_messages["required"]: Sentence("is required"),
    fields.Field.default_error_messages["null"]: Sentence("must not be null"),
    fields.List.default_error_messages["invalid"]: Sentence("must be a list"),
}


def _first(problems: dict[Any, Any]) -> tuple[str, str]:
    """The path of the first field that is wrong, ``rules[2].to``, and what is wrong with it."""
    path, told = "", next(iter(problems.items()))
    while True:
        name, inner = told
        if name != "_schema":
            path += f"[{name}]" if isinstance(name, int) else f".{name}" if path else str(name)
        if not isinstance(inner, dict) or not inner:
            words = inner[0] if inner else Sentence("is invalid")
            return path, Sentence("must be an object") if name == "_schema" else _OURS.get(words, words)
        told = next(iter(inner.items()))
