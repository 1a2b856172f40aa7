"""Which refusals a new token may mend, in the words in which they came (contract §2.5, §10.4)."""

from __future__ import annotations

import pytest

from app.upstream.token_refusal import is_about_token

STALE = [
    b"forbidden\n",
    b"Forbidden",
    b"403 Forbidden\n",
    b"",
    b"{}",
    b'{"error":{"message":"forbidden","code":"forbidden"}}\n',
    b'{"error":{"message":"Forbidden","code":""}}',
    b'{"message":"forbidden"}',
    b'{"error":"forbidden"}',
    b'{"type":"error","error":{"type":"permission_error","message":"forbidden"}}',
    b"IDE token expired: unauthorized: token expired\n",
    b"unauthorized: token expired\n",
    b"forbidden: token has been revoked\n",
    b'{"error":{"message":"token expired","code":"token_expired"}}',
    b"invalid token\n",
]
FINAL = [
    b"forbidden: access denied\n",
    b"access forbidden\n",
    b"You are not licensed to use Copilot.\n",
    b"token not authorized for this integration\n",
    b"unauthorized: not authorized to use this Copilot feature\n",
    b"Resource not accessible by integration",
    b'{"error":{"message":"Access to this endpoint is forbidden. Please review our [Terms of Service](https://x.test).",'
    b'"code":"forbidden"}}',
    b'{"error":{"message":"forbidden","code":"model_policy_not_enabled"}}',
    b'{"error":{"message":"API rate limit exceeded for user ID 1.","code":"rate_limited"}}',
    b'{"message":"You have exceeded a secondary rate limit."}',
    b"<html><title>403 Forbidden</title></html>",
    b'["forbidden"]',
]


@pytest.mark.parametrize("body", STALE)
def test_403_that_gives_no_reason_is_about_the_token(body: bytes) -> None:
    assert is_about_token(403, body)


@pytest.mark.parametrize("body", FINAL)
def test_403_with_a_reason_is_a_refusal(body: bytes) -> None:
    assert not is_about_token(403, body)


@pytest.mark.parametrize(("status", "expected"), [(401, True), (421, True), (400, False), (402, False), (429, False)])
def test_other_statuses_say_it_themselves(status: int, expected: bool) -> None:
    assert is_about_token(status, b"anything at all") is expected
