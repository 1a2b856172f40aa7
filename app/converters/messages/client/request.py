"""A messages client's request → neutral (conversion rules §2). Pure; decides by ``fields.FIELDS``."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import Any, Final

from app.converters.messages.client import typed_tools, web_search
from app.converters.messages.client.blocks import decode_content, decode_message, mark_of
from app.converters.messages.fields import FIELDS
from app.converters.messages.openai_forms import own_forms
from app.converters.messages.system_settings import applied
from app.converters.messages.tool_changes import settled
from app.converters.messages.vocabulary import PROTOCOL
from app.converters.neutral import field_table
from app.converters.neutral.model_limits import as_effort
from app.converters.neutral.tools import fits_strict
from app.converters.neutral.vocabulary import (
    Audio,
    CacheMark,
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
from app.converters.wire import json_bytes, reading
from app.errors import UnsupportedFeatureError

Json = dict[str, Any]

_TOOL_FIELDS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_MARKLESS = (Opaque, Reasoning, Refusal, Audio)


def decode_request(body: Json) -> Request:
    """Client → neutral. ``max_tokens`` may be missing: counting tokens has none.

    Raises: InvalidRequestError with the path of what has the wrong shape; UnsupportedFeatureError for what cannot be
    carried to any model.
    """
    refuse_thread(body)
    field_table.refuse(body, FIELDS)
    body = own_forms(applied(settled(body)))
    tools = _tools(body.get("tools"))
    body = web_search.removed(body)
    messages = _messages(body)
    choice, parallel = _tool_choice(body.get("tool_choice"), body.get("tools"))
    user, metadata = _metadata(body.get("metadata"))
    rest = field_table.rest(body, FIELDS)
    config = _output_config(body)
    rest.update({f"output_config.{name}": config[name] for name in config if name not in ("effort", "format")})
    return Request(
        model=reading.string(body.get("model"), "model"),
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_output_tokens=reading.opt_count(body.get("max_tokens"), "max_tokens", 1),
        temperature=reading.opt_number(body.get("temperature"), "temperature"),
        top_p=reading.opt_number(body.get("top_p"), "top_p"),
        top_k=reading.opt_count(body.get("top_k"), "top_k", 1),
        stop=_stops(body.get("stop_sequences")),
        reasoning=_reasoning(body.get("thinking"), config.get("effort")),
        output_format=_output_format(config.get("format"), body.get("output_format")),
        stream=reading.opt_bool(body.get("stream"), "stream") is True,
        user=user,
        prompt_cache_key=_session_key(user),
        metadata=metadata,
        service_tier=reading.opt_string(body.get("service_tier"), "service_tier"),
        has_tools_field="tools" in body or bool(tools),
        extra={PROTOCOL: rest} if rest else {},
    )


def refuse_thread(body: Json) -> None:
    """Message threads: exactly the errors that make the SDKs go on without them (client notes §0.5).

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
        raise reading.complaint("messages", "is missing")
    system = body.get("system")
    first = [Message("system", parts)] if system and (parts := decode_content(system, "system")) else []
    rest = [decode_message(message, f"messages[{at}]") for at, message in enumerate(reading.items(given, "messages"))]
    if not rest:
        raise reading.complaint("messages", "must hold at least one message")
    if mark := mark_of(body):
        rest[-1] = dataclasses.replace(rest[-1], parts=_with_mark(rest[-1].parts, mark))
    return (*first, *rest)


def _with_mark(parts: tuple[Part, ...], mark: CacheMark) -> tuple[Part, ...]:
    """A cache mark on the last part that can carry one."""
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at]
        if not isinstance(part, _MARKLESS):
            return (*parts[:at], dataclasses.replace(part, cache=mark), *parts[at + 1 :])
    return parts


def _tools(given: Any) -> tuple[Tool, ...]:
    if given is None:
        return ()
    return tuple(_tool(tool, f"tools[{at}]") for at, tool in enumerate(reading.items(given, "tools")))


