"""Tools and tool choice of the Responses API, both ways. Spec: OpenAI "Responses: tools"; client notes §0.3."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from app.converters.neutral.tools import CLIENT_SPACE
from app.converters.neutral.vocabulary import ChoiceMode, Tool, ToolChoice, ToolRef
from app.converters.responses import client_run
from app.converters.responses.parts import ORIGIN
from app.converters.wire import reading
from app.errors import InvalidRequestError

MODES: Final = ("auto", "none", "required")
_MODE_OF: Final[dict[str, ChoiceMode]] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_FUNCTION: Final = frozenset({"type", "name", "description", "parameters", "strict"})
_CUSTOM: Final = frozenset({"type", "name", "description", "format"})


def decode_tools(raw: Any, path: str = "tools") -> list[Tool]:
    """`tools`: namespaces are taken apart, their tools know where they come from."""
    tools: list[Tool] = []
    for at, given in enumerate(reading.items(raw, path)):
        tool = reading.obj(given, f"{path}[{at}]")
        if tool.get("type") == "namespace":
            tools += _namespace(tool, f"{path}[{at}]")
        else:
            tools.append(decode_tool(tool, f"{path}[{at}]"))
    return tools


def decode_tool(tool: dict[str, Any], path: str) -> Tool:
    """One tool that is no namespace."""
    kind = tool.get("type")
    if kind is None and "name" in tool:
        kind = "function"
    if not isinstance(kind, str) or not kind:
        raise InvalidRequestError(f"`{path}.type` is missing.", param=f"{path}.type")
    if kind == "function":
        # Some clients nest it, as chat does.
        inner = tool.get("function")
        source = inner if isinstance(inner, dict) and "name" not in tool else tool
        return Tool(
            reading.name(source.get("name"), f"{path}.name"),
            reading.opt_string(source.get("description"), f"{path}.description"),
            reading.opt_obj(source.get("parameters"), f"{path}.parameters"),
            strict=reading.opt_bool(source.get("strict"), f"{path}.strict"),
            extra=_extra(source, _FUNCTION),
        )
    if kind == "custom":
        return Tool(
            reading.name(tool.get("name"), f"{path}.name"),
            reading.opt_string(tool.get("description"), f"{path}.description"),
            kind="custom",
            format=reading.opt_obj(tool.get("format"), f"{path}.format"),
            extra=_extra(tool, _CUSTOM),
        )
    if client_run.is_client_run(tool):
        return client_run.as_tool(tool, ORIGIN)
    return Tool(kind, kind="hosted", extra={ORIGIN: tool})


def _extra(tool: dict[str, Any], known: frozenset[str]) -> dict[str, dict[str, Any]]:
    rest = {key: value for key, value in tool.items() if key not in known and value is not None}
    return {ORIGIN: rest} if rest else {}


def _namespace(raw: dict[str, Any], path: str) -> list[Tool]:
    space = reading.name(raw.get("name"), f"{path}.name")
    about = reading.opt_string(raw.get("description"), f"{path}.description")
    tools: list[Tool] = []
    for at, inner in enumerate(reading.items(raw.get("tools"), f"{path}.tools")):
        where = f"{path}.tools[{at}]"
        tool = decode_tool(reading.obj(inner, where), where)
        extra = {**tool.extra.get(ORIGIN, {}), **({"namespace_description": about} if about else {})}
        tools.append(
            Tool(
                tool.name,
                tool.description,
                tool.schema,
                tool.kind,
                tool.strict,
                tool.format,
                space,
                extra={ORIGIN: extra} if extra else {},
            )
        )
    return tools


def decode_tool_choice(raw: Any) -> ToolChoice | None:
    """`tool_choice` in all its forms. A hosted tool that is named has the kind "hosted"."""
    if raw is None:
        return None
    # Other protocols say "any", or put the mode into an object.
    word = raw.get("type") if isinstance(raw, dict) and "name" not in raw else raw
    if isinstance(word, str) and (mode := _MODE_OF.get(word)):
        return ToolChoice(mode)
    choice = reading.obj(raw, "tool_choice")
    if choice.get("type") == "allowed_tools":
        # Chat nests it one deeper.
        inner = choice.get("allowed_tools")
        source = inner if isinstance(inner, dict) else choice
        listed = reading.items(source.get("tools"), "tool_choice.tools")
        allowed = tuple(
            decode_ref(reading.obj(item, f"tool_choice.tools[{at}]"), f"tool_choice.tools[{at}]")
            for at, item in enumerate(listed)
        )
        return ToolChoice("allowed", allowed=allowed, is_required=source.get("mode") == "required")
    return ToolChoice("named", tool=decode_ref(choice, "tool_choice"))


def decode_ref(raw: dict[str, Any], path: str) -> ToolRef:
    """A tool by name."""
    kind = raw.get("type")
    if kind == "tool":
        kind = "function"  # Anthropic's word
    if kind in ("function", "custom"):
        inner = raw.get(kind)
        source = inner if isinstance(inner, dict) and "name" not in raw else raw
        namespace = reading.opt_string(raw.get("namespace"), f"{path}.namespace") or None
        return ToolRef(reading.name(source.get("name"), f"{path}.name"), kind, namespace)
    if not isinstance(kind, str) or not kind:
        raise InvalidRequestError(f"`{path}.type` is missing.", param=f"{path}.type")
    return ToolRef(kind, "hosted")


def echo_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """The tools as the client gave them, for the response object: namespaces put together again."""
    echoed: list[dict[str, Any]] = []
    spaces: dict[str, dict[str, Any]] = {}
    for tool in tools:
        mine = tool.extra.get(ORIGIN, {})
        if mine.get("is_additional"):
            continue
        if tool.namespace == CLIENT_SPACE and client_run.GIVEN in mine:
            echoed.append(mine[client_run.GIVEN])
            continue
        if tool.namespace is None:
            echoed.append(echo_tool(tool))
            continue
        if tool.namespace not in spaces:
            about = mine.get("namespace_description") or ""
            space: dict[str, Any] = {"type": "namespace", "name": tool.namespace, "description": about, "tools": []}
            spaces[tool.namespace] = space
            echoed.append(space)
        spaces[tool.namespace]["tools"].append(echo_tool(tool))
    return echoed


_OURS: Final = frozenset({"namespace_description", "is_additional"})


def echo_tool(tool: Tool) -> dict[str, Any]:
    """One tool as a client of this protocol writes it."""
    mine = {key: value for key, value in tool.extra.get(ORIGIN, {}).items() if key not in _OURS}
    if tool.kind == "hosted":
        return {"type": tool.name, **mine}
    wire: dict[str, Any] = {"type": tool.kind, "name": tool.name, "description": tool.description}
    if tool.kind == "custom":
        return {**wire, "format": tool.format or {"type": "text"}, **mine}
    return {**wire, "parameters": tool.schema, "strict": bool(tool.strict), **mine}


def echo_tool_choice(choice: ToolChoice | None) -> Any:
    """The choice as the client gave it; "auto" if it gave none."""
    if choice is None:
        return "auto"
    if choice.mode == "allowed":
        mode = "required" if choice.is_required else "auto"
        return {"type": "allowed_tools", "mode": mode, "tools": [_echo_ref(ref) for ref in choice.allowed]}
    if choice.mode == "named" and choice.tool is not None:
        return _echo_ref(choice.tool)
    return choice.mode


def _echo_ref(ref: ToolRef) -> dict[str, Any]:
    if ref.kind == "hosted" or ref.namespace == CLIENT_SPACE:
        return {"type": ref.name}
    return {
        "type": ref.kind,
        "name": ref.name,
        **({"namespace": ref.namespace} if ref.namespace else {}),
    }
