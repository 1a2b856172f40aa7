"""Response objects and items as clients expect them; whole answers and streams are made of these.

Contract §7.6 (ids), §7.7 (what is missing or null).
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.codec import Identity
from app.converters.neutral.tools import CLIENT_SPACE
from app.converters.responses.client_run import item_of
from app.converters.responses.native.client_tools import ClientTools
from app.converters.responses.output_items import decode_call, text_of
from app.converters.responses.vocabulary import created_at_of, item_id, normalize_usage
from app.converters.wire import accounting, json_bytes

_PRIVATE: Final = frozenset({"obfuscation", "padding", accounting.FIELD})


def normalize_object(
    raw: dict[str, Any], own_id: str, identity: Identity, output: list[dict[str, Any]], restore: ClientTools | None
) -> dict[str, Any]:
    """A response object with all keys that clients rely on (contract §7.7), with the client's model and tools."""
    normalized: dict[str, Any] = {
        "id": own_id,
        "object": "response",
        "created_at": created_at_of(raw) or identity.created,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "metadata": {},
    }
    fixed = ("id", "object", "created_at", "output_text")
    normalized.update({key: value for key, value in public(raw).items() if value is not None and key not in fixed})
    normalized |= {
        "model": identity.model,
        "store": False,
        **identity.told,
        "output": output,
        "usage": normalize_usage(raw.get("usage")),
    }
    account = accounting.account_in(raw)
    if account is not None:
        normalized[accounting.FIELD] = account
    if restore is not None:
        normalized |= {"tools": restore.tools or [], "tool_choice": restore.tool_choice}
    if normalized["status"] not in ("in_progress", "queued"):
        normalized["output_text"] = text_of(output)
    return normalized


def normalize_item(raw: dict[str, Any], own_id: str, index: int, restore: ClientTools | None) -> dict[str, Any]:
    """An output item with its one id, all keys that clients need, and its tool in the client's terms."""
    item = public(raw)
    kind = item.get("type")
    if not isinstance(kind, str) or not kind:
        kind = item["type"] = "message"
    if kind in ("function_call", "custom_tool_call"):
        item = _normalize_call(item, restore)
    elif kind == "message":
        content = item.get("content")
        parts = (
            [normalize_part(part) for part in content if isinstance(part, dict)] if isinstance(content, list) else []
        )
        item |= {"role": "assistant", "status": item.get("status") or "completed", "content": parts}
    elif kind == "reasoning" and not isinstance(item.get("summary"), list):
        item["summary"] = []
    if kind == "compaction" and isinstance(item.get("id"), str) and item["id"]:
        return item  # it goes back with the id that upstream gave it, in the same event (contract §7.5.5)
    return {**item, "id": item_id(own_id, item["type"], index)}


def is_over(raw: dict[str, Any]) -> bool:
    """Whether a call, as upstream has it in the end, is a whole one; not so where the answer was cut off."""
    return raw.get("status") in (None, "completed")


def normalize_part(raw: dict[str, Any]) -> dict[str, Any]:
    """A content part with all keys that clients need."""
    part = public(raw)
    kind = part.setdefault("type", "output_text")
    if kind == "output_text":
        missing = {"text": "", "annotations": [], "logprobs": []}
        part |= {name: blank for name, blank in missing.items() if part.get(name) is None}
    return part


def public(raw: dict[str, Any]) -> dict[str, Any]:
    """Without noise, and without what the answer cost, which has a place of its own. All else that upstream adds is the
    client's."""
    return {key: value for key, value in raw.items() if key not in _PRIVATE}


def _normalize_call(item: dict[str, Any], restore: ClientTools | None) -> dict[str, Any]:
    key = "input" if item["type"] == "custom_tool_call" else "arguments"
    known = {"call_id": item.get("call_id") or str(item.get("id") or "")[:64], "name": item.get("name") or ""}
    item = {**item, **known, key: argument_text(item.get(key)), "status": item.get("status") or "completed"}
    if restore is None:
        return item
    call = decode_call(item)
    restored = restore.names.restore(call)
    if restored.namespace == CLIENT_SPACE:
        return item_of(restored, "", 0, item["status"])
    item["name"] = restored.name
    if restored.namespace:
        item["namespace"] = restored.namespace
    if restored.kind != call.kind:
        del item[key]
        item |= {"type": "custom_tool_call", "input": restored.arguments}
    return item


def argument_text(given: Any) -> str:
    """What a call was given, as the text that it has to be."""
    return given if isinstance(given, str) else "" if given is None else json_bytes.dumps(given).decode()
