"""Responses requests on their way to a responses upstream: bytes as they come, but for what upstream refuses.

Contract §7.1–§7.6; clients.md 0.3, 0.8, 2; conversion.md §1.7. What is refused stands in ``refused.py``, what happens
to input items in ``items.py``. Deterministic, and prefix-stable: a later turn never changes how an earlier one is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from app.converters import json_bytes
from app.converters.conversation import valid_name
from app.converters.ir import Tool
from app.converters.limits import Limits, as_effort, clamp_effort
from app.converters.prepared import Prepared
from app.converters.responses import refused as table
from app.converters.responses.items import ItemMender
from app.converters.responses.paths import without
from app.converters.responses.request_decoder import additional_tools, refuse_fields
from app.converters.responses.request_encoder import PROOF, encode_tool, encode_tool_choice, refuse_forced
from app.converters.responses.restore import Restore
from app.converters.responses.shapes import need_list
from app.converters.responses.tool_wire import decode_tool_choice, decode_tools
from app.converters.splice import exact, splice_model
from app.converters.tools import ToolNames

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def prepare(
    raw: bytes,
    body: dict[str, Any],
    *,
    model: str,
    limits: Limits,
    inlined: Mapping[str, str] = _NOTHING,
    headers: Mapping[str, str] = _NOTHING,
    refused: frozenset[str] = frozenset(),
) -> Prepared:
    """The bytes for upstream, the names of what was left out, and what the mender needs to give tools back.

    model:   the name upstream knows; spliced into the raw bytes where it is the only change.
    inlined: data URLs for image addresses.
    refused: what upstream refused for this model before (``errors.named_refusal``).
    `body` is what `raw` parses to and stays as it is.
    Raises: UnsupportedFeatureError, InvalidRequestError.
    """
    refuse_fields(body)
    fields = exact(raw, body)
    source = fields
    dropped: list[str] = []
    fields, restore = _mend_tools(fields, dropped)
    fields = _mend_input(fields, inlined, refused, restore, dropped)
    fields = _drop_fields(fields, dropped)
    fields = _mend_options(fields, model, limits, dropped)
    for name in sorted(refused - {PROOF}):
        fields, is_found = without(fields, name)
        dropped += [name] if is_found else []
    return Prepared(
        _written(raw, source, fields, model),
        tuple(dict.fromkeys(dropped)),
        restore=restore if restore.is_needed else None,
    )


def _written(raw: bytes, source: dict[str, Any], fields: dict[str, Any], model: str) -> bytes:
    is_same = fields.keys() == source.keys() and all(fields[key] is source[key] for key in source)
    if is_same:
        if source.get("model") == model:
            return raw
        spliced = splice_model(raw, source, model)
        if spliced is not None:
            return spliced
    return json_bytes.dumps({**fields, "model": model})


# -- tools -----------------------------------------------------------------------------------------------------------


def _mend_tools(fields: dict[str, Any], dropped: list[str]) -> tuple[dict[str, Any], Restore]:
    """Only functions are taken upstream (``refused.TOOLS``); plain ones stay as they are, to the byte."""
    given = fields.get("tools")
    given = need_list(given, "tools") if given is not None else []
    added = additional_tools(fields.get("input"))
    choice = decode_tool_choice(fields.get("tool_choice"))
    is_plain = all(isinstance(tool, dict) and tool.get("type") == "function" for tool in given or [])
    is_plain_choice = isinstance(fields.get("tool_choice"), str | None) or (
        fields["tool_choice"].get("type") == "function" and "namespace" not in fields["tool_choice"]
    )
    if is_plain and is_plain_choice and not added:
        return fields, Restore(ToolNames(()))
    tools = (*decode_tools(given), *added)
    refuse_forced(choice, tools)
    names = ToolNames(tools)
    kept = [*(wire for tool in given or [] for wire in _flattened(tool, names, dropped))]
    kept += [encode_tool(tool, names) for tool in added if not _is_dropped(tool, dropped)]
    fields = {**fields, "tools": kept}
    restore = Restore(names, tools, given, fields.get("tool_choice") or "auto")
    if not kept:
        return {key: value for key, value in fields.items() if key not in ("tools", "tool_choice")}, restore
    if choice is not None:
        fields["tool_choice"] = encode_tool_choice(choice, tools, names)
    return fields, restore


def _flattened(raw: dict[str, Any], names: ToolNames, dropped: list[str]) -> list[dict[str, Any]]:
    """The functions that one tool becomes."""
    if raw.get("type") == "function":
        return [raw]
    return [encode_tool(tool, names) for tool in decode_tools([raw]) if not _is_dropped(tool, dropped)]


def _is_dropped(tool: Tool, dropped: list[str]) -> bool:
    if tool.kind != "hosted":
        return False
    dropped.append(f"tools:{tool.name}")
    return True


# -- input -----------------------------------------------------------------------------------------------------------


def _mend_input(
    fields: dict[str, Any],
    inlined: Mapping[str, str],
    refused: frozenset[str],
    restore: Restore,
    dropped: list[str],
) -> dict[str, Any]:
    items = fields.get("input")
    if not isinstance(items, list):
        return fields
    mender = ItemMender(restore.names, inlined, with_proofs=PROOF not in refused)
    mended = mender.mend(items)
    dropped += mender.dropped
    return fields if mended is items else {**fields, "input": mended}


# -- fields ----------------------------------------------------------------------------------------------------------


def _drop_fields(fields: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    for name, rule in table.FIELDS.items():
        if rule.verdict in ("dropped", "refused"):
            # What is refused and still here says nothing: null, or `background: false`.
            fields, is_found = without(fields, name)
            dropped += [name] if is_found and rule.verdict == "dropped" else []
    return fields


def _mend_options(fields: dict[str, Any], model: str, limits: Limits, dropped: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if fields.get("store") is not False:
        changes["store"] = False
    include = _include(fields.get("include"), dropped)
    if include is not None:
        changes["include"] = include
    limit = fields.get("max_output_tokens")
    if type(limit) is int and limit > 0:
        clamped = limits.clamp_output(limit, least=table.LEAST_OUTPUT)
        if clamped != limit:
            changes["max_output_tokens"] = clamped
    fields = _mend_reasoning({**fields, **changes} if changes else fields, limits, dropped)
    fields = _mend_strings(fields, dropped)
    if table.refuses_sampling(limits, model):
        for name in ("temperature", "top_p"):
            fields, is_found = without(fields, name)
            dropped += [name] if is_found else []
    return fields


def _include(given: Any, dropped: list[str]) -> list[str] | None:
    """What to include instead; None if the client's own list will do. Encrypted reasoning is always asked for."""
    listed = given if isinstance(given, list) else []
    taken = [name for name in listed if isinstance(name, str) and name in table.TAKEN_INCLUDES]
    dropped += [f"include:{name}" for name in listed if name not in taken]
    if table.ENCRYPTED in taken:
        return taken if len(taken) < len(listed) else None
    return [*taken, table.ENCRYPTED]


def _mend_reasoning(fields: dict[str, Any], limits: Limits, dropped: list[str]) -> dict[str, Any]:
    reasoning = fields.get("reasoning")
    if not isinstance(reasoning, dict):
        return fields
    mended = dict(reasoning)
    if "generate_summary" in mended:
        summary = mended.pop("generate_summary")
        mended["summary"] = mended.get("summary") or summary
    effort = as_effort(mended.get("effort"))
    clamped = clamp_effort(effort, limits) if effort is not None else None
    if effort is not None and clamped is None:
        del mended["effort"]
        dropped.append("reasoning.effort")
    elif clamped != effort:
        mended["effort"] = clamped
    if mended == reasoning:
        return fields
    return {**fields, "reasoning": mended} if mended else without(fields, "reasoning")[0]


def _mend_strings(fields: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    for name in table.LONGEST_STRINGS:
        value = fields.get(name)
        if isinstance(value, str) and len(value) > table.LONGEST_NAME:
            if name == "prompt_cache_key":
                fields = {**fields, name: valid_name(value)}
            else:
                fields = without(fields, name)[0]
                dropped.append(name)
    return fields
