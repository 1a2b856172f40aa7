"""Whether a chat body may pass natively: see `app.converters.neutral.well_formed`. Contract §6.2."""

from __future__ import annotations

from typing import Any, Final

from app.converters.neutral.well_formed import has_numbers, is_content, is_id, is_name

_TEXTS: Final = frozenset({"text"})
_SAID: Final = ("system", "developer", "user")
_CHOICES: Final = (None, "none", "auto", "required", "any", "validated")


def is_well_formed(body: dict[str, Any]) -> bool:
    """Never fails."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    return (
        has_numbers(body, "temperature", "top_p")
        and (isinstance(choice, dict) or (isinstance(choice, str | type(None)) and choice in _CHOICES))
        and (not isinstance(tools, list) or all(map(_is_tool, tools)))
        and _is_conversation(body.get("messages"))
    )


def _is_tool(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(tool.get("type"), str) and is_name(function.get("name"))


def _is_conversation(messages: Any) -> bool:
    """Each turn with calls is followed by their results, one for each."""
    waiting: set[str] = set()
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            return False
        role = message.get("role")
        if role == "tool":
            call_id = message.get("tool_call_id")
            if not is_id(call_id) or call_id not in waiting or not is_content(message.get("content"), _TEXTS):
                return False
            waiting.remove(call_id)
        elif waiting:
            return False
        elif role == "assistant":
            called = _calls(message.get("tool_calls"))
            if called is None or not (message.get("content") is None or is_content(message["content"], _TEXTS)):
                return False
            waiting = called
        elif role in _SAID:
            if not is_content(message.get("content"), _TEXTS):
                return False
        elif role != "function":
            return False
    return not waiting


def _calls(given: Any) -> set[str] | None:
    """The ids of the calls of a message; None if something is wrong with one."""
    called: set[str] = set()
    if not isinstance(given, list):
        return called if given is None else None
    for call in given:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not is_name(function.get("name")):
            return None
        if not isinstance(call.get("type"), str) or not isinstance(function.get("arguments"), str):
            return None
        call_id = call.get("id")
        if not is_id(call_id) or call_id in called:
            return None
        called.add(call_id)
    return called
