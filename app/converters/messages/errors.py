"""Our errors in Anthropic's envelope."""

from __future__ import annotations

from typing import Any

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


def encode_error(error: GatewayError) -> dict[str, Any]:
    """``{"type": "error", "error": {"type", "message"}}``; the door adds ``request_id``."""
    fallback = "api_error" if error.status >= 500 else "invalid_request_error"
    return {"type": "error", "error": {"type": _TYPES.get(error.status, fallback), "message": error.message}}
