"""Native answers: response objects and items as clients expect them; whole answers mended, or turned into a stream.

Contract §7.6 (ids), §7.7 (what is missing or null). The stream mender makes its objects here too.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from app.converters import json_bytes, sse
from app.converters.chat.errors import describe_page, is_page
from app.converters.responses.answers import created_at_of, text_of
from app.converters.responses.errors import error_in
from app.converters.responses.output_items import decode_call
from app.converters.responses.restore import Restore
from app.converters.responses.tables import item_id, mend_usage, response_id
from app.errors import UpstreamProtocolError

_PRIVATE: Final = ("copilot_", "obfuscation", "padding")


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who an answer says it is: the model the client asked for, and what serves where upstream gives none."""

    model: str
    created: int
    fallback_id: str
    restore: Restore | None = None


def mend_response(
    body: bytes, *, model: str, choices: int = 1, created: int, fallback_id: str, restore: Restore | None = None
) -> bytes:
    """Make a clean response object of upstream's.

    Raises: UpstreamProtocolError for what is no response at all; the decoded error of one that failed.
    """
    return json_bytes.dumps(_mended(body, Identity(model, created, fallback_id, restore)))


def response_to_stream(
    body: bytes,
    *,
    model: str,
    include_usage: bool = True,
    choices: int = 1,
    created: int,
    fallback_id: str,
    restore: Restore | None = None,
) -> bytes:
    """The events that a stream would have had, for an upstream that answers ``stream: true`` with a whole answer.

    Raises: as `mend_response`.
    """
    # Here, because the mender makes its objects with this module.
    from app.converters.responses.mender import Mender

    answer = _answer_in(body)
    begun = {**answer, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    begun.pop("output_text", None)
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": f"response.{answer.get('status') or 'completed'}", "response": answer},
    ]
    mender = Mender(model=model, created=created, fallback_id=fallback_id, restore=restore)
    return b"".join(mender.feed(sse.frame(json_bytes.dumps(event))) for event in events) + mender.finish()


def mend_object(raw: dict[str, Any], own_id: str, identity: Identity, output: list[dict[str, Any]]) -> dict[str, Any]:
    """A response object with all keys that clients take for granted (§7.7), and the client's own model and tools."""
    mended: dict[str, Any] = {
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
    mended.update({key: value for key, value in public(raw).items() if value is not None and key not in fixed})
    mended |= {"model": identity.model, "store": False, "output": output, "usage": mend_usage(raw.get("usage"))}
    restore = identity.restore
    if restore is not None:
        mended |= {"tools": restore.tools or [], "tool_choice": restore.tool_choice}
    if mended["status"] not in ("in_progress", "queued"):
        mended["output_text"] = text_of(output)
    return mended


def mend_item(raw: dict[str, Any], own_id: str, index: int, restore: Restore | None) -> dict[str, Any]:
    """An output item with its one id, all keys that clients need, and its tool in the client's terms."""
    item = public(raw)
    kind = item.get("type")
    if not isinstance(kind, str) or not kind:
        kind = item["type"] = "message"
    if kind in ("function_call", "custom_tool_call"):
        item = _mend_call(item, restore)
    elif kind == "message":
        content = item.get("content")
        parts = [mend_part(part) for part in content if isinstance(part, dict)] if isinstance(content, list) else []
        item |= {"role": "assistant", "status": item.get("status") or "completed", "content": parts}
    elif kind == "reasoning" and not isinstance(item.get("summary"), list):
        item["summary"] = []
    return {**item, "id": item_id(own_id, item["type"], index)}


def mend_part(raw: dict[str, Any]) -> dict[str, Any]:
    """A content part with all keys that clients need."""
    part = public(raw)
    kind = part.setdefault("type", "output_text")
    if kind == "output_text":
        missing = {"text": "", "annotations": [], "logprobs": []}
        part |= {name: blank for name, blank in missing.items() if part.get(name) is None}
    return part


def public(raw: dict[str, Any]) -> dict[str, Any]:
    """Without what is between Copilot and its own clients."""
    return {key: value for key, value in raw.items() if not key.startswith(_PRIVATE)}


def _mend_call(item: dict[str, Any], restore: Restore | None) -> dict[str, Any]:
    key = "input" if item["type"] == "custom_tool_call" else "arguments"
    known = {"call_id": item.get("call_id") or str(item.get("id") or "")[:64], "name": item.get("name") or ""}
    item = {**item, **known, key: item.get(key) or "", "status": item.get("status") or "completed"}
    if restore is None:
        return item
    call = decode_call(item)
    restored = restore.names.restore(call)
    item["name"] = restored.name
    if restored.namespace:
        item["namespace"] = restored.namespace
    if restored.kind != call.kind:
        del item[key]
        item |= {"type": "custom_tool_call", "input": restored.arguments}
    return item


def _mended(body: bytes, identity: Identity) -> dict[str, Any]:
    answer = _answer_in(body)
    own_id = response_id(str(answer.get("id") or identity.fallback_id))
    items = [item for item in answer["output"] if isinstance(item, dict)]
    output = [mend_item(item, own_id, at, identity.restore) for at, item in enumerate(items)]
    return mend_object(answer, own_id, identity, output)


def _answer_in(body: bytes) -> dict[str, Any]:
    text = body[:4096].decode("utf-8", "replace")
    if is_page(text):
        raise UpstreamProtocolError(f"GitHub Copilot sent {describe_page(text)} instead of an answer. Try again.")
    try:
        answer = json_bytes.loads_exact(body)
    except ValueError:
        raise UpstreamProtocolError("GitHub Copilot's answer is torn or no JSON. Try again.") from None
    if not isinstance(answer, dict):
        raise UpstreamProtocolError("GitHub Copilot's answer is not a JSON object. Try again.")
    kind = f"response.{answer.get('status')}"
    error = error_in({"type": kind, "response": answer})
    if error is None and answer.get("error"):
        error = error_in({"type": "error", "error": answer["error"]})
    if error is not None:
        raise error
    if not isinstance(answer.get("output"), list):
        raise UpstreamProtocolError("GitHub Copilot's answer holds no output at all. Try again.")
    return answer
