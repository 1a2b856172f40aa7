"""A client's Responses request → the neutral request. Spec: OpenAI "Create a model response"; conversion rules §2.

Fields that the vocabulary has no word for ride in ``extra["responses"]`` under their (dotted) names: the encoder of
another protocol records them as dropped, the one of this protocol writes back those that are ``carried``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

from app.converters.neutral.vocabulary import Message, Request, Text, Tool
from app.converters.responses.client.configuration import configured, decode_format, decode_reasoning
from app.converters.responses.client.input import TOOL_ITEMS, decode_input
from app.converters.responses.client.tools import decode_tool_choice, decode_tools
from app.converters.responses.client_run import chosen
from app.converters.responses.fields import FIELDS, is_said
from app.converters.responses.parts import ORIGIN
from app.converters.responses.refusals import ENCRYPTED
from app.converters.responses.vocabulary import INSTRUCTIONS
from app.converters.wire import reading
from app.errors import InvalidRequestError, UnsupportedFeatureError

_STORED: Final = {"previous_response_id": "Previous response", "conversation": "Conversation"}
_NOT_THERE: Final = {
    "previous_response_id": "The bridge has stored no such response, or has removed it since; send the whole "
    "conversation in `input`.",
    "conversation": "Nothing is stored upstream; send the whole conversation in `input`.",
}
_NESTED: Final = ("reasoning", "text")


def decode_request(body: dict[str, Any]) -> Request:
    """Client → neutral.

    Raises: InvalidRequestError (with the path of the field) for what is malformed, UnsupportedFeatureError for what
    FIELDS refuses: state that nobody keeps, above all.
    """
    refuse_fields(body)
    model = reading.string(body.get("model"), "model")
    if "input" not in body:
        raise InvalidRequestError("`input` is missing.", param="input")
    body = configured(body)
    text = reading.opt_obj(body.get("text"), "text") or {}
    offered = decode_tools(body["tools"]) if body.get("tools") is not None else []
    tools = (*offered, *additional_tools(body["input"], offered))
    return Request(
        model=model,
        messages=(*_instructions(body.get("instructions")), *decode_input(body["input"])),
        tools=tools,
        has_tools_field=body.get("tools") is not None,
        tool_choice=chosen(decode_tool_choice(body.get("tool_choice")), tools),
        parallel_tool_calls=reading.opt_bool(body.get("parallel_tool_calls"), "parallel_tool_calls"),
        max_output_tokens=_positive(body.get("max_output_tokens"), "max_output_tokens"),
        temperature=reading.opt_number(body.get("temperature"), "temperature"),
        top_p=reading.opt_number(body.get("top_p"), "top_p"),
        reasoning=decode_reasoning(reading.opt_obj(body.get("reasoning"), "reasoning")),
        output_format=decode_format(reading.opt_obj(text.get("format"), "text.format")),
        verbosity=reading.opt_string(text.get("verbosity"), "text.verbosity"),
        stream=reading.opt_bool(body.get("stream"), "stream") or False,
        user=reading.opt_string(body.get("user"), "user"),
        safety_identifier=reading.opt_string(body.get("safety_identifier"), "safety_identifier"),
        metadata=reading.opt_obj(body.get("metadata"), "metadata"),
        prompt_cache_key=reading.opt_string(body.get("prompt_cache_key"), "prompt_cache_key"),
        prompt_cache_retention=reading.opt_string(body.get("prompt_cache_retention"), "prompt_cache_retention"),
        service_tier=reading.opt_string(body.get("service_tier"), "service_tier"),
        store=reading.opt_bool(body.get("store"), "store"),
        extra=_extra(body),
    )


def refuse_fields(body: dict[str, Any]) -> None:
    """Raise UnsupportedFeatureError for the first field that cannot be served."""
    for name, field in FIELDS.items():
        if field.verdict == "refused" and is_said(name, body.get(name)):
            if name in _STORED:
                raise not_found(name, body[name])
            raise UnsupportedFeatureError(f"`{name}` is not supported: {field.note}.", param=name)


def not_found(name: str, value: Any) -> UnsupportedFeatureError:
    """State that is named and kept nowhere, in OpenAI's own words: at these, clients send the whole conversation."""
    what = _STORED[name]
    named = str(value.get("id") if isinstance(value, dict) else value)[:100]
    code = f"{what.lower().replace(' ', '_')}_not_found"
    return UnsupportedFeatureError(f"{what} with id '{named}' not found. {_NOT_THERE[name]}", param=name, code=code)


def additional_tools(items: Any, offered: Iterable[Tool]) -> list[Tool]:
    """The tools that stand among the input items (client notes §0.3) or that a search has loaded, in their order; not
    those that are offered already."""
    tools: list[Tool] = []
    known = {(tool.name, tool.namespace) for tool in offered}
    for at, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict) and item.get("type") in (TOOL_ITEMS, "tool_search_output"):
            for tool in decode_tools(item.get("tools") or [], f"input[{at}].tools"):
                if (tool.name, tool.namespace) in known:
                    continue
                known.add((tool.name, tool.namespace))
                mark = {**tool.extra.get(ORIGIN, {}), "is_additional": True}
                tools.append(dataclasses.replace(tool, extra={ORIGIN: mark}))
    return tools


def _instructions(raw: Any) -> tuple[Message, ...]:
    if isinstance(raw, list):
        # Only responses themselves carry a list; as a request it is input that stands first.
        return tuple(decode_input(raw))
    text = reading.opt_string(raw, "instructions")
    return (Message("system", (Text(text),), extra={ORIGIN: {INSTRUCTIONS: True}}),) if text else ()


def _positive(raw: Any, path: str) -> int | None:
    number = reading.opt_count(raw, path)
    if number is not None and number < 1:
        raise InvalidRequestError(f"`{path}` must be at least 1.", param=path)
    return number


def _extra(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All that has no home: carried, dropped and unknown fields alike."""
    rest: dict[str, Any] = {}
    for name, value in body.items():
        if name in _NESTED and isinstance(value, dict):
            inner = {f"{name}.{key}": said for key, said in value.items()}
            rest.update({path: said for path, said in inner.items() if _is_homeless(path, said)})
        elif _is_homeless(name, value):
            rest[name] = value
    return {ORIGIN: rest} if rest else {}


def _is_homeless(name: str, value: Any) -> bool:
    field = FIELDS.get(name)
    if value is None or (field is not None and field.verdict in ("mapped", "refused")):
        return False
    # What is always asked for, and given in any dialect, is no wish of its own.
    return not (name == "include" and isinstance(value, list) and all(one == ENCRYPTED for one in value))
