"""Whole answers in conversion: of a messages upstream → neutral → for a messages client (contract §8.5)."""

from __future__ import annotations

from typing import Any, Final

from app.converters import json_bytes, tools
from app.converters.ir import Opaque, Part, Reasoning, Refusal, Request, Response, Text, ToolCall
from app.converters.messages.answer_blocks import answer_id, answer_text, block_of, is_answer_tool
from app.converters.messages.blocks_decoder import citations
from app.converters.messages.errors import decode_error
from app.converters.messages.tables import (
    PROTOCOL,
    SERVER_TOOL_USE,
    decode_usage,
    encode_usage,
    finish_reason,
    stop_reason,
)
from app.errors import UpstreamProtocolError

Json = dict[str, Any]

EXTRAS: Final = ("stop_details", "container", "context_management", "diagnostics")
"""What an answer may say beyond the neutral vocabulary; rides in ``Response.extra``."""

NO_EDITS: Final[Json] = {"applied_edits": []}
"""A report of context edits that tells of none. Copilot sends it unasked (contract §8.5); Anthropic does not."""


def decode_response(body: Json) -> Response:
    """Upstream's whole answer → neutral. Raises: the error that it is, UpstreamProtocolError if it is no message."""
    if body.get("type") == "error" or "error" in body:
        raise decode_error(200, {}, json_bytes.dumps(body))
    content = body.get("content")
    if not isinstance(content, list):
        raise UpstreamProtocolError("GitHub Copilot's answer is no message: it has no content. Try again.")
    parts = [decode_answer_block(block) for block in content if isinstance(block, dict)]
    extra = extras_of(body)
    parts += refusal_of(extra, parts)
    usage = body.get("usage")
    given_id, model, stopped_at = body.get("id"), body.get("model"), body.get("stop_sequence")
    return Response(
        id=given_id if isinstance(given_id, str) else "",
        model=model if isinstance(model, str) else "",
        created_at=None,
        parts=tuple(parts),
        finish_reason=reason_of(body.get("stop_reason"), parts),
        stop_sequence=stopped_at if isinstance(stopped_at, str) else None,
        usage=decode_usage(usage if isinstance(usage, dict) else None),
        extra={PROTOCOL: extra} if extra else {},
    )


def decode_answer_block(block: Json) -> Part:
    """One block that is whole."""
    match block.get("type"):
        case "text":
            return Text(_str(block.get("text")), citations(block.get("citations")))
        case "thinking":
            signature = _str(block.get("signature")) or None
            return Reasoning(_str(block.get("thinking")), signature, PROTOCOL if signature else None)
        case "redacted_thinking":
            return Reasoning(signature=_str(block.get("data")), origin=PROTOCOL, redacted=True)
        case "tool_use":
            name = _str(block.get("name"))
            if is_answer_tool(name):
                return Text(answer_text(name, block.get("input")))
            return ToolCall(_str(block.get("id")), name, tools.arguments_of(block.get("input")))
    return Opaque(PROTOCOL, block)


def extras_of(said: Json) -> Json:
    """The known extras in a whole answer, or in ``message_delta`` and its ``delta``."""
    return {name: said[name] for name in EXTRAS if said.get(name) and said[name] != NO_EDITS}


def refusal_of(extra: Json, parts: list[Part]) -> list[Part]:
    """A refusal without content explains itself beside it (contract §8.6); other dialects say it in words."""
    details = extra.get("stop_details")
    words = details.get("explanation") if isinstance(details, dict) else None
    if not isinstance(words, str) or not words or any(isinstance(one, Text) and one.text == words for one in parts):
        return []
    return [Refusal(words)]


def reason_of(stopped: Any, parts: list[Part]) -> Any:
    """Why it ended. A turn whose only call was the structured answer ended normally."""
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    reason = finish_reason(stopped, has_calls=has_calls)
    return "stop" if reason == "tool_calls" and not has_calls else reason


def encode_response(response: Response, request: Request, *, model: str) -> Json:
    """Neutral → the whole answer for a messages client. model: the name that the client asked for."""
    names = tools.ToolNames(request.tools)
    restored = [names.restore(part) if isinstance(part, ToolCall) else part for part in response.parts]
    message_id = answer_id(response.id)
    blocks = [block_of(part, at, message_id) for at, part in enumerate(restored)]
    extra = response.extra.get(PROTOCOL, {})
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [block for block in blocks if block is not None],
        "stop_reason": stop_reason(response.finish_reason, has_calls=bool(response.calls)),
        "stop_sequence": response.stop_sequence,
        **{name: value for name, value in extra.items() if name != SERVER_TOOL_USE},
        "usage": encode_usage(response.usage, extra.get(SERVER_TOOL_USE)),
    }


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""
