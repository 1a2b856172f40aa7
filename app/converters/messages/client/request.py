"""A messages client's request → neutral (conversion.md §2). Pure; decides by ``fields.FIELDS``."""

from __future__ import annotations

import dataclasses
from typing import Any

from app.converters import fields as field_table
from app.converters.ir import (
    Audio,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Tool,
    ToolChoice,
    ToolRef,
)
from app.converters.limits import as_effort
from app.converters.messages import client_tools, web_search
from app.converters.messages.blocks_decoder import decode_content, decode_message, has_mark
from app.converters.messages.fields import FIELDS
from app.converters.messages.shapes import (
    Json,
    a_list,
    a_string,
    an_object,
    bad,
    maybe_count,
    maybe_flag,
    maybe_number,
    maybe_string,
)
from app.converters.messages.tables import PROTOCOL
from app.converters.tools import fits_strict
from app.errors import UnsupportedFeatureError

_TOOL_FIELDS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_MARKLESS = (Opaque, Reasoning, Refusal, Audio)


def decode_request(body: Json) -> Request:
    """Client → neutral. ``max_tokens`` may be missing: counting tokens has none.

    Raises: InvalidRequestError with the path of what has the wrong shape; UnsupportedFeatureError for what cannot be
    carried to any model.
    """
    refuse_thread(body)
    field_table.refuse(body, FIELDS)
    tools = _tools(body.get("tools"))
    body = web_search.removed(body)
    messages = _messages(body)
    choice, parallel = _tool_choice(body.get("tool_choice"), body.get("tools"))
    user, metadata = _metadata(body.get("metadata"))
    rest = field_table.rest(body, FIELDS)
    config = _output_config(body)
    rest.update({f"output_config.{name}": config[name] for name in config if name not in ("effort", "format")})
    return Request(
        model=a_string(body, "model", ""),
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_output_tokens=maybe_count(body, "max_tokens"),
        temperature=maybe_number(body, "temperature"),
        top_p=maybe_number(body, "top_p"),
        top_k=maybe_count(body, "top_k"),
        stop=_stops(body.get("stop_sequences")),
        reasoning=_reasoning(body.get("thinking"), config.get("effort")),
        output_format=_output_format(config.get("format"), body.get("output_format")),
        stream=maybe_flag(body, "stream", "") is True,
        user=user,
        metadata=metadata,
        service_tier=maybe_string(body, "service_tier", ""),
        has_tools_field="tools" in body or bool(tools),
        extra={PROTOCOL: rest} if rest else {},
    )


def refuse_thread(body: Json) -> None:
    """Message threads: exactly the errors that make the SDKs go on without them (clients.md 0.5).

    Raises: UnsupportedFeatureError.
    """
    thread = body.get("thread")
    if thread is None:
        return
    if isinstance(thread, dict) and thread.get("type") == "continue":
        # The new messages alone are no conversation; at this word the SDKs send all of it again.
        raise UnsupportedFeatureError(
            f"thread.previous_message_id names no conversation that is stored here: {FIELDS['thread'].note}",
            param="thread",
            details={"error_code": "thread_not_found"},
        )
    raise UnsupportedFeatureError(
        f"thread is not supported: {FIELDS['thread'].note}",
        param="thread",
        details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
    )


def _messages(body: Json) -> tuple[Message, ...]:
    given = body.get("messages")
    if given is None:
        raise bad("messages", "Field required")
    system = body.get("system")
    first = [Message("system", parts)] if system and (parts := decode_content(system, "system")) else []
    rest = [decode_message(message, f"messages[{at}]") for at, message in enumerate(a_list(given, "messages"))]
    if not rest:
        raise bad("messages", "at least one message is required")
    if has_mark(body):
        rest[-1] = dataclasses.replace(rest[-1], parts=_with_mark(rest[-1].parts))
    return (*first, *rest)


def _with_mark(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """A cache mark on the last part that can carry one."""
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at]
        if not isinstance(part, _MARKLESS):
            return (*parts[:at], dataclasses.replace(part, cache=True), *parts[at + 1 :])
    return parts


