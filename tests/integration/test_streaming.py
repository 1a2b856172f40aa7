"""Streams on real sockets: passed on as they come, cut when the client leaves, never finished when upstream broke."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.streams import arriving, pieces, text_of


@pytest.fixture(scope="module")
def service(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def bridge(service: Bridge, simulator: Simulator) -> Bridge:
    """One for all; to a simulator as new, which knows neither its token nor what was set before."""
    return service


@pytest.mark.parametrize("model", ["gpt-4.1", "claude-haiku-4.5", "gemini-3-flash-preview"])
def test_each_event_is_passed_on_while_upstream_waits_before_the_next(
    bridge: Bridge, simulator: Simulator, model: str
) -> None:
    """The upstream goes on only when told to, after each event: what was held back would never arrive."""
    simulator.config(leading_filter_chunk=False)  # nothing to pass on in that one
    with bridge.chat("[[gate]] [[say: one two three four five six]]", model=model, stream=True) as response:
        assert response.status_code == 200
        coming = arriving(response)
        text = ""
        while text.split() != ["one", "two", "three", "four", "five", "six"]:
            text += text_of([next(coming)])
            simulator.release()
        simulator.open_gate()
        assert list(coming)[-1] == "[DONE]"


def test_first_bytes_arrive_before_upstream_sends_its_second_event(bridge: Bridge, simulator: Simulator) -> None:
    with bridge.chat("[[gate]] [[say: hello world]]", model="claude-haiku-4.5", stream=True) as response:
        first = next(pieces(response))
        assert b'"role":"assistant"' in first
        assert simulator.gates() == {"default": 1} or simulator.wait_at_gate()
        simulator.open_gate()


def test_client_that_hangs_up_closes_the_upstream_connection(bridge: Bridge, simulator: Simulator) -> None:
    response = bridge.chat("[[pace: 100/s]] [[chunks: 3000]]", stream=True)
    next(pieces(response))
    response.close()  # the next events find nobody

    assert simulator.wait("aborted_streams", 1, timeout=20)["open_streams"] == 0


def test_client_that_hangs_up_at_once_closes_the_upstream_connection(bridge: Bridge, simulator: Simulator) -> None:
    body = orjson.dumps(
        {
            "model": "gpt-4.1",
            "stream": True,
            "messages": [{"role": "user", "content": "[[pace: 100/s]] [[chunks: 3000]]"}],
        }
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bridge.api_key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", bridge.port)) as connection:
        connection.sendall(head.encode() + body)
        simulator.wait("open_streams", 1)

    assert simulator.wait("aborted_streams", 1, timeout=20)["open_streams"] == 0


@pytest.mark.parametrize("kind", ["", " abrupt", " reset"])
def test_upstream_cut_in_the_middle_ends_in_an_error_event_and_never_in_done(bridge: Bridge, kind: str) -> None:
    with bridge.chat(f"[[say: one two three four five six seven]] [[cut: 4{kind}]]", stream=True) as response:
        data = list(arriving(response))

    assert "[DONE]" not in data
    assert text_of(data[:-1]).startswith("one")
    error = orjson.loads(data[-1])["error"]
    assert error["message"]
    assert error["code"] == "upstream_protocol_error"


def test_failure_before_the_first_event_is_a_real_status(bridge: Bridge, simulator: Simulator) -> None:
    simulator.fault("rate_limited_429")
    response = bridge.chat("hello", stream=True)
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "7"
    assert response.json()["error"]["type"] == "rate_limit_error"

    simulator.fault("html_200")
    response = bridge.chat("hello", stream=True)
    assert response.status_code == 502
    assert "HTML" in response.json()["error"]["message"]


def test_error_as_the_first_event_of_a_stream_is_a_real_status(bridge: Bridge, simulator: Simulator) -> None:
    simulator.fault(
        status=200,
        content_type="text/event-stream",
        body='data: {"error":{"code":"rate_limited","message":"Slow down."}}\n\n',
    )
    response = bridge.chat("hello", stream=True)
    assert response.status_code == 429, response.text
    assert "Slow down" in response.json()["error"]["message"]


def test_error_inside_a_stream_reaches_the_client_as_an_error_event(bridge: Bridge) -> None:
    with bridge.chat("[[stream_error: rate_limited Enough for now.]]", stream=True) as response:
        assert response.status_code == 200
        data = list(arriving(response))
    assert "[DONE]" not in data
    assert "Enough for now" in orjson.loads(data[-1])["error"]["message"]


@pytest.mark.parametrize("knobs", [{"tcp_chunk": "byte"}, {"unchunked": True}, {"done_without_newline": True}])
def test_bytes_may_come_in_any_way(bridge: Bridge, simulator: Simulator, knobs: dict[str, object]) -> None:
    simulator.config(**knobs)
    with bridge.chat("[[say: grüße aus Zürich 你好]]", model="claude-haiku-4.5", stream=True) as response:
        data = list(arriving(response))
    assert text_of(data) == "grüße aus Zürich 你好"
    assert data.count("[DONE]") == 1


def test_connection_is_used_again_after_a_stream_was_read_to_its_end(bridge: Bridge, simulator: Simulator) -> None:
    for _ in range(3):
        with bridge.chat("[[say: hello]]", stream=True) as response:
            assert text_of(list(arriving(response))) == "hello"
    peers = {request["peer"] for request in simulator.requests("/chat/completions") if "peer" in request}
    if peers:  # the simulator tells the client's port
        assert len(peers) == 1


def test_stopping_worker_lets_a_running_stream_finish(simulator: Simulator, tmp_path: Path) -> None:
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    simulator.config(leading_filter_chunk=False)
    with Bridge(env, tmp_path) as bridge:
        with bridge.chat("[[gate]] [[say: still here]]", stream=True) as response:
            coming = arriving(response)
            collected = [next(coming)]
            os.kill(bridge.pid, signal.SIGTERM)
            simulator.open_gate()
            collected += coming
        assert text_of(collected) == "still here"
        assert collected[-1] == "[DONE]"
