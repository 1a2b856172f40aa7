"""Tools and the choice of one in OpenAI's words, which some clients write into Messages bodies, in Anthropic's own."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_MODES: Final = {"auto": "auto", "none": "none", "any": "any", "required": "any"}


def own_forms(body: Json) -> Json:
    """The body as this protocol words it; the same object if it does already. Never fails."""
    changed: Json = {}
    tools, choice = body.get("tools"), body.get("tool_choice")
    if isinstance(tools, list) and any(map(_is_foreign, tools)):
        changed["tools"] = [_tool(tool) if _is_foreign(tool) else tool for tool in tools]
    own = _choice(choice)
    if own is not choice:
        changed["tool_choice"] = own
    return {**body, **changed} if changed else body


def _is_foreign(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "function"


def _tool(tool: Json) -> Json:
    inner = tool.get("function")
    source = inner if isinstance(inner, dict) else tool
    own = {name: source[name] for name in ("name", "description", "strict") if source.get(name) is not None}
    own["input_schema"] = source.get("parameters") or source.get("input_schema") or {"type": "object", "properties": {}}
    return own | ({"cache_control": tool["cache_control"]} if "cache_control" in tool else {})


def _choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return {"type": _MODES[choice]} if choice in _MODES else choice
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") == "required":
        return {**choice, "type": "any"}
    if choice.get("type") != "function":
        return choice
    inner = choice.get("function")
    return {"type": "tool", "name": (inner if isinstance(inner, dict) else choice).get("name")}
