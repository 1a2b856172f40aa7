"""A silent upstream: the client of each dialect hears that the bridge is alive, and the stream goes on properly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.streams import pieces

CLAUDE, CODEX, GPT = "claude-sonnet-4.6", "gpt-5.3-codex", "gpt-4.1"
PATHS = {CLAUDE: "/v1/messages", CODEX: "/responses", GPT: "/chat/completions"}

# Natively and converted: a client's dialect and a model.
EXCHANGES = [
    ("chat", GPT),
    ("chat", CODEX),
    ("messages", CLAUDE),
    ("messages", GPT),
    ("messages", CODEX),
    ("responses", CODEX),
    ("responses", GPT),
    ("responses", CLAUDE),
]
exchanges = pytest.mark.parametrize(("dialect", "model"), EXCHANGES)


@pytest.fixture(scope="module")
def impatient_bridge(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    simulator_process.reset()
    env = {
        **simulator_process.settings_env(),
        "GH_COPILOT_TOKEN": "ghu_test_individual",
        "KEEP_ALIVE_S": "0.2",
    }
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        running.chat("warm up: token and model list")
        yield running


@pytest.fixture
def upstream(impatient_bridge: Bridge, simulator_process: Simulator) -> Simulator:
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    return simulator_process


def ask(bridge: Bridge, dialect: str, model: str, prompt: str) -> requests.Response:
    if dialect == "chat":
        return bridge.chat(prompt, model=model, stream=True)
    if dialect == "messages":
        messages = [{"role": "user", "content": prompt}]
        body: Any = {"model": model, "max_tokens": 1024, "messages": messages, "stream": True}
        return bridge.post("/v1/messages", json=body, stream=True)
    return bridge.post("/v1/responses", json={"model": model, "input": prompt, "stream": True}, stream=True)


class Heard:
    """The frames of a stream, one by one, as they come."""

    def __init__(self, response: requests.Response) -> None:
        self._pieces = pieces(response)
        self._rest = b""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while b"\n\n" not in self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                assert self._rest == b"", "the last frame is torn"
                raise StopIteration
            self._rest += piece
        frame, _, self._rest = self._rest.partition(b"\n\n")
        return frame + b"\n\n"


def is_keep_alive(frame: bytes, dialect: str) -> bool:
    """Comment for the OpenAI dialects, an event that Anthropic's SDKs and Claude Code count for theirs."""
    if dialect == "messages":
        return frame == b'event: ping\ndata: {"type":"ping"}\n\n'
    return all(line.startswith(b":") for line in frame.rstrip(b"\n").split(b"\n"))


def data_of(frame: bytes) -> Any:
    lines = [line[6:] for line in frame.split(b"\n") if line.startswith(b"data: ")]
    return orjson.loads(lines[0]) if lines and lines[0] != b"[DONE]" else None


def text_of(frames: list[bytes], dialect: str) -> str:
    text = ""
    for value in filter(None, map(data_of, frames)):
        if dialect == "chat":
            text += "".join(choice["delta"].get("content") or "" for choice in value.get("choices", []))
        elif dialect == "messages" and value["type"] == "content_block_delta":
            text += value["delta"]["text"]
        elif dialect == "responses" and value["type"] == "response.output_text.delta":
            text += value["delta"]
    return text


def ends_well(frames: list[bytes], dialect: str) -> bool:
    end = {"chat": b"[DONE]", "messages": b"event: message_stop", "responses": b"event: response.completed"}[dialect]
    return end in frames[-1]


def error_in(frame: bytes, dialect: str) -> Any:
    """The error that a stream of this dialect ends in."""
    value = data_of(frame)
    if dialect == "chat":
        return value["error"]
    if dialect == "messages":
        assert frame.startswith(b"event: error\n")
        assert value["type"] == "error"
        return value["error"]
    assert value["type"] in ("error", "response.failed")
    return value["response"]["error"] if "response" in value else value.get("error") or value


