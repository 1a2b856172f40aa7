"""A call that went wrong, recorded: its bundle says nothing of what was said, and replays to the same fault."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.bundles.recorder import Recorder
from app.cli.replay import replay
from tests.simulator.client import Simulator
from tests.support.bridge import LocalBridge

WORD = "ghjkmnpqrst"
SECRET = "sk-test-wxyzwxyzwxyz"
TOKEN = "ghu_test_individual"


@pytest.fixture
def bridge(simulator: Simulator, tmp_path: Path) -> Iterator[LocalBridge]:
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": TOKEN, "UPSTREAM_RETRIES": "0", "WARM_UP": "false"}
    env["UPSTREAM_IDLE_TIMEOUT_S"] = "2"
    with LocalBridge(env, tmp_path / "data") as running:
        yield running


@pytest.fixture
def recorder(bridge: LocalBridge) -> Recorder:
    gateway = bridge._app.extensions["gateway"]
    found: Recorder = gateway.recorder
    found._run = lambda work: work()
    found.start(gateway.keys.names()[0], for_s=600, by="test")
    return found


def ask(bridge: LocalBridge, dialect: str, model: str, *, stream: bool = True, **more: Any) -> str:
    said = f"{WORD} {SECRET} 密码手机护照 [[say: the answer {WORD} is long enough to be cut]]"
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": said}]}),
        "messages": ("/v1/messages", {"max_tokens": 100, "messages": [{"role": "user", "content": said}]}),
        "responses": ("/v1/responses", {"input": said}),
    }
    path, body = ways[dialect]
    ended = threading.Event()
    observers = bridge._app.extensions["gateway"].observers
    observers.append(lambda _: ended.set())
    text = bridge.post(path, json={"model": model, "stream": stream, **body, **more}).text
    assert ended.wait(30)  # an observer is told when the answer has gone out
    observers.pop()
    return text


def bundle(recorder: Recorder, tmp_path: Path) -> Path:
    [kept] = recorder.kept()
    content = recorder.content(kept.id)
    assert content is not None
    file = tmp_path / "bundle.json"
    file.write_bytes(content)
    return file


FAULTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "cut off": {"preset": "truncate_abrupt"},
    "ended early": {"preset": "truncate"},
    "an error in the stream": {"preset": "in_stream_error"},
    "too many requests": {"preset": "rate_limited_429"},
    "a page": {"preset": "html_200"},
    "overloaded": {"preset": "overloaded_503"},
    "no answer": {"preset": "close_before_headers", "times": 9},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("dialect", "model"),
    [("chat", "gpt-4.1"), ("messages", "claude-haiku-4.5"), ("responses", "claude-haiku-4.5"), ("messages", "gpt-4.1")],
)
def test_a_fault_replays_to_the_same_fault(
    bridge: LocalBridge, recorder: Recorder, simulator: Simulator, tmp_path: Path, dialect: str, model: str, fault: str
) -> None:
    if FAULTS[fault]:
        endpoint = "/v1/messages" if model.startswith("claude") else "/chat/completions"
        simulator.fault(endpoint=endpoint, **FAULTS[fault])
    ask(bridge, dialect, model)
    file = bundle(recorder, tmp_path)
    content = file.read_text()
    for planted in (WORD, SECRET, "wxyz", "密码", "护照", TOKEN, bridge.api_key):
        assert planted not in content
    outcome = json.loads(content)["outcome"]
    assert (outcome["error"] is None) == (fault in ("nothing",)), outcome
    result = CliRunner().invoke(replay, [str(file), "--events"])
    assert result.exit_code == 0, result.output
    assert result.output.endswith("The same outcome.\n")
    assert "differs" not in result.output


def test_a_repaired_refusal_replays(
    bridge: LocalBridge, recorder: Recorder, simulator: Simulator, tmp_path: Path
) -> None:
    refusal = {"error": {"message": "Unsupported parameter: 'seed' is not supported.", "code": "unsupported_value"}}
    simulator.fault(endpoint="/chat/completions", status=400, body=refusal)
    ask(bridge, "chat", "gpt-4.1", seed=7, stream=False)
    file = bundle(recorder, tmp_path)
    told = json.loads(file.read_text())
    assert [answer["status"] for answer in told["answers"]] == [400, 200]
    assert told["outcome"]["dropped"] == ["seed"]
    assert CliRunner().invoke(replay, [str(file)]).exit_code == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda it: it.clear(),
        lambda it: it.update(format="another"),
        lambda it: it.update(answers=[{}]),
        lambda it: it.update(request={"body": 1, "path": "/"}),
        lambda it: it.update(answers=7),
        lambda it: it["answers"][0].update(pieces=[{"base64": "?"}]),
    ],
)
def test_what_is_no_bundle_is_refused_in_words(
    bridge: LocalBridge, recorder: Recorder, tmp_path: Path, damage: Callable[[Any], None]
) -> None:
    ask(bridge, "chat", "gpt-4.1")
    file = bundle(recorder, tmp_path)
    told = json.loads(file.read_text())
    damage(told)
    file.write_text(json.dumps(told))
    result = CliRunner().invoke(replay, [str(file)])
    assert result.exit_code == 1
    assert "is no bundle of a recorded call" in result.output


def test_another_outcome_is_told_and_fails(bridge: LocalBridge, recorder: Recorder, tmp_path: Path) -> None:
    ask(bridge, "chat", "gpt-4.1")
    file = bundle(recorder, tmp_path)
    told = json.loads(file.read_text())
    told["outcome"]["error"] = "another_error"
    file.write_text(json.dumps(told))
    result = CliRunner().invoke(replay, [str(file)])
    assert result.exit_code == 1
    assert "recorded: another_error  replayed: -  (differs)" in result.output
