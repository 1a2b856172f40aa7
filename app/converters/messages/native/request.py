"""Messages requests on their way to a messages upstream: the little that must change.

Contract §8.2–§8.4; conversion rules §1.7. Every function gives back *the same object* where nothing has to change:
that is how ``prepare`` knows that the client's bytes can go as they came, with no more than the model spliced in.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.codec import NativeRequest, UpstreamRequest, is_unsealed
from app.converters.messages.client import typed_tools, web_search
from app.converters.messages.client.request import refuse_thread
from app.converters.messages.native import blocks
from app.converters.messages.native.well_formed import is_well_formed
from app.converters.messages.openai_forms import own_forms
from app.converters.messages.system_settings import applied
from app.converters.messages.tool_changes import settled
from app.converters.messages.traits import messages_of
from app.converters.messages.upstream import betas, refusals, schemas, thinking
from app.converters.messages.upstream.blocks import has_calls_to_answer
from app.converters.messages.upstream.claude import claude, refuse_too_many_images, unforced
from app.converters.neutral.amended import amended
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import EFFORTS, ModelLimits, as_effort, clamp_effort
from app.converters.neutral.tool_schema import fits, fitting
from app.converters.neutral.tools import absent
from app.converters.neutral.vocabulary import OutputFormat
from app.converters.wire import json_bytes
from app.converters.wire.refusal_words import PROOF
from app.converters.wire.replace_model import exact, replace_model
from app.errors import UnsupportedFeatureError, UpstreamProtocolError

Json = dict[str, Any]

_COUNTED: Final = frozenset(
    {"model", "messages", "system", "thinking", "tool_choice", "tools", "output_config", "context_management"}
)


def passes(raw: bytes, body: Json) -> bool:
    """Not so with proofs that another protocol minted, nor with faults that upstream would refuse (`well_formed`)."""
    return is_unsealed(raw, body) and is_well_formed(body)


def prepare(request: NativeRequest) -> UpstreamRequest:
    """The bytes and headers for upstream. The model's name is spliced into the raw bytes where it is the only change.

    Raises: UnsupportedFeatureError for a thread, or a hosted tool that the client forces.
    """
    body, model = request.body, request.model
    normalized, found, losses = _normalized(request)
    header = betas.as_header(found)
    lost = tuple(losses)
    restore = schemas.RESTORE if schemas.has_answer_tool(normalized) else None
    if normalized is body and (body.get("model") == model):
        return UpstreamRequest(request.raw, lost, header)
    if normalized is body and (spliced := replace_model(request.raw, body, model)) is not None:
        return UpstreamRequest(spliced, lost, header)
    return UpstreamRequest(json_bytes.dumps({**normalized, "model": model}), lost, header, restore)


def prepare_count(request: NativeRequest) -> UpstreamRequest:
    """The same for ``count_tokens`` (contract §8.9)."""
    normalized, found, losses = _normalized(request)
    counted = json_bytes.dumps(count_tokens_request({**normalized, "model": request.model}))
    return UpstreamRequest(counted, tuple(losses), betas.as_header(found))


def count_tokens_request(body: Json) -> Json:
    """A messages body as the body of ``count_tokens``: without ``max_tokens``, ``stream`` and what does not count."""
    return {name: value for name, value in body.items() if name in _COUNTED}


def read_count(content: bytes) -> int:
    """Upstream's answer to ``count_tokens``: ``{"input_tokens": 42}``. Raises: UpstreamProtocolError."""
    try:
        counted = json_bytes.loads(content)["input_tokens"]
    except (ValueError, KeyError, TypeError):
        counted = None
    if type(counted) is not int:
        raise UpstreamProtocolError("GitHub Copilot's token count is no number. Try again.")
    return counted


