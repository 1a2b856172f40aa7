"""The neutral request → the body for Copilot's ``/responses``. Contract §7.1–§7.4; conversion rules §2.

Deterministic and prefix-stable. What upstream is known to refuse (``refusals.py``) is left out and recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

from app.converters.neutral import field_table
from app.converters.neutral.amended import amended
from app.converters.neutral.conversation import valid_name
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits, effort_of
from app.converters.neutral.tool_schema import fitting
from app.converters.neutral.tools import ToolNames, as_function, flat_format
from app.converters.neutral.vocabulary import Message, Request, Tool, ToolChoice, ToolRef
from app.converters.responses import refusals as table
from app.converters.responses.fields import FIELDS
from app.converters.responses.parts import ORIGIN
from app.converters.responses.refusals import Taken, beyond
from app.converters.responses.upstream.input import encode_input
from app.converters.responses.vocabulary import INSTRUCTIONS
from app.converters.wire.refusal_words import PROOF
from app.errors import Sentence, UnsupportedFeatureError

_MOST_TOOLS: Final = 128


def encode_request(
    request: Request, limits: ModelLimits, losses: Losses, refused: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Neutral → upstream.

    refused: names (dotted, ``[]`` for any index) of what upstream refused for this model before; "proof": all proofs.
    Raises:  UnsupportedFeatureError for what would change the meaning, InvalidRequestError for unpaired calls.
    """
    if request.stop:
        raise UnsupportedFeatureError("This model takes no stop sequences: leave them out.", param="stop")
    names = ToolNames(request.tools)
    taken = Taken(refused, beyond(limits))
    body: dict[str, Any] = {"model": request.model}
    messages = _put_instructions(body, request.messages)
    body["input"] = encode_input(messages, names, losses, with_proofs=PROOF not in refused, taken=taken)
    _put_tools(body, request, names, losses, taken)
    _put_sampling(body, request, limits, losses)
    _put_reasoning(body, request, limits, losses)
    _put_text(body, request)
    _put_advice(body, request, losses)
    body["store"] = False
    body["include"] = _include(request)
    if request.stream:
        body["stream"] = True
    _put_extra(body, request, losses)
    return amended(body, refused, losses)


def _put_instructions(body: dict[str, Any], messages: tuple[Message, ...]) -> tuple[Message, ...]:
    first = messages[0] if messages else None
    if first is not None and first.extra.get(ORIGIN, {}).get(INSTRUCTIONS):
        body["instructions"] = first.text
        return messages[1:]
    return messages


def _put_tools(body: dict[str, Any], request: Request, names: ToolNames, losses: Losses, taken: Taken) -> None:
    kept = [tool for tool in request.tools if tool.kind != "hosted" or _passes(tool, taken)]
    takes_custom = taken.takes("custom")
    _refuse_forced(request.tool_choice, request.tools, kept)
    for tool in request.tools:
        if tool.kind == "hosted" and tool not in kept:
            rule = table.TOOLS.get(tool.name)
            losses.drop(
                f"tools[].{tool.name}",
                rule.note if rule else "this model refuses it, or it is a tool of another protocol's provider",
            )
        if tool.kind != "hosted":
            field_table.drop_foreign(tool.extra, ORIGIN, losses, path="tools[].")
        if tool.kind != "hosted" and tool.cache:
            losses.drop("tools[].cache_control", "upstream caches by itself")
    if not kept:
        if request.has_tools_field and not request.tools:
            body["tools"] = []
        if request.tool_choice is not None and request.tools:
            losses.drop("tool_choice", "no tool remains")
        return
    if len(kept) > _MOST_TOOLS:
        raise UnsupportedFeatureError(f"At most {_MOST_TOOLS} tools can be offered.", param="tools")
    body["tools"] = [encode_tool(tool, names, losses, takes_custom=takes_custom) for tool in kept]
    if not takes_custom and any(tool.kind == "custom" for tool in kept):
        losses.drop("tools[].custom", "this model refuses it: a function in its place")
    choice = encode_tool_choice(request.tool_choice, kept, names, takes_custom)
    if choice is not None:
        body["tool_choice"] = choice
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _passes(tool: Tool, taken: Taken) -> bool:
    """Whether a tool that the provider runs is one of this protocol's own, and this model takes it."""
    return ORIGIN in tool.extra and taken.takes(tool.name)


