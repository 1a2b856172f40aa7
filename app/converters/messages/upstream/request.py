"""Neutral request → the body of a messages upstream (conversion rules §2; contract §8.2, §8.4).

Deterministic and prefix-stable. What the body needs of the ``anthropic-beta`` header says ``betas.headers_for``.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.messages.fields import FIELDS
from app.converters.messages.upstream import claude, schemas
from app.converters.messages.upstream.betas import ADVANCED_FIELDS, is_tool_search, searches_tools
from app.converters.messages.upstream.blocks import BlockEncoder, has_calls_to_answer
from app.converters.messages.upstream.thinking import (
    encode_thinking,
    is_forced,
    is_on,
    without_compaction,
    without_idle_edits,
)
from app.converters.messages.vocabulary import PROTOCOL
from app.converters.neutral import field_table
from app.converters.neutral.amended import amended
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.tools import ToolNames, as_function
from app.converters.neutral.vocabulary import Request, Tool, ToolChoice, ToolRef
from app.converters.wire.refusal_words import PROOF
from app.errors import UnsupportedFeatureError

Json = dict[str, Any]

MOST_MARKS: Final = 4
_DEFAULT_OUTPUT: Final = 4096  # contract §4.3: when the catalogue says nothing
_JSON_ONLY: Final = "Answer with one JSON object and nothing else: no words around it, no code fence."

# Attributes of a request that a messages upstream has no field for.
_ADVICE: Final = {
    "verbosity": "verbosity",
    "top_logprobs": "logprobs",
    "prompt_cache_retention": "prompt_cache_retention",
    "service_tier": "service_tier",
    "metadata": "metadata",
}


def encode_request(
    request: Request, limits: ModelLimits, losses: Losses, refused: frozenset[str] = frozenset()
) -> Json:
    """Neutral → upstream body.

    refused: names of what upstream has refused for this model before (`neutral.amended`).
    Raises: UnsupportedFeatureError, InvalidRequestError for what cannot be said to this upstream.
    """
    names = ToolNames(request.tools)
    encoder = BlockEncoder(
        names,
        losses,
        sends_proofs=PROOF not in refused,
        takes_system=claude.claude(limits).system,
        caches_for_an_hour=limits.caches_for_an_hour,
    )
    system, messages = encoder.conversation(request.messages)
    tools = _tools(request, names, encoder, limits, losses, refused)
    choice = _tool_choice(request, names, bool(tools))
    answer = _structured(request, limits, refused, tools, choice, losses)
    if answer.instruction:
        system.append({"type": "text", "text": answer.instruction})
    max_tokens = _max_tokens(request, limits, losses)
    body: Json = {"model": request.model, "max_tokens": max_tokens}
    if system:
        body["system"] = system
    body["messages"] = messages
    if answer.tools:
        body["tools"] = answer.tools
    if answer.choice is not None:
        body["tool_choice"] = answer.choice
    body = claude.unforced(body, limits, losses)
    _add_thinking(body, request, limits, refused, losses)
    if answer.format is not None:
        body.setdefault("output_config", {})["format"] = answer.format
    _add_sampling(body, request, losses)
    _add_rest(body, request, losses)
    if request.stream:
        body["stream"] = True
    _limit_marks(body, losses)
    claude.refuse_too_many_images(body["messages"], limits)
    return without_compaction(without_idle_edits(amended(body, refused, losses)), (), losses)


def _max_tokens(request: Request, limits: ModelLimits, losses: Losses) -> int:
    most = limits.max_output_tokens or _DEFAULT_OUTPUT
    whole = limits.max_non_streaming_output_tokens
    wanted = limits.clamp_output(request.max_output_tokens) or most
    if whole is not None and not request.stream:
        wanted = min(wanted, whole)
    if request.max_output_tokens is not None and wanted < request.max_output_tokens:
        losses.note("max_tokens", "lowered to what the model offers")
    return wanted


# -- tools -----------------------------------------------------------------------------------------------------------


def _tools(
    request: Request,
    names: ToolNames,
    encoder: BlockEncoder,
    limits: ModelLimits,
    losses: Losses,
    refused: frozenset[str],
) -> list[Json]:
    offered = _offered(request, losses)
    searches = any(_is_search(tool, limits, refused) for tool in offered)
    encoded: dict[str, Json] = {}
    for tool in offered:
        if _is_search(tool, limits, refused):
            encoded[tool.name] = dict(tool.extra[PROTOCOL])
            continue
        if tool.kind == "hosted":
            if _forces_hosted(request.tool_choice, tool):
                raise UnsupportedFeatureError(
                    f"tool_choice forces {tool.name}, which Copilot does not run for this model.", param="tool_choice"
                )
            losses.drop(f"tools[].{tool.name}", "a hosted tool, which Copilot does not run")
            continue
        wire = names.wire_of(tool)
        if wire in encoded:
            losses.drop("tools[]", "a second tool of the same name")
            continue
        encoded[wire] = encoder.marked(_tool(tool, wire, losses, searches=searches), tool.cache)
    return list(encoded.values())


def _offered(request: Request, losses: Losses) -> list[Tool]:
    """All tools, or those that the choice allows: messages has no other way to say so."""
    choice = request.tool_choice
    if choice is None or choice.mode != "allowed":
        return list(request.tools)
    allowed = {(ref.name, ref.namespace) for ref in choice.allowed}
    losses.note("tool_choice", "only the allowed tools are offered")
    return [tool for tool in request.tools if (tool.name, tool.namespace) in allowed]


def _forces_hosted(choice: ToolChoice | None, tool: Tool) -> bool:
    return (
        choice is not None
        and choice.mode == "named"
        and choice.tool is not None
        and choice.tool.kind == "hosted"
        and choice.tool.name == tool.name
    )


def _is_search(tool: Tool, limits: ModelLimits, refused: frozenset[str]) -> bool:
    """Whether it is Anthropic's search among deferred tools, and this model has it."""
    given = tool.extra.get(PROTOCOL) if tool.kind == "hosted" else None
    return isinstance(given, dict) and is_tool_search(given) and searches_tools(limits, refused)


