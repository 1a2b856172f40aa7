"""Words of the messages protocol and the neutral ones, both ways (conversion rules §3, contract §8.5–§8.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.converters.neutral import sealed_signatures
from app.converters.neutral.outcome import Outcome, counts
from app.converters.neutral.vocabulary import FinishReason, Reasoning, Usage

PROTOCOL: Final = "messages"

SERVER_TOOL_USE: Final = "server_tool_use"
"""In the extras of an answer: what belongs into its usage under this name."""

FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "context_overflow",
    "refusal": "refusal",
    "pause_turn": "pause",
}

STOP_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "context_overflow": "model_context_window_exceeded",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}

ANSWER_TOOL: Final = "bridge_structured_answer"
"""Structured output of a model without it: the one tool that the model has to call, whose input is the answer."""

ANSWER_VALUE_TOOL: Final = "bridge_structured_value"
"""The same where the answer is no object: it is the one property ``value`` of the input."""

NO_PROOF: Final = f"{sealed_signatures.MARK}none::"
"""The signature of a thought without proof: a seal without payload. A block with an empty signature would be refused by
clients and upstream alike (conversion rules §1.5); this one comes home and is known for what it is."""


def finish_reason(stop_reason: Any, *, has_calls: bool) -> FinishReason:
    """The neutral word; what is unknown or missing counts as a normal end."""
    known = FINISH_REASONS.get(stop_reason) if isinstance(stop_reason, str) else None
    return known or ("tool_calls" if has_calls else "stop")


def stop_reason(reason: FinishReason, *, has_calls: bool) -> str:
    """Anthropic's word. A normal end beside tool calls is tool use, or clients would not run them."""
    return "tool_use" if has_calls and reason == "stop" else STOP_REASONS[reason]


def decode_usage(usage: Mapping[str, Any] | None) -> Usage | None:
    """Wire usage; the cached shares, which stand beside ``input_tokens``, are added to it (contract §8.7)."""
    if not usage:
        return None
    fresh, read, written = (
        _count(usage.get(name)) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        cached_input_tokens=read,
        cache_write_tokens=written,
        output_tokens=_count(usage.get("output_tokens")),
        reasoning_tokens=_count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
    )


def outcome(usage: Any, stop_reason: Any) -> Outcome:
    """What an answer with this usage and stop reason came to."""
    reason = stop_reason if isinstance(stop_reason, str) else None
    return Outcome(counts(decode_usage(usage)), FINISH_REASONS.get(reason or "", reason))


def outcome_of(message: dict[str, Any]) -> Outcome:
    """The same of a whole normalized message."""
    return outcome(message.get("usage"), message.get("stop_reason"))


def encode_usage(usage: Usage | None, server_tool_use: Any = None) -> dict[str, Any]:
    """Usage on the wire; the two counts that it must have are 0 where nobody reported them.

    server_tool_use: how often tools of the server were used, e.g. ``{"web_search_requests": 1}``.
    """
    usage = usage or Usage()
    wire: dict[str, Any] = {"input_tokens": usage.uncached_input_tokens or 0}
    if usage.cache_write_tokens is not None:
        wire["cache_creation_input_tokens"] = usage.cache_write_tokens
    if usage.cached_input_tokens is not None:
        wire["cache_read_input_tokens"] = usage.cached_input_tokens
    wire["output_tokens"] = usage.output_tokens or 0
    if usage.reasoning_tokens is not None:
        wire["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if server_tool_use is not None:
        wire[SERVER_TOOL_USE] = server_tool_use
    return wire


def signature_for_client(thought: Reasoning) -> str:
    """What stands in the field ``signature`` of a thinking block: never nothing."""
    return sealed_signatures.proof_for_client(thought, PROTOCOL) or NO_PROOF


def thought_from_client(text: str, signature: str) -> Reasoning:
    """A thinking block as the client echoes it; a proof of another protocol is unsealed."""
    if signature == NO_PROOF:
        return Reasoning(text=text)
    return sealed_signatures.proof_from_client(signature, PROTOCOL, text=text)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