def _tool(tool: Any, path: str) -> Tool:
    fields = reading.obj(tool, path)
    if typed_tools.is_hosted(fields):
        return Tool(str(fields["type"]), kind="hosted", cache=mark_of(fields), extra={PROTOCOL: fields})
    function = typed_tools.as_function(fields)
    schema = function.get("input_schema")
    rest = {} if function is not fields else {k: v for k, v in fields.items() if k not in _TOOL_FIELDS}
    strict = reading.opt_bool(function.get("strict"), f"{path}.strict")
    if strict and not (schema and fits_strict(schema)):
        # Anthropic's strict schemas may have optional properties; OpenAI's may not, so this wish is Anthropic's alone.
        strict, rest = None, {**rest, "strict": True}
    return Tool(
        reading.name(function.get("name"), f"{path}.name"),
        reading.opt_string(function.get("description"), f"{path}.description"),
        None if schema is None else reading.obj(schema, f"{path}.input_schema"),
        strict=strict,
        cache=mark_of(function),
        extra={PROTOCOL: rest} if rest else {},
    )


def _tool_choice(choice: Any, tools: Any) -> tuple[ToolChoice | None, bool | None]:
    if choice is None:
        return None, None
    fields = reading.obj(choice, "tool_choice")
    disabled = reading.opt_bool(fields.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use")
    parallel = None if disabled is None else not disabled
    match fields.get("type"):
        case "auto":
            return ToolChoice("auto"), parallel
        case "any":
            return ToolChoice("required"), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "tool":
            return ToolChoice("named", _named(reading.string(fields.get("name"), "tool_choice.name"), tools)), parallel
    return reading.wrong("tool_choice.type", "'auto', 'any', 'none' or 'tool'")


def _named(name: str, tools: Any) -> ToolRef:
    for tool in tools if isinstance(tools, list) else []:
        if isinstance(tool, dict) and tool.get("name") == name and typed_tools.is_hosted(tool):
            return ToolRef(str(tool["type"]), "hosted")
    return ToolRef(name)


def _reasoning(thinking: Any, effort: Any) -> ReasoningConfig | None:
    known = as_effort(effort)
    if effort is not None and known is None:
        reading.wrong("output_config.effort", "'low', 'medium', 'high', 'xhigh' or 'max'")
    if thinking is None:
        return None if known is None else ReasoningConfig(known)
    fields = reading.obj(thinking, "thinking")
    kind, display = fields.get("type"), reading.opt_string(fields.get("display"), "thinking.display")
    budget = reading.opt_count(fields.get("budget_tokens"), "thinking.budget_tokens", 1)
    match kind:
        case "enabled":
            return ReasoningConfig(known, budget, "enabled", display=display)
        case "adaptive" | "between_tools":
            return ReasoningConfig(known, None, "adaptive", display=display)
        case "disabled":
            return ReasoningConfig(known, None, "disabled")
    return reading.wrong("thinking.type", "'enabled', 'adaptive' or 'disabled'")


def _output_config(body: Json) -> Json:
    config = body.get("output_config")
    return {} if config is None else reading.obj(config, "output_config")


def _output_format(newer: Any, older: Any) -> OutputFormat | None:
    given, path = (older, "output_format") if newer is None else (newer, "output_config.format")
    if given is None:
        return None
    fields = reading.obj(given, path)
    if fields.get("type") != "json_schema":
        reading.wrong(f"{path}.type", "'json_schema'")
    return OutputFormat("json_schema", schema=reading.obj(fields.get("schema"), f"{path}.schema"))


def _stops(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    stops = reading.items(given, "stop_sequences")
    for at, stop in enumerate(stops):
        if not isinstance(stop, str):
            reading.wrong(f"stop_sequences[{at}]", "a string")
    return tuple(stops)


_SESSION: Final = re.compile(r"(?:^|_)session_([0-9A-Za-z-]{8,})$")


def _session_key(user: str | None) -> str | None:
    """One key for the prompt cache per session of Claude Code, which names it in ``metadata.user_id``: in JSON, or at
    the end of the older form ``user_…_account_…_session_…``. A hash: nothing of the id goes to another vendor."""
    if not user or "session" not in user:
        return None
    try:
        about = json_bytes.loads(user.encode("utf-8", "replace"))
    except ValueError:
        about = None
    session = about.get("session_id") if isinstance(about, dict) else None
    if not isinstance(session, str) and (found := _SESSION.search(user)):
        session = found[1]
    if not isinstance(session, str) or not session:
        return None
    return hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()[:32]


def _metadata(given: Any) -> tuple[str | None, Json | None]:
    if given is None:
        return None, None
    fields = reading.obj(given, "metadata")
    rest = {name: value for name, value in fields.items() if name != "user_id"}
    return reading.opt_string(fields.get("user_id"), "metadata.user_id"), rest or None
