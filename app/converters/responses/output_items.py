"""Output items: neutral parts ↔ items of an answer. Spec: OpenAI "The response object: output"; contract §7.5, §7.7."""

from __future__ import annotations

from typing import Any

from app.converters.neutral.sealed_signatures import proof_for_client
from app.converters.neutral.tools import CLIENT_SPACE
from app.converters.neutral.vocabulary import (
    Annotation,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    apart,
)
from app.converters.responses import client_run
from app.converters.responses.parts import ORIGIN, decode_annotations, decode_reasoning
from app.converters.responses.vocabulary import (
    item_id,
)


def decode_item(item: dict[str, Any]) -> list[Part]:
    """The parts of one output item of upstream's. Ids are left out: they change with every event (contract §7.6)."""
    kind = item.get("type")
    if kind == "message":
        phase = _text(item.get("phase"))
        content = item.get("content")
        told = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
        parts = [decode_content_part(part, phase) for part in told]
        return [*map(apart, parts[:1]), *parts[1:]]
    if kind == "reasoning":
        thought = apart(decode_reasoning(item))
        return [thought] if thought.text or thought.signature else []
    if kind in ("function_call", "custom_tool_call"):
        return [decode_call(item)]
    return [Opaque(ORIGIN, {key: value for key, value in item.items() if key != "id"})]


def decode_content_part(part: dict[str, Any], phase: str | None) -> Part:
    """One part of an output message."""
    if part.get("type") == "refusal":
        return Refusal(_text(part.get("refusal")) or "")
    return Text(_text(part.get("text")) or "", decode_annotations(part.get("annotations")), phase=phase)


def decode_call(item: dict[str, Any]) -> ToolCall:
    """A call of a function or custom tool."""
    is_custom = item.get("type") == "custom_tool_call"
    given = _text(item.get("input" if is_custom else "arguments")) or ""
    return ToolCall(
        call_id=_text(item.get("call_id")) or _text(item.get("id")) or "",
        name=_text(item.get("name")) or "",
        arguments=given if is_custom or given.strip() else "",
        kind="custom" if is_custom else "function",
        namespace=_text(item.get("namespace")) or None,
    )


def encode_part(part: Part, response: str, index: int, status: str = "completed") -> dict[str, Any] | None:
    """The item of one part, already in the client's terms (``ToolNames.restore``); None for what has no item.

    response: the client's response id. index: the output index.
    """
    if isinstance(part, Text | Refusal):
        message: dict[str, Any] = {
            "id": item_id(response, "message", index),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [encode_content_part(part)],
        }
        return {**message, "phase": part.phase} if isinstance(part, Text) and part.phase else message
    if isinstance(part, Reasoning):
        item: dict[str, Any] = {
            "id": item_id(response, "reasoning", index),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": part.text}] if part.text else [],
        }
        proof = proof_for_client(part, ORIGIN)
        return {**item, "encrypted_content": proof} if proof else item
    if isinstance(part, ToolCall):
        return _encode_call(part, response, index, status)
    if isinstance(part, Opaque) and part.origin == ORIGIN and isinstance(part.value, dict):
        return {"id": item_id(response, str(part.value.get("type")), index), **part.value}
    return None


def encode_content_part(part: Text | Refusal) -> dict[str, Any]:
    """The content part of a message item."""
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    notes = [wire for note in part.annotations if (wire := encode_annotation(note, len(part.text))) is not None]
    return {"type": "output_text", "text": part.text, "annotations": notes, "logprobs": []}


def encode_annotation(note: Annotation, length: int) -> dict[str, Any] | None:
    """A source in this protocol's form: pages always, files only if it was this protocol that named them."""
    if note.origin == ORIGIN and isinstance(note.value, dict):
        return note.value
    if note.url is None:
        return None
    return {
        "type": "url_citation",
        "url": note.url,
        "title": note.title or "",
        "start_index": note.start_index or 0,
        "end_index": length if note.end_index is None else note.end_index,
    }


def blank_of(item: dict[str, Any]) -> dict[str, Any]:
    """The item as its ``output_item.added`` tells it: under way, and empty of all that is streamed."""
    kind = item.get("type")
    if kind == "message":
        return {**item, "status": "in_progress", "content": []}
    if kind == "reasoning":
        return {**{key: value for key, value in item.items() if key != "encrypted_content"}, "summary": []}
    if kind == "function_call":
        return {**item, "status": "in_progress", "arguments": ""}
    if kind == "custom_tool_call":
        return {**item, "status": "in_progress", "input": ""}
    return {**item, "status": "in_progress"} if "status" in item else item


def with_status(part: Part, status: str, item: dict[str, Any]) -> dict[str, Any]:
    """The item with another status, where its kind has one."""
    return {**item, "status": status} if isinstance(part, Text | Refusal | ToolCall) else item


def _encode_call(part: ToolCall, response: str, index: int, status: str) -> dict[str, Any]:
    if part.namespace == CLIENT_SPACE and part.name in client_run.TOOLS:
        return client_run.item_of(part, response, index, status)
    kind, key = ("custom_tool_call", "input") if part.kind == "custom" else ("function_call", "arguments")
    item: dict[str, Any] = {
        "id": item_id(response, kind, index),
        "type": kind,
        "status": status,
        "call_id": part.call_id,
        "name": part.name,
        key: part.arguments if part.kind == "custom" or part.arguments.strip() else "{}",
    }
    return {**item, "namespace": part.namespace} if part.namespace else item


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def text_of(output: list[dict[str, Any]]) -> str:
    """All output text in one piece, as the SDKs' ``output_text`` has it."""
    return "".join(
        part["text"]
        for item in output
        if item.get("type") == "message" and isinstance(item.get("content"), list)
        for part in item["content"]
        if isinstance(part, dict) and part.get("type") == "output_text" and isinstance(part.get("text"), str)
    )
