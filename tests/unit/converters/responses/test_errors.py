"""Upstream's errors, and what of a request can be left out on a second try (contract §7.2–§7.6, §7.9)."""

from __future__ import annotations

import json

import pytest

from app.converters.responses.errors import decode_error, encode_error, error_frame, error_in, failure_of
from app.errors import UpstreamStatusError
from tests.unit.converters.responses.grammar import events

UNVERIFIED = (
    "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content item_id did not match the "
    "target item id."
)


def test_stale_item_id_is_not_about_the_key() -> None:
    body = b'{"error":{"code":"bad_request","message":"input item ID does not belong to this connection"}}'
    error = decode_error(401, {}, body)
    assert (error.status, error.code) == (400, "invalid_item_id")


def test_unverified_content_has_its_own_code() -> None:
    error = decode_error(400, {}, json.dumps({"error": {"message": UNVERIFIED}}).encode())
    assert (error.status, error.code) == (400, "invalid_encrypted_content")
    assert UNVERIFIED in error.message


def test_all_else_is_as_in_chat() -> None:
    error = decode_error(429, {"Retry-After": "7"}, b'{"error":{"message":"Slow down","code":"rate_limited"}}')
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", "7")
    assert encode_error(error)["error"]["type"] == "rate_limit_error"


def test_frame_is_flat_and_nested() -> None:
    (event,) = events(error_frame(UpstreamStatusError("No.", status=400, code="content_filter", param="input"), 7))
    assert (event["type"], event["code"], event["message"], event["param"]) == (
        "error",
        "content_filter",
        "No.",
        "input",
    )
    assert event["sequence_number"] == 7
    assert event["error"] == {
        "message": "No.",
        "type": "invalid_request_error",
        "param": "input",
        "code": "content_filter",
    }


@pytest.mark.parametrize(
    "code",
    [
        *("context_length_exceeded", "invalid_prompt", "invalid_image_url", "image_too_large", "cyber_policy"),
        *("rate_limit_exceeded", "insufficient_quota", "server_is_overloaded", "server_error"),
    ],
)
@pytest.mark.parametrize("kind", ["response.failed", "response.completed"])
def test_a_failed_response_is_told_by_the_code_that_it_has(kind: str, code: str) -> None:
    """What clients act on is the same whether they hear of it from upstream or from us; so is whose event brings it."""
    response = {"status": "failed", "error": {"code": code, "message": "No."}}
    error = error_in({"type": kind, "response": response}, kind)
    assert error is not None
    assert failure_of(error)["code"] == code


def test_an_overload_by_any_name_is_one() -> None:
    for code in ("slow_down", "engine_overloaded", "service_unavailable"):
        error = error_in({"response": {"error": {"code": code, "message": "No."}}}, "response.failed")
        assert error is not None
        assert failure_of(error)["code"] == "server_is_overloaded"
