"""What other protocols word so and yet stands in chat bodies: Anthropic's blocks and tools, Responses' flat tools.

Cursor writes chat bodies like that, by the name of the model (forum.cursor.com 145588, 158939; LiteLLM #34029).
Copilot's chat takes none of it, so such a body is converted even where the model speaks chat.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.chat.vocabulary import has_cache_mark
from app.converters.neutral import sealed_signatures
from app.converters.neutral.tools import arguments_of
from app.converters.neutral.vocabulary import Reasoning, ToolCall
from app.converters.wire import reading

BLOCKS: Final[dict[str, str]] = {
    "tool_use": "assistant",
    "thinking": "assistant",
    "redacted_thinking": "assistant",
    "tool_result": "user",
}
"""Anthropic's blocks that are no content in chat, and whose messages they belong to."""

_PARTS: Final = frozenset({*BLOCKS, "image", "input_image", "input_text", "output_text"})


def is_foreign(body: dict[str, Any]) -> bool:
    """Whether a chat upstream would stumble over a form in this body that `client.request` can read.

    Free-text tools and a choice among tools are chat's own words, but not Copilot's. Never fails.
    """
    tools, choice = body.get("tools"), body.get("tool_choice")
    if isinstance(tools, list) and any(map(_is_foreign_tool, tools)):
        return True
    if isinstance(choice, dict) and "function" not in choice:
        return True
    messages = body.get("messages")
    return isinstance(messages, list) and any(map(_is_foreign_message, messages))


def carries_results(message: dict[str, Any]) -> bool:
    """Whether a user message is nothing but what tools have answered: Anthropic's way of saying ``role: tool``."""
    content = message.get("content")
    if not isinstance(content, list):
        return False
    parts = [part for part in content if isinstance(part, dict)]
    others = [part for part in parts if part.get("type") != "tool_result"]
    return len(others) < len(parts) and all(_is_blank(part) for part in others)


def decode_call(part: dict[str, Any], path: str) -> ToolCall:
    """A ``tool_use`` block. Its input is an object; the raw text where a client could not parse what it was given."""
    given = part.get("input")
    if given is not None and not isinstance(given, dict | str):
        reading.wrong(f"{path}.input", "an object")
    return ToolCall(
        reading.string(part.get("id"), f"{path}.id"),
        reading.opt_string(part.get("name"), f"{path}.name") or "",
        given if isinstance(given, str) else arguments_of(given),
        cache=has_cache_mark(part),
    )


def decode_thought(part: dict[str, Any], path: str) -> Reasoning:
    """A ``thinking`` block or a redacted one; the proof is Anthropic's, if it is not another that has been sealed."""
    if part.get("type") == "redacted_thinking":
        proof = reading.string(part.get("data"), f"{path}.data")
        thought = sealed_signatures.proof_from_client(proof, "messages", text="")
        return thought if thought.origin != "messages" else Reasoning("", proof, "messages", redacted=True)
    text = reading.opt_string(part.get("thinking"), f"{path}.thinking") or ""
    return sealed_signatures.proof_from_client(
        reading.opt_string(part.get("signature"), f"{path}.signature") or "", "messages", text=text
    )


def _is_foreign_tool(tool: Any) -> bool:
    return isinstance(tool, dict) and (tool.get("type") == "custom" or ("name" in tool and "function" not in tool))


def _is_foreign_message(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, list):
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind != "text" and isinstance(kind, str) and kind in _PARTS:
                return True
    return isinstance(calls, list) and any(isinstance(call, dict) and call.get("type") == "custom" for call in calls)


def _is_blank(part: dict[str, Any]) -> bool:
    text = part.get("text")
    return part.get("type") == "text" and isinstance(text, str) and not text.strip()
