"""Tools that are added and removed within the conversation (Anthropic's ``tool_addition`` and ``tool_removal`` blocks).

Claude Code announces such changes in system messages; upstream knows neither the blocks nor their beta. A request is
whole every time, so the tools that hold at its end are the request's tools, and the blocks go.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_CHANGES = frozenset({"tool_addition", "tool_removal"})
_OF_A_RANGE = "tool_changes"


def settled(body: Json) -> Json:
    """The body with the tools that hold at its end, without the blocks; the same object if there are none. Never fails:
    what has the wrong shape stays where it is."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not any(map(_changes_in, messages)):
        return body
    given = body.get("tools")
    tools: list[Any] = list(given) if isinstance(given, list) else []
    kept = []
    for message in messages:
        changes = _changes_in(message)
        for change in changes:
            tools = _changed(tools, change)
        if changes:
            content = [_without_changes(block) for block in message["content"] if not _is_change(block)]
            message = {**message, "content": content}
            if not content:
                continue
        kept.append(message)
    rest = {name: value for name, value in body.items() if name != "tools"}
    return {**rest, "messages": kept, **({"tools": tools} if tools else {})}


def _changes_in(message: Any) -> list[Json]:
    """Those of a compacted range stand in its summary."""
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else []
    return [change for block in blocks for change in (block, *_compacted(block)) if _is_change(change)]


def _compacted(block: Any) -> list[Any]:
    changes = block.get(_OF_A_RANGE) if isinstance(block, dict) and block.get("type") == "compaction" else None
    return changes if isinstance(changes, list) else []


def _without_changes(block: Any) -> Any:
    left = [change for change in _compacted(block) if not _is_change(change)]
    if len(left) == len(_compacted(block)):
        return block
    rest = {key: value for key, value in block.items() if key != _OF_A_RANGE}
    return {**rest, _OF_A_RANGE: left} if left else rest


def _is_change(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and str(block.get("type")) in _CHANGES
        and isinstance(block.get("tool"), dict)
        and isinstance(_name_of(block["tool"]), str)
    )


def _name_of(tool: Json) -> Any:
    definition = tool.get("definition")
    return definition.get("name") if isinstance(definition, dict) else tool.get("name", tool.get("tool_name"))


def _changed(tools: list[Any], change: Json) -> list[Any]:
    tool, name = change["tool"], _name_of(change["tool"])
    others = [one for one in tools if not (isinstance(one, dict) and one.get("name") == name)]
    if change["type"] == "tool_removal":
        return others
    known = next((one for one in tools if isinstance(one, dict) and one.get("name") == name), None)
    definition = tool.get("definition") or known
    if definition is None:
        return tools
    # A reference to a tool that was held back: from now on it is offered.
    return [*others, {key: value for key, value in definition.items() if key != "defer_loading"}]
