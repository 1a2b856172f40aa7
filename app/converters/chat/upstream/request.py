"""The neutral request → a body for Copilot's chat endpoint. Contract §6.1; conversion rules §2.

Deterministic and prefix-stable. What upstream is known to refuse is left out and noted; what would change the meaning
is refused.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.chat.fields import FIELDS
from app.converters.chat.upstream.messages import encode_messages
from app.converters.chat.upstream.target_model import TargetModel
from app.converters.chat.upstream.tools import encode_tools
from app.converters.neutral.amended import amended
from app.converters.neutral.conversation import valid_name
from app.converters.neutral.field_table import drop_foreign
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits, budget_of, effort_of
from app.converters.neutral.tools import ToolNames
from app.converters.neutral.vocabulary import OutputFormat, Request
from app.converters.wire import json_bytes
from app.converters.wire.refusal_words import PROOF

FORMAT: Final = "response_format"
_USER_CHARS: Final = 64
_NOT_MARKED: Final = "the model does not offer it"
_REASONS: Final = "models that reason refuse it"


def encode_request(
    request: Request, limits: ModelLimits, losses: Losses, refused: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Neutral → upstream.

    request.model: the upstream id. refused: names of `neutral.amended`; "proof" leaves out all reasoning proofs.
    Raises: InvalidRequestError, UnsupportedFeatureError.
    """
    target = TargetModel(limits=limits, losses=losses, names=ToolNames(request.tools), has_proofs=PROOF not in refused)
    body: dict[str, Any] = {"model": request.model, "messages": encode_messages(request.messages, target)}
    body.update(encode_tools(request, target))
    body.update(_output_limit(request, target))
    body.update(_reasoning(request, target))
    body.update(_sampling(request, target, thinks="thinking_budget" in body))
    if stops := [stop for stop in request.stop if stop]:
        body["stop"] = stops
    if len(stops) < len(request.stop):
        losses.drop("stop", "a stop sequence of white space alone is refused")
    _add_output_format(body, request, target, is_taken=FORMAT not in refused)
    body.update(_advice(request, target))
    body.update(_extra(request, target))
    if request.stream and limits.streaming:
        # Usage is always asked for: other protocols' clients always get it, chat clients if they asked (contract §6.1).
        body.update(stream=True, stream_options={"include_usage": True})
    return amended(body, refused, losses)


def _output_limit(request: Request, target: TargetModel) -> dict[str, Any]:
    limits = target.limits
    wanted = limits.clamp_output(request.max_output_tokens)
    if wanted is None:
        return {}
    most = limits.max_non_streaming_output_tokens
    if most is not None and not request.stream:
        wanted = min(wanted, most)
    if wanted != request.max_output_tokens:
        target.losses.note("max_output_tokens", "more than the model offers")
    # Contract §6.1: OpenAI's reasoning models want the newer name, which no other model is known to need.
    return {"max_completion_tokens" if target.is_reasoner else "max_tokens": wanted}


def _reasoning(request: Request, target: TargetModel) -> dict[str, Any]:
    """Effort where it is advertised, a thinking budget for Claude and Gemini where that is (contract §6.1)."""
    config, limits = request.reasoning, target.limits
    if config is None:
        return {}
    has_budget = not target.is_openai and limits.max_thinking_budget is not None
    if config.is_disabled and not target.is_openai:
        # These think only when told to: an effort, be it the lowest, would switch it on.
        return {}
    if has_budget and (config.budget_tokens is not None or config.effort is None or not limits.reasoning_effort):
        room = limits.clamp_output(request.max_output_tokens) or limits.max_output_tokens or 32_000
        budget = budget_of(config, room, limits)
        if budget is not None:
            return {"thinking_budget": budget}
    effort = effort_of(config, request.max_output_tokens, limits)
    if effort is not None:
        if config.effort is not None and effort != config.effort:
            target.losses.note("reasoning_effort", "the nearest that the model offers")
        return {"reasoning_effort": effort}
    if not config.is_disabled and (config.effort or config.budget_tokens or config.mode == "enabled"):
        target.losses.drop("reasoning_effort", _NOT_MARKED)
    return {}


