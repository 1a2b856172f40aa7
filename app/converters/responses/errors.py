"""Errors of the Responses protocol: upstream's words → our tree → the OpenAI envelope, and the in-band form.

Contract §7.5.7, §7.6, §7.9, §10; conversion §5. Bodies and envelope are those of chat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.converters import json_bytes
from app.converters.chat.errors import decode_error as decode_openai_error
from app.converters.chat.errors import encode_error
from app.converters.responses.paths import general
from app.errors import GatewayError, UpstreamStatusError

__all__ = ["decode_error", "encode_error", "error_events", "error_frame", "error_in", "failure_of", "named_refusal"]

_UNVERIFIED: Final = re.compile(
    rb"encrypted content[^\"]*(could not be|invalid)|invalid_encrypted_content", re.IGNORECASE
)
_NO_ENCRYPTED: Final = re.compile(r"encrypted content is not supported", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"(Unknown|Unsupported) parameter: '([^']+)'")
_VALUE: Final = re.compile(r"Unsupported value: '([^']*)'(?: is not supported with)?")
_NAMED: Final = re.compile(r"\A`?'?([a-z_.]+)'?`? (?:is|are) not supported\b")
_EXTRA: Final = re.compile(r"([A-Za-z_][\w.\[\]]*): Extra inputs are not permitted")

_MEANINGFUL: Final = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "text",
        "text.format",
        "stream",
        "previous_response_id",
        "conversation",
        "prompt",
        "background",
    }
)
"""What a request cannot lose without meaning something else."""

# Codes that clients of ``response.failed`` know (Codex, openai-python); all else is a "server_error".
_CODES: Final = frozenset(
    {
        "context_length_exceeded",
        "insufficient_quota",
        "rate_limit_exceeded",
        "invalid_prompt",
        "content_filter",
        "server_is_overloaded",
        "invalid_image_url",
    }
)


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Upstream's error as ours. Two refusals of this endpoint are told for what they are; the rest is as in chat."""
    if _UNVERIFIED.search(body):
        error = decode_openai_error(400, headers, body)
        return UpstreamStatusError(error.message, status=400, code="invalid_encrypted_content", param="input")
    if b"input item ID does not belong" in body:
        # §7.6: may come as 401, which would look like a wrong key.
        error = decode_openai_error(400, headers, body)
        return UpstreamStatusError(error.message, status=400, code="invalid_item_id", param="input")
    return decode_openai_error(status, headers, body)


def error_in(event: dict[str, Any]) -> GatewayError | None:
    """The error that an event brings, flat or nested, alone or inside a response; None if it brings none (§7.5.7)."""
    kind = event.get("type")
    response = event.get("response")
    if kind in ("response.failed", "response.cancelled"):
        inner = response.get("error") if isinstance(response, dict) else None
        if kind == "response.cancelled" and not inner:
            inner = {"code": "cancelled", "message": "The request was cancelled"}
        return decode_error(200, {}, json_bytes.dumps({"error": inner or {}}))
    if kind == "error" or (event.get("error") and "response" not in event):
        return decode_error(200, {}, json_bytes.dumps(event if event.get("error") else {"error": event}))
    return None


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
    return {"code": error.code if error.code in _CODES else "server_error", "message": error.message}


def frame_of(kind: str, event: dict[str, Any]) -> bytes:
    """One event, framed."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json_bytes.dumps(event))


def named_refusal(status: int, body: bytes) -> str | None:
    """The one thing that upstream's 400 names and that can be left out on a second try; "proof" for a thought's proof.

    Dotted, indexes as ``[]``. None: nothing is named, or the request would mean something else without it.
    """
    if status not in (400, 422):
        return None
    said, param = _said(body)
    if _NO_ENCRYPTED.search(said):
        return "include"
    if _UNVERIFIED.search(body):
        return "proof"
    found = _PARAMETER.search(said)
    if found is not None:
        return _removable(found[2], is_unknown=found[1] == "Unknown")
    extra = _EXTRA.search(said)
    if extra is not None:
        return _removable(extra[1], is_unknown=True)
    value = _VALUE.search(said)
    if value is not None:
        # §7.3: the refusal of an effort names no parameter.
        return _removable(param or "reasoning.effort")
    named = _NAMED.search(said)
    return _removable(param or named[1]) if named is not None else None


def _removable(path: str, *, is_unknown: bool = False) -> str | None:
    name = general(path)
    if name in _MEANINGFUL or name.endswith("]") or name.endswith(".type"):
        return None
    # Inside items and tools only what upstream has never heard of is sure to mean nothing to it.
    return name if is_unknown or "[" not in name else None


def _said(body: bytes) -> tuple[str, str | None]:
    try:
        value = json_bytes.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace"), None
    value = value if isinstance(value, dict) else {}
    error = value.get("error")
    inner = error if isinstance(error, dict) else value
    message, param = inner.get("message"), inner.get("param")
    return message if isinstance(message, str) else "", param if isinstance(param, str) and param else None


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
