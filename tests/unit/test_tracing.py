"""Traces of calls, with OpenTelemetry's own exporter that keeps them in memory."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from app.gateway import Gateway
from app.ledger.booking import booking_of
from app.reply import Attempt, Ended, Record
from app.tracing import Tracing
from tests.support.secrets import API_KEY

HOST = "https://copilot.test"
KEY = {"Authorization": f"Bearer {API_KEY}"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
PROMPT, ANSWER_TEXT = "my secret plan", "her secret answer"
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": PROMPT}], "user": "somebody"}
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4.1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER_TEXT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10},
    "copilot_usage": {"total_nano_aiu": 2 * 10**9},
}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WARM_UP": "false", "UPSTREAM_RETRIES": "1", "OTEL_TRACES_EXPORTER": "otlp"}


class Spans:
    """What was exported."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.exporter = InMemorySpanExporter()

    def all(self) -> list[ReadableSpan]:
        self.gateway.books.settle()
        return list(self.exporter.get_finished_spans())

    def of(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.all() if span.kind is kind]


@pytest.fixture
def spans(signed_in: None, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Spans:
    found = Spans(gateway)
    monkeypatch.setattr(gateway.tracing, "_processor", lambda: SimpleSpanProcessor(found.exporter))
    return found


def chat(client: FlaskClient, **headers: str) -> Any:
    answer = client.post("/v1/chat/completions", json=BODY, headers=KEY | headers)
    answer.get_data()
    answer.close()
    return answer


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_request_and_its_call_to_copilot(
    spans: Spans, client: FlaskClient, catalogue: Callable[..., None], upstream: responses.RequestsMock
) -> None:
    catalogue("gpt-4.1")
    upstream.post(f"{HOST}/chat/completions", json=ANSWER)
    chat(client, traceparent=f"00-{TRACE}-{PARENT}-01")
    [request], [call] = spans.of(SpanKind.SERVER), spans.of(SpanKind.CLIENT)
    assert request.name == "POST /v1/chat/completions"
    assert request.parent is not None
    assert call.parent is not None
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert (call.context.trace_id, call.parent.span_id) == (request.context.trace_id, request.context.span_id)
    told = attributes(request)
    assert (
        told
        | {
            "http.response.status_code": 200,
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4.1",
            "gen_ai.response.model": "gpt-4.1",
            "gen_ai.usage.input_tokens": 6,
            "gen_ai.usage.output_tokens": 4,
            "bridge.dialect": "chat",
            "bridge.credits": 2.0,
            "bridge.credits_estimated": False,
            "bridge.outcome": "finished",
        }
        == told
    )
    assert call.name == "chat gpt-4.1"
    assert attributes(call)["http.response.status_code"] == 200
    assert [event.name for event in call.events] == ["answered"]
    assert {request.status.status_code, call.status.status_code} == {StatusCode.UNSET}
    assert request.start_time is not None
    assert call.start_time is not None
    assert call.end_time is not None
    assert request.start_time <= call.start_time <= call.events[0].timestamp <= call.end_time
    assert call.end_time == request.end_time


def test_nothing_of_what_was_said_and_no_secret_is_in_it(
    spans: Spans, client: FlaskClient, catalogue: Callable[..., None], upstream: responses.RequestsMock
) -> None:
    catalogue("gpt-4.1")
    upstream.post(f"{HOST}/chat/completions", json=ANSWER)
    chat(client)
    upstream.replace(responses.POST, f"{HOST}/chat/completions", status=400, json={"error": {"message": PROMPT}})
    chat(client)
    told = " ".join(span.to_json() for span in spans.all())
    assert len(spans.all()) == 4
    for secret in (PROMPT, ANSWER_TEXT, "somebody", API_KEY, "ghu_test_unit"):
        assert secret not in told


def test_repeats_and_refusals_are_told(
    spans: Spans, client: FlaskClient, catalogue: Callable[..., None], upstream: responses.RequestsMock
) -> None:
    catalogue("gpt-4.1")
    upstream.post(f"{HOST}/chat/completions", status=502, json={})
    assert chat(client).status_code == 502
    [request], [call] = spans.of(SpanKind.SERVER), spans.of(SpanKind.CLIENT)
    assert [event.name for event in call.events] == ["repeated", "answered"]
    assert dict(call.events[0].attributes or {}) == {"why": "502"}
    assert {request.status.status_code, call.status.status_code} == {StatusCode.ERROR}
    assert attributes(call)["error.type"] == "502"
    assert attributes(request)["bridge.outcome"] == "refused"
    assert attributes(request)["bridge.credits"] == 0


def test_what_is_no_call_leaves_no_trace(spans: Spans, client: FlaskClient) -> None:
    for path in ("/livez", "/v1/key", "/nowhere", "/usage/ledger"):
        client.get(path, headers=KEY).close()
    assert spans.all() == []


@pytest.mark.parametrize("status", [None, 200])
def test_each_call_ends_when_the_next_begins(status: int | None) -> None:
    exporter = InMemorySpanExporter()
    record = Record("r", began=100.0, protocol="chat", model="m" * 300, served_model="m" * 300)
    record.attempts = [
        Attempt("m" * 300, began=100.5, answered=101.0, status=429, request_id="id"),
        Attempt("n", began=102.0, answered=None if status is None else 102.25, status=status),
    ]
    ended = Ended(record, "POST", "/v1/messages", 200, None, None, 1000.0, 5000)
    tracing = Tracing("otlp", processor=lambda: SimpleSpanProcessor(exporter))
    tracing.observe(ended, booking_of(ended, account="octocat", secret=b""))
    first, second, request = exporter.get_finished_spans()
    assert len(first.name) < 110
    times = [(span.start_time, span.end_time) for span in (request, first, second)]
    seconds = [(1000.0, 1005.0), (1000.5, 1002.0), (1002.0, 1005.0)]
    assert times == [(round(begin * 1e9), round(end * 1e9)) for begin, end in seconds]
    assert attributes(second).get("error.type") == ("no_answer" if status is None else None)
    tracing.close()
    tracing.close()


def test_without_the_packages_calls_go_on_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    tracing = Tracing("otlp")
    ended = Ended(Record("r", protocol="chat"), "POST", "/", 200, None, None, 0.0, 1)
    with caplog.at_level(logging.WARNING, "copilot_bridge"):
        for _ in range(3):
            tracing.observe(ended, booking_of(ended, account="", secret=b""))
    assert [line.message for line in caplog.records] == ["no traces: OpenTelemetry is not installed"]
    tracing.close()


def test_nothing_is_imported_while_it_is_off(environment: dict[str, str]) -> None:
    script = """
import sys
from app import create_app
from app.ledger.booking import booking_of
from app.reply import Ended, Record
from app.settings import Settings
app = create_app(Settings.from_env(%r))
gateway = app.extensions["gateway"]
ended = Ended(Record("r", protocol="chat"), "POST", "/", 200, None, None, 0.0, 1)
gateway.tracing.observe(ended, booking_of(ended, account="", secret=b""))
gateway.close_books()
print([name for name in sys.modules if name.startswith("opentelemetry")])
""" % (environment | {"OTEL_TRACES_EXPORTER": "none"})
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
