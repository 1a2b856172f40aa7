"""JSON schemas: is it one, is it closed the way strict outputs want it, and a value that fits."""

from collections.abc import Iterator
from typing import Any

_TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
_UNIONS = ("anyOf", "oneOf", "allOf")
_EMPTY = ("properties", "required")  # these may be empty


def fault(schema: Any) -> str | None:
    """The first keyword that has no business being as it is, or None."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return f"{schema!r} is not of type 'object', 'boolean'"
    kinds = schema.get("type", [])
    if not all(str(kind) in _TYPES for kind in (kinds if isinstance(kinds, list) else [kinds])):
        return f"{kinds!r} is not valid under any of the given schemas"
    for name, expected in (("properties", dict), ("required", list), ("enum", list), *((one, list) for one in _UNIONS)):
        if name in schema and not (isinstance(schema[name], expected) and (schema[name] or name in _EMPTY)):
            return f"{schema[name]!r} is not a valid '{name}'"
    if not all(isinstance(name, str) for name in schema.get("required", [])):
        return f"{schema['required']!r} is not a valid 'required'"
    return next((found for _, inner in _inner(schema) if (found := fault(inner))), None)


def _inner(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas inside, each with its place as OpenAI writes it."""
    for name, inner in schema.get("properties", {}).items():
        yield f"('properties', '{name}')", inner
    if "items" in schema:
        yield "('items',)", schema["items"]
    for union in _UNIONS:
        for index, inner in enumerate(schema.get(union, [])):
            yield f"('{union}', '{index}')", inner


def not_strict(schema: Any, where: str = "()") -> str | None:
    """Structured outputs want closed objects whose properties are all required."""
    if not isinstance(schema, dict):
        return None
    properties = schema.get("properties", {})
    if schema.get("type") == "object" or properties:
        if schema.get("additionalProperties") is not False:
            return f"In context={where}, 'additionalProperties' is required to be supplied and to be false."
        missing = [name for name in properties if name not in schema.get("required", [])]
        if missing:
            return (
                f"In context={where}, 'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{missing[0]}'."
            )
    return next((found for place, inner in _inner(schema) if (found := not_strict(inner, place))), None)


def sample(schema: Any) -> Any:
    """A value that fits a schema (the common keywords are enough for tests)."""
    if not isinstance(schema, dict):
        return {}
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in _UNIONS[:2]:
        if schema.get(union):
            return sample(schema[union][0])
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "object" or "properties" in schema:
        properties: dict[str, Any] = schema.get("properties", {})
        wanted: list[str] = schema.get("required", list(properties))
        return {name: sample(properties[name]) for name in wanted if name in properties}
    if kind == "array":
        return [sample(schema.get("items", {"type": "string"}))]
    return {"string": "sample", "integer": 1, "number": 1.5, "boolean": True, "null": None}.get(str(kind), {})
