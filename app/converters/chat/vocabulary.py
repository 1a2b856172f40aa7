"""The words of the chat protocol against the neutral ones, both ways (conversion rules §3)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, get_args

from app.converters.chat import quirks
from app.converters.neutral.outcome import Outcome, counts
from app.converters.neutral.vocabulary import FinishReason, Role, Usage

OPENAI_ID_CHARS: Final = 40
"""How long the id of a call may be for OpenAI's chat models."""
CACHE_MARK: Final[Mapping[str, str]] = MappingProxyType({"type": "ephemeral"})
"""Copilot's mark for the end of a cached prefix."""

ROLES: Final[frozenset[Role]] = frozenset(get_args(Role))

TO_CHAT: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "pause": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "context_overflow": "length",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}

FROM_CHAT: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}


def finish_from_chat(reason: str | None, *, has_calls: bool, has_refusal: bool) -> FinishReason:
    """A normalized finish reason, seen with what it ends (contract §6.5.5; ``stop`` beside calls means tool use)."""
    found = FROM_CHAT.get(reason or "stop", "stop")
    if found in ("length", "content_filter"):
        return found
    if has_calls:
        return "tool_calls"
    return "refusal" if has_refusal else "stop"


def finish_to_chat(reason: FinishReason, *, has_refusal: bool, has_calls: bool, is_legacy: bool) -> str:
    """``stop`` where the refusal has a field of its own: with ``content_filter`` SDKs raise instead of showing it."""
    if reason == "refusal" and has_refusal:
        return "stop"
    if reason in ("stop", "stop_sequence", "pause") and has_calls:
        reason = "tool_calls"
    return "function_call" if is_legacy and reason == "tool_calls" else TO_CHAT[reason]


def usage_from_chat(raw: Any) -> Usage | None:
    """Usage in neutral terms; None where there is none. Contract §6.3.5."""
    if not isinstance(raw, dict) or not raw:
        return None
    normalized = quirks.normalize_usage(raw)
    prompt, completion, total = (normalized[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    read, write = _details(normalized, "prompt_tokens_details", "cached_tokens", "cache_write_tokens")
    (reasoning,) = _details(normalized, "completion_tokens_details", "reasoning_tokens")
    if reasoning and total == prompt + completion + reasoning:
        # Gemini counts its thoughts apart from the answer; everybody else's answer includes them.
        completion += reasoning
    return Usage(prompt, read, write, completion, reasoning)


def outcome(usage: Any, finish_reason: Any) -> Outcome:
    """What an answer with this usage and finish reason came to."""
    reason = finish_reason if isinstance(finish_reason, str) else None
    return Outcome(counts(usage_from_chat(usage)), FROM_CHAT.get(reason or "", reason))


def outcome_of(answer: dict[str, Any]) -> Outcome:
    """The same of a whole normalized answer: of its last choice."""
    choices = answer.get("choices")
    return outcome(answer.get("usage"), choices[-1]["finish_reason"] if choices else None)


def usage_to_chat(usage: Usage) -> dict[str, Any]:
    """The OpenAI object; what was not reported is left out, but for the three counts that SDKs insist on."""
    prompt_details = {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": usage.cache_write_tokens}
    told: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or 0,
    }
    if known := {name: count for name, count in prompt_details.items() if count is not None}:
        told["prompt_tokens_details"] = known
    if usage.reasoning_tokens is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return told


def _details(usage: dict[str, Any], name: str, *keys: str) -> list[int | None]:
    details = usage.get(name)
    values = [details.get(key) if isinstance(details, dict) else None for key in keys]
    return [value if isinstance(value, int) and not isinstance(value, bool) else None for value in values]


CACHE_MARKS: Final = ("copilot_cache_control", "cache_control")
"""Copilot's mark, and the one that clients made for other gateways write."""


def has_cache_mark(value: dict[str, Any]) -> bool:
    """Whether the prompt cache may end here (contract §6.2; client notes §3: opencode sends ``cache_control``)."""
    return any(value.get(mark) for mark in CACHE_MARKS)
