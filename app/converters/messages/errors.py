"""Errors of the messages protocol: what upstream says → our tree → Anthropic's envelope.

Contract §8.8, §10.7; conversion.md §5. Two families of bodies come from the same address: the gateway's own in OpenAI's
style, which the chat codec reads, and the backend's in Anthropic's, whose words clients match on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.converters import json_bytes
from app.converters.chat.errors import OVERLOADED
from app.converters.chat.errors import decode_error as decode_openai_error
from app.errors import GatewayError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}

# "prompt is too long: 210000 tokens > 200000 maximum", "token count of 138898 exceeds the limit of 64000".
_TOO_LONG: Final = re.compile(r"(\d+)(?: tokens)?\s*(?:>|exceeds the limit of)\s*(\d+)")
_TOO_LONG_OPENAI: Final = re.compile(r"maximum context length is (\d+) tokens\D+(\d+) tokens")


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Turn an upstream error into ours.

    Refusals of the backend keep their exact words: Claude Code drops a field when it reads ``X: Extra inputs are not
    permitted`` and compacts when it reads ``prompt is too long`` (clients.md 1).
    Spec: contract §8.4, §8.8.
    """
    error = decode_openai_error(status, headers, body)
    _, message = backend_words(body)
    if message and error.status == 400 and error.code == "invalid_request":
        error.message = message
    return error


def backend_words(body: bytes) -> tuple[str, str]:
    """Type and message of an error in Anthropic's style, or of the bare ``{"message": …}`` that some reports show.

    ("", "") for any other body.
    """
    try:
        value = json_bytes.loads(body)
    except ValueError:
        return "", ""
    if not isinstance(value, dict):
        return "", ""
    if value.get("type") == "error" and isinstance(value.get("error"), dict):
        kind, message = value["error"].get("type"), value["error"].get("message")
    elif value.keys() == {"message"}:
        kind, message = "invalid_request_error", value["message"]
    else:
        return "", ""
    return kind if isinstance(kind, str) else "", message if isinstance(message, str) else ""


def encode_error(error: GatewayError) -> dict[str, Any]:
    """``{"type": "error", "error": {"type", "message"}}``; the door adds ``request_id``.

    ``error.details`` is there where the error has some: SDKs act on its ``error_code`` (clients.md 0.5).
    """
    # An overload has the status 502 of all upstream failures; its type is Anthropic's own.
    fallback = "api_error" if error.status >= 500 else "invalid_request_error"
    kind = "overloaded_error" if error.code == OVERLOADED else _TYPES.get(error.status, fallback)
    said: dict[str, Any] = {"type": kind, "message": _message(error)}
    if error.details is not None:
        said["details"] = error.details
    return {"type": "error", "error": said}


def error_frame(error: GatewayError) -> bytes:
    """The in-band form, for a stream that has begun. Nothing may follow it, least of all ``message_stop``."""
    return b"event: error\ndata: " + json_bytes.dumps(encode_error(error)) + b"\n\n"


def _message(error: GatewayError) -> str:
    """A context overflow begins with the words that make Claude Code compact (contract §8.8)."""
    if error.code != "context_length_exceeded":
        return error.message
    found, openai = _TOO_LONG.search(error.message), _TOO_LONG_OPENAI.search(error.message)
    if found:
        return f"prompt is too long: {found[1]} tokens > {found[2]} maximum"
    if openai:
        return f"prompt is too long: {openai[2]} tokens > {openai[1]} maximum"
    return f"prompt is too long: {error.message}"