def encode_tool(tool: Tool, names: ToolNames, losses: Losses, *, takes_custom: bool = False) -> dict[str, Any]:
    """A tool for upstream. `strict` is always said: upstream's default would rewrite the schema (contract §7.4)."""
    if tool.kind == "hosted":
        return dict(tool.extra[ORIGIN])
    if tool.kind == "custom" and takes_custom:
        about = {"description": tool.description} if tool.description is not None else {}
        form = {"format": flat_format(tool.format)} if tool.format else {}
        return {"type": "custom", "name": names.wire_of(tool), **about, **form}
    function = as_function(tool)
    wire: dict[str, Any] = {"type": "function", "name": names.wire_of(tool)}
    if function.description is not None:
        wire["description"] = function.description
    wire["parameters"], says_less = fitting(function.schema)
    if says_less:
        losses.note("tools[].parameters", "a union at the top of the schema was flattened")
    if says_less and function.strict:
        losses.drop("tools[].strict", "the schema was flattened")
    wire["strict"] = function.strict is True and not says_less
    return wire


def encode_tool_choice(
    choice: ToolChoice | None, offered: list[Tool], names: ToolNames, takes_custom: bool = False
) -> Any:
    """The choice in upstream's words; tools that are not offered there are left out of the allowed ones."""
    if choice is None:
        return None
    if choice.mode == "named" and choice.tool is not None:
        return named(choice.tool, offered, names, takes_custom=takes_custom)
    if choice.mode == "allowed":
        refs = [ref for ref in choice.allowed if _is_there(ref, offered)]
        allowed = [named(ref, offered, names, takes_custom=takes_custom) for ref in refs]
        mode = "required" if choice.is_required else "auto"
        return {"type": "allowed_tools", "mode": mode, "tools": allowed} if allowed else "none"
    return choice.mode


def named(ref: ToolRef, tools: Iterable[Tool], names: ToolNames, *, takes_custom: bool = False) -> dict[str, Any]:
    """The choice of this tool, in upstream's words."""
    if ref.kind == "hosted":
        return {"type": ref.name}
    if ref.namespace is None and names.tool(names.wire_of(ref)) is None:
        # A tool of a namespace may be chosen by its bare name.
        found = next((tool for tool in tools if tool.name == ref.name and tool.kind != "hosted"), None)
        ref = dataclasses.replace(ref, namespace=found.namespace) if found is not None else ref
    tool = names.tool(names.wire_of(ref))
    kind = "custom" if takes_custom and tool is not None and tool.kind == "custom" else "function"
    return {"type": kind, "name": names.wire_of(ref)}


def _is_there(ref: ToolRef, offered: Iterable[Tool]) -> bool:
    """Whether a tool that the provider would run is offered; others are looked up by name."""
    return ref.kind != "hosted" or any(tool.kind == "hosted" and tool.name == ref.name for tool in offered)


def _refuse_forced(choice: ToolChoice | None, tools: tuple[Tool, ...], offered: list[Tool]) -> None:
    """Raise UnsupportedFeatureError where the model would have to call a tool that nobody here runs."""
    if choice is None or not choice.forces:
        return
    refs = choice.allowed if choice.mode == "allowed" else (choice.tool,) if choice.tool else ()
    if any(_is_there(ref, offered) for ref in refs) or (not refs and (offered or not tools)):
        return
    forced = refs[0].name if refs else tools[0].name
    raise UnsupportedFeatureError(
        f"The hosted tool `{forced}` cannot run behind GitHub Copilot, so it cannot be forced.", param="tool_choice"
    )


