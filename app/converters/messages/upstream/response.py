"""A messages upstream's whole answers → neutral (contract §8.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from app.converters.messages.citations import citations
from app.converters.messages.errors import decode_error
from app.converters.messages.vocabulary import (
    ANSWER_TOOL,
    ANSWER_VALUE_TOOL,
    PROTOCOL,
    decode_usage,
    finish_reason,
)
from app.converters.neutral import tools
from app.converters.neutral.conversation import valid_call_id
from app.converters.neutral.vocabulary import Opaque, Part, Reasoning, Refusal, Response, Text, ToolCall, apart
from app.converters.wire import json_bytes
from app.converters.wire.accounting import account_in, extra_with
from app.converters.wire.error_body import is_error
from app.errors import UpstreamProtocolError

Json = dict[str, Any]

EXTRAS: Final = ("stop_details", "container", "context_management", "diagnostics")
"""What an answer may say beyond the neutral vocabulary; rides in ``Response.extra``."""

NO_EDITS: Final[Json] = {"applied_edits": []}
"""A report of context edits that tells of none. Copilot sends it unasked (contract §8.5); Anthropic does not."""


def decode_response(body: Json) -> Response:
    """Upstream's whole answer → neutral. Raises: the error that it is, UpstreamProtocolError if it is no message."""
    if is_error(body):
        raise decode_error(200, {}, json_bytes.dumps(body))
    content = body.get("content")
    if not isinstance(content, list):
        raise UpstreamProtocolError("GitHub Copilot's answer is no message: it has no content. Try again.")
    answer_id = _str(body.get("id"))
    parts: list[Part] = []
    for at, block in enumerate(content):
        if isinstance(block, dict):
            parts.append(after(parts[-1:], decode_answer_block(block, answer_id, at)))
    extra = extras_of(body)
    parts += refusal_of(extra, parts)
    usage = body.get("usage")
    model, stopped_at = body.get("model"), body.get("stop_sequence")
    return Response(
        id=answer_id,
        model=model if isinstance(model, str) else "",
        created_at=None,
        parts=tuple(parts),
        finish_reason=reason_of(body.get("stop_reason"), parts),
        stop_sequence=stopped_at if isinstance(stopped_at, str) else None,
        usage=decode_usage(usage if isinstance(usage, dict) else None),
        extra=({PROTOCOL: extra} if extra else {}) | extra_with(account_in(body)),
    )


def after(before: Sequence[Part], part: Part) -> Part:
    """The part behind these. A text goes on with the text before it, which citations cut to pieces; behind anything
    else it is apart, as every thought is."""
    goes_on = isinstance(part, Text) and (not before or isinstance(before[-1], Text))
    return part if goes_on else apart(part)


def decode_answer_block(block: Json, answer_id: str, position: int) -> Part:
    """One block that is whole, at its position in the answer."""
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
            return replace(call_of(block, answer_id, position), arguments=tools.arguments_of(block.get("input")))
    return Opaque(PROTOCOL, block)


def call_of(block: Json, answer_id: str, position: int) -> ToolCall:
    """A call without its arguments. One that came without an id gets one, for its result has to name it."""
    call_id = _str(block.get("id")) or valid_call_id(f"toolu_{answer_id}_{position}")
    return ToolCall(call_id, _str(block.get("name")))


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


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""


def is_answer_tool(name: Any) -> bool:
    """Whether a call is structured output that had to travel as a call (``schemas.answer_tool``)."""
    return name in (ANSWER_TOOL, ANSWER_VALUE_TOOL)


def answer_text(name: str, given: Any) -> str:
    """The structured answer in the input of that call."""
    if name == ANSWER_VALUE_TOOL and isinstance(given, dict) and "value" in given:
        given = given["value"]
    return json_bytes.dumps({} if given is None else given).decode()
