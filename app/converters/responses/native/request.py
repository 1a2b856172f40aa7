"""Responses requests on their way to a responses upstream: bytes as they come, but for what upstream refuses.

Contract §7.1–§7.6, §7.10; client notes §0.3, §0.8, §2; conversion rules §1.7. What is refused stands in
``refusals.py``, what happens to tools in ``tools.py``, to input items in ``input.py``.
Deterministic, and prefix-stable: a later turn never changes how an earlier one is sent.
"""

from __future__ import annotations

from typing import Any

from app.converters.codec import NativeRequest, UpstreamRequest
from app.converters.neutral.amended import amended
from app.converters.neutral.conversation import valid_name
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits, as_effort, clamp_effort
from app.converters.neutral.sealed_signatures import is_sealed
from app.converters.neutral.tools import ToolNames
from app.converters.responses import refusals as table
from app.converters.responses.client.configuration import UPDATE, configured
from app.converters.responses.client.request import additional_tools, refuse_fields
from app.converters.responses.client.tools import MODES, decode_tools
from app.converters.responses.native.client_tools import ClientTools
from app.converters.responses.native.input import ItemNormalizer
from app.converters.responses.native.tools import ToolNormalizer, has_search, loaders, unlisted
from app.converters.responses.native.well_formed import is_well_formed
from app.converters.responses.refusals import Taken, beyond
from app.converters.wire import json_bytes, reading
from app.converters.wire.body_paths import without
from app.converters.wire.refusal_words import PROOF
from app.converters.wire.replace_model import exact, replace_model


def passes(raw: bytes, body: dict[str, Any]) -> bool:
    """Whether a body may go as it is: also with proofs of other protocols among the thoughts, which stay behind."""
    if not is_well_formed(body):
        return False
    if not is_sealed(raw):
        return True
    items = body.get("input")
    said = [item for item in items if not _is_thought(item)] if isinstance(items, list) else items
    return not is_sealed(json_bytes.dumps({**body, "input": said}))


