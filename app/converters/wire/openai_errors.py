"""Errors of the chat protocol: what upstream says → our tree → the OpenAI envelope.

Contract §10.1 (shapes), §10.4 (known bodies), §10.7 (mapping). One table decides, in this order: a telling text, the
code, the Anthropic type, the status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.converters.wire import json_bytes, sse
from app.converters.wire.error_body import Said, read_error
from app.errors import BusyError, GatewayError, UpstreamStatusError


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """What the client is told. status None: the upstream's own; code None: the upstream's own, if it gave one."""

    status: int | None
    code: str | None
    advice: str = ""
    param: str | None = None
    lead: str = "GitHub Copilot refused the request"


_OUR_KEY = "GitHub Copilot does not accept the bridge's own credentials (this is not about your API key)"
_FAILED = "GitHub Copilot failed"

_MODEL = ErrorRule(404, "model_not_found", "Choose a model that GET /v1/models lists.", "model")
_API = ErrorRule(
    400, "unsupported_api_for_model", "Use this model through another API, or choose another model.", "model"
)
_CONTEXT = ErrorRule(400, "context_length_exceeded", "Shorten or compact the conversation.", "messages")
_FILTER = ErrorRule(
    400, "content_filter", "Do not repeat it unchanged.", lead="GitHub Copilot's content filter stepped in"
)
_CYBER = ErrorRule(
    400, "cyber_policy", "Do not repeat it unchanged.", lead="GitHub Copilot's safety classifier stepped in"
)
_PROMPT = ErrorRule(400, "invalid_prompt", "Do not repeat it unchanged.")
_IMAGE = ErrorRule(400, None, "Change the picture, or leave it out.")
IMAGE_CODES = frozenset(
    {"invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "invalid_image_mode"}
    | {"image_too_large", "image_too_small", "image_parse_error", "image_content_policy_violation"}
    | {"image_file_too_large", "image_file_not_found", "unsupported_image_media_type", "empty_image_file"}
    | {"failed_to_download_image"}
)
"""Codes of a failed response that say what is wrong with a picture. Spec: OpenAI "The response object"."""
_RATE = ErrorRule(
    429, "rate_limit_exceeded", "Wait, then try again.", lead="GitHub Copilot limits the rate of requests"
)
_QUOTA = ErrorRule(
    429,
    "insufficient_quota",
    "Wait for the reset, allow overage in the GitHub settings, or use a model that costs no premium requests.",
    lead="The quota of the GitHub Copilot subscription is spent",
)
_TOO_LARGE = ErrorRule(
    413,
    "request_too_large",
    "Shrink or leave out images and old turns.",
    lead="The request is too big for GitHub Copilot",
)
_OFF_TOPIC = ErrorRule(400, "off_topic", "GitHub Copilot took the prompt for unrelated to programming.")
_VERSION = ErrorRule(502, "client_version_unsupported", "The operator should raise EDITOR_VERSION.", lead=_FAILED)
_HOST = ErrorRule(
    502,
    "misdirected_request",
    "The operator should use the host that GitHub names for this plan, or sign in again.",
    lead="The GitHub Copilot host in use does not serve this account",
)
_AUTH = ErrorRule(401, "invalid_api_key", "The operator should sign in to GitHub again.", lead=_OUR_KEY)
_FORBIDDEN = ErrorRule(
    403,
    "permission_denied",
    "The operator should check the Copilot licence and policies of the account in the GitHub settings.",
    lead="GitHub Copilot does not permit this to the bridge's account",
)
# Contract §10.7: every 5xx but an overload becomes 502, also 504: the bridge is well, the fault is behind it. The
# bridge's own 504 (no answer in time) stays tellable, load balancers do not take it out for a failure of Copilot's, and
# SDKs retry all of them alike.
_FAILURE = ErrorRule(502, "upstream_error", "Try again in a moment.", lead=_FAILED)
# Told apart from other failures, because clients know an overload: OpenAI's by 503, Anthropic's by 529 and its type.
# The bridge's own 503s have codes of their own.
OVERLOADED = "upstream_overloaded"
OVERLOADS = frozenset({OVERLOADED, BusyError.code})
"""Codes of errors that clients are told as an overload: of Copilot, and of the calls that we may make to it."""
_OVERLOAD = ErrorRule(503, OVERLOADED, "Try again in a moment.", lead=_FAILED)
_BRIDGE = ErrorRule(502, "upstream_error", "This is the bridge's fault, not yours; please report it.", lead=_FAILED)
_NOT_FOUND = ErrorRule(404, "not_found", lead="GitHub Copilot does not know this endpoint or resource")
_LATE = ErrorRule(408, "request_timeout", "Try again.", lead="GitHub Copilot did not receive the request in time")
_CANCELLED = ErrorRule(502, "upstream_error", "Try again.", lead="GitHub Copilot cancelled the request")
_OTHER = ErrorRule(None, None)
_OTHER_REQUEST = ErrorRule(400, None)
# What a 422 speaks of that is not about a fault of the request (contract §10.3).
_OF_FILTERS = ("filter", "responsible", "policy", "policies", "safety", "harm", "flagged", "blocked")

# Lower case. Texts come first because the August 2026 variant of the first one carries the code model_not_supported.
BY_TEXT: tuple[tuple[str, ErrorRule], ...] = (
    ("is not accessible via", _API),
    ("no model endpoints available", _MODEL),
    ("missing editor-version", _VERSION),
    ("missing required copilot-vision-request", _BRIDGE),
    ("prompt is too long", _CONTEXT),
    ("exceeds the context window", _CONTEXT),
    ("maximum context length", _CONTEXT),
    ("prompt token count of", _CONTEXT),
    ("exceed context limit", _CONTEXT),
    ("input is too long", _CONTEXT),
    ("maximum prompt length", _CONTEXT),
    ("exceeds the maximum number of tokens", _CONTEXT),
    ("content management policy", _FILTER),
    ("off_topic", _OFF_TOPIC),
)

BY_CODE: dict[str, ErrorRule] = {
    "model_not_supported": _MODEL,
    "model_not_found": _MODEL,
    "model_not_available_for_integrator": _MODEL,
    "unsupported_api_for_model": _API,
    "model_max_prompt_tokens_exceeded": _CONTEXT,
    "context_length_exceeded": _CONTEXT,
    "tokens_limit_reached": _CONTEXT,
    "server_is_overloaded": _OVERLOAD,
    "overloaded": _OVERLOAD,
    "engine_overloaded": _OVERLOAD,
    "service_unavailable": _OVERLOAD,
    "slow_down": _OVERLOAD,
    "cyber_policy": _CYBER,
    "invalid_prompt": _PROMPT,
    **dict.fromkeys(IMAGE_CODES, _IMAGE),
    "content_filter": _FILTER,
    "content_policy_violation": _FILTER,
    "off_topic": _OFF_TOPIC,
    "request_too_large": _TOO_LARGE,
    "rate_limited": _RATE,
    "rate_limit_exceeded": _RATE,
    "user_model_rate_limited": _RATE,
    "user_global_rate_limited": _RATE,
    "user_weekly_rate_limited": _RATE,
    "integration_rate_limited": _RATE,
    "agent_mode_limit_exceeded": _RATE,
    "model_overloaded": _RATE,
    "upstream_provider_rate_limit": _RATE,
    "extension_blocked": _RATE,
    "quota_exceeded": _QUOTA,
    "free_quota_exceeded": _QUOTA,
    "overage_limit_reached": _QUOTA,
    "billing_not_configured": _QUOTA,
    "additional_spend_limit_reached": _QUOTA,
    "session_quota_exceeded": _QUOTA,
    "insufficient_quota": _QUOTA,
}

# Anthropic's words, for bodies of its shape (contract §8.8) without a code; most of all in a stream, without a status.
BY_TYPE: dict[str, ErrorRule] = {
    "rate_limit_error": _RATE,
    "overloaded_error": _OVERLOAD,
    "api_error": _FAILURE,
    "request_too_large": _TOO_LARGE,
    "authentication_error": _AUTH,
    "permission_error": _FORBIDDEN,
    "invalid_request_error": ErrorRule(400, None),
}

BY_STATUS: dict[int, ErrorRule] = {
    400: ErrorRule(400, None),
    401: _AUTH,
    402: _QUOTA,
    403: _FORBIDDEN,
    404: _NOT_FOUND,
    408: _LATE,
    413: _TOO_LARGE,
    421: _HOST,
    422: _FILTER,
    429: _RATE,
    466: _VERSION,
    499: _CANCELLED,
    503: _OVERLOAD,
    529: _OVERLOAD,
}

_RETRY_HEADERS = ("retry-after", "x-ratelimit-user-retry-after", "x-ratelimit-quota-exceeded-retry-after")


def is_full(error: GatewayError) -> bool:
    """Whether upstream limits the calls of a model, or is overloaded: another model may well answer."""
    return error.status == 429 or error.code == OVERLOADED


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Turn an upstream error into ours: same meaning, the upstream's words kept, whose fault and what to do added.

    status: below 400 means that the error came inside a successful answer, which tells nothing about its kind.
    Spec:   contract §10.1, §10.3, §10.4, §10.7.
    """
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    said = read_error(body)
    verdict = _judge(status, lower, said)
    retry_after = next((lower[name] for name in _RETRY_HEADERS if lower.get(name)), None)
    kept = status if 400 <= status <= 599 else 502
    return UpstreamStatusError(
        _message(status, verdict, said),
        status=verdict.status or kept,
        code=verdict.code or said.code or "invalid_request",
        param=verdict.param or said.param,
        retry_after=retry_after,
    )


