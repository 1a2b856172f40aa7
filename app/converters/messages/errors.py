"""Errors of the messages protocol: what upstream says → our tree → Anthropic's envelope.

Contract §8.8, §10.7; conversion rules §5. Two families of bodies come from one address: the gateway's own in OpenAI's
style, which the chat codec reads, and the backend's in Anthropic's, whose words clients match on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.converters.wire import json_bytes
from app.converters.wire.error_body import read_error
from app.converters.wire.openai_errors import OVERLOADS
from app.converters.wire.openai_errors import decode_error as decode_openai_error
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

STATUSES: Final = dict.fromkeys(OVERLOADS, 529)
"""Statuses that Anthropic's clients know, by the code of the error."""

# "prompt is too long: 210000 tokens > 200000 maximum", "token count of 138898 exceeds the limit of 64000".
_TOO_LONG: Final = re.compile(r"(\d++)(?: tokens)?\s{0,9}(?:>|exceeds the limit of)\s{0,9}(\d++)")
# The prompt fits, the answer that may follow it does not: Claude Code asks for a shorter one when it reads this.
_ROOM: Final = "exceed context limit"
_TOO_LONG_OPENAI: Final = re.compile(r"maximum context length is (\d++) tokens\D{1,80}(\d++) tokens")


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Turn an upstream error into ours.

    Refusals of the backend keep their exact words: Claude Code drops a field when it reads ``X: Extra inputs are not
    permitted`` and compacts when it reads ``prompt is too long`` (client notes §1).
    Spec: contract §8.4, §8.8.
    """
    error = decode_openai_error(status, headers, body)
    said = backend_words(body)
    if said and error.status == 400 and error.code == "invalid_request":
        error.message = said
    return error


def backend_words(body: bytes) -> str:
    """The message of an error in Anthropic's style, or of the bare ``{"message": …}`` that some reports show.

    "" for any other body.
    """
    said = read_error(body)
    if said.is_page:
        return ""
    try:
        value = json_bytes.loads(body)
    except ValueError:
        return ""
    is_backends = isinstance(value, dict) and (value.get("type") == "error" or value.keys() == {"message"})
    return said.message if is_backends else ""


def encode_error(error: GatewayError) -> dict[str, Any]:
    """``{"type": "error", "error": {"type", "message"}}``; the endpoint adds ``request_id``.

    ``error.details`` is there where the error has some: SDKs act on its ``error_code`` (client notes §0.5).
    """
    # An overload is a 503 in our tree, as OpenAI's clients know it; status and type are Anthropic's own here.
    fallback = "api_error" if error.status >= 500 else "invalid_request_error"
    kind = "overloaded_error" if error.code in OVERLOADS else _TYPES.get(error.status, fallback)
    said: dict[str, Any] = {"type": kind, "message": _message(error)}
    if error.details is not None:
        said["details"] = error.details
    return {"type": "error", "error": said}


def error_frame(error: GatewayError) -> bytes:
    """The in-band form, for a stream that has begun. Nothing may follow it, least of all ``message_stop``."""
    return b"event: error\ndata: " + json_bytes.dumps(encode_error(error)) + b"\n\n"


def _message(error: GatewayError) -> str:
    """A context overflow begins with the words that make Claude Code compact (contract §8.8)."""
    if error.code != "context_length_exceeded" or _ROOM in error.message:
        return error.message
    found, openai = _TOO_LONG.search(error.message), _TOO_LONG_OPENAI.search(error.message)
    if found:
        return f"prompt is too long: {found[1]} tokens > {found[2]} maximum"
    if openai:
        return f"prompt is too long: {openai[2]} tokens > {openai[1]} maximum"
    return f"prompt is too long: {error.message}"
