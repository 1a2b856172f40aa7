"""Whole answers, both ways. Spec: OpenAI "The response object"; contract §7.7; conversion.md §3."""

from __future__ import annotations

from typing import Any, Final

from app.converters.ir import FinishReason, Part, Refusal, Request, Response, ToolCall
from app.converters.responses.echo import echo_of
from app.converters.responses.errors import error_in
from app.converters.responses.output_items import decode_item, encode_part
from app.converters.responses.tables import (
    FROM_INCOMPLETE,
    TO_INCOMPLETE,
    decode_usage,
    encode_usage,
    response_id,
)
from app.converters.tools import ToolNames
from app.errors import UpstreamProtocolError

_LATEST: Final = 1e12
"""No time in seconds is as late as this; 1e400 is infinite, and no integer."""


def decode_response(body: dict[str, Any]) -> Response:
    """Upstream → neutral.

    Raises: the decoded error of a failed or cancelled response; UpstreamProtocolError for what is no response at all.
    """
    status = body.get("status")
    error = error_in({"type": f"response.{status}", "response": body})
    if error is None and body.get("error"):
        error = error_in({"type": "error", "error": body["error"]})
    if error is not None:
        raise error
    output = body.get("output")
    if not isinstance(output, list) or status in ("queued", "in_progress"):
        raise UpstreamProtocolError("GitHub Copilot's answer is not a finished response. Try again.")
    parts = tuple(part for item in output if isinstance(item, dict) for part in decode_item(item))
    return Response(
        id=response_id(str(body.get("id") or "")),
        model=str(body.get("model") or ""),
        created_at=created_at_of(body),
        parts=parts,
        finish_reason=finish_of(body, parts),
        usage=decode_usage(body.get("usage")),
    )


def created_at_of(body: dict[str, Any]) -> int | None:
    """Epoch seconds; some gateways write a float."""
    at = body.get("created_at")
    return int(at) if isinstance(at, int | float) and not isinstance(at, bool) and 0 < at < _LATEST else None


def finish_of(body: dict[str, Any], parts: tuple[Part, ...]) -> FinishReason:
    """Why it ended (the table in ``ir``)."""
    details = body.get("incomplete_details")
    if body.get("status") == "incomplete":
        reason = details.get("reason") if isinstance(details, dict) else None
        return FROM_INCOMPLETE.get(str(reason), "length")
    if any(isinstance(part, ToolCall) for part in parts):
        return "tool_calls"
    return "refusal" if any(isinstance(part, Refusal) for part in parts) else "stop"


def encode_response(response: Response, request: Request, *, model: str) -> dict[str, Any]:
    """Neutral → client. model: the name the client asked for. request: its request, to echo and to restore tools by."""
    names = ToolNames(request.tools)
    own_id = response_id(response.id)
    reason = incomplete_reason(response.finish_reason, response.parts)
    output: list[dict[str, Any]] = []
    for part in response.parts:
        restored = names.restore(part) if isinstance(part, ToolCall) else part
        item = encode_part(restored, own_id, len(output))
        if item is not None:
            output.append(item)
    if reason is not None and output and "status" in output[-1]:
        output[-1]["status"] = "incomplete"
    body = response_object(request, model=model, id=own_id, created_at=response.created_at)
    return finished(body, output, reason, encode_usage(response.usage))


def incomplete_reason(finish_reason: FinishReason, parts: tuple[Part, ...]) -> str | None:
    """The reason of an incomplete response; None: it is complete.

    A refusal without a refusal part (a messages model refuses in plain text, or says nothing) would look like an
    ordinary answer: it is told as filtered.
    """
    if finish_reason == "refusal" and not any(isinstance(part, Refusal) for part in parts):
        return "content_filter"
    return TO_INCOMPLETE.get(finish_reason)


def response_object(request: Request, *, model: str, id: str, created_at: int | None) -> dict[str, Any]:
    """The object of an answer that has begun."""
    return {
        "id": id,
        "object": "response",
        "created_at": created_at or 0,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        **echo_of(request, model),
        "output": [],
        "usage": None,
    }


def finished(
    body: dict[str, Any], output: list[dict[str, Any]], reason: str | None, usage: dict[str, Any] | None
) -> dict[str, Any]:
    """The same object in the end."""
    return {
        **body,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "output_text": text_of(output),
        "usage": usage,
    }


def text_of(output: list[dict[str, Any]]) -> str:
    """All output text in one piece, as the SDKs' ``output_text`` has it."""
    return "".join(
        part["text"]
        for item in output
        if item.get("type") == "message" and isinstance(item.get("content"), list)
        for part in item["content"]
        if isinstance(part, dict) and part.get("type") == "output_text" and isinstance(part.get("text"), str)
    )
