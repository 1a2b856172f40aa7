"""The words of the chat protocol against the neutral ones, both ways (conversion.md §3; ``ir.FinishReason``)."""

from __future__ import annotations

from typing import Any, Final, get_args

from app.converters.chat import quirks
from app.converters.ir import FinishReason, Role, Usage

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
    """A mended finish reason, seen together with what it ends (§6.5.5; ``stop`` beside calls means tool use)."""
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
    mended = quirks.mend_usage(raw)
    prompt, completion, total = (mended[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    read, write = _details(mended, "prompt_tokens_details", "cached_tokens", "cache_write_tokens")
    (reasoning,) = _details(mended, "completion_tokens_details", "reasoning_tokens")
    if reasoning and total == prompt + completion + reasoning:
        # Gemini counts its thoughts apart from the answer; everybody else's answer includes them.
        completion += reasoning
    return Usage(prompt, read, write, completion, reasoning)


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