def _tool(tool: Tool, wire: str, losses: Losses, *, searches: bool) -> Json:
    function = as_function(tool)
    if tool.kind == "custom":
        losses.note("tools[]", "a custom tool travels as a function")
    if tool.strict:
        losses.drop("tools[].strict", "upstream refuses it")
    field_table.drop_foreign(tool.extra, PROTOCOL, losses, path="tools[].")
    own = tool.extra.get(PROTOCOL, {})
    kept = {name: value for name, value in own.items() if searches and name in ADVANCED_FIELDS}
    for name in own.keys() - kept.keys():
        losses.drop(f"tools[].{name}", "upstream refuses it without its beta")
    schema, says_less = schemas.tool_schema(function.schema)
    if says_less:
        losses.note("tools[].parameters", "a union at the top of the schema was flattened")
    encoded: Json = {"name": wire}
    if function.description:
        encoded["description"] = function.description
    return {**encoded, "input_schema": schema, **kept}


def _tool_choice(request: Request, names: ToolNames, has_tools: bool) -> Json | None:
    choice = request.tool_choice or ToolChoice("auto")
    if not has_tools:
        if choice.forces and request.tools:
            raise UnsupportedFeatureError(
                "tool_choice forces a tool, but no tool is left that this model can be offered.", param="tool_choice"
            )
        return None
    single = {"disable_parallel_tool_use": True} if request.parallel_tool_calls is False else {}
    match choice.mode:
        case "none":
            return {"type": "none"}
        case "required":
            return {"type": "any", **single}
        case "named":
            return {"type": "tool", "name": names.wire_of(choice.tool or ToolRef("")), **single}
        case "allowed":
            return {"type": "any" if choice.is_required else "auto", **single}
    if request.tool_choice is None and not single:
        return None
    return {"type": "auto", **single}


# -- structured output -----------------------------------------------------------------------------------------------


class _Answer:
    """How the answer gets its form, and what that makes of tools and choice."""

    __slots__ = ("choice", "format", "instruction", "tools")

    def __init__(self, tools: list[Json], choice: Json | None) -> None:
        self.tools = tools
        self.choice = choice
        self.format: Json | None = None
        self.instruction = ""


