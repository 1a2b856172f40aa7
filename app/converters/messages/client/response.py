"""Whole answers in conversion: of a messages upstream → neutral → for a messages client (contract §8.5)."""

from __future__ import annotations

from typing import Any

from app.converters.messages.client.answer_blocks import answer_id, block_of
from app.converters.messages.vocabulary import (
    PROTOCOL,
    SERVER_TOOL_USE,
    encode_usage,
    stop_reason,
)
from app.converters.neutral import tools
from app.converters.neutral.vocabulary import Request, Response, ToolCall
from app.converters.wire.accounting import COPILOT

Json = dict[str, Any]


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
        **response.extra.get(COPILOT, {}),
        "usage": encode_usage(response.usage, extra.get(SERVER_TOOL_USE)),
    }
