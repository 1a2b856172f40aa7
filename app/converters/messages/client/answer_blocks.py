"""Parts of an answer → content blocks for a messages client; shared by whole answers and streams (conversion.md §3)."""

from __future__ import annotations

from typing import Any, Final

from app.converters import json_bytes, tools
from app.converters.conversation import valid_call_id
from app.converters.ir import Annotation, Audio, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from app.converters.messages.tables import ANSWER_TOOL, ANSWER_VALUE_TOOL, PROTOCOL, signature_for_client

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


def citations_of(annotations: tuple[Annotation, ...]) -> list[Json]:
    """Citations: Anthropic's own as they were, web sources of other protocols in the form of a web search result."""
    found: list[Json] = []
    for note in annotations:
        if note.origin == PROTOCOL and isinstance(note.value, dict):
            found.append(note.value)
        elif note.url:
            found.append(
                {
                    "type": "web_search_result_location",
                    "url": note.url,
                    "title": note.title,
                    "cited_text": note.cited_text or "",
                    "encrypted_index": "",
                }
            )
    return found


def answer_id(upstream_id: str) -> str:
    """The id of the answer: ``msg_…``, from upstream's own, so that it is the same at each try."""
    return upstream_id if upstream_id.startswith("msg_") else valid_call_id(f"msg_{upstream_id}")


def is_answer_tool(name: Any) -> bool:
    """Whether a call is structured output that had to travel as a call (``schemas.answer_tool``)."""
    return name in (ANSWER_TOOL, ANSWER_VALUE_TOOL)


def answer_text(name: str, given: Any) -> str:
    """The structured answer in the input of that call."""
    if name == ANSWER_VALUE_TOOL and isinstance(given, dict) and "value" in given:
        given = given["value"]
    return json_bytes.dumps({} if given is None else given).decode()
