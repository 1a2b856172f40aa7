"""Scripted faults: "the next k requests answer S with body B and headers H" (contract §13.10, §10.4)."""

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
_CHALLENGE = (
    "<!DOCTYPE html><html><head><title>Just a moment...</title></head>"
    "<body><h1>Checking your browser</h1></body></html>"
)
_BAD_GATEWAY = (
    "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
)


def _error(http: int, message: str, code: str, headers: dict[str, str] | None = None, **extra: Any) -> dict[str, Any]:
    return {"status": http, "headers": headers or {}, "body": {"error": {"message": message, "code": code, **extra}}}


def _text(status: int, body: str, content_type: str = TEXT) -> dict[str, Any]:
    return {"status": status, "body": body, "content_type": content_type}


_TERMS = (
    "Access to this endpoint is forbidden. Please review our [Terms of Service]"
    "(https://docs.github.com/en/site-policy/github-terms/github-terms-of-service)."
)

#: name -> what happens. ``status`` answers at once, ``reset``/``wait`` act before the headers, the rest edits answers
PRESETS: dict[str, dict[str, Any]] = {
    "bad_request_400": _error(400, "invalid request body", "invalid_request_body"),
    "bodyless_400": _text(400, ""),
    "off_topic": _error(400, "the prompt is off_topic", "off_topic"),
    "rate_limited_400": _error(400, "Sorry, you have hit a rate limit.", "rate_limited"),
    "content_filter_400": _error(
        400,
        "The response was filtered due to the prompt triggering Azure OpenAI's content "
        "management policy. Please modify your prompt and retry.",
        "content_filter",
        param="prompt",
        status=400,
        type=None,
    ),
    "model_not_supported": _error(
        400, "The requested model is not supported.", "model_not_supported", param="model", type="invalid_request_error"
    ),
    "prompt_too_long": _error(
        400, "prompt token count of 138898 exceeds the limit of 64000", "model_max_prompt_tokens_exceeded"
    ),
    "token_expired_401": _text(401, "unauthorized: token expired\n"),
    "ide_token_expired_401": _text(401, "IDE token expired: unauthorized: token expired\n"),
    "opaque_401": _text(401, "unauthorized\n"),
    "quota_402": _error(402, "You have no quota", "quota_exceeded"),
    "quota_402_retry_after": _error(
        402, "You have no quota", "quota_exceeded", {"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}
    ),
    "free_quota_402": _error(402, "You have no quota", "free_quota_exceeded"),
    "spend_limit_402": _error(402, "additional spend limit reached", "additional_spend_limit_reached"),
    "overage_402": _error(402, "spending limit reached", "overage_limit_reached"),
    "stale_403": _text(403, "forbidden\n"),
    "forbidden_403": _text(403, "forbidden: access denied\n"),
    "feature_403": _text(403, "unauthorized: not authorized to use this Copilot feature\n"),
    "not_licensed_403": _text(403, "You are not licensed to use Copilot.\n"),
    "integration_403": _text(403, "token not authorized for this integration\n"),
    "terms_403": _error(403, _TERMS, "forbidden"),
    "not_found_404": _text(404, "404 page not found\n"),
    "timeout_408": _text(408, "Request Timeout\n"),
    "too_large_413": _text(413, "413 Request Entity Too Large\n"),
    "too_large_413_json": _error(413, "failed to parse request", ""),
    "misdirected_421": _text(421, "Misdirected Request\n"),
    "rai_422": _text(422, "The response was filtered by Responsible AI policies.\n"),
    "failed_dependency_424": _text(424, "failed dependency\n"),
    "rate_limited_429": _error(
        429,
        "Sorry, you've hit a rate limit. Please try again in 7 seconds.",
        "rate_limited",
        {"retry-after": "7", "x-ratelimit-user-retry-after": "7"},
    ),
    "rate_limited_429_no_retry_after": _error(429, "Sorry, you've hit a rate limit.", "user_model_rate_limited"),
    "rate_limited_long": _error(
        429,
        "You've reached your weekly rate limit. Please wait 58 hours.",
        "user_weekly_rate_limited",
        {"retry-after": "208800", "x-ratelimit-exceeded": "user:global-usage-weekly-key:1"},
    ),
    "rate_limited_429_text": _text(429, "too many requests\n"),
    "model_overloaded_429": _error(429, "The model is overloaded.", "model_overloaded", {"retry-after": "1"}),
    "extension_blocked_429": _error(429, "extension blocked", "extension_blocked", type="rate_limit_error"),
    "unsupported_client_466": _text(466, "client not supported: please update your editor\n"),
    "cancelled_499": _text(499, "context canceled\n"),
    "internal_500": _error(500, "Internal server error", "internal_error"),
    "bad_gateway_502_html": _text(502, _BAD_GATEWAY, HTML),
    "overloaded_503": _error(503, "upstream provider rate limit", "upstream_provider_rate_limit"),
    "timeout_504": _text(504, "upstream request timeout\n"),
    "overloaded_529": {
        "status": 529,
        "body": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    },
    "html_200": _text(200, _CHALLENGE, HTML),
    "not_json_200": {"status": 200, "body": '{"unfinished": ', "content_type": "application/json"},
    "reset_before_headers": {"reset": True},
    "close_before_headers": {"close": True},
    "slow_headers": {"wait": "headers"},
    "reset_mid_stream": {"cut_events": 3, "cut_kind": "reset"},
    "truncate": {"cut_events": 3, "cut_kind": "clean"},
    "truncate_abrupt": {"cut_events": 3, "cut_kind": "abrupt"},
    "missing_done": {"knobs": {"missing_done": True}},
    "done_without_newline": {"knobs": {"done_without_newline": True}},
    "byte_by_byte": {"knobs": {"tcp_chunk": "byte"}},
    "in_stream_error": {
        "stream_error": ["rate_limited", "Sorry, you've exceeded your rate limit. Please try again later."]
    },
    "in_stream_error_bare": {"stream_error": ["internal_error", "Internal server error"], "stream_error_bare": True},
}

#: which preset a bare status number in ``[[error: N]]`` means
BY_STATUS = {
    "400": "bad_request_400",
    "401": "token_expired_401",
    "402": "quota_402",
    "403": "forbidden_403",
    "404": "not_found_404",
    "408": "timeout_408",
    "413": "too_large_413",
    "421": "misdirected_421",
    "422": "rai_422",
    "424": "failed_dependency_424",
    "429": "rate_limited_429",
    "466": "unsupported_client_466",
    "499": "cancelled_499",
    "500": "internal_500",
    "502": "bad_gateway_502_html",
    "503": "overloaded_503",
    "504": "timeout_504",
    "529": "overloaded_529",
}


@dataclass
class Action:
    """What one fault does to one request."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = ""
    content_type: str = TEXT
    reset: bool = False
    close: bool = False
    wait: str | None = None  # gate to pass before the headers
    knobs: dict[str, Any] = field(default_factory=dict)
    cut_events: int | None = None
    cut_bytes: int | None = None
    cut_kind: str = "clean"  # clean: proper end of the body; abrupt: FIN inside it; reset: RST
    stream_error: list[str] | None = None  # [code, message]
    stream_error_bare: bool = False
    pieces: list[str] | None = None  # the body in these pieces, base64, chunked; it ends as `ending` says
    ending: str = "whole"  # whole: as HTTP says; cut: FIN inside it; silent: nothing comes any more


#: spellings the control API also takes
_ALIASES = {"after_events": "cut_events", "at_byte": "cut_bytes"}


def make_action(description: dict[str, Any]) -> Action:
    """An action from a preset name and/or explicit fields."""
    fields = {_ALIASES.get(name, name): value for name, value in description.items()}
    preset = fields.pop("preset", None)
    if preset is not None:
        name = BY_STATUS.get(str(preset), str(preset))
        if name not in PRESETS:
            raise ValueError(f"unknown preset: {preset}")
        base = dict(PRESETS[name])
        if "cut_bytes" in fields:
            base.pop("cut_events", None)
        headers = {**base.get("headers", {}), **fields.pop("headers", {})}
        fields = {**base, **fields, "headers": headers}
    unknown = sorted(set(fields) - set(Action.__dataclass_fields__))
    if unknown:
        raise ValueError(f"unknown fault field(s): {', '.join(unknown)}")
    return Action(**fields)


@dataclass
class Fault:
    endpoint: str
    action: Action
    model: str | None = None
    host: str | None = None
    times: int | None = 1  # None: for ever
    skip: int = 0  # let this many matching requests through first


class Faults:
    """The faults waiting to happen, oldest first."""

    def __init__(self, cond: threading.Condition) -> None:
        self.cond = cond
        self.pending: list[Fault] = []

    def add(self, description: dict[str, Any]) -> None:
        fields = dict(description)
        where = {name: fields.pop(name) for name in ("endpoint", "model", "host", "times", "skip") if name in fields}
        with self.cond:
            self.pending.append(Fault(where.pop("endpoint", "*"), make_action(fields), **where))

    def clear(self) -> None:
        with self.cond:
            self.pending.clear()

    def take(self, host: str, path: str, model: Any) -> Action | None:
        with self.cond:
            for fault in self.pending:
                if (
                    not fnmatchcase(path, fault.endpoint)
                    or fault.model not in (None, model)
                    or fault.host not in (None, host)
                ):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.pending.remove(fault)
                return fault.action
        return None
