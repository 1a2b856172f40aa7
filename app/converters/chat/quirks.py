"""What Copilot's chat answers have that OpenAI's do not, and its remedy; shared by streams and whole answers.

Contract §6.3 and §6.5. Pure functions on parsed JSON; nothing here keeps state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from app.converters.wire import json_bytes
from app.converters.wire.accounting import FIELD

# All else that upstream adds reaches the client. Noise of random length is nobody's; offsets count in texts of
# upstream's that the bridge merges, and differ from frame to frame.
_PRIVATE = frozenset({"padding", "obfuscation", "content_filter_offsets"})

CUTS: Final = frozenset({"length", "content_filter"})
"""Finish reasons that may stand in the middle of a call."""

# Reasoning text under the names it comes in, in the official client's order of priority (contract §6.5.10).
REASONING_TEXTS = ("cot_summary", "reasoning_text", "thinking")

# Anthropic's words, which leak through now and then (contract §6.3.4).
_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def is_private(key: str, value: Any) -> bool:
    """Whether a field is of no use, or even harmful, to a client."""
    if key == "annotations":
        # OpenAI's is a list, and SDKs fail on anything else. Copilot's is an object of notes, which comes a second time
        # as `copilot_annotations` (contract §6.5.11).
        return not isinstance(value, list)
    return key in _PRIVATE or key == FIELD


def public(fields: dict[str, Any], *, without: Iterable[str] = ()) -> dict[str, Any]:
    """The fields a client may see, in their order."""
    return {key: value for key, value in fields.items() if key not in without and not is_private(key, value)}


def offer_reasoning(message: dict[str, Any]) -> None:
    """Offer reasoning text as ``reasoning_content`` too, the name that clients read; the original must round trip."""
    if message.get("reasoning_content"):
        return
    texts = [message[name] for name in REASONING_TEXTS if isinstance(message.get(name), str)]
    if texts:
        message["reasoning_content"] = next((text for text in texts if text), "")


def text_of(content: Any) -> str | None:
    """The text of a content field, which is a string, but may leak as a list of parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else None


def arguments_of(function: dict[str, Any]) -> str:
    """The arguments as the text the model wrote; an object (never recorded, but cheap) becomes its text."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json_bytes.dumps(arguments).decode()


def make_call_id(answer_id: str, choice: int, position: int) -> str:
    """An id for a call that came without one: the same for the same answer, else another (contract §6.5.8)."""
    return "call_" + hashlib.sha256(f"{answer_id}/{choice}/{position}".encode("utf-8", "replace")).hexdigest()[:24]


def fold_finish(reasons: list[str], *, has_calls: bool) -> str | None:
    """One finish reason out of those of all merged entries (contract §6.3.3, §6.5.5).

    ``length`` and ``content_filter`` win over ``tool_calls``: a call that was cut off must not look finished.
    """
    named = [_FINISH_REASONS.get(reason, reason) for reason in reasons]
    for reason in reversed(named):
        if reason in CUTS:
            return reason
    if has_calls and named:
        return "tool_calls"
    return named[-1] if named else None


def normalize_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Usage in OpenAI's shape: all three counts, reasoning tokens where clients look for them (contract §6.3.5)."""
    normalized = (
        _from_anthropic_usage(usage) if "input_tokens" in usage and "prompt_tokens" not in usage else public(usage)
    )
    for name in ("prompt_tokens", "completion_tokens"):
        if type(normalized.get(name)) is not int:
            normalized[name] = 0
    if type(normalized.get("total_tokens")) is not int:
        # Only where upstream gives none: its own total may exceed the sum, because it counts reasoning apart.
        normalized["total_tokens"] = normalized["prompt_tokens"] + normalized["completion_tokens"]
    reasoning = normalized.get("reasoning_tokens")
    if type(reasoning) is int:
        details = normalized.get("completion_tokens_details")
        details = dict(details) if isinstance(details, dict) else {}
        if not details.get("reasoning_tokens"):
            details["reasoning_tokens"] = reasoning
        normalized["completion_tokens_details"] = details
    return normalized


def _from_anthropic_usage(usage: dict[str, Any]) -> dict[str, Any]:
    def count(name: str) -> int:
        value = usage.get(name)
        return value if type(value) is int else 0

    cached = count("cache_read_input_tokens")
    prompt = count("input_tokens") + cached + count("cache_creation_input_tokens")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": count("output_tokens"),
        "total_tokens": prompt + count("output_tokens"),
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def is_anthropic(answer: dict[str, Any]) -> bool:
    """Whether a body is a Messages answer that leaked onto the chat endpoint (contract §6.3.4)."""
    return answer.get("type") == "message" and isinstance(answer.get("content"), list) and not answer.get("choices")


def from_anthropic(answer: dict[str, Any]) -> dict[str, Any]:
    """Rewrite a leaked Messages body as a chat answer."""
    message: dict[str, Any] = {"role": "assistant"}
    texts, calls = [], []
    for block in answer["content"]:
        if not isinstance(block, dict):
            continue
        kind = block.get("type")
        if kind == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif kind == "tool_use":
            calls.append(_call_from_anthropic(block))
        elif kind == "thinking":
            _add_thinking(message, block)
    message["content"] = "".join(texts) if texts else None
    if calls:
        message["tool_calls"] = calls
    reason = answer.get("stop_reason")
    chat = {key: answer[key] for key in ("id", "created", "model", "usage", FIELD) if answer.get(key)}
    chat["choices"] = [{"index": 0, "message": message, "finish_reason": reason if isinstance(reason, str) else "stop"}]
    return chat


def _call_from_anthropic(block: dict[str, Any]) -> dict[str, Any]:
    arguments = json_bytes.dumps(block.get("input") or {}).decode()
    function = {"name": block.get("name") or "", "arguments": arguments}
    return {"id": block.get("id") or "", "type": "function", "function": function}


def _add_thinking(message: dict[str, Any], block: dict[str, Any]) -> None:
    for source, target in (("thinking", "reasoning_text"), ("signature", "reasoning_opaque")):
        if isinstance(block.get(source), str):
            message[target] = message.get(target, "") + block[source]