def _tools(given: Any) -> tuple[Tool, ...]:
    if given is None:
        return ()
    return tuple(_tool(tool, f"tools[{at}]") for at, tool in enumerate(a_list(given, "tools")))


def _tool(tool: Any, path: str) -> Tool:
    fields = an_object(tool, path)
    if client_tools.is_hosted(fields):
        return Tool(str(fields["type"]), kind="hosted", cache=has_mark(fields), extra={PROTOCOL: fields})
    function = client_tools.as_function(fields)
    schema = function.get("input_schema")
    rest = {} if function is not fields else {k: v for k, v in fields.items() if k not in _TOOL_FIELDS}
    strict = maybe_flag(function, "strict", path)
    return Tool(
        a_string(function, "name", path),
        maybe_string(function, "description", path),
        None if schema is None else an_object(schema, f"{path}.input_schema"),
        # Anthropic's strict schemas may have optional properties; OpenAI's may not, and then the schema is but advice.
        strict=None if strict and not (schema and fits_strict(schema)) else strict,
        cache=has_mark(function),
        extra={PROTOCOL: rest} if rest else {},
    )


def _tool_choice(choice: Any, tools: Any) -> tuple[ToolChoice | None, bool | None]:
    if choice is None:
        return None, None
    fields = an_object(choice, "tool_choice")
    disabled = maybe_flag(fields, "disable_parallel_tool_use", "tool_choice")
    parallel = None if disabled is None else not disabled
    match fields.get("type"):
        case "auto":
            return ToolChoice("auto"), parallel
        case "any":
            return ToolChoice("required"), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "tool":
            return ToolChoice("named", _named(a_string(fields, "name", "tool_choice"), tools)), parallel
    raise bad("tool_choice.type", "Input should be 'auto', 'any', 'none' or 'tool'")


def _named(name: str, tools: Any) -> ToolRef:
    for tool in tools if isinstance(tools, list) else []:
        if isinstance(tool, dict) and tool.get("name") == name and client_tools.is_hosted(tool):
            return ToolRef(str(tool["type"]), "hosted")
    return ToolRef(name)


def _reasoning(thinking: Any, effort: Any) -> ReasoningConfig | None:
    known = as_effort(effort)
    if effort is not None and known is None:
        raise bad("output_config.effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if thinking is None:
        return None if known is None else ReasoningConfig(known)
    fields = an_object(thinking, "thinking")
    kind, display = fields.get("type"), maybe_string(fields, "display", "thinking")
    budget = maybe_count(fields, "budget_tokens", "thinking")
    match kind:
        case "enabled":
            return ReasoningConfig(known, budget, "enabled", display=display)
        case "adaptive" | "between_tools":
            return ReasoningConfig(known, None, "adaptive", display=display)
        case "disabled":
            return ReasoningConfig(known, None, "disabled")
    raise bad("thinking.type", "Input should be 'enabled', 'adaptive' or 'disabled'")


def _output_config(body: Json) -> Json:
    config = body.get("output_config")
    return {} if config is None else an_object(config, "output_config")


def _output_format(newer: Any, older: Any) -> OutputFormat | None:
    given, path = (older, "output_format") if newer is None else (newer, "output_config.format")
    if given is None:
        return None
    fields = an_object(given, path)
    if fields.get("type") != "json_schema":
        raise bad(f"{path}.type", "Input should be 'json_schema'")
    return OutputFormat("json_schema", schema=an_object(fields.get("schema"), f"{path}.schema"))


def _stops(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    stops = a_list(given, "stop_sequences")
    for at, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise bad(f"stop_sequences[{at}]", "Input should be a string")
    return tuple(stops)


def _metadata(given: Any) -> tuple[str | None, Json | None]:
    if given is None:
        return None, None
    fields = an_object(given, "metadata")
    rest = {name: value for name, value in fields.items() if name != "user_id"}
    return maybe_string(fields, "user_id", "metadata"), rest or None
