"""Messages requests on their way to a messages upstream: the little that must change.

Contract §8.2 - §8.4; conversion.md §1.7. Every function gives back *the same object* where nothing has to change:
that is how ``prepare`` knows that the client's bytes can go as they came, with no more than the model spliced in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.converters import json_bytes
from app.converters.ir import OutputFormat
from app.converters.limits import Limits, as_effort, clamp_effort
from app.converters.losses import Losses
from app.converters.messages import betas, client_tools, native_blocks, schemas, thinking, web_search
from app.converters.messages import refused as refusals
from app.converters.messages.blocks_encoder import has_calls_to_answer
from app.converters.messages.request_decoder import refuse_thread
from app.converters.messages.traits import messages_of
from app.converters.prepared import Prepared
from app.converters.splice import exact, splice_model
from app.errors import UnsupportedFeatureError

Json = dict[str, Any]

_COUNTED: Final = frozenset(
    {"model", "messages", "system", "thinking", "tool_choice", "tools", "output_config", "context_management"}
)


def prepare(
    raw: bytes,
    body: Json,
    *,
    model: str,
    limits: Limits,
    inlined: Mapping[str, str],
    headers: Mapping[str, str],
    refused: frozenset[str] = frozenset(),
) -> Prepared:
    """The bytes and headers for upstream.

    model:   the name upstream knows; spliced into the raw bytes where it is the only change.
    inlined: data URLs for image addresses. headers: the client's. refused: what upstream refused for this model before.
    `body` is what `raw` parses to and stays as it is.
    Raises: UnsupportedFeatureError for a thread, or a hosted tool that the client forces.
    """
    mended, found, losses = _mended(exact(raw, body), limits, inlined, headers, refused)
    header = betas.as_header(found)
    dropped = tuple(losses.names())
    restore = schemas.RESTORE if schemas.has_answer_tool(mended) else None
    if mended is body and (body.get("model") == model):
        return Prepared(raw, dropped, header)
    if mended is body and (spliced := splice_model(raw, body, model)) is not None:
        return Prepared(spliced, dropped, header)
    return Prepared(json_bytes.dumps({**mended, "model": model}), dropped, header, restore)


def prepare_count(
    raw: bytes,
    body: Json,
    *,
    model: str,
    limits: Limits,
    inlined: Mapping[str, str],
    headers: Mapping[str, str],
    refused: frozenset[str] = frozenset(),
) -> Prepared:
    """The same for ``count_tokens`` (contract §8.9)."""
    mended, found, losses = _mended(exact(raw, body), limits, inlined, headers, refused)
    counted = json_bytes.dumps(count_tokens_request({**mended, "model": model}))
    return Prepared(counted, tuple(losses.names()), betas.as_header(found))


def count_tokens_request(body: Json) -> Json:
    """A messages body as the body of ``count_tokens``: without ``max_tokens``, ``stream`` and what does not count."""
    return {name: value for name, value in body.items() if name in _COUNTED}


def _mended(
    body: Json, limits: Limits, inlined: Mapping[str, str], headers: Mapping[str, str], refused: frozenset[str]
) -> tuple[Json, list[str], Losses]:
    """The body as upstream takes it, the betas to send with it, and what stayed behind."""
    refuse_thread(body)
    losses = Losses()
    kept, denied = betas.forwarded(betas.given(headers), refused)
    for beta in denied:
        losses.drop(f"anthropic-beta:{beta}", "upstream refuses it")
    mended = _top_level(body, kept, losses)
    mended = _output(mended, limits, refused, kept, losses)
    for tool in web_search.gone(mended):
        losses.drop(f"tools.{tool['type']}", "a hosted tool, which Copilot does not run")
    mended = web_search.removed(mended)
    mended = _tools(mended, kept, losses)
    mended = _answer_as_tool(mended, limits, refused, losses)
    mended = native_blocks.mend(mended, inlined, losses, sends_proofs=refusals.PROOF not in refused)
    mended = _cached_to_the_end(mended, body)
    mended = _limited(_with_real_stops(mended, losses), limits)
    mended = _thinking(mended, limits, refused, losses)
    for path in refusals.paths(refused):
        shorter = refusals.without(mended, path)
        if shorter is not mended:
            losses.drop(".".join(path), "upstream refused it before")
            mended = shorter
    for beta in betas.needed(mended):
        if beta is not betas.INTERLEAVED and not betas.has(kept, beta[: -len("2025-00-00")]):
            kept.append(beta)
    return mended, kept, losses


def _top_level(body: Json, kept: list[str], losses: Losses) -> Json:
    gone = [
        name
        for name, refusal in refusals.TOP_LEVEL.items()
        if name in body and not (refusal.beta and betas.has(kept, refusal.beta))
    ]
    for name in gone:
        if body[name] is not None and name not in ("cache_control", "output_format"):
            losses.drop(name, refusals.TOP_LEVEL[name].why)
    metadata = body.get("metadata")
    spare = isinstance(metadata, dict) and any(name not in refusals.METADATA for name in metadata)
    if not gone and not spare:
        return body
    mended = {name: value for name, value in body.items() if name not in gone}
    if spare and isinstance(metadata, dict):
        losses.drop("metadata", "upstream takes user_id alone")
        mended["metadata"] = {name: metadata[name] for name in refusals.METADATA if name in metadata}
    older = body.get("output_format")
    if isinstance(older, dict):
        config = mended.get("output_config")
        mended["output_config"] = {"format": older, **(config if isinstance(config, dict) else {})}
    return mended


def _output(body: Json, limits: Limits, refused: frozenset[str], kept: list[str], losses: Losses) -> Json:
    """``output_config``: an effort that the catalogue lists, and no field whose beta stays behind."""
    config = body.get("output_config")
    if not isinstance(config, dict):
        return body
    mended = dict(config)
    for name, refusal in refusals.OUTPUT_CONFIG.items():
        if name in mended and not (refusal.beta and betas.has(kept, refusal.beta)):
            del mended[name]
            losses.drop(f"output_config.{name}", refusal.why)
    effort = as_effort(config.get("effort"))
    if limits.model and effort is not None and effort not in limits.reasoning_effort:
        nearest = clamp_effort(effort, limits)
        if nearest is None:
            del mended["effort"]
            losses.drop("output_config.effort", "this model does not list it")
        else:
            mended["effort"] = nearest
    if mended == config:
        return body
    return _with(body, "output_config", mended or None)


def _tools(body: Json, kept: list[str], losses: Losses) -> Json:
    """Hosted tools go unless they are forced, typed client tools become functions, refused fields go."""
    tools = body.get("tools")
    if not isinstance(tools, list):
        return body
    hosted = [tool for tool in tools if isinstance(tool, dict) and client_tools.is_hosted(tool)]
    choice = body.get("tool_choice")
    for tool in hosted:
        if isinstance(choice, dict) and choice.get("type") == "tool" and choice.get("name") == tool.get("name"):
            raise UnsupportedFeatureError(
                f"tool_choice forces {tool.get('name')!r}, a tool of type {tool['type']!r} that Copilot does not run.",
                param="tool_choice",
            )
        losses.drop(f"tools.{tool['type']}", "a hosted tool, which Copilot does not run")
    # Deferred tools are found by the search tool alone: without it they have to be there from the start.
    searches = any(str(tool["type"]).startswith("tool_search_") for tool in hosted)
    mended = [
        _tool(tool, kept, searches, losses) if isinstance(tool, dict) else tool
        for tool in tools
        if not any(tool is one for one in hosted)
    ]
    if len(mended) == len(tools) and all(new is old for new, old in zip(mended, tools, strict=True)):
        return body
    if mended:
        return _with(body, "tools", mended)
    if isinstance(choice, dict) and choice.get("type") == "any":
        raise UnsupportedFeatureError(
            "tool_choice forces a tool, but Copilot runs none of those that were offered.", param="tool_choice"
        )
    return _with(_with(body, "tools", None), "tool_choice", None)


def _tool(tool: Json, kept: list[str], searches: bool, losses: Losses) -> Json:
    mended = client_tools.as_function(tool)
    for name, refusal in refusals.TOOL.items():
        if name not in mended:
            continue
        if refusal.beta and betas.has(kept, refusal.beta) and not (searches and name == "defer_loading"):
            continue
        mended = {key: value for key, value in mended.items() if key != name}
        losses.drop(f"tools.{name}", refusal.why)
    schema = mended.get("input_schema")
    if isinstance(schema, dict) and any(name in schema for name in refusals.INPUT_SCHEMA):
        clean = {key: value for key, value in schema.items() if key not in refusals.INPUT_SCHEMA}
        mended = {**mended, "input_schema": clean}
    return mended


def _cached_to_the_end(mended: Json, body: Json) -> Json:
    """A cache mark of the whole request becomes one on the last block that can carry it."""
    if not isinstance(body.get("cache_control"), dict):
        return mended
    return native_blocks.with_last_mark(mended)


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


def _limited(body: Json, limits: Limits) -> Json:
    """``max_tokens`` within what the model offers; nothing is invented where there is none."""
    wanted = body.get("max_tokens")
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        return body
    clamped = limits.clamp_output(wanted) or wanted
    if limits.max_non_streaming_output_tokens is not None and body.get("stream") is not True:
        clamped = min(clamped, limits.max_non_streaming_output_tokens)
    return body if clamped == wanted else _with(body, "max_tokens", clamped)


def _thinking(body: Json, limits: Limits, refused: frozenset[str], losses: Losses) -> Json:
    given = body.get("thinking")
    if not isinstance(given, dict):
        return thinking.without_idle_edits(body)
    mended = thinking.mend_thinking(body, limits, refused)
    if mended is not None and mended.get("type") == "enabled" and has_calls_to_answer(messages_of(body)):
        mended = None
    if mended is not None and mended.get("type") != "disabled" and thinking.is_forced(body.get("tool_choice")):
        mended = None
    if mended is None:
        losses.drop("thinking", "this model does not offer it, or not here")
        return thinking.without_idle_edits(_with(body, "thinking", None))
    body = body if mended is given else _with(body, "thinking", mended)
    if not thinking.is_on(body):
        return thinking.without_idle_edits(body)
    for name in ("temperature", "top_p", "top_k"):
        value = body.get(name)
        is_fine = value is None or (name == "temperature" and value == 1)
        if not (is_fine or (name == "top_p" and isinstance(value, int | float) and value >= 0.95)):
            losses.drop(name, "upstream refuses it while the model thinks")
            body = _with(body, name, None)
    return body


def _answer_as_tool(body: Json, limits: Limits, refused: frozenset[str], losses: Losses) -> Json:
    """Structured output of a model without it: a tool that it has to call; the mender unwraps the answer."""
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
