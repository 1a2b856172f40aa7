"""JSON schemas in the form that a messages upstream takes (contract §8.2, §8.4)."""

from __future__ import annotations

from typing import Any, Final

from app.converters.messages.vocabulary import ANSWER_TOOL, ANSWER_VALUE_TOOL
from app.converters.neutral.tool_schema import DEFINITIONS, UNIONS, fitting
from app.converters.neutral.vocabulary import OutputFormat

Json = dict[str, Any]

FORMAT: Final = "output_config.format"

RESTORE: Final = "structured_answer"
"""What the native normalizer is told when the answer comes as a call (``UpstreamRequest.restore``)."""


def tool_schema(schema: Json | None) -> tuple[Json, bool]:
    """The ``input_schema`` of a tool, and whether it says less than the client's: as for all, and no ``$schema``."""
    plain, says_less = fitting(schema)
    return (
        {key: value for key, value in plain.items() if key != "$schema"} if "$schema" in plain else plain
    ), says_less


def answer_schema(wanted: OutputFormat) -> Json:
    """The schema of ``output_config.format``: every object in it must say that it has no further properties."""
    closed = _closed(wanted.schema or {"type": "object"})
    about = {"description": wanted.description} if wanted.description else {}
    return about | {key: value for key, value in closed.items() if key != "$schema"}


def _closed(value: Any) -> Any:
    if isinstance(value, list):
        return [_closed(item) for item in value]
    if not isinstance(value, dict):
        return value
    closed = {
        key: item if key in ("enum", "const", "default", "examples") else _closed(item) for key, item in value.items()
    }
    if value.get("type") == "object" or (isinstance(value.get("properties"), dict) and "type" not in value):
        closed["additionalProperties"] = False
    return closed


def answer_tool(wanted: OutputFormat) -> Json:
    """Structured output as the one tool that the model has to call; its answer is unwrapped by the decoders."""
    schema = wanted.schema or {"type": "object"}
    description = "Give your final answer by calling this tool; its input is the whole answer."
    if wanted.description:
        description += f"\n\n{wanted.description}"
    if schema.get("type") == "object" and not any(key in schema for key in UNIONS):
        return {"name": ANSWER_TOOL, "description": description, "input_schema": tool_schema(schema)[0]}
    # References are resolved from the root, so definitions have to move up with it.
    inner = {key: value for key, value in schema.items() if key not in (*DEFINITIONS, "$schema")}
    wrapped: Json = {"type": "object", "properties": {"value": inner}, "required": ["value"]}
    wrapped |= {key: schema[key] for key in DEFINITIONS if key in schema}
    return {"name": ANSWER_VALUE_TOOL, "description": description, "input_schema": wrapped}


def with_answer_tool(wanted: OutputFormat, tools: list[Any], choice: Any) -> tuple[list[Any], Json]:
    """Tools and choice with that tool: the model calls one of the client's tools, or answers."""
    tool = answer_tool(wanted)
    given = choice if isinstance(choice, dict) else {}
    is_free = bool(tools) and given.get("type") != "none"
    forced: Json = {"type": "any"} if is_free else {"type": "tool", "name": tool["name"]}
    if given.get("disable_parallel_tool_use"):
        forced["disable_parallel_tool_use"] = True
    return [*tools, tool], forced


def has_answer_tool(body: Json) -> bool:
    """Whether the last tool is that one."""
    tools = body.get("tools")
    last = tools[-1] if isinstance(tools, list) and tools else None
    return isinstance(last, dict) and last.get("name") in (ANSWER_TOOL, ANSWER_VALUE_TOOL)
