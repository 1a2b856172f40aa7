"""Errors of the chat protocol: what upstream says → our tree → the OpenAI envelope.

Contract §10.1 (shapes), §10.4 (known bodies), §10.7 (mapping). One table decides, in this order: a telling text, the
code, the Anthropic type, the status.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.converters import json_bytes, sse
from app.errors import GatewayError, UpstreamStatusError

_MAX_MESSAGE_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the client is told. status None: the upstream's own; code None: the upstream's own, if it gave one."""

    status: int | None
    code: str | None
    advice: str = ""
    param: str | None = None
    lead: str = "GitHub Copilot refused the request"


_OUR_KEY = "GitHub Copilot does not accept the bridge's own credentials (this is not about your API key)"
_FAILED = "GitHub Copilot failed"

_MODEL = Verdict(404, "model_not_found", "Choose a model that GET /v1/models lists.", "model")
_API = Verdict(
    400, "unsupported_api_for_model", "Use this model through another API, or choose another model.", "model"
)
_CONTEXT = Verdict(400, "context_length_exceeded", "Shorten or compact the conversation.", "messages")
_FILTER = Verdict(
    400, "content_filter", "Do not repeat it unchanged.", lead="GitHub Copilot's content filter stepped in"
)
_RATE = Verdict(429, "rate_limit_exceeded", "Wait, then try again.", lead="GitHub Copilot limits the rate of requests")
_QUOTA = Verdict(
    429,
    "insufficient_quota",
    "Wait for the reset, allow overage in the GitHub settings, or use a model that costs no premium requests.",
    lead="The quota of the GitHub Copilot subscription is spent",
)
_TOO_LARGE = Verdict(
    413,
    "request_too_large",
    "Shrink or leave out images and old turns.",
    lead="The request is too big for GitHub Copilot",
)
_OFF_TOPIC = Verdict(400, "off_topic", "GitHub Copilot took the prompt for unrelated to programming.")
_VERSION = Verdict(502, "client_version_unsupported", "The operator should raise EDITOR_VERSION.", lead=_FAILED)
_HOST = Verdict(
    502,
    "misdirected_request",
    "The operator should use the host that GitHub names for this plan, or sign in again.",
    lead="The GitHub Copilot host in use does not serve this account",
)
_AUTH = Verdict(401, "invalid_api_key", "The operator should sign in to GitHub again.", lead=_OUR_KEY)
_FORBIDDEN = Verdict(
    403,
    "permission_denied",
    "The operator should check the Copilot licence and policies of the account in the GitHub settings.",
    lead="GitHub Copilot does not permit this to the bridge's account",
)
# §10.7: every 5xx becomes 502, also 503, 504 and 529. 502 says that the bridge is well and the fault is behind it; the
# bridge's own 503 (store) and 504 (no answer in time) stay tellable, load balancers do not take it out for a failure of
# Copilot's, and SDKs retry all of them alike.
_FAILURE = Verdict(502, "upstream_error", "Try again in a moment.", lead=_FAILED)
# Told apart from other failures, because Anthropic's clients know an overload by its type.
OVERLOADED = "upstream_overloaded"
_OVERLOAD = Verdict(502, OVERLOADED, "Try again in a moment.", lead=_FAILED)
_BRIDGE = Verdict(502, "upstream_error", "This is the bridge's fault, not yours; please report it.", lead=_FAILED)
_NOT_FOUND = Verdict(404, "not_found", lead="GitHub Copilot does not know this endpoint or resource")
_LATE = Verdict(408, "request_timeout", "Try again.", lead="GitHub Copilot did not receive the request in time")
_CANCELLED = Verdict(502, "upstream_error", "Try again.", lead="GitHub Copilot cancelled the request")
_OTHER = Verdict(None, None)

# Lower case. Texts come first because the August 2026 variant of the first one carries the code model_not_supported.
BY_TEXT: tuple[tuple[str, Verdict], ...] = (
    ("is not accessible via", _API),
    ("no model endpoints available", _MODEL),
    ("missing editor-version", _VERSION),
    ("missing required copilot-vision-request", _BRIDGE),
    ("prompt is too long", _CONTEXT),
    ("content management policy", _FILTER),
    ("off_topic", _OFF_TOPIC),
)

