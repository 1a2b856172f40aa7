"""The words of the Responses API, both ways (conversion rules §3)."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from app.converters.neutral.outcome import Outcome, counts
from app.converters.neutral.vocabulary import FinishReason, Role, Usage

INSTRUCTIONS: Final = "is_instructions"
"""Marks the system message that was `instructions`."""

_LATEST: Final = 1e12
"""No time in seconds is as late as this; 1e400 is infinite, and no integer."""

ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}

FROM_INCOMPLETE: Final[dict[str, FinishReason]] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "steered": "stop",
    "content_filter": "content_filter",
}
"""``incomplete_details.reason`` → why it ended."""

TO_INCOMPLETE: Final[dict[FinishReason, str]] = {
    "length": "max_output_tokens",
    "context_overflow": "max_output_tokens",
    "content_filter": "content_filter",
}
"""Why it ended → ``incomplete_details.reason``; all else is ``completed``."""

TERMINALS: Final[dict[str, str]] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
"""The events that end a stream, and the status of the response in them."""

_PREFIXES: Final[dict[str, str]] = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "web_search_call": "ws",
    "compaction": "cmp",
    "tool_search_call": "ts",
    "image_generation_call": "ig",
    "code_interpreter_call": "ci",
    "file_search_call": "fs",
    "shell_call": "sh",
}
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_ITEM: Final = re.compile(r"[a-z]{2,6}_([0-9a-f]{40})_(?:in)?\d{1,6}")
_SOUND: Final = re.compile(r"resp_[A-Za-z0-9_-]{1,59}")


def response_id(upstream: str) -> str:
    """The id that the client sees for an answer that upstream, or another protocol, gave that id; ≤ 64 characters.

    Copilot's own are some 400 characters of ``+/=`` (contract §7.6); one that is sound already stays.
    """
    return upstream if _SOUND.fullmatch(upstream) else f"resp_{_digest(upstream)}"


def item_id(response: str, kind: str, index: int) -> str:
    """The one id of an output item, by the client's response id and output index; ≤ 64 characters."""
    return f"{_PREFIXES.get(kind, 'item')}_{handle_of(response)}_{index}"


def input_item_id(response: str, kind: str, index: int) -> str:
    """The same of an item of the response's input."""
    return f"{_PREFIXES.get(kind, 'item')}_{handle_of(response)}_in{index}"


def handle_of(response: str) -> str:
    """What the ids of all items of a response have in common: 40 hex digits."""
    return _digest(response)[:40]


def holder_of(item: str) -> str | None:
    """The handle of the response that an item is of; None if the item's id is not one of ours."""
    found = _ITEM.fullmatch(item)
    return found[1] if found is not None else None


def is_own_id(given: str, kind: str) -> bool:
    """Whether an item's id is one of those that `item_id` gives out."""
    return re.fullmatch(rf"{_PREFIXES.get(kind, 'item')}_[0-9a-f]{{40}}_\d+", given) is not None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:48]


def decode_usage(raw: Any) -> Usage | None:
    """The usage of a response object; None if it has none."""
    if not isinstance(raw, dict) or not raw:
        return None
    read, wrote = _dict(raw.get("input_tokens_details")), _dict(raw.get("output_tokens_details"))
    return Usage(
        input_tokens=_count(raw.get("input_tokens")),
        cached_input_tokens=_count(read.get("cached_tokens")),
        cache_write_tokens=_count(read.get("cache_write_tokens")),
        output_tokens=_count(raw.get("output_tokens")),
        reasoning_tokens=_count(wrote.get("reasoning_tokens")),
    )


def outcome(usage: Any, ending: Any) -> Outcome:
    """What an answer with this usage and ending (see `ending_of`) came to."""
    reason = ending if isinstance(ending, str) else None
    neutral = {"completed": "stop", "incomplete": "length", **FROM_INCOMPLETE}
    return Outcome(counts(decode_usage(usage)), neutral.get(reason or "", reason))


def outcome_of(response: dict[str, Any]) -> Outcome:
    """The same of a whole normalized response."""
    return outcome(response.get("usage"), ending_of(response))


def ending_of(response: dict[str, Any]) -> str | None:
    """Why a normalized response ended: the reason of an incomplete one, ``tool_calls``, else its status."""
    details, status = response.get("incomplete_details"), response.get("status")
    if isinstance(details, dict) and isinstance(details.get("reason"), str):
        return str(details["reason"])
    if status == "completed" and any(item.get("type") in _CALLS for item in response.get("output") or ()):
        return "tool_calls"
    return status if isinstance(status, str) else None


def encode_usage(usage: Usage | None) -> dict[str, Any] | None:
    """Usage with its ``_details``: clients read the numbers in them without asking whether they are there."""
    if usage is None or usage.total_tokens is None:
        return None
    return {
        "input_tokens": usage.input_tokens or 0,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": usage.output_tokens or 0,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }


def normalize_usage(raw: Any) -> dict[str, Any] | None:
    """Upstream's usage with all that clients take for granted, and with all else that it holds."""
    complete = encode_usage(decode_usage(raw))
    if complete is None:
        return None
    for name, value in raw.items():
        known = complete.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            complete[name] = {**known, **{key: inner for key, inner in value.items() if inner is not None}}
        elif value is not None:
            complete[name] = value
    return complete


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def created_at_of(body: dict[str, Any]) -> int | None:
    """Epoch seconds; some gateways write a float."""
    at = body.get("created_at")
    return int(at) if isinstance(at, int | float) and not isinstance(at, bool) and 0 < at < _LATEST else None
