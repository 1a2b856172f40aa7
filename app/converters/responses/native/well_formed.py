"""Whether a Responses body may pass natively: see `app.converters.neutral.well_formed`. Contract §7.3, §7.4."""

from __future__ import annotations

from typing import Any, Final

from app.converters.neutral.well_formed import has_numbers, is_content, is_id, is_name
from app.converters.responses.vocabulary import ROLES

Json = dict[str, Any]

_TEXTS: Final = frozenset({"input_text", "output_text", "text"})
_CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
_RESULTS: Final = ("function_call_output", "custom_tool_call_output")


def is_well_formed(body: Json) -> bool:
    """Never fails."""
    tools = body.get("tools")
    return (
        has_numbers(body, "temperature", "top_p")
        and (not isinstance(tools, list) or all(map(_is_tool, tools)))
        and _is_conversation(body.get("input"))
    )


def _is_tool(tool: Any) -> bool:
    return not isinstance(tool, dict) or tool.get("type") != "function" or "name" not in tool or is_name(tool["name"])


def _is_conversation(items: Any) -> bool:
    """Each call has one result somewhere behind it. After a compaction nobody can tell."""
    waiting: set[str] = set()
    is_whole = True
    for item in items if isinstance(items, list) else ():
        if isinstance(item, str):
            continue
        kind = item.get("type", "message" if "role" in item else None) if isinstance(item, dict) else None
        if not isinstance(kind, str) or not _is_item(item, kind):
            return False
        if kind in _CALLS:
            if item["call_id"] in waiting:
                return False
            waiting.add(item["call_id"])
        elif kind in _RESULTS and item.get("call_id") is not None:  # without, it is a report that answers no call
            if is_whole and item["call_id"] not in waiting:
                return False
            waiting.discard(item["call_id"])
        is_whole = is_whole and kind not in ("compaction", "item_reference")
    return not waiting or not is_whole


def _is_item(item: Json, kind: str) -> bool:
    if kind == "message":
        return str(item.get("role")) in ROLES and is_content(item.get("content"), _TEXTS)
    if kind in _CALLS:
        return _is_call(item, _CALLS[kind])
    if kind in _RESULTS:
        is_report = item.get("call_id") is None and bool(item.get("name"))
        return is_content(item.get("output"), _TEXTS) and (is_report or is_id(item.get("call_id")))
    return True


def _is_call(item: Json, field: str) -> bool:
    # In a namespace a name may be spelt otherwise.
    is_named = is_name(item.get("name")) or (bool(item.get("namespace")) and is_id(item.get("name")))
    return is_id(item.get("call_id")) and is_named and isinstance(item.get(field), str)
