"""A whole service sends its traces where OpenTelemetry's own variables say, under the name that they give."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge


@contextmanager
def collector() -> Iterator[tuple[str, list[Any], threading.Condition]]:
    """Takes what is exported; its address, what came, and who tells of it."""
    came: list[Any] = []
    told = threading.Condition()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with told:
                came.append((self.path, self.headers.get("x-team"), ExportTraceServiceRequest.FromString(body)))
                told.notify_all()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", came, told
        server.shutdown()


def test_traces_arrive_where_the_variables_say(simulator: Simulator, tmp_path: Path) -> None:
    with collector() as (url, came, told):
        env = {
            **simulator.settings_env(),
            "GH_COPILOT_TOKEN": "ghu_test_individual",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue",
            "OTEL_SERVICE_NAME": "our-bridge",
        }
        with Bridge(env, tmp_path, app="wsgi:app") as bridge:
            assert bridge.chat("hello").status_code == 200
            with bridge.chat("hello", stream=True) as answer:
                assert answer.content
            bridge.terminate()  # what is left is sent before the end
            assert bridge.wait() == 0
        with told:
            assert told.wait_for(lambda: len(came) > 0, 10), bridge.log
        assert {(path, team) for path, team, _ in came} == {("/v1/traces", "blue")}
        spans = [
            (span.name, {one.key: one.value.string_value for one in traced.resource.attributes}["service.name"])
            for _, _, export in came
            for traced in export.resource_spans
            for scope in traced.scope_spans
            for span in scope.spans
        ]
        assert sorted(spans) == sorted(
            [("POST /v1/chat/completions", "our-bridge")] * 2 + [("chat gpt-4.1", "our-bridge")] * 2
        )