def _put_sampling(body: dict[str, Any], request: Request, limits: ModelLimits, losses: Losses) -> None:
    limit = limits.clamp_output(request.max_output_tokens, least=table.LEAST_OUTPUT)
    if limit is not None:
        body["max_output_tokens"] = limit
        if limit != request.max_output_tokens:
            losses.note("max_output_tokens", "brought within the limits of the model")
    refuses = limits.reasons(request.model)
    for name, value in (("temperature", request.temperature), ("top_p", request.top_p)):
        if value is not None and refuses:
            losses.drop(name, "models that reason do not take it")
        elif value is not None:
            body[name] = value
    if request.top_k is not None:
        losses.drop("top_k", "upstream has no such parameter")
    if request.top_logprobs is not None:
        losses.drop("top_logprobs", "log probabilities do not survive a conversion")


def _put_reasoning(body: dict[str, Any], request: Request, limits: ModelLimits, losses: Losses) -> None:
    config = request.reasoning
    if config is None:
        return
    wire: dict[str, Any] = {}
    effort = effort_of(config, request.max_output_tokens, limits)
    if effort is not None:
        wire["effort"] = effort
    elif config.effort is not None or config.budget_tokens is not None:
        losses.drop("reasoning.effort", "the model does not say that it takes any")
    if config.summary is not None or (config.shows_text and limits.reasoning_effort):
        wire["summary"] = config.summary or "auto"
    if wire:
        body["reasoning"] = wire


def _put_text(body: dict[str, Any], request: Request) -> None:
    text: dict[str, Any] = {}
    form = request.output_format
    if form is not None and form.kind == "json_object":
        text["format"] = {"type": "json_object"}
    elif form is not None:
        text["format"] = {
            "type": "json_schema",
            "name": valid_name(form.name or "response"),
            "schema": form.schema or {},
            **({"strict": form.strict} if form.strict is not None else {}),
            **({"description": form.description} if form.description else {}),
        }
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text


def _put_advice(body: dict[str, Any], request: Request, losses: Losses) -> None:
    for name in table.LONGEST_STRINGS:
        value = getattr(request, name)
        if value and name == "prompt_cache_key":
            # Any key will do that is the same in every turn.
            body[name] = value if len(value) <= 64 else valid_name(value)
        elif value and len(value) <= 64:
            body[name] = value
        elif value:
            losses.drop(name, "longer than the 64 characters that upstream takes")
    if request.metadata:
        if len(request.metadata) <= 16 and all(isinstance(value, str) for value in request.metadata.values()):
            body["metadata"] = request.metadata
        else:
            losses.drop("metadata", "not the sixteen strings that upstream takes")
    if request.prompt_cache_retention is not None:
        body["prompt_cache_retention"] = request.prompt_cache_retention
    if request.service_tier is not None:
        losses.drop("service_tier", table.FIELDS["service_tier"].note)
    if request.store:
        losses.note("store", "answered as not stored")


def _include(request: Request) -> list[str]:
    given = request.extra.get(ORIGIN, {}).get("include")
    names = given if isinstance(given, list) else []
    listed = [name for name in names if isinstance(name, str) and name in table.TAKEN_INCLUDES]
    return listed if table.ENCRYPTED in listed else [*listed, table.ENCRYPTED]


def _put_extra(body: dict[str, Any], request: Request, losses: Losses) -> None:
    """Write back what this protocol carried; record what it, or another one, cannot say here."""
    for origin, fields in request.extra.items():
        for name, value in fields.items():
            field = FIELDS.get(name)
            if origin != ORIGIN:
                losses.drop(name, Sentence("only %(origin)s knows it", origin=origin))
            elif field is None or field.verdict == "dropped":
                losses.drop(name, field.note if field else "not a field of this protocol")
            elif field.verdict == "carried" and name not in body:
                outer, _, inner = name.partition(".")
                body[outer] = {**body.get(outer, {}), inner: value} if inner else value
