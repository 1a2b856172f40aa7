"""Calls as traces of OpenTelemetry: a span for the request, and one within it for each call to Copilot.

Off unless ``OTEL_TRACES_EXPORTER`` says where to; nothing of OpenTelemetry is imported before. Spans are made when a
call has been booked, in the background and of the times that were noted, so they cost no request anything. Where to,
how many and under which name is for OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_TRACES_SAMPLER``, ``OTEL_SERVICE_NAME`` …). What was said is in none.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, Literal

from app.converters.wire.accounting import NANO
from app.ledger.booking import Booking
from app.logs import logger
from app.reply import Attempt, Ended, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

Exporter = Literal["none", "otlp", "console"]

_SERVICE: Final = "copilot-bridge"
_PROVIDER: Final = "github.copilot"
_LONGEST: Final = 100
_CLOSING_S: Final = 2.0
_OPERATIONS: Final = {"embeddings": "embeddings", "images": "generate_content", "count_tokens": "count_tokens"}


class Tracing:
    """One per process. processor: makes what spans are handed to, in place of a batch for the exporter."""

    def __init__(self, exporter: str, *, processor: Callable[[], SpanProcessor] | None = None) -> None:
        self._is_on = exporter != "none"
        self._processor = processor or (lambda: _processor_of(exporter))
        self._provider: TracerProvider | None = None

    def observe(self, ended: Ended, booking: Booking | None) -> None:
        """A request has ended; one that was no call leaves no trace."""
        if not self._is_on or booking is None:
            return
        if self._provider is None:
            try:
                self._provider = _provider_of(self._processor())
            except ImportError:
                self._is_on = False
                advice = "pip install 'copilot-bridge-server[otel]', or unset OTEL_TRACES_EXPORTER"
                logger.warning("no traces: OpenTelemetry is not installed", extra={"fields": {"advice": advice}})
                return
        _trace(self._provider, ended, booking)

    def close(self) -> None:
        """Send what is left, for a moment at most: the process ends."""
        provider, self._provider = self._provider, None
        if provider is not None:
            closing = threading.Thread(target=provider.shutdown, name="tracing", daemon=True)
            closing.start()
            closing.join(_CLOSING_S)


def _processor_of(exporter: str) -> SpanProcessor:
    """Raises: ImportError."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    if exporter == "console":
        return BatchSpanProcessor(ConsoleSpanExporter())
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return BatchSpanProcessor(OTLPSpanExporter())


def _provider_of(processor: SpanProcessor) -> TracerProvider:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider

    from app.version import VERSION

    told = Resource.create({"service.version": VERSION})
    if str(told.attributes[SERVICE_NAME]).startswith("unknown_service"):  # no variable names it
        told = told.merge(Resource({SERVICE_NAME: _SERVICE}))
    provider = TracerProvider(resource=told, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def _trace(provider: TracerProvider, ended: Ended, booking: Booking) -> None:
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    record = ended.record
    tracer = provider.get_tracer(_SERVICE)
    carried = {"traceparent": record.traceparent} if record.traceparent is not None else {}
    request = tracer.start_span(
        f"{ended.method} {ended.path}",
        context=TraceContextTextMapPropagator().extract(carried),
        kind=SpanKind.SERVER,
        start_time=_nanoseconds(ended.started_at),
        attributes=_of_request(ended, booking),
    )
    within = set_span_in_context(request)
    for attempt, end in zip(record.attempts, _ends(record, ended), strict=True):
        call = tracer.start_span(
            f"{_operation(booking)} {attempt.model[:_LONGEST]}",
            context=within,
            kind=SpanKind.CLIENT,
            start_time=_nanoseconds(_at(ended, attempt.began)),
            attributes=_of_attempt(attempt, booking),
        )
        for why in attempt.repeats:
            call.add_event("repeated", {"why": why}, timestamp=_nanoseconds(_at(ended, attempt.began)))
        if attempt.answered is not None:
            call.add_event("answered", timestamp=_nanoseconds(_at(ended, attempt.answered)))
        if attempt.status is None or attempt.status >= 400:
            call.set_status(Status(StatusCode.ERROR))
        call.end(_nanoseconds(end))
    if ended.status >= 500 or booking.outcome in ("cut", "stopped"):
        request.set_status(Status(StatusCode.ERROR))
    request.end(_nanoseconds(ended.ended_at))


def _of_request(ended: Ended, booking: Booking) -> dict[str, Any]:
    """By OpenTelemetry's conventions for HTTP and for generative AI, where they have a name for it."""
    nano = booking.nano_credits
    return _known(
        {
            "http.request.method": ended.method,
            "url.path": ended.path,
            "http.response.status_code": ended.status,
            "error.type": booking.error,
            "gen_ai.operation.name": _operation(booking),
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": booking.model,
            "gen_ai.response.model": booking.served_model,
            "gen_ai.request.stream": booking.streamed,
            "gen_ai.usage.input_tokens": booking.input_tokens,
            "gen_ai.usage.output_tokens": booking.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": booking.cached_input_tokens,
            "gen_ai.usage.cache_creation.input_tokens": booking.cache_write_tokens,
            "bridge.reasoning_tokens": booking.reasoning_tokens,
            "bridge.request_id": booking.request_id,
            "bridge.dialect": booking.dialect,
            "bridge.upstream": booking.upstream,
            "bridge.key": booking.key,
            "bridge.account": booking.account,
            "bridge.client": booking.client,
            "bridge.purpose": booking.purpose,
            "bridge.initiator": booking.initiator,
            "bridge.outcome": booking.outcome,
            "bridge.credits": nano / NANO if nano is not None else None,
            "bridge.credits_estimated": booking.is_estimated if nano is not None else None,
            "bridge.first_byte_ms": booking.first_byte_ms,
        }
    )


def _of_attempt(attempt: Attempt, booking: Booking) -> dict[str, Any]:
    return _known(
        {
            "gen_ai.operation.name": _operation(booking),
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": attempt.model[:_LONGEST],
            "bridge.upstream": booking.upstream,
            "http.response.status_code": attempt.status,
            "error.type": "no_answer" if attempt.status is None else str(attempt.status) * (attempt.status >= 400),
            "bridge.upstream_request_id": attempt.request_id,
        }
    )


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None and value != ""}


def _operation(booking: Booking) -> str:
    return _OPERATIONS.get(booking.dialect, "chat")


def _ends(record: Record, ended: Ended) -> list[float]:
    """When each call to Copilot was over: when the next one began, and the last one with the answer."""
    return [*(_at(ended, attempt.began) for attempt in record.attempts[1:]), ended.ended_at][: len(record.attempts)]


def _at(ended: Ended, moment: float) -> float:
    """Epoch seconds of a moment that a monotonic clock told."""
    return ended.started_at + (moment - ended.record.began)


def _nanoseconds(at: float) -> int:
    return round(at * 10**9)