def encode_error(error: GatewayError) -> dict[str, Any]:
    """The OpenAI envelope of any of our errors (conversion rules §5)."""
    return {
        "error": {
            "message": error.message,
            "type": "insufficient_quota" if error.code == "insufficient_quota" else _type(error.status),
            "param": error.param,
            "code": error.code,
        }
    }


def error_frame(error: GatewayError) -> bytes:
    """The in-band form, for a stream that has begun. Nothing may follow it, least of all ``[DONE]``."""
    return sse.frame(json_bytes.dumps(encode_error(error)))


_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


def _type(status: int) -> str:
    # 500 and 503 are the bridge's own failures, other 5xx those of the API behind it.
    return _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


def _judge(status: int, headers: Mapping[str, str], said: Said) -> ErrorRule:
    if said.is_page:
        # A page comes from a CDN or a proxy, not from the API; but a status that names a clear reason still counts.
        return BY_STATUS[status] if status in (401, 403, 413, 421, 429) else _FAILURE
    text = said.message.lower()
    for needle, verdict in BY_TEXT:
        if needle in text:
            return verdict
    code = said.code.partition(":")[0]
    if code in BY_CODE:
        return BY_CODE[code]
    if said.type == "overloaded_error":
        return _OVERLOAD
    if status == 422 and text and not any(word in text for word in _OF_FILTERS):
        return _OTHER_REQUEST
    if status in (400, 429) and headers.get("x-ratelimit-exceeded", "") == "quota_exceeded":
        return _QUOTA
    if status < 400 or status == 400:
        return BY_TYPE.get(said.type) or BY_STATUS.get(status) or _FAILURE
    return BY_STATUS.get(status) or (_FAILURE if status >= 500 else _OTHER)