def _normalized(request: NativeRequest) -> tuple[Json, list[str], Losses]:
    """The body as upstream takes it, the betas to send with it, and what stayed behind."""
    body, limits, refused = (
        own_forms(applied(settled(exact(request.raw, request.body)))),
        request.limits,
        request.refused,
    )
    refuse_thread(body)
    _refuse_removed(request.body, body)
    losses = Losses()
    kept, denied = betas.forwarded(betas.given(request.headers), refused)
    for beta in denied:
        losses.drop(f"anthropic-beta:{beta}", "upstream refuses it")
    normalized = _top_level(body, kept, losses)
    normalized = thinking.without_compaction(normalized, kept, losses)
    normalized = _output(normalized, limits, kept, losses)
    for tool in web_search.gone(normalized):
        losses.drop(f"tools[].{tool['type']}", "a hosted tool, which Copilot does not run")
    normalized = web_search.removed(normalized)
    normalized = _tools(normalized, kept, betas.searches_tools(limits, refused), losses)
    normalized = _answer_as_tool(normalized, limits, refused, losses)
    normalized = unforced(normalized, limits, losses)
    normalized = blocks.normalize(normalized, request.inlined, losses, limits, sends_proofs=PROOF not in refused)
    refuse_too_many_images(normalized.get("messages"), limits)
    normalized = _cached_to_the_end(normalized, body, limits, losses)
    normalized = _limited(_with_real_stops(normalized, losses), limits)
    normalized = _thinking(normalized, limits, refused, losses)
    normalized = amended(normalized, refused, losses)
    for beta in betas.needed(normalized):
        if beta is not betas.INTERLEAVED and not betas.has(kept, beta[: -len("2025-00-00")]):
            kept.append(beta)
    return normalized, kept, losses


def _top_level(body: Json, kept: list[str], losses: Losses) -> Json:
    gone = [
        name
        for name, refusal in refusals.TOP_LEVEL.items()
        if name in body and not (refusal.beta and betas.has(kept, refusal.beta))
    ]
    gone += [name for name, value in body.items() if value is None and name not in gone]  # as if it were not there
    if body.get("tool_choice") is not None and not body.get("tools"):
        gone.append("tool_choice")
        losses.drop("tool_choice", "there is no tool to choose")
    for name in gone:
        if name in refusals.TOP_LEVEL and body[name] is not None and name not in ("cache_control", "output_format"):
            losses.drop(name, refusals.TOP_LEVEL[name].why)
    metadata = body.get("metadata")
    spare = isinstance(metadata, dict) and any(name not in refusals.METADATA for name in metadata)
    if not gone and not spare:
        return body
    normalized = {name: value for name, value in body.items() if name not in gone}
    if spare and isinstance(metadata, dict):
        losses.drop("metadata", "upstream takes user_id alone")
        normalized["metadata"] = {name: metadata[name] for name in refusals.METADATA if name in metadata}
    older = body.get("output_format")
    if isinstance(older, dict):
        config = normalized.get("output_config")
        normalized["output_config"] = {"format": older, **(config if isinstance(config, dict) else {})}
    return normalized


def _output(body: Json, limits: ModelLimits, kept: list[str], losses: Losses) -> Json:
    """``output_config``: an effort that the catalogue lists, and no field whose beta stays behind."""
    config = body.get("output_config")
    if not isinstance(config, dict):
        return body
    normalized = dict(config)
    for name, refusal in refusals.OUTPUT_CONFIG.items():
        if name in normalized and not (refusal.beta and betas.has(kept, refusal.beta)):
            del normalized[name]
            losses.drop(f"output_config.{name}", refusal.why)
    effort = as_effort(config.get("effort"))
    if limits.model and effort is not None:
        given = body.get("thinking")
        most = claude(limits).still_effort if isinstance(given, dict) and given.get("type") == "disabled" else None
        nearest = clamp_effort(min(effort, most or effort, key=EFFORTS.index), limits)
        if nearest is None:
            del normalized["effort"]
            losses.drop("output_config.effort", "this model does not list it")
        else:
            normalized["effort"] = nearest
    if normalized == config:
        return body
    return _with(body, "output_config", normalized or None)


