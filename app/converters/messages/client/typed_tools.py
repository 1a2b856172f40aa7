"""Anthropic's typed tools that the *client* runs, as the functions that they are (contract §8.4: translate them).

The model knows ``bash_20250124`` and its like by heart, Copilot does not take the type. What goes over the wire is a
function of the same name whose arguments are those that the client's own implementation reads.
"""

from __future__ import annotations

from typing import Any, Final

_STRING: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}
_POINT: Final = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _choice(*names: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(names)}


_EDITING: Final = {
    "path": {"type": "string", "description": "Absolute path of a file or directory."},
    "file_text": {"type": "string", "description": "For create: the whole content."},
    "old_str": {"type": "string", "description": "For str_replace: the text to replace, which occurs exactly once."},
    "new_str": {"type": "string", "description": "For str_replace: the text to put in its stead."},
    "insert_line": {"type": "integer", "description": "For insert: after which line; 0 is before the first."},
    "insert_text": {"type": "string", "description": "For insert: the text to insert."},
    "view_range": {"type": "array", "items": _INTEGER, "description": "For view: first and last line; -1 is the end."},
}

# Prefix of the type → description, schema.
_TOOLS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    (
        "bash_",
        "Run commands in a bash session that lasts from call to call.",
        _object(
            {
                "command": {"type": "string", "description": "The command to run. Required unless restart is true."},
                "restart": {"type": "boolean", "description": "Start a new session instead of running a command."},
            }
        ),
    ),
    (
        "text_editor_",
        "View, create and edit text files.",
        _object({"command": _choice("view", "create", "str_replace", "insert"), **_EDITING}, "command", "path"),
    ),
    (
        "memory_",
        "Keep notes in files under /memories that outlive the conversation.",
        _object(
            {
                "command": _choice("view", "create", "str_replace", "insert", "delete", "rename"),
                **_EDITING,
                "old_path": {"type": "string", "description": "For rename."},
                "new_path": {"type": "string", "description": "For rename."},
            },
            "command",
        ),
    ),
    (
        "computer_2",
        "Look at a screen and use mouse and keyboard.",
        _object(
            {
                "action": {"type": "string", "description": "E.g. screenshot, left_click, type, key, scroll, wait."},
                "coordinate": {**_POINT, "description": "x and y in pixels."},
                "start_coordinate": {**_POINT, "description": "Where a drag begins."},
                "text": {"type": "string", "description": "For type and key; keys to hold for clicks."},
                "duration": {"type": "number", "description": "Seconds, for wait and hold_key."},
                "scroll_direction": _choice("up", "down", "left", "right"),
                "scroll_amount": _INTEGER,
                "region": {"type": "array", "items": _INTEGER, "description": "For zoom: x0, y0, x1, y1."},
            },
            "action",
        ),
    ),
)


def is_hosted(tool: dict[str, Any]) -> bool:
    """Whether the provider runs this tool, which Copilot does not offer."""
    kind = tool.get("type")
    return isinstance(kind, str) and kind != "custom" and _known(kind) is None


def as_function(tool: dict[str, Any]) -> dict[str, Any]:
    """A typed client tool as a function of the same name; any other tool as it is."""
    kind = tool.get("type")
    known = _known(kind) if isinstance(kind, str) else None
    if known is None:
        return tool
    description, schema = known
    size = [tool.get(name) for name in ("display_width_px", "display_height_px")]
    if all(isinstance(side, int) for side in size):
        description += f" The screen has {size[0]}x{size[1]} pixels."
    function = {"name": tool.get("name"), "description": description, "input_schema": schema}
    return function | {"cache_control": tool["cache_control"]} if tool.get("cache_control") else function


def _known(kind: str) -> tuple[str, dict[str, Any]] | None:
    return next(((description, schema) for prefix, description, schema in _TOOLS if kind.startswith(prefix)), None)
