"""Parts of an answer → content blocks for a messages client, of whole answers and streams (conversion rules §3)."""

from __future__ import annotations

from typing import Any, Final

from app.converters.messages.citations import citations_of
from app.converters.messages.vocabulary import PROTOCOL, signature_for_client
from app.converters.neutral import tools
from app.converters.neutral.conversation import valid_call_id
from app.converters.neutral.vocabulary import Audio, Opaque, Part, Reasoning, Refusal, Text, ToolCall

Json = dict[str, Any]

SERVER_CALLS: Final = ("server_tool_use", "mcp_tool_use")
"""Blocks of tools that the server runs; their input is streamed like that of a ``tool_use``."""


def block_of(part: Part, position: int, answer_id: str) -> Json | None:
    """The block of a part that is whole; None for what says nothing or has no form here (sound, pictures)."""
    match part:
        case Text() | Refusal() | Audio():
            text = part.transcript if isinstance(part, Audio) else part.text
            if not text:
                return None
            block: Json = {"type": "text", "text": text}
            if isinstance(part, Text) and (found := citations_of(part.annotations)):
                block["citations"] = found
            return block
        case Reasoning():
            return thought_block(part)
        case ToolCall():
            return {**call_block(part, position, answer_id), "input": input_of(part)}
        case Opaque(origin=origin, value=value) if origin == PROTOCOL and isinstance(value, dict):
            return value if isinstance(value.get("type"), str) else None
    return None


def thought_block(part: Reasoning) -> Json | None:
    """A thought, its proof in the field that clients send back; None if there is neither text nor proof."""
    if part.redacted and part.origin == PROTOCOL and part.signature:
        return {"type": "redacted_thinking", "data": part.signature}
    if not part.text and not part.signature:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": signature_for_client(part)}


def call_block(part: ToolCall, position: int, answer_id: str) -> Json:
    """A call without its arguments, as it is opened. The id fits ``^[a-zA-Z0-9_-]+$``, whatever it was."""
    call_id = valid_call_id(part.call_id or f"toolu_{answer_id}_{position}")
    return {"type": "tool_use", "id": call_id, "name": part.name, "input": {}}


def input_of(part: ToolCall) -> Json:
    """The arguments as the object that ``input`` has to be; free text under one key, where nothing is lost."""
    return tools.input_of(tools.call_as_function(part).arguments)[0]


def answer_id(upstream_id: str) -> str:
    """The id of the answer: ``msg_…``, from upstream's own, so that it is the same at each try."""
    return upstream_id if upstream_id.startswith("msg_") else valid_call_id(f"msg_{upstream_id}")