def _sampling(request: Request, target: TargetModel, *, thinks: bool) -> dict[str, Any]:
    losses, sent = target.losses, {}
    if request.temperature is not None:
        if target.is_reasoner and request.temperature != 1:
            losses.drop("temperature", _REASONS)
        elif thinks and request.temperature != 1:
            losses.drop("temperature", "a model that thinks takes no other than 1")
        elif request.temperature > 1 and target.limits.vendor == "Anthropic":
            losses.note("temperature", "cut to 1, the most that the model takes")
            sent["temperature"] = 1.0
        else:
            sent["temperature"] = request.temperature
    if request.top_p is not None:
        if target.is_reasoner and request.top_p != 1:
            losses.drop("top_p", _REASONS)
        else:
            sent["top_p"] = request.top_p
    if request.top_k is not None:
        losses.drop("top_k", "chat has no such parameter")
    return sent


def _add_output_format(body: dict[str, Any], request: Request, target: TargetModel, *, is_taken: bool) -> None:
    """Structured output, or the wish for it in words where the model does not offer it, or has refused it."""
    wanted = request.output_format
    if wanted is None:
        return
    if is_taken and (target.limits.structured_outputs or target.is_openai):
        # OpenAI's older catalogue entries do not advertise what the models behind them have always had.
        body["response_format"] = _response_format(wanted)
        return
    target.losses.note("response_format", "as an instruction: the model does not offer it")
    # First of all, where it stays whatever the conversation grows to.
    body["messages"].insert(0, {"role": "system", "content": _instruction(wanted)})


def _response_format(wanted: OutputFormat) -> dict[str, Any]:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": valid_name(wanted.name) if wanted.name else "response"}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.schema is not None:
        schema["schema"] = wanted.schema
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}


def _instruction(wanted: OutputFormat) -> str:
    is_object = wanted.kind == "json_object" or (wanted.schema or {}).get("type", "object") == "object"
    value = "one JSON object" if is_object else "one JSON value"
    rule = f"Your answer must be {value} and nothing else: no words around it, no code fence."
    if wanted.kind == "json_object":
        return rule
    schema = json_bytes.dumps(wanted.schema or {}).decode()
    about = f" It describes: {wanted.description}" if wanted.description else ""
    return f"{rule} It must fit this JSON schema exactly.{about}\n{schema}"


def _advice(request: Request, target: TargetModel) -> dict[str, Any]:
    """What only advises: sent where it is known to be taken, else recorded."""
    sent: dict[str, Any] = {}
    losses = target.losses
    for name in ("safety_identifier", "prompt_cache_key", "prompt_cache_retention"):
        value = getattr(request, name)
        if value is not None and target.is_openai:
            sent[name] = value
        elif value is not None:
            losses.drop(name, "a field of OpenAI models")
    if request.user is not None:
        # Claude Code's is a JSON object of 200 characters, OpenAI's at most 64.
        if target.is_openai and len(request.user) <= _USER_CHARS:
            sent["user"] = request.user
        else:
            losses.drop("user", "longer than upstream takes, or a field of OpenAI models")
    if request.verbosity is not None:
        if target.is_reasoner:
            sent["verbosity"] = request.verbosity
        else:
            losses.drop("verbosity", _NOT_MARKED)
    if request.top_logprobs is not None:
        losses.drop("logprobs", "asked for with top_logprobs; a converted answer has none")
    if request.metadata:
        losses.drop("metadata", "Copilot keeps nothing that it could label")
    if request.service_tier is not None:
        losses.drop("service_tier", "Copilot has no tiers")
    if request.store:
        losses.drop("store", "nothing is stored")
    return sent


def _extra(request: Request, target: TargetModel) -> dict[str, Any]:
    """Chat's own fields go back to chat, but for those that the table drops."""
    drop_foreign(request.extra, "chat", target.losses)
    sent: dict[str, Any] = {}
    for name, value in request.extra.get("chat", {}).items():
        field = FIELDS.get(name)
        if name == "stream_options":
            for inner in value:
                target.losses.drop(f"{name}.{inner}", "upstream is not asked for it")
        elif field is not None and field.verdict == "dropped":
            target.losses.drop(name, field.note)
        else:
            sent[name] = value
    return sent
