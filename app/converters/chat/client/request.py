"""A chat request → the neutral one. What becomes of each field stands in `fields`."""

from __future__ import annotations

from typing import Any, Final, Literal

from app.converters.chat.client.cursor_tools import enveloped_names, recalled
from app.converters.chat.client.messages import MessageDecoder
from app.converters.chat.client.tools import decode_choice, decode_functions, decode_tools, forbids_parallel
from app.converters.chat.fields import FIELDS
from app.converters.neutral import field_table
from app.converters.neutral.model_limits import EFFORTS, as_effort
from app.converters.neutral.vocabulary import Extra, OutputFormat, ReasoningConfig, Request, Tool, ToolChoice
from app.converters.wire import reading

_MODES: Final[tuple[Literal["enabled", "adaptive", "disabled"], ...]] = ("enabled", "adaptive", "disabled")


def decode_request(body: dict[str, Any]) -> Request:
    """Client → neutral.

    Raises: InvalidRequestError with the path of what is wrong; UnsupportedFeatureError for what `FIELDS` refuses.
    Spec:   OpenAI "Create chat completion"; contract §6.1, §6.2.
    """
    field_table.refuse(body, FIELDS)
    model = reading.name(body.get("model"), "model")
    given = reading.items(body.get("messages"), "messages")
    if not given:
        reading.wrong("messages", "a list of at least one message")
    decoder = MessageDecoder()
    messages = tuple(decoder.decode(raw, at) for at, raw in enumerate(given))
    tools, choice = _tools(body)
    if enveloped_names(tools):
        messages = recalled(messages, tools)
    options = reading.opt_obj(body.get("stream_options"), "stream_options") or {}
    limit = reading.opt_count(body.get("max_completion_tokens"), "max_completion_tokens", 1)
    legacy_limit = reading.opt_count(body.get("max_tokens"), "max_tokens", 1)
    return Request(
        model=model,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        # The legacy form has room for one call in a turn.
        parallel_tool_calls=False if is_legacy(body) else _parallel(body),
        max_output_tokens=legacy_limit if limit is None else limit,
        temperature=reading.opt_number(body.get("temperature"), "temperature"),
        top_p=reading.opt_number(body.get("top_p"), "top_p"),
        top_k=reading.opt_count(body.get("top_k"), "top_k"),
        stop=_stop(body.get("stop")),
        reasoning=_reasoning(body),
        output_format=_output_format(body.get("response_format")),
        verbosity=reading.opt_string(body.get("verbosity"), "verbosity"),
        stream=reading.opt_bool(body.get("stream"), "stream") is True,
        include_usage=options.get("include_usage") is True,
        top_logprobs=_top_logprobs(body),
        user=reading.opt_string(body.get("user"), "user"),
        safety_identifier=reading.opt_string(body.get("safety_identifier"), "safety_identifier"),
        metadata=reading.opt_obj(body.get("metadata"), "metadata"),
        prompt_cache_key=reading.opt_string(body.get("prompt_cache_key"), "prompt_cache_key"),
        prompt_cache_retention=reading.opt_string(body.get("prompt_cache_retention"), "prompt_cache_retention"),
        service_tier=reading.opt_string(body.get("service_tier"), "service_tier"),
        store=reading.opt_bool(body.get("store"), "store"),
        has_tools_field=body.get("tools") is not None and not is_legacy(body),
        extra=_extra(body),
    )


def is_legacy(body: dict[str, Any]) -> bool:
    """Whether a client speaks of ``functions`` instead of tools, and wants its calls in that form."""
    return bool(body.get("functions")) and not body.get("tools")


def _tools(body: dict[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    if is_legacy(body):
        return decode_functions(body["functions"]), decode_choice(body.get("function_call"), "function_call")
    return decode_tools(body.get("tools")), decode_choice(body.get("tool_choice"), "tool_choice")


def _parallel(body: dict[str, Any]) -> bool | None:
    said = reading.opt_bool(body.get("parallel_tool_calls"), "parallel_tool_calls")
    choice = body.get("tool_choice")
    # Anthropic says it within the choice.
    return False if said is None and forbids_parallel(choice) else said


def _stop(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    return tuple(reading.string(one, f"stop[{at}]") for at, one in enumerate(reading.items(given, "stop")))


def _reasoning(body: dict[str, Any]) -> ReasoningConfig | None:
    given = body.get("reasoning_effort")
    effort = as_effort(given)
    if given is not None and effort is None:
        reading.wrong("reasoning_effort", f"one of {', '.join(EFFORTS)}")
    thinking = reading.opt_obj(body.get("thinking"), "thinking") or {}
    mode = next((mode for mode in _MODES if mode == thinking.get("type")), None)
    budget = reading.opt_count(body.get("thinking_budget"), "thinking_budget")
    if budget is None:
        budget = reading.opt_count(thinking.get("budget_tokens"), "thinking.budget_tokens")
    config = ReasoningConfig(effort=effort, budget_tokens=budget, mode=mode, by_effort=effort is not None)
    return None if config == ReasoningConfig() else config


def _output_format(given: Any) -> OutputFormat | None:
    path = "response_format"
    wanted = reading.opt_obj(given, path)
    if wanted is None or wanted.get("type") == "text":
        return None
    if wanted.get("type") == "json_object":
        return OutputFormat("json_object")
    if wanted.get("type") != "json_schema":
        reading.wrong(f"{path}.type", "text, json_object or json_schema")
    inner = reading.obj(wanted.get("json_schema"), f"{path}.json_schema")
    return OutputFormat(
        "json_schema",
        name=reading.opt_string(inner.get("name"), f"{path}.json_schema.name"),
        schema=reading.opt_obj(inner.get("schema"), f"{path}.json_schema.schema"),
        strict=reading.opt_bool(inner.get("strict"), f"{path}.json_schema.strict"),
        description=reading.opt_string(inner.get("description"), f"{path}.json_schema.description"),
    )


def _top_logprobs(body: dict[str, Any]) -> int | None:
    count = reading.opt_count(body.get("top_logprobs"), "top_logprobs")
    if count is None and reading.opt_bool(body.get("logprobs"), "logprobs"):
        return 0
    return count


def _extra(body: dict[str, Any]) -> Extra:
    extra = field_table.rest(body, FIELDS)
    options = body.get("stream_options") or {}
    more = {key: value for key, value in options.items() if key != "include_usage" and value is not None}
    if more:
        extra["stream_options"] = more
    return {"chat": extra} if extra else {}
