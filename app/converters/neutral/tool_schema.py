"""The schema of a tool in the form that every upstream takes (contract §6.1, §7.4, §8.4).

OpenAI and Anthropic have the same rule: an object, whose properties are said, without a union at its top. One tool that
breaks it makes upstream refuse every request of the conversation.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

UNIONS: Final = ("allOf", "anyOf", "oneOf")
DEFINITIONS: Final = ("$defs", "definitions")
_REFUSED_AT_THE_TOP: Final = (*UNIONS, "enum", "const", "not", "$ref")
_DEEPEST: Final = 8


def fits(schema: Any) -> bool:
    """Whether a schema can go as it is. Anything but an object is not ours to judge."""
    if not isinstance(schema, dict):
        return True
    return (
        schema.get("type") == "object"
        and isinstance(schema.get("properties"), dict)
        and not any(name in schema for name in _REFUSED_AT_THE_TOP)
    )


def fitting(schema: Json | None) -> tuple[Json, bool]:
    """The schema that upstream takes, and whether it says less than the client's; the same object if it fits.

    A union at the top becomes one object that allows what any of its members allows; a reference there is followed.
    """
    if not schema:
        return {"type": "object", "properties": {}}, False
    if fits(schema):
        return schema, False
    says_less = any(name in schema for name in _REFUSED_AT_THE_TOP)
    plain = _flattened(schema, schema, 0) if says_less else dict(schema)
    plain["type"] = "object"
    if not isinstance(plain.get("properties"), dict):
        plain["properties"] = {}
    return plain, says_less


def _flattened(schema: Json, root: Json, depth: int) -> Json:
    flat = {key: value for key, value in schema.items() if key not in _REFUSED_AT_THE_TOP}
    if depth > _DEEPEST:
        return flat
    properties = dict(_properties(flat))
    required = _required(flat)
    for key in ("$ref", *UNIONS):
        given = [_resolved(schema["$ref"], root)] if key == "$ref" and key in schema else schema.get(key)
        listed = given if isinstance(given, list) else []
        members = [_flattened(one, root, depth + 1) for one in listed if isinstance(one, dict)]
        for member in members:
            for name, value in _properties(member).items():
                properties.setdefault(name, value)
        wanted = [_required(member) for member in members]
        if key in ("$ref", "allOf"):
            required += [name for names in wanted for name in names]
        elif wanted:
            required += [name for name in wanted[0] if all(name in names for names in wanted)]
    if properties or "properties" in flat:
        flat["properties"] = properties
    if required:
        flat["required"] = list(dict.fromkeys(required))
    return flat


def _resolved(reference: Any, root: Json) -> Any:
    """What a reference into the schema itself means; None if it leads elsewhere."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for step in reference[2:].split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _properties(schema: Json) -> Json:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _required(schema: Json) -> list[str]:
    found = schema.get("required")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
