"""Copilot's whole answers → neutral. Contract §7.7; conversion rules §3."""

from __future__ import annotations

from typing import Any

from app.converters.neutral.vocabulary import FinishReason, Part, Refusal, Response, ToolCall
from app.converters.responses.errors import error_of
from app.converters.responses.output_items import decode_item
from app.converters.responses.vocabulary import (
    FROM_INCOMPLETE,
    created_at_of,
    decode_usage,
    response_id,
)
from app.converters.wire.accounting import account_in, extra_with
from app.errors import UpstreamProtocolError


def decode_response(body: dict[str, Any]) -> Response:
    """Upstream → neutral.

    Raises: the decoded error of a failed or cancelled response; UpstreamProtocolError for what is no response at all.
    """
    output = finished_output(body)
    parts = tuple(part for item in output if isinstance(item, dict) for part in decode_item(item))
    return Response(
        id=response_id(str(body.get("id") or "")),
        model=str(body.get("model") or ""),
        created_at=created_at_of(body),
        parts=parts,
        finish_reason=finish_of(body, parts),
        usage=decode_usage(body.get("usage")),
        extra=extra_with(account_in(body)),
    )


def finished_output(body: dict[str, Any]) -> list[Any]:
    """The items of a finished response. Raises: as `decode_response`."""
    error = error_of(body)
    if error is not None:
        raise error
    output = body.get("output")
    if not isinstance(output, list) or body.get("status") in ("queued", "in_progress"):
        raise UpstreamProtocolError("GitHub Copilot's answer is not a finished response. Try again.")
    return output


def finish_of(body: dict[str, Any], parts: tuple[Part, ...]) -> FinishReason:
    """Why it ended (the table in ``neutral.vocabulary``)."""
    details = body.get("incomplete_details")
    if body.get("status") == "incomplete":
        reason = details.get("reason") if isinstance(details, dict) else None
        return FROM_INCOMPLETE.get(str(reason), "length")
    if any(isinstance(part, ToolCall) for part in parts):
        return "tool_calls"
    return "refusal" if any(isinstance(part, Refusal) for part in parts) else "stop"