def _refuse_removed(given: Json, body: Json) -> None:
    """Raises: UnsupportedFeatureError where the model would have to call a tool that the conversation has removed."""
    choice = body.get("tool_choice")
    if body.get("tools") is given.get("tools") or not isinstance(choice, dict) or choice.get("type") != "tool":
        return
    left = body.get("tools")
    names = [tool.get("name") for tool in left if isinstance(tool, dict)] if isinstance(left, list) else []
    if choice.get("name") not in names:
        raise absent(str(choice.get("name")))


def _tools(body: Json, kept: list[str], has_search: bool, losses: Losses) -> Json:
    """Hosted tools go unless they are forced, typed client tools become functions, refused fields go.

    has_search: whether the model has the search among deferred tools; its beta joins those that are `kept`.
    """
    tools = body.get("tools")
    if not isinstance(tools, list):
        return body
    given = [tool for tool in tools if isinstance(tool, dict) and typed_tools.is_hosted(tool)]
    hosted = [tool for tool in given if not (has_search and betas.is_tool_search(tool))]
    if len(hosted) < len(given) and not betas.has(kept, "advanced-tool-use-"):
        kept.append(betas.ADVANCED_TOOLS)
    choice = body.get("tool_choice")
    for tool in hosted:
        if isinstance(choice, dict) and choice.get("type") == "tool" and choice.get("name") == tool.get("name"):
            raise UnsupportedFeatureError(
                f"tool_choice forces {tool.get('name')!r}, a tool of type {tool['type']!r} that Copilot does not run.",
                param="tool_choice",
            )
        losses.drop(f"tools[].{tool['type']}", "a hosted tool, which Copilot does not run")
    # Deferred tools are found by the search tool alone: without it they have to be there from the start.
    searches = any(str(tool["type"]).startswith("tool_search_") for tool in hosted)
    normalized = [
        _tool(tool, kept, searches, losses) if isinstance(tool, dict) else tool
        for tool in tools
        if not any(tool is one for one in hosted)
    ]
    if len(normalized) == len(tools) and all(new is old for new, old in zip(normalized, tools, strict=True)):
        return body
    if normalized:
        return _with(body, "tools", normalized)
    if isinstance(choice, dict) and choice.get("type") == "any":
        raise UnsupportedFeatureError(
            "tool_choice forces a tool, but Copilot runs none of those that were offered.", param="tool_choice"
        )
    return _with(_with(body, "tools", None), "tool_choice", None)


def _tool(tool: Json, kept: list[str], searches: bool, losses: Losses) -> Json:
    normalized = typed_tools.as_function(tool)
    for name, refusal in refusals.TOOL.items():
        if name not in normalized:
            continue
        if refusal.beta and betas.has(kept, refusal.beta) and not (searches and name == "defer_loading"):
            continue
        normalized = {key: value for key, value in normalized.items() if key != name}
        losses.drop(f"tools[].{name}", refusal.why)
    schema = normalized.get("input_schema")
    if schema is None and normalized.get("type") in (None, "custom"):
        schema = {"type": "object", "properties": {}}
        normalized = {**normalized, "input_schema": schema}
    if isinstance(schema, dict) and (any(name in schema for name in refusals.INPUT_SCHEMA) or not _fits(schema)):
        clean = {key: value for key, value in schema.items() if key not in refusals.INPUT_SCHEMA}
        if not _fits(clean):
            clean, says_less = fitting(clean)
            if says_less:
                losses.note("tools[].input_schema", "a union at the top of the schema was flattened")
        normalized = {**normalized, "input_schema": clean}
    return normalized


def _fits(schema: Json) -> bool:
    """This upstream does not ask for properties."""
    return fits({"properties": {}, **schema})


