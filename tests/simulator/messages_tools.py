"""The tools of a ``/v1/messages`` body (contract §8.2, §8.4, §13.8)."""

import re
from typing import Any

from . import claude, schemas
from .checks import Refused, bad
from .inference import Job, Json
from .messages_blocks import cache_point, only, refuse, tag

_TOOL = {"type", "name", "description", "input_schema", "cache_control"}
#: tool field -> the beta that brings it
_TOOL_BETAS = {
    "defer_loading": "advanced-tool-use",
    "input_examples": "advanced-tool-use",
    "eager_input_streaming": "fine-grained-tool-streaming",
    "strict": "structured-outputs",
}
_SEARCH = ("tool_search_tool_regex_20251119", "tool_search_tool_bm25_20251119")
_SEARCHERS = ("claude-sonnet-4.5", "claude-sonnet-4.6", "claude-opus-4.5", "claude-opus-4.6")


def having(betas: list[str], prefix: str) -> bool:
    return any(one.startswith(prefix) for one in betas)


def check(job: Job, betas: list[str]) -> int:
    """Returns how many cache points the tools hold."""
    tools = job.fields.get("tools")
    tools = [] if tools is None else tools
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        refuse("tools: Input should be a valid list")
    if len(tools) > 128:
        raise Refused(
            bad(
                "Invalid value for 'tools': expected an array with maximum length 128, but got an array "
                f"with length {len(tools)} instead."
            )
        )
    points = sum(_tool(job, tool, f"tools.{index}", betas) for index, tool in enumerate(tools))
    names = [str(tool.get("name")) for tool in tools]
    if len(set(names)) < len(names):
        refuse("tools: Tool names must be unique.")
    if tools and all(tool.get("defer_loading") for tool in tools):
        refuse("At least one tool must have defer_loading=false.")
    _tool_choice(job, names)
    return points


def _tool(job: Job, tool: Json, path: str, betas: list[str]) -> int:
    kind = str(tool.get("type") or "custom")
    if kind.startswith("web_search"):  # 100 bytes with the newline, as captured
        raise Refused(bad("The use of the web search tool is not supported.", "unsupported_value"))
    if kind in _SEARCH and having(betas, "advanced-tool-use") and job.entry["id"].startswith(_SEARCHERS):
        only(tool, {"type", "name", "defer_loading", "cache_control"}, f"{path}.{kind}.")
        return cache_point(job, tool, f"{path}.{kind}.")
    tag({"type": kind}, ("custom", *job.settings["client_tools"]), path)
    if kind != "custom":
        return cache_point(job, tool, f"{path}.{kind}.")
    known = _TOOL | {name for name, beta in _TOOL_BETAS.items() if having(betas, beta)}
    only(tool, known, f"{path}.custom.")
    if not re.match(r"[a-zA-Z0-9_-]{1,64}\Z", str(tool.get("name", ""))):
        refuse(f"{path}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    _schema(job, tool.get("input_schema"), f"{path}.custom.input_schema")
    if tool.get("defer_loading") and tool.get("cache_control"):
        refuse(
            f"Tool '{tool['name']}' cannot have both defer_loading=true and cache_control set. Tools with "
            "defer_loading cannot use prompt caching."
        )
    return cache_point(job, tool, f"{path}.custom.")


def _schema(job: Job, schema: Any, path: str) -> None:
    if not isinstance(schema, dict):
        refuse(f"{path}: Field required" if schema is None else f"{path}: Input should be a valid dictionary")
    if schema.get("type") != "object":
        refuse(f"{path}.type: {'Field required' if 'type' not in schema else 'Input should be ' + repr('object')}")
    if schemas.fault(schema):
        refuse(
            f"{path}: JSON schema is invalid. It must match JSON Schema draft 2020-12 "
            "(https://json-schema.org/draft/2020-12)."
        )
    if "$schema" in schema and job.settings["refuse_schema_key"]:
        refuse(f"{path}.$schema: Extra inputs are not permitted")
    if schema.keys() & {"oneOf", "allOf", "anyOf"}:
        refuse(f"{path}: input_schema does not support oneOf, allOf, or anyOf at the top level")


def _tool_choice(job: Job, names: list[Any]) -> None:
    choice = job.fields.get("tool_choice")
    if choice is None:
        return
    kind = tag(choice, ("any", "auto", "none", "tool"), "tool_choice")
    known = (
        {"type"}
        | ({"name"} if kind == "tool" else set())
        | (set() if kind == "none" else {"disable_parallel_tool_use"})
    )
    only(choice, known, f"tool_choice.{kind}.")
    if kind in ("any", "tool") and not claude.row(job.entry).forced:
        refuse(f"tool_choice: '{kind}' is not supported for this model.")
    if not names:
        refuse("tool_choice: tool_choice may only be specified while providing tools.")
    if kind == "tool" and choice.get("name") not in names:
        refuse(f"Tool '{choice.get('name')}' not found in provided tools")