def _structured(
    request: Request,
    limits: ModelLimits,
    refused: frozenset[str],
    tools: list[Json],
    choice: Json | None,
    losses: Losses,
) -> _Answer:
    """``output_config.format`` where the model has it, else a forced tool, else words (conversion rules §2)."""
    answer, wanted = _Answer(tools, choice), request.output_format
    if wanted is None:
        return answer
    if wanted.kind == "json_object" or not wanted.schema:
        answer.instruction = _JSON_ONLY
        losses.note("response_format", "asked for in words: upstream has no form for any JSON object")
    elif limits.structured_outputs and schemas.FORMAT not in refused:
        answer.format = {"type": "json_schema", "schema": schemas.answer_schema(wanted)}
    elif is_forced(choice):
        losses.drop("response_format", "tool_choice forces a tool, so that the answer is a call")
    else:
        answer.tools, answer.choice = schemas.with_answer_tool(wanted, tools, choice)
        losses.note("response_format", "as a tool that the model must call: it has no structured output")
    return answer


# -- thinking, sampling, the rest ------------------------------------------------------------------------------------


def _add_thinking(body: Json, request: Request, limits: ModelLimits, refused: frozenset[str], losses: Losses) -> None:
    thinking, effort = encode_thinking(request.reasoning, body["max_tokens"], limits, refused, losses)
    if thinking is not None and thinking["type"] != "disabled":
        if is_forced(body.get("tool_choice")):
            losses.drop("thinking", "upstream refuses it when a tool is forced")
            return
        if thinking["type"] == "enabled" and has_calls_to_answer(body["messages"]):
            losses.drop("thinking", "the tool round did not begin with a thought that this upstream signed")
            return
    if thinking is not None:
        body["thinking"] = thinking
    if effort is not None:
        body["output_config"] = {"effort": effort}


def _add_sampling(body: Json, request: Request, losses: Losses) -> None:
    thinks = is_on(body)
    if request.temperature is not None:
        temperature = min(max(request.temperature, 0), 1)
        if temperature != request.temperature:
            losses.note("temperature", "lowered to 1, the most that the messages protocol has")
        if thinks and temperature != 1:
            losses.drop("temperature", "upstream refuses it while the model thinks")
        elif not thinks:
            body["temperature"] = temperature
    if request.top_p is not None:
        if "temperature" in body or (thinks and request.top_p < 0.95):
            losses.drop("top_p", "upstream refuses it beside temperature, and while the model thinks")
        else:
            body["top_p"] = min(max(request.top_p, 0), 1)
    if request.top_k is not None:
        if thinks:
            losses.drop("top_k", "upstream refuses it while the model thinks")
        else:
            body["top_k"] = request.top_k
    if stops := [stop for stop in request.stop if stop.strip()]:
        body["stop_sequences"] = stops
    if len(stops) < len(request.stop):
        losses.drop("stop", "a stop sequence of white space alone is refused")


def _add_rest(body: Json, request: Request, losses: Losses) -> None:
    user = request.user or request.safety_identifier
    if user:
        body["metadata"] = {"user_id": user}
    for attribute, name in _ADVICE.items():
        if getattr(request, attribute) is not None:
            losses.drop(name, "the messages protocol has no such field")
    if request.store:
        losses.drop("store", "Copilot keeps nothing")
    if request.prompt_cache_key is not None:
        losses.drop("prompt_cache_key", "the messages protocol marks blocks instead")
    field_table.drop_foreign(request.extra, PROTOCOL, losses)
    for name, value in request.extra.get(PROTOCOL, {}).items():
        field = FIELDS.get(name)
        # Unknown fields go as they came: upstream names what it does not take, and the request is sent again without.
        if (field is None or field.verdict == "carried") and "." not in name:
            body[name] = value
        else:
            losses.drop(name, field.note if field is not None else "upstream refuses it")


def _limit_marks(body: Json, losses: Losses) -> None:
    """At most four cache marks: the last of the tools, the last of ``system``, and the last of the conversation."""
    tools = _marked(body.get("tools", []))
    system = _marked(body.get("system", []))
    blocks = _marked([block for message in body["messages"] for block in message["content"]])
    if len(tools) + len(system) + len(blocks) <= MOST_MARKS:
        return
    kept = [*tools[-1:], *system[-1:]]
    kept += blocks[-(MOST_MARKS - len(kept)) :]
    for spare in [*system[:-1], *tools[:-1]]:
        if len(kept) < MOST_MARKS:
            kept.append(spare)
    keep = {id(holder) for holder in kept}
    for holder in [*tools, *system, *blocks]:
        if id(holder) not in keep:
            del holder["cache_control"]
            losses.drop("messages[].content[].cache_control", "upstream takes four cache marks")


def _marked(holders: list[Json]) -> list[Json]:
    return [holder for holder in holders if "cache_control" in holder]