def _cached_to_the_end(normalized: Json, body: Json, limits: ModelLimits, losses: Losses) -> Json:
    """A cache mark of the whole request becomes one on the last block that can carry it."""
    given = body.get("cache_control")
    if not isinstance(given, dict):
        return normalized
    mark = blocks.bare_mark(given, losses, keeps_ttl=limits.caches_for_an_hour)
    return blocks.with_last_mark(normalized, mark)


def _with_real_stops(body: Json, losses: Losses) -> Json:
    """Without stop sequences of white space alone, which upstream refuses (contract §8.4)."""
    stops = body.get("stop_sequences")
    if not isinstance(stops, list):
        return body
    real = [stop for stop in stops if not isinstance(stop, str) or stop.strip()]
    if len(real) == len(stops):
        return body
    losses.drop("stop_sequences", "a stop sequence of white space alone is refused")
    return _with(body, "stop_sequences", real or None)


def _limited(body: Json, limits: ModelLimits) -> Json:
    """``max_tokens`` within what the model offers; nothing is invented where there is none."""
    wanted = body.get("max_tokens")
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        return body
    clamped = limits.clamp_output(wanted) or wanted
    if limits.max_non_streaming_output_tokens is not None and body.get("stream") is not True:
        clamped = min(clamped, limits.max_non_streaming_output_tokens)
    return body if clamped == wanted else _with(body, "max_tokens", clamped)


def _thinking(body: Json, limits: ModelLimits, refused: frozenset[str], losses: Losses) -> Json:
    given = body.get("thinking")
    if not isinstance(given, dict):
        return thinking.without_idle_edits(body)
    normalized = thinking.normalize_thinking(body, limits, refused)
    if normalized is not None and normalized.get("type") == "enabled" and has_calls_to_answer(messages_of(body)):
        normalized = None
    if normalized is not None and normalized.get("type") != "disabled" and thinking.is_forced(body.get("tool_choice")):
        normalized = None
    if normalized is None:
        losses.drop("thinking", "this model does not offer it, or not here")
        return thinking.without_idle_edits(_with(body, "thinking", None))
    if "display" in normalized and normalized["display"] != given["display"]:
        losses.note("thinking.display", "as summarized; upstream refuses the beta of other words")
    body = body if normalized is given else _with(body, "thinking", normalized)
    if not thinking.is_on(body):
        return thinking.without_idle_edits(body)
    for name in ("temperature", "top_p", "top_k"):
        value = body.get(name)
        is_fine = value is None or (name == "temperature" and value == 1)
        if not (is_fine or (name == "top_p" and isinstance(value, int | float) and value >= 0.95)):
            losses.drop(name, "upstream refuses it while the model thinks")
            body = _with(body, name, None)
    return body


def _answer_as_tool(body: Json, limits: ModelLimits, refused: frozenset[str], losses: Losses) -> Json:
    """Structured output of a model without it: a tool that it has to call; the normalizer unwraps the answer."""
    config = body.get("output_config")
    given = config.get("format") if isinstance(config, dict) else None
    has_it = limits.structured_outputs or not limits.model
    if not isinstance(given, dict) or (has_it and schemas.FORMAT not in refused):
        return body
    rest = {name: value for name, value in config.items() if name != "format"} if isinstance(config, dict) else {}
    body = _with(body, "output_config", rest or None)
    schema, tools, choice = given.get("schema"), body.get("tools"), body.get("tool_choice")
    if thinking.is_forced(choice) or not isinstance(schema, dict):
        losses.drop(schemas.FORMAT, "this model has no structured output, and tool_choice forces a tool")
        return body
    wanted = OutputFormat("json_schema", schema=schema)
    tools, choice = schemas.with_answer_tool(wanted, tools if isinstance(tools, list) else [], choice)
    losses.note(schemas.FORMAT, "as a tool that the model must call: it has no structured output")
    return {**body, "tools": tools, "tool_choice": choice}


def _with(body: Json, name: str, value: Any) -> Json:
    """The body with another value at the same place; None: without it."""
    if value is None:
        return {key: item for key, item in body.items() if key != name} if name in body else body
    return {**body, name: value}
