"""Tools and tool choice of a chat client → neutral ones, the legacy functions included."""

from __future__ import annotations

from typing import Any, Literal

from app.converters.chat.client.cursor_tools import enveloped
from app.converters.chat.vocabulary import CACHE_MARKS, has_cache_mark
from app.converters.neutral.vocabulary import Tool, ToolChoice, ToolRef
from app.converters.wire import reading


def decode_tools(given: Any) -> tuple[Tool, ...]:
    """``tools``; null is none."""
    if given is None:
        return ()
    return tuple(_tool(raw, f"tools[{at}]") for at, raw in enumerate(reading.items(given, "tools")))


def decode_functions(given: Any) -> tuple[Tool, ...]:
    """The legacy ``functions``."""
    listed = reading.items(given, "functions")
    return tuple(_function(reading.obj(raw, f"functions[{at}]"), f"functions[{at}]") for at, raw in enumerate(listed))


def decode_choice(given: Any, path: str) -> ToolChoice | None:
    """``tool_choice`` in all its forms, and the legacy ``function_call``."""
    if given is None:
        return None
    if isinstance(given, str):
        return _mode(given) or reading.wrong(path, "none, auto, required or an object that names a tool")
    choice = reading.obj(given, path)
    kind = choice.get("type")
    if kind == "allowed_tools":
        return _allowed(choice, path)
    if kind in ("function", "custom", "tool") or (kind is None and "name" in choice):
        return ToolChoice("named", tool=_ref(choice, path))
    if not isinstance(kind, str):
        reading.wrong(f"{path}.type", "a string")
    # `{"type": "auto"}` is how the messages protocol says it; any other type is a hosted tool.
    return _mode(kind) or ToolChoice("named", tool=ToolRef(kind, kind="hosted"))


def forbids_parallel(choice: Any) -> bool:
    """Whether an Anthropic tool choice says that one turn may hold one call only."""
    return isinstance(choice, dict) and choice.get("disable_parallel_tool_use") is True


def _mode(word: str) -> ToolChoice | None:
    if word in ("auto", "validated"):
        # Gemini's `validated` (contract §6.1) is `auto` with arguments that are sure to fit.
        return ToolChoice("auto")
    if word == "none":
        return ToolChoice("none")
    return ToolChoice("required") if word in ("required", "any") else None


def _allowed(choice: dict[str, Any], path: str) -> ToolChoice:
    inner, where = choice.get("allowed_tools"), f"{path}.allowed_tools"
    if inner is None:
        # The flat form of responses.
        inner, where = choice, path
    inner = reading.obj(inner, where)
    listed = reading.items(inner.get("tools"), f"{where}.tools")
    allowed = tuple(
        _ref(reading.obj(raw, f"{where}.tools[{at}]"), f"{where}.tools[{at}]") for at, raw in enumerate(listed)
    )
    return ToolChoice("allowed", allowed=allowed, is_required=inner.get("mode") == "required")


def _ref(choice: dict[str, Any], path: str) -> ToolRef:
    kind = choice.get("type")
    if isinstance(kind, str) and kind not in ("function", "custom", "tool"):
        return ToolRef(kind, kind="hosted")
    key: Literal["custom", "function"] = "custom" if kind == "custom" else "function"
    inner = choice.get(key)
    if isinstance(inner, dict):
        return ToolRef(reading.name(inner.get("name"), f"{path}.{key}.name"), kind=key)
    return ToolRef(reading.name(choice.get("name"), f"{path}.name"), kind=key)


def _tool(raw: Any, path: str) -> Tool:
    tool = reading.obj(raw, path)
    kind = "function" if tool.get("type") is None else tool["type"]
    is_marked = has_cache_mark(tool)
    if kind == "custom" and "custom" not in tool and "name" in tool:
        # Anthropic writes this type for a function with a schema, the flat form of responses for free text.
        return _function(tool, path, is_marked=is_marked) if "input_schema" in tool else enveloped(_custom(tool, path))
    known = {"type", "function", "custom", *CACHE_MARKS}
    unknown = {key: value for key, value in tool.items() if key not in known and value is not None}
    if kind == "function":
        function = tool.get("function")
        if function is None and "name" in tool:
            # The flat form of responses and of Anthropic.
            return _function(tool, path, is_marked=is_marked)
        return _function(reading.obj(function, f"{path}.function"), f"{path}.function", unknown, is_marked=is_marked)
    if kind == "custom":
        where = f"{path}.custom"
        return _custom(reading.obj(tool.get("custom"), where), where, unknown, is_marked=is_marked)
    return Tool(reading.name(kind, f"{path}.type"), kind="hosted", extra={"chat": tool})


def _custom(
    custom: dict[str, Any], path: str, unknown: dict[str, Any] | None = None, *, is_marked: bool = False
) -> Tool:
    return Tool(
        reading.name(custom.get("name"), f"{path}.name"),
        reading.opt_string(custom.get("description"), f"{path}.description"),
        kind="custom",
        format=reading.opt_obj(custom.get("format"), f"{path}.format"),
        cache=is_marked or has_cache_mark(custom),
        extra={"chat": unknown} if unknown else {},
    )


def _function(
    function: dict[str, Any], path: str, unknown: dict[str, Any] | None = None, *, is_marked: bool = False
) -> Tool:
    # Anthropic's word for it, in the tools that Cursor offers to models called Claude.
    schema = "input_schema" if function.get("parameters") is None and "input_schema" in function else "parameters"
    return Tool(
        reading.name(function.get("name"), f"{path}.name"),
        reading.opt_string(function.get("description"), f"{path}.description"),
        reading.opt_obj(function.get(schema), f"{path}.{schema}"),
        strict=reading.opt_bool(function.get("strict"), f"{path}.strict"),
        cache=is_marked or has_cache_mark(function),
        extra={"chat": unknown} if unknown else {},
    )
