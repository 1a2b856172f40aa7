"""The tools of a ``/responses`` body, and the schemas in it (contract §7.4, §13.7)."""

import re
from typing import Any

from . import schemas
from .checks import Refused, bad
from .inference import Job, Json
from .responses_refusal import only, refuse

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_HOSTED = {
    "image_generation",
    "code_interpreter",
    "file_search",
    "mcp",
    "computer",
    "computer_use_preview",
    "local_shell",
    "shell",
    "apply_patch",
}
_FUNCTION = {"type", "name", "description", "parameters", "strict"}
# Newer forms, and the models that are sure to take them (contract §7.4, §7.10); tool search: the catalogue tells.
_SINCE = {
    "namespace": re.compile(r"gpt-(5\.[5-9]|[6-9])"),
    "additional_tools": re.compile(r"gpt-(5\.[6-9]|[6-9])"),
}


def taken(job: Job, kind: str) -> bool | int:
    """Whether this model takes a type of tool or item; else the status of its refusal."""
    known = job.settings["responses_by_model"].get(job.entry["id"], {}).get(kind)
    if known is not None:
        return bool(known) if known in (True, False) else int(known)
    since = _SINCE.get(kind)
    is_known = kind == "additional_tools" or kind in job.settings["responses_tools"]
    if kind == "tool_search" and not job.entry["capabilities"].get("supports", {}).get("tool_search"):
        return False
    return is_known and (since is None or since.match(job.entry["id"]) is not None)


def declared(fields: Json) -> list[Json]:
    """All tools that a request offers: those of ``tools``, of ``additional_tools`` items, and those that were found."""
    items = fields.get("input")
    loaders = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    lists = [fields.get("tools")]
    lists += [item.get("tools") for item in loaders if item.get("type") in ("additional_tools", "tool_search_output")]
    return [tool for one in lists if isinstance(one, list) for tool in one if isinstance(tool, dict)]


def check(job: Job) -> None:
    tools = job.fields.get("tools")
    tools = [] if tools is None else tools
    if not isinstance(tools, list):
        refuse("Invalid type for 'tools': expected an array.", "tools")
    if len(tools) > 128:
        refuse(
            "Invalid value for 'tools': expected an array with maximum length 128, but got an array with length "
            f"{len(tools)} instead."
        )
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict):
            refuse(f"Invalid type for 'tools[{index}]': expected an object.", f"tools[{index}]")
        _tool(job, tool, f"tools[{index}]")
    _tool_choice(job, tools)


def _tool(job: Job, tool: Json, path: str) -> None:
    kind, accepted = str(tool.get("type")), [one for one in job.settings["responses_tools"] if taken(job, one) is True]
    verdict = taken(job, kind)
    if verdict is not True:
        if verdict >= 500:
            raise Refused((verdict, {"message": "Internal server error", "code": "internal_error"}))
        if kind.startswith("web_search"):
            raise Refused(bad("The use of the web search tool is not supported.", "unsupported_value"))
        if kind in _HOSTED:
            refuse(f"The requested tool {kind} is not supported.", "tools", "unsupported_value")
        refuse(
            f"Invalid value: '{kind}'. Supported values are: {', '.join(repr(one) for one in accepted)}.",
            f"{path}.type",
            "unknown_parameter",
        )
    if kind == "namespace":
        inside = tool.get("tools")
        for index, inner in enumerate(inside if isinstance(inside, list) else [None]):
            _tool(job, inner if isinstance(inner, dict) else {}, f"{path}.tools[{index}]")
    if kind not in ("function", "custom"):
        return
    name = tool.get("name")
    if name is None:
        refuse(f"Missing required parameter: '{path}.name'.", f"{path}.name")
    if not isinstance(name, str) or not NAME.match(name):
        refuse(
            f"Invalid '{path}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            f"{path}.name",
        )
    if name == "tool_search":
        refuse(f"Invalid '{path}.name': 'tool_search' is a reserved name.", f"{path}.name")
    if kind == "custom":
        return
    only(tool, _FUNCTION | ({"defer_loading"} if "tool_search" in accepted else set()), path + ".")
    schema = tool.get("parameters")
    if schema is None or not job.settings["strict_schemas"]:
        return
    if not isinstance(schema, dict) or schema.get("type") != "object":
        got = schema.get("type") if isinstance(schema, dict) else schema
        refuse(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got "
            f"'type: \"{got}\"'.",
            f"{path}.parameters",
        )
    check_schema(schema, bool(tool.get("strict")), f"function '{name}'", f"{path}.parameters")


def check_schema(schema: Any, strict: bool, what: str, param: str) -> None:
    found = schemas.fault(schema) or (schemas.not_strict(schema) if strict else None)
    if found:
        refuse(f"Invalid schema for {what}: {found}", param)


def _tool_choice(job: Job, tools: list[Json]) -> None:
    choice = job.fields.get("tool_choice")
    if choice in (None, "none", "auto"):
        return
    if not declared(job.fields):
        refuse(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.", "tool_choice"
        )
    if choice == "required":
        return
    if not isinstance(choice, dict):
        refuse("Invalid value for 'tool_choice'.", "tool_choice")
    if choice.get("type") not in ("function", "custom", "allowed_tools"):
        if choice.get("type") not in [tool.get("type") for tool in tools]:
            refuse("Invalid value for 'tool_choice'.", "tool_choice")
        return
    if choice["type"] == "allowed_tools":
        only(choice, {"type", "mode", "tools"}, "tool_choice.")
        if choice.get("mode") not in ("auto", "required") or not isinstance(choice.get("tools"), list):
            refuse("Invalid value for 'tool_choice.mode'.", "tool_choice.mode")
        return
    only(choice, {"type", "name", "namespace"} if taken(job, "namespace") is True else {"type", "name"}, "tool_choice.")
    if "name" not in choice:
        refuse("Missing required parameter: 'tool_choice.name'.", "tool_choice.name")
    names = [tool["function"]["name"] for tool in job.chat.get("tools", [])]
    if choice["name"] not in names:
        refuse(f"Tool choice '{choice['name']}' not found in 'tools' parameter.", "tool_choice")