BY_CODE: dict[str, Verdict] = {
    "model_not_supported": _MODEL,
    "model_not_found": _MODEL,
    "model_not_available_for_integrator": _MODEL,
    "unsupported_api_for_model": _API,
    "model_max_prompt_tokens_exceeded": _CONTEXT,
    "context_length_exceeded": _CONTEXT,
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

# Anthropic's words, for bodies of its shape (§8.8) that carry no code. They matter most in a stream: no status there.
BY_TYPE: dict[str, Verdict] = {
    "rate_limit_error": _RATE,
    "overloaded_error": _OVERLOAD,
    "api_error": _FAILURE,
    "request_too_large": _TOO_LARGE,
    "authentication_error": _AUTH,
    "permission_error": _FORBIDDEN,
    "invalid_request_error": Verdict(400, None),
}

BY_STATUS: dict[int, Verdict] = {
    400: Verdict(400, None),
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


@dataclass(frozen=True, slots=True)
class _Said:
    """What upstream's body says, whatever its shape."""

    message: str = ""
    code: str = ""
    type: str = ""
    param: str | None = None
    authorize_url: str = ""
    is_html: bool = False


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Turn an upstream error into ours: same meaning, the upstream's words kept, whose fault and what to do added.

    status: below 400 means that the error came inside a successful answer, which tells nothing about its kind.
    Spec:   contract §10.1, §10.3, §10.4, §10.7.
    """
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    said = _read(body)
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
    """The OpenAI envelope of any of our errors (conversion §5)."""
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


def describe_page(text: str) -> str:
    """Name an HTML page by its title; markup never gets into a message."""
    title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
    words = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", title[1])).split()) if title else ""
    words = words.replace("<", "").replace(">", "")
    return f'an HTML page titled "{words[:200]}"' if words else "an HTML page"


def is_page(text: str) -> bool:
    """Whether a body is HTML rather than anything an API would say; never judged by its content type (§10.1)."""
    return text.lstrip("\ufeff \t\r\n")[:1] == "<"


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


def _judge(status: int, headers: Mapping[str, str], said: _Said) -> Verdict:
    if said.is_html:
        # A page comes from a CDN or a proxy, not from the API; but a status that names a clear reason still counts.
        return BY_STATUS[status] if status in (401, 403, 413, 421, 429) else _FAILURE
    text = said.message.lower()
    for needle, verdict in BY_TEXT:
        if needle in text:
            return verdict
    code = said.code.partition(":")[0]
    if code in BY_CODE:
        return BY_CODE[code]
    if status in (400, 429) and headers.get("x-ratelimit-exceeded", "") == "quota_exceeded":
        return _QUOTA
    if status < 400 or status == 400:
        return BY_TYPE.get(said.type) or BY_STATUS.get(status) or _FAILURE
    return BY_STATUS.get(status) or (_FAILURE if status >= 500 else _OTHER)


def _message(status: int, verdict: Verdict, said: _Said) -> str:
    text = _masked(said.message)[:_MAX_MESSAGE_CHARS]
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


def _numbers(text: str) -> str:
    """Upstream's two numbers in OpenAI's words, which clients match on to compact a conversation."""
    found = re.search(r"(\d+)\D+?(?:exceeds the limit of|>)\s*(\d+)", text)
    if found is None:
        return ""
    return f"This model's maximum context length is {found[2]} tokens, but the request has {found[1]} tokens."


_SECRET = re.compile(r"\b(?:gh[opusr]_|github_pat_|tid=)[^\s\"',]+")


def _masked(text: str) -> str:
    return _SECRET.sub("***", text)


def _read(body: bytes) -> _Said:
    text = body.decode("utf-8", "replace").strip()
    if is_page(text):
        return _Said(message=describe_page(text), is_html=True)
    try:
        value = json_bytes.loads(body) if body.strip() else ""
    except ValueError:
        # Plain text is as common as JSON (§10.1); control characters have no place in a message.
        return _Said(message=" ".join(text.split()))
    return _read_json(value)


def _read_json(value: Any, depth: int = 0) -> _Said:
    """``body.error ?? body``, nested, flat or a bare string."""
    if not isinstance(value, dict):
        return _Said(message=value if isinstance(value, str) else "")
    error = value.get("error") or value
    if not isinstance(error, dict):
        error = {**value, "message": value.get("message") or error}
    message = _text(error.get("message")) or _text(error.get("detail")) or _text(error.get("error_description"))
    inner = _unpacked(message, depth)
    url = _text(error.get("authorize_url")) or _text(value.get("authorize_url"))
    return _Said(
        message=inner.message if inner else message,
        code=_text(error.get("code")) or (inner.code if inner else ""),
        type=_text(error.get("type")) or (inner.type if inner else ""),
        param=_text(error.get("param")) or (inner.param if inner else None),
        authorize_url=url if re.fullmatch(r"https?://[!-~]+", url) else "",
    )


def _unpacked(message: str, depth: int) -> _Said | None:
    """A JSON error inside the message: clients must never see a JSON string there (conversion §5)."""
    if depth > 2 or not message.lstrip().startswith("{"):
        return None
    try:
        inner = _read_json(json_bytes.loads(message.encode("utf-8", "replace")), depth + 1)
    except ValueError:
        return None
    return inner if inner.message else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) and value else ""
