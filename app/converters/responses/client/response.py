"""Whole answers, both ways. Spec: OpenAI "The response object"; contract §7.7; conversion rules §3."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from app.converters.neutral.tools import ToolNames
from app.converters.neutral.vocabulary import FinishReason, Part, Refusal, Request, Response, ToolCall
from app.converters.responses.client.echo import echo_of
from app.converters.responses.output_items import encode_part, text_of
from app.converters.responses.vocabulary import (
    TO_INCOMPLETE,
    encode_usage,
    response_id,
)
from app.converters.wire.accounting import COPILOT

NOTHING_TOLD: Final[Mapping[str, Any]] = MappingProxyType({})


def encode_response(
    response: Response, request: Request, *, model: str, told: Mapping[str, Any] = NOTHING_TOLD
) -> dict[str, Any]:
    """Neutral → client. model: the name the client asked for. request: its request, to echo and to restore tools by.
    told: what the object says of storing (`Identity.told`)."""
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
    body = response_object(request, model=model, id=own_id, created_at=response.created_at, told=told)
    return finished(body, output, reason, encode_usage(response.usage)) | response.extra.get(COPILOT, {})


def incomplete_reason(finish_reason: FinishReason, parts: tuple[Part, ...]) -> str | None:
    """The reason of an incomplete response; None: it is complete.

    A refusal without a refusal part (a messages model refuses in plain text, or says nothing) would look like an
    ordinary answer: it is told as filtered.
    """
    if finish_reason == "refusal" and not any(isinstance(part, Refusal) for part in parts):
        return "content_filter"
    return TO_INCOMPLETE.get(finish_reason)


def response_object(
    request: Request, *, model: str, id: str, created_at: int | None, told: Mapping[str, Any] = NOTHING_TOLD
) -> dict[str, Any]:
    """The object of an answer that has begun."""
    return {
        "id": id,
        "object": "response",
        "created_at": created_at or 0,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        **echo_of(request, model),
        **told,
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
