"""Upstream errors → ours → the OpenAI envelope (contract §10.1, §10.4, §10.7)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.wire.openai_errors import decode_error, encode_error, error_frame
from app.errors import GatewayError, SignInRequiredError, StoreError, UpstreamTimeoutError
from tests.support.rows import rows


def said(code: str = "", message: str = "some words", **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, **more}}).encode() + b"\n"


KNOWN = [
    # status, body, our status, our code, param
    (400, said("model_not_supported", param="model", type="invalid_request_error"), 404, "model_not_found", "model"),
    (400, said("unsupported_api_for_model"), 400, "unsupported_api_for_model", "model"),
    (
        400,
        said("model_not_supported", "x is not accessible via the /chat/completions endpoint"),
        400,
        "unsupported_api_for_model",
        "model",
    ),
    (400, said("model_not_available_for_integrator"), 404, "model_not_found", "model"),
    (400, said("", "no model endpoints available given user constraints"), 404, "model_not_found", "model"),
    (
        400,
        said("model_max_prompt_tokens_exceeded", "prompt token count of 138898 exceeds the limit of 64000"),
        400,
        "context_length_exceeded",
        "messages",
    ),
    (400, said("invalid_request_body"), 400, "invalid_request_body", None),
    (400, said("unsupported_value", "store is not supported", param="store"), 400, "unsupported_value", "store"),
    (400, said("content_filter", param="prompt", status=400, type=None), 400, "content_filter", "prompt"),
    (400, said("rate_limited"), 429, "rate_limit_exceeded", None),
    (400, b"off_topic", 400, "off_topic", None),
    (400, b"bad request: missing Editor-Version header for IDE auth", 502, "client_version_unsupported", None),
    (400, said("", "missing required Copilot-Vision-Request header for vision requests"), 502, "upstream_error", None),
    (401, b"unauthorized: token expired", 401, "invalid_api_key", None),
    (402, said("quota_exceeded", "You have no quota"), 429, "insufficient_quota", None),
    (402, b"", 429, "insufficient_quota", None),
    (403, b"forbidden: access denied", 403, "permission_denied", None),
    (404, b"404 page not found", 404, "not_found", None),
    (405, b"", 405, "invalid_request", None),
    (408, b"Request Timeout", 408, "request_timeout", None),
    (413, b"413 Request Entity Too Large\n", 413, "request_too_large", None),
    (413, said("", "failed to parse request"), 413, "request_too_large", None),
    (421, b"Misdirected Request", 502, "misdirected_request", None),
    (422, b"filtered by Responsible AI", 400, "content_filter", None),
    (424, b"dependency", 424, "invalid_request", None),
    (429, b"too fast", 429, "rate_limit_exceeded", None),
    (429, said("user_global_rate_limited:enterprise"), 429, "rate_limit_exceeded", None),
    (429, said("something_new"), 429, "rate_limit_exceeded", None),
    (429, said("quota_exceeded"), 429, "insufficient_quota", None),
    (466, b"client too old", 502, "client_version_unsupported", None),
    (499, b"", 502, "upstream_error", None),
    (500, said("internal_error", "Internal server error"), 502, "upstream_error", None),
    (502, b"<html><head><title>502 Bad Gateway</title></head></html>", 502, "upstream_error", None),
    (
        400,
        b'{"error":{"message":"Your input exceeds the context window of this model.","code":"invalid_request_body"}}',
        400,
        "context_length_exceeded",
        "messages",
    ),
    *(
        (status, said(code, words), 400, "context_length_exceeded", "messages")
        for status, code, words in (
            (400, "", "prompt token count of 138898 exceeds the limit of 64000"),
            (400, "invalid_request_body", "prompt token count of 138898 exceeds the limit of 64000"),
            (400, "", "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease it"),
            (400, "", "Input is too long for requested model."),
            (400, "", "The input token count (138898) exceeds the maximum number of tokens allowed (64000)."),
            (400, "", "This model's maximum prompt length is 64000 but the request contains 138898 tokens."),
            (413, "tokens_limit_reached", "Request body too large for gpt-4o model. Max size: 8000 tokens."),
            (200, "invalid_prompt", "Your input exceeds the context window of this model."),
        )
    ),
    *((200, said(code), 400, code, None) for code in ("invalid_prompt", "invalid_image_url", "cyber_policy")),
    *((status, said("cyber_policy"), 400, "cyber_policy", None) for status in (400, 403, 422)),
    *((200, said(code), 503, "upstream_overloaded", None) for code in ("slow_down", "engine_overloaded")),
    (500, b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', 503, "upstream_overloaded", None),
    (422, said("", "tools.0.name: Field required"), 400, "invalid_request", None),
    (422, b'{"detail":[{"loc":["body","messages",0],"msg":"field required"}]}', 400, "invalid_request", None),
    (200, b'{"error":{"code":"server_is_overloaded","message":"Overloaded."}}', 503, "upstream_overloaded", None),
    (503, b"overloaded", 503, "upstream_overloaded", None),
    (504, b"upstream request timeout", 502, "upstream_error", None),
    (
        529,
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        503,
        "upstream_overloaded",
        None,
    ),
    (200, b"<html>", 502, "upstream_error", None),
    (200, said("rate_limited"), 429, "rate_limit_exceeded", None),
    (200, b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}', 400, "invalid_request", None),
]


@rows()
@pytest.mark.parametrize(("status", "body", "ours", "code", "param"), KNOWN)
def test_10_4_known_bodies_are_mapped(status: int, body: bytes, ours: int, code: str, param: str | None) -> None:
    error = decode_error(status, {}, body)
    assert (error.status, error.code, error.param) == (ours, code, param)
    assert "<" not in error.message


def test_10_1_every_shape_keeps_upstreams_words() -> None:
    shapes = [
        said("x", "The words."),
        b'{"message":"The words.","code":"x"}',
        b'{"error":"The words."}',
        b'{"type":"error","error":{"type":"api_error","message":"The words."}}',
        b'"The words."',
        b"The\nwords.\n",
        said("", '{"error":{"message":"The words."}}'),
        b'{"error":{"message":""},"message":"The words."}',
        b'{"detail":"The words."}',
        b'{"detail":[{"loc":["body","x"],"msg":"The words."}]}',
    ]
    for shape in shapes[:7] + shapes[8:]:
        message = decode_error(400, {}, shape).message
        assert "The words." in message
        assert "{" not in message


def test_12_3_11_the_content_type_decides_nothing() -> None:
    for kind in ("text/plain; charset=utf-8", "text/html", "application/json"):
        assert decode_error(400, {"Content-Type": kind}, said("rate_limited")).status == 429


def test_an_inner_code_is_found() -> None:
    error = decode_error(400, {}, said("", said("model_not_supported", "nope").decode()))
    assert error.code == "model_not_found"


def test_context_length_names_both_numbers_in_openai_words() -> None:
    for text in (
        "prompt token count of 138898 exceeds the limit of 64000",
        "The input token count (138898) exceeds the maximum number of tokens allowed (64000).",
        "This model's maximum prompt length is 64000 but the request contains 138898 tokens.",
        "input length and `max_tokens` exceed context limit: 130000 + 8898 > 64000, decrease it",
    ):
        message = decode_error(400, {}, said("", text)).message
        assert text in message
        assert "maximum context length is 64000 tokens, but the request has 138898 tokens" in message
    anthropic = (
        b'{"error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}'
    )
    assert "200000 tokens, but the request has 210000" in decode_error(400, {}, anthropic).message
    assert decode_error(400, {}, said("model_max_prompt_tokens_exceeded", "too long")).code == "context_length_exceeded"


def test_html_is_named_by_its_title_never_quoted() -> None:
    page = b"<!DOCTYPE html>\n<html><title>Just a\n moment &amp; <b>wait</b></title><body>secret</body></html>"
    message = decode_error(503, {"content-type": "text/html"}, page).message
    assert 'an HTML page titled "Just a moment & wait"' in message
    assert "secret" not in message
    assert "an HTML page" in decode_error(502, {}, b"<html></html>").message


@pytest.mark.parametrize(
    "name", ["Retry-After", "retry-after", "X-RateLimit-User-Retry-After", "x-ratelimit-quota-exceeded-retry-after"]
)
def test_retry_after_is_kept_from_wherever_it_comes(name: str) -> None:
    assert decode_error(429, {name: "208800"}, b"").retry_after == "208800"
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert decode_error(402, {"retry-after": date, "x-ratelimit-user-retry-after": "3"}, b"").retry_after == date


def test_quota_delivered_as_429_is_known_by_its_header() -> None:
    assert decode_error(429, {"x-ratelimit-exceeded": "quota_exceeded"}, b"").code == "insufficient_quota"


def test_authorize_url_is_passed_on_if_it_is_one() -> None:
    error = decode_error(401, {}, b'{"authorize_url":"https://github.com/login/x","message":"Authorise."}')
    assert "https://github.com/login/x" in error.message
    assert "javascript" not in decode_error(401, {}, b'{"authorize_url":"javascript:alert(1)"}').message


def test_messages_say_whose_fault_it_is_and_what_to_do() -> None:
    assert "EDITOR_VERSION" in decode_error(466, {}, b"").message
    assert "not about your API key" in decode_error(401, {}, b"").message
    assert "sign in" in decode_error(401, {}, b"").message
    assert "GET /v1/models" in decode_error(400, {}, said("model_not_supported")).message


def test_no_secret_and_no_flood_gets_into_a_message() -> None:
    message = decode_error(401, {}, b"bad token gho_abcdef123 tid=abc;exp=1:x " + b"x" * 9000).message
    assert "gho_" not in message
    assert "tid=" not in message
    assert len(message) < 2500


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"null", b"[]", b"0", b"{}", b'{"error":[]}', b'{"error":{"message":5,"code":7}}', b"[" * 5000],
)
def test_nonsense_is_still_an_error(body: bytes) -> None:
    assert decode_error(500, {}, body).status == 502
    assert decode_error(400, {}, body).status == 400


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GatewayError("m", status=400), "invalid_request_error"),
        (GatewayError("m", status=401), "authentication_error"),
        (SignInRequiredError("m"), "permission_error"),
        (GatewayError("m", status=404), "not_found_error"),
        (GatewayError("m", status=413), "invalid_request_error"),
        (GatewayError("m", status=429), "rate_limit_error"),
        (GatewayError("m", status=429, code="insufficient_quota"), "insufficient_quota"),
        (GatewayError("m"), "server_error"),
        (StoreError("m"), "server_error"),
        (UpstreamTimeoutError("m"), "api_error"),
    ],
)
def test_the_envelope_has_a_type_by_status(error: GatewayError, kind: str) -> None:
    assert encode_error(error) == {"error": {"message": "m", "type": kind, "param": None, "code": error.code}}


def test_the_frame_holds_the_envelope() -> None:
    error = GatewayError("Zeile\n2", param="messages")
    out = error_frame(error)
    assert out.count(b"\n") == 2
    assert json.loads(out.removeprefix(b"data: ")) == encode_error(error)
