"""A client's trace goes on to Copilot, and nothing else under its name."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import responses
from flask.testing import FlaskClient

from tests.support.secrets import API_KEY

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (TRACE, TRACE),
        (TRACE.replace("00-4", "01-4") + "-more", TRACE.replace("00-4", "01-4") + "-more"),
        (TRACE.upper(), None),
        ("ff" + TRACE[2:], None),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", None),
        (TRACE + "x", None),
        ("", None),
        ("ghu_test_token", None),
    ],
)
def test_a_trace_is_passed_on_if_it_is_one(
    signed_in: None,
    catalogue: Callable[..., None],
    upstream: responses.RequestsMock,
    client: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    sent: str,
    passed: str | None,
) -> None:
    caplog.set_level(logging.INFO, logger="copilot_bridge")
    catalogue("gpt-4.1")
    upstream.post("https://copilot.test/chat/completions", json=ANSWER)
    client.post(
        "/v1/chat/completions", json=BODY, headers={"Authorization": f"Bearer {API_KEY}", "traceparent": sent}
    ).close()
    call = next(one.request for one in upstream.calls if one.request.method == "POST")
    assert call.headers.get("traceparent") == passed
    [line] = [record.fields for record in caplog.records if record.msg == "request"]  # type: ignore[attr-defined]
    assert line["trace_id"] == (passed[3:35] if passed else None)