def _is_thought(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "reasoning"


def prepare(request: NativeRequest) -> UpstreamRequest:
    """The bytes for upstream, the names of what was left out, and what the way back needs to give tools back.

    The model's name is spliced into the raw bytes where it is the only change.
    Raises: UnsupportedFeatureError, InvalidRequestError.
    """
    refuse_fields(request.body)
    source = fields = exact(request.raw, request.body)
    if not Taken(request.refused).takes(UPDATE):
        fields = configured(fields)
    losses = Losses()
    fields, restore = _normalize_tools(fields, request, losses)
    fields = _drop_fields(fields, losses)
    fields = _normalize_options(fields, request.model, request.limits, losses)
    fields = amended(fields, request.refused, losses)
    return UpstreamRequest(
        _written(request.raw, source, fields, request.model),
        tuple(losses),
        restore=restore,
    )


def _written(raw: bytes, source: dict[str, Any], fields: dict[str, Any], model: str) -> bytes:
    is_same = fields.keys() == source.keys() and all(fields[key] is source[key] for key in source)
    if is_same:
        if source.get("model") == model:
            return raw
        spliced = replace_model(raw, source, model)
        if spliced is not None:
            return spliced
    return json_bytes.dumps({**fields, "model": model})


# -- tools and input -------------------------------------------------------------------------------------------------


def _normalize_tools(fields: dict[str, Any], request: NativeRequest, losses: Losses) -> tuple[dict[str, Any], Any]:
    """Tools, the choice among them and the items of their calls, in forms that upstream takes; and the way back."""
    given, items, choice = fields.get("tools"), fields.get("input"), fields.get("tool_choice")
    taken = Taken(request.refused, beyond(request.limits))
    listed = reading.items(given, "tools") if given is not None else []
    tools = ToolNormalizer(taken, losses, loads=has_search(listed, taken))
    kept = tools.normalize(listed, "tools")
    more = tools.normalize(unlisted(items, listed, taken), "input[].tools")
    if isinstance(items, list):
        normalizer = ItemNormalizer(tools, request.inlined, losses, with_proofs=PROOF not in request.refused)
        normalized = normalizer.normalize(items)
        fields = fields if normalized is items else {**fields, "input": normalized}
    is_same = kept is listed and not more
    if not is_same:
        fields = {**fields, "tools": [*kept, *more]} if kept or more else without(fields, "tools")
    if isinstance(choice, str) and not (listed or more or loaders(items)):
        fields = without(fields, "tool_choice")
        losses.drop("tool_choice", "there is no tool to choose")
    elif not (is_same and not tools.translated and _is_plain_choice(choice)):
        chosen = tools.choice(choice, is_offered=bool(kept or more or loaders(items)))
        if chosen is None:
            fields = without(fields, "tool_choice")
        elif chosen != choice:
            fields = {**fields, "tool_choice": chosen}
    known = (*decode_tools(listed), *additional_tools(items, ()))
    if is_same and all(tool.kind == "function" and tool.namespace is None for tool in known):
        return fields, None
    # Also for what passes: some models call free text, or a tool of a namespace, as a function all the same.
    return fields, ClientTools(ToolNames(known), given, choice or "auto")


def _is_plain_choice(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return choice in (None, *MODES)
    return choice.get("type") == "function" and "name" in choice


# -- fields ----------------------------------------------------------------------------------------------------------


def _drop_fields(fields: dict[str, Any], losses: Losses) -> dict[str, Any]:
    for name, rule in table.FIELDS.items():
        if rule.verdict == "dropped":
            if (shorter := without(fields, name)) is not fields:
                losses.drop(name, rule.note)
                fields = shorter
        elif rule.verdict == "refused":
            # What is refused and still here says nothing: null, or `background: false`.
            fields = without(fields, name)
    for name in [name for name, value in fields.items() if value is None and name not in table.FIELDS]:
        fields = without(fields, name)  # a null of tomorrow's is refused like a value
    return fields


def _normalize_options(fields: dict[str, Any], model: str, limits: ModelLimits, losses: Losses) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if fields.get("store") is not False:
        changes["store"] = False
    include = _include(fields.get("include"), losses)
    if include is not None:
        changes["include"] = include
    limit = fields.get("max_output_tokens")
    if type(limit) is int and limit > 0:
        clamped = limits.clamp_output(limit, least=table.LEAST_OUTPUT)
        if clamped != limit:
            changes["max_output_tokens"] = clamped
            losses.note("max_output_tokens", "brought within the limits of the model")
    fields = _normalize_reasoning({**fields, **changes} if changes else fields, limits, losses)
    fields = _normalize_strings(fields, losses)
    if limits.reasons(model):
        for name in ("temperature", "top_p"):
            if name in fields:
                losses.drop(name, "models that reason do not take it")
                fields = without(fields, name)
    return fields


def _include(given: Any, losses: Losses) -> list[str] | None:
    """What to include instead; None if the client's own list will do. Encrypted reasoning is always asked for."""
    listed = given if isinstance(given, list) else []
    taken = [name for name in listed if isinstance(name, str) and name in table.TAKEN_INCLUDES]
    for name in listed:
        if name not in taken:
            losses.drop(f"include[].{name}", "not known upstream")
    if table.ENCRYPTED in taken:
        return taken if len(taken) < len(listed) else None
    return [*taken, table.ENCRYPTED]


def _normalize_reasoning(fields: dict[str, Any], limits: ModelLimits, losses: Losses) -> dict[str, Any]:
    reasoning = fields.get("reasoning")
    if not isinstance(reasoning, dict):
        return fields
    normalized = dict(reasoning)
    if "generate_summary" in normalized:
        summary = normalized.pop("generate_summary")
        normalized["summary"] = normalized.get("summary") or summary
    effort = as_effort(normalized.get("effort"))
    clamped = clamp_effort(effort, limits) if effort is not None else None
    if effort is not None and clamped is None:
        del normalized["effort"]
        losses.drop("reasoning.effort", "the model does not say that it takes any")
    elif clamped != effort:
        normalized["effort"] = clamped
        losses.note("reasoning.effort", "the nearest that the model offers")
    if normalized == reasoning:
        return fields
    return {**fields, "reasoning": normalized} if normalized else without(fields, "reasoning")


def _normalize_strings(fields: dict[str, Any], losses: Losses) -> dict[str, Any]:
    for name in table.LONGEST_STRINGS:
        value = fields.get(name)
        if isinstance(value, str) and len(value) > table.LONGEST_NAME:
            if name == "prompt_cache_key":
                fields = {**fields, name: valid_name(value)}
            else:
                fields = without(fields, name)
                losses.drop(name, "longer than the 64 characters that upstream takes")
    return fields
