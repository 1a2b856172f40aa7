"""Neutral tools and tool choice → those of a chat upstream, which takes functions alone (contract §6.1)."""

from __future__ import annotations

from typing import Any

from app.converters.chat.upstream.target_model import TargetModel
from app.converters.neutral.field_table import drop_foreign
from app.converters.neutral.tool_schema import fitting
from app.converters.neutral.tools import as_function
from app.converters.neutral.vocabulary import Request, Tool, ToolChoice, ToolRef
from app.errors import UnsupportedFeatureError


def encode_tools(request: Request, target: TargetModel) -> dict[str, Any]:
    """``tools``, ``tool_choice`` and ``parallel_tool_calls``.

    Raises: UnsupportedFeatureError where the client forces a tool that cannot be carried.
    """
    choice = request.tool_choice
    tools = _offered(request, target)
    if choice is not None and choice.mode == "allowed":
        tools, choice = _only_allowed(tools, choice, target)
    if not tools:
        if choice is not None and choice.forces and request.tools:
            raise UnsupportedFeatureError(
                "The tool that the model has to call cannot be carried to this model.", param="tool_choice"
            )
        if choice is not None and choice.mode != "none":
            target.losses.drop("tool_choice", "there is no tool to choose")
        return {}
    sent: dict[str, Any] = {"tools": [_tool(tool, target) for tool in tools]}
    if choice is not None:
        sent["tool_choice"] = _choice(choice, target)
    if request.parallel_tool_calls is not None and (
        request.parallel_tool_calls is False or target.limits.parallel_tool_calls
    ):
        sent["parallel_tool_calls"] = request.parallel_tool_calls
    return sent


def _offered(request: Request, target: TargetModel) -> list[Tool]:
    """The tools that can be carried: hosted ones run at their provider only, and some models take none at all."""
    choice = request.tool_choice
    if choice is not None and choice.tool is not None and choice.tool.kind == "hosted":
        raise UnsupportedFeatureError(
            f"GitHub Copilot does not run the hosted tool {choice.tool.name!r}.", param="tool_choice"
        )
    offered: list[Tool] = []
    for tool in request.tools:
        if tool.kind == "hosted":
            target.losses.drop(f"tools[].{tool.name}", "a hosted tool, which Copilot does not run")
        elif not target.limits.tool_calls:
            target.losses.drop("tools", "the model calls no tools")
        else:
            offered.append(tool)
    return offered


def _only_allowed(tools: list[Tool], choice: ToolChoice, target: TargetModel) -> tuple[list[Tool], ToolChoice]:
    """Copilot knows no ``allowed_tools``: offering only those means the same."""
    allowed = {target.names.wire_of(ref) for ref in choice.allowed if ref.kind != "hosted"}
    target.losses.note("tool_choice.allowed_tools", "by offering these tools alone")
    kept = [tool for tool in tools if target.names.wire_of(tool) in allowed]
    if not kept and not choice.is_required:
        return tools, ToolChoice("none")
    return kept, ToolChoice("required" if choice.is_required else "auto", is_required=choice.is_required)


def _choice(choice: ToolChoice, target: TargetModel) -> Any:
    if choice.mode == "named" and choice.tool is not None:
        return {"type": "function", "function": {"name": _name(choice.tool, target)}}
    return choice.mode


def _name(ref: ToolRef, target: TargetModel) -> str:
    return target.names.wire_of(ref)


def _tool(tool: Tool, target: TargetModel) -> dict[str, Any]:
    drop_foreign(tool.extra, "chat", target.losses, path="tools[].")
    if tool.kind == "custom":
        target.losses.note("tools[].custom", "as a function with one string argument")
    if tool.cache:
        target.losses.drop("tools[].cache_control", "chat has cache marks in messages only")
    function = as_function(tool)
    details: dict[str, Any] = {"name": target.names.wire_of(tool)}
    if function.description is not None:
        details["description"] = function.description
    details["parameters"], says_less = fitting(function.schema)
    if says_less:
        target.losses.note("tools[].parameters", "a union at the top of the schema was flattened")
    if says_less and function.strict:
        target.losses.drop("tools[].strict", "the schema was flattened")
    elif function.strict is True and not target.is_openai:
        # Claude refuses fields in tools that it does not know (contract §6.1).
        target.losses.drop("tools[].strict", "a field of OpenAI models")
    elif function.strict is not None and target.is_openai:
        details["strict"] = function.strict
    return {"type": "function", "function": details, **tool.extra.get("chat", {})}