@exchanges
def test_silence_before_the_headers(impatient_bridge: Bridge, upstream: Simulator, dialect: str, model: str) -> None:
    upstream.fault("slow_headers", endpoint=PATHS[model])
    with ask(impatient_bridge, dialect, model, "[[say: here I am at last]]") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        heard = Heard(response)
        upstream.wait_at_gate("headers")
        assert is_keep_alive(next(heard), dialect)
        assert is_keep_alive(next(heard), dialect)
        upstream.release(name="headers")
        frames = [frame for frame in heard if not is_keep_alive(frame, dialect)]
    assert text_of(frames, dialect) == "here I am at last"
    assert ends_well(frames, dialect)
    assert upstream.state()["open_streams"] == 0


@exchanges
def test_silence_between_events(impatient_bridge: Bridge, upstream: Simulator, dialect: str, model: str) -> None:
    gate = f"between-{dialect}-{model}"
    with ask(impatient_bridge, dialect, model, f"[[gate: {gate}]] [[say: one two three four five six]]") as response:
        heard = Heard(response)
        frames: list[bytes] = []
        silences = 0
        while silences < 3:  # silence, some events, silence, …: each wait at the gate outlasts the bridge's patience
            frame = next(heard)
            if not is_keep_alive(frame, dialect):
                frames.append(frame)
                continue
            silences += 1
            upstream.release(3, gate)
        upstream.open_gate(gate)
        frames += [frame for frame in heard if not is_keep_alive(frame, dialect)]
    assert text_of(frames, dialect) == "one two three four five six"
    assert ends_well(frames, dialect)


@exchanges
def test_failure_after_the_first_keep_alive_is_told_inside_the_stream(
    impatient_bridge: Bridge, upstream: Simulator, dialect: str, model: str
) -> None:
    upstream.fault("rate_limited_429", endpoint=PATHS[model], wait="refusal")
    with ask(impatient_bridge, dialect, model, "hello") as response:
        assert response.status_code == 200
        heard = Heard(response)
        assert is_keep_alive(next(heard), dialect)
        upstream.release(name="refusal")
        frames = [frame for frame in heard if not is_keep_alive(frame, dialect)]
    assert not ends_well(frames, dialect)
    error = error_in(frames[-1], dialect)
    assert "rate limit" in error["message"]
    if dialect == "messages":
        assert error["type"] == "rate_limit_error"
    else:
        assert error["code"]
    assert len(frames) == 1 or dialect == "responses"  # which must be created before it can fail


@exchanges
def test_cut_after_silence_is_told_inside_the_stream(
    impatient_bridge: Bridge, upstream: Simulator, dialect: str, model: str
) -> None:
    gate = f"cut-{dialect}-{model}"
    prompt = f"[[gate: {gate}]] [[say: one two three four five six]] [[cut: 8 reset]]"
    with ask(impatient_bridge, dialect, model, prompt) as response:
        heard = Heard(response)
        frames: list[bytes] = []
        while not frames or not is_keep_alive(frames[-1], dialect):
            frames.append(next(heard))
        upstream.open_gate(gate)
        frames += [frame for frame in heard if not is_keep_alive(frame, dialect)]
    assert not ends_well(frames, dialect)
    assert error_in(frames[-1], dialect)["message"]


@exchanges
def test_hang_up_before_the_headers_closes_the_upstream(
    impatient_bridge: Bridge, upstream: Simulator, dialect: str, model: str
) -> None:
    before = upstream.state()["aborted_requests"]
    upstream.fault(endpoint=PATHS[model], wait=f"never-{dialect}-{model}")
    response = ask(impatient_bridge, dialect, model, "hi")
    assert is_keep_alive(next(Heard(response)), dialect)
    response.close()
    assert upstream.wait("aborted_requests", before + 1, timeout=20)["open_streams"] == 0


@exchanges
def test_hang_up_during_silence_closes_the_upstream(
    impatient_bridge: Bridge, upstream: Simulator, dialect: str, model: str
) -> None:
    before = upstream.state()["aborted_streams"]
    response = ask(impatient_bridge, dialect, model, "[[gate: never]] [[say: one two three]]")
    heard = Heard(response)
    while not is_keep_alive(next(heard), dialect):
        pass
    response.close()
    assert upstream.wait("aborted_streams", before + 1, timeout=20)["open_streams"] == 0