def _message(status: int, verdict: ErrorRule, said: Said) -> str:
    text = said.message
    shown = f" (status {status})" if status >= 400 else ""
    parts = [_sentence(f"{verdict.lead}{shown}: {text}" if text else f"{verdict.lead}{shown}")]
    if verdict.code == "context_length_exceeded":
        parts.append(_numbers(text))
    if said.authorize_url:
        parts.append(f"A remote agent needs your authorisation first: {said.authorize_url}")
    else:
        parts.append(verdict.advice)
    return " ".join(part for part in parts if part)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."


_TOO_MANY = re.compile(
    r"(\d++)\D{1,80}?(?:exceeds the limit of|exceeds the maximum number of tokens allowed \(|>)\s{0,9}(\d++)"
)


def _numbers(text: str) -> str:
    """Upstream's two numbers in OpenAI's words, which clients match on to compact a conversation."""
    if found := re.search(r"(\d{1,12}) \+ (\d{1,12}) > (\d{1,12})", text):  # of the prompt and of the answer
        most, given = found[3], str(int(found[1]) + int(found[2]))
    elif found := _TOO_MANY.search(text):
        most, given = found[2], found[1]
    elif found := re.search(r"maximum prompt length is (\d++)\D{1,80}(\d++)", text):
        most, given = found[1], found[2]
    else:
        return ""
    return f"This model's maximum context length is {most} tokens, but the request has {given} tokens."
