"""Errors both ways, and what a refusal names (contract §8.4, §8.8, §10.7)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.messages.errors import decode_error, encode_error, error_frame
from app.errors import GatewayError, InvalidRequestError, UnsupportedFeatureError


def backend(kind: str, message: str) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def gateway(message: str, code: str = "", **more: str) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, **more}}).encode()


def said(status: int, body: bytes) -> dict[str, Any]:
    envelope = encode_error(decode_error(status, {}, body))
    assert envelope["type"] == "error"
    error = envelope["error"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize(
    "body",
    [
        backend("invalid_request_error", "context_management: Extra inputs are not permitted"),
        b'{"message":"context_management: Extra inputs are not permitted"}',
    ],
)
def test_the_backend_is_quoted_word_for_word(body: bytes) -> None:
    message = "context_management: Extra inputs are not permitted"
    assert said(400, body) == {"type": "invalid_request_error", "message": message}


@pytest.mark.parametrize(
    "body",
    [
        backend("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        gateway("prompt token count of 210000 exceeds the limit of 200000", "model_max_prompt_tokens_exceeded"),
        gateway(
            "This model's maximum context length is 200000 tokens. However, your messages resulted in 210000 tokens.",
            "context_length_exceeded",
        ),
    ],
)
def test_a_context_overflow_is_said_as_claude_code_expects(body: bytes) -> None:
    assert said(400, body) == {
        "type": "invalid_request_error",
        "message": "prompt is too long: 210000 tokens > 200000 maximum",
    }


def test_an_answer_that_does_not_fit_beside_the_prompt_is_said_as_claude_code_expects() -> None:
    words = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length"
    for body in (backend("invalid_request_error", words), gateway(words)):
        assert words in said(400, body)["message"]
        assert "prompt is too long" not in said(400, body)["message"]


def test_an_overflow_without_numbers_begins_likewise() -> None:
    error = InvalidRequestError("Too much.", code="context_length_exceeded")
    assert encode_error(error)["error"]["message"] == "prompt is too long: Too much."


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (429, backend("rate_limit_error", "Rate limit exceeded."), "rate_limit_error", 429),
        (529, backend("overloaded_error", "Overloaded"), "overloaded_error", 503),
        (200, backend("overloaded_error", "Overloaded"), "overloaded_error", 503),
        (500, backend("api_error", "Internal server error"), "api_error", 502),
        (500, backend("overloaded_error", "Overloaded"), "overloaded_error", 503),
        (400, gateway("No.", "cyber_policy"), "invalid_request_error", 400),
        (400, gateway("The requested model is not supported.", "model_not_supported"), "not_found_error", 404),
        (402, gateway("You have no quota", "quota_exceeded"), "rate_limit_error", 429),
        (413, b"413 Request Entity Too Large\n", "request_too_large", 413),
        (502, b"<html><title>Bad gateway</title></html>", "api_error", 502),
    ],
)
def test_kinds(status: int, body: bytes, kind: str, told: int) -> None:
    assert said(status, body)["type"] == kind
    assert decode_error(status, {}, body).status == told


def test_details_are_told() -> None:
    details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    envelope = encode_error(UnsupportedFeatureError("No threads.", details=details))
    assert envelope == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "No threads.", "details": details},
    }


def test_the_frame() -> None:
    raw = error_frame(GatewayError("Oops."))
    assert raw == b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Oops."}}\n\n'
