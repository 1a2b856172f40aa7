"""Errors of the Responses protocol: upstream's words → our tree → the OpenAI envelope, and the in-band form.

Contract §7.5.7, §7.6, §7.9, §10; conversion rules §5. Bodies and envelope are those of chat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.converters.wire import json_bytes
from app.converters.wire.error_body import is_error
from app.converters.wire.openai_errors import IMAGE_CODES, OVERLOADS, encode_error
from app.converters.wire.openai_errors import decode_error as decode_openai_error
from app.errors import GatewayError, UpstreamStatusError

__all__ = [
    "decode_error",
    "encode_answer",
    "encode_error",
    "error_events",
    "error_frame",
    "error_in",
    "error_of",
    "failure_of",
]

_NOT_STORED: Final = frozenset({"previous_response_not_found", "conversation_not_found"})
_FAILED: Final = ("failed", "cancelled")
_MOST_READ: Final = 8_000
_UNVERIFIED: Final = re.compile(
    rb"encrypted content[^\"]{0,400}(could not be|invalid)|invalid_encrypted_content", re.IGNORECASE
)
# Codes that clients of ``response.failed`` know (Codex, openai-python); all else is a "server_error".
_CODES: Final = frozenset(
    {
        "context_length_exceeded",
        "insufficient_quota",
        "rate_limit_exceeded",
        "invalid_prompt",
        "content_filter",
        "cyber_policy",
        "server_is_overloaded",
    }
    | IMAGE_CODES
)


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Upstream's error as ours. Two refusals of this endpoint are told for what they are; the rest is as in chat."""
    if _UNVERIFIED.search(body[:_MOST_READ]):
        error = decode_openai_error(400, headers, body)
        return UpstreamStatusError(error.message, status=400, code="invalid_encrypted_content", param="input")
    if b"input item ID does not belong" in body[:_MOST_READ]:
        # Contract §7.6: may come as 401, which would look like a wrong key.
        error = decode_openai_error(400, headers, body)
        return UpstreamStatusError(error.message, status=400, code="invalid_item_id", param="input")
    return decode_openai_error(status, headers, body)


def error_in(event: dict[str, Any], kind: str) -> GatewayError | None:
    """The error that an event brings, flat or nested, alone or inside a response, or None (contract §7.5.7)."""
    response = event.get("response")
    if kind == "response.completed" and isinstance(response, dict) and response.get("status") in _FAILED:
        kind = f"response.{response['status']}"  # the status of the response counts, whatever event brings it
    if kind in ("response.failed", "response.cancelled"):
        inner = response.get("error") if isinstance(response, dict) else None
        if kind == "response.cancelled" and not inner:
            inner = {"code": "cancelled", "message": "The request was cancelled"}
        return decode_error(200, {}, json_bytes.dumps({"error": inner or {}}))
    if kind == "error" or ("response" not in event and is_error(event)):
        return decode_error(200, {}, json_bytes.dumps(event if event.get("error") else {"error": event}))
    return None


def error_of(answer: dict[str, Any]) -> GatewayError | None:
    """The error that a whole answer is, or brings; None if it brings none."""
    error = error_in({"response": answer}, f"response.{answer.get('status')}")
    return decode_error(200, {}, json_bytes.dumps(answer)) if error is None and is_error(answer) else error


def encode_answer(error: GatewayError) -> dict[str, Any]:
    """The body of an error answer. VS Code looks for the code of a lost conversation at its root as well."""
    envelope = encode_error(error)
    return {**envelope, "code": error.code} if error.code in _NOT_STORED else envelope


def error_frame(error: GatewayError, number: int = 0) -> bytes:
    """The in-band form, for a stream of which nothing else is known."""
    return frame_of("error", _error_event(error, number))


def error_events(error: GatewayError, number: int, response: dict[str, Any] | None) -> bytes:
    """The end of a stream that failed: ``error``, then ``response.failed`` if the response had begun.

    ``error`` is flat, as the spec has it, and holds the same nested: that makes openai-python and -node raise, and is
    what the AI SDK reads. Codex passes over it and reads ``response.failed``, whose output is what was finished.
    """
    frames = error_frame(error, number)
    if response is None:
        return frames
    failed = {**response, "status": "failed", "error": failure_of(error)}
    event = {"type": "response.failed", "sequence_number": number + 1, "response": failed}
    return frames + frame_of("response.failed", event)


def failure_of(error: GatewayError) -> dict[str, Any]:
    """The ``error`` of a failed response object."""
    if error.code in OVERLOADS:
        return {"code": "server_is_overloaded", "message": error.message}
    return {"code": error.code if error.code in _CODES else "server_error", "message": error.message}


def frame_of(kind: str, event: dict[str, Any]) -> bytes:
    """One event, framed."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json_bytes.dumps(event))


def _error_event(error: GatewayError, number: int) -> dict[str, Any]:
    envelope = encode_error(error)["error"]
    return {
        "type": "error",
        "sequence_number": number,
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "error": envelope,
    }
