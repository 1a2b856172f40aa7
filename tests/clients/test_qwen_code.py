"""Qwen Code (``qwen`` with a prompt): everything goes to ``POST /v1/chat/completions``, native and converted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run
from tests.clients.programs import QWEN_CODE
from tests.clients.steps import SAID, assert_one_turn, booked, put_wrong_key, rounds, say, statuses, tool
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator

MODELS = {
    "gpt-4.1": "/chat/completions",
    "gpt-5.3-codex": "/responses",
    "claude-sonnet-4.6": "/chat/completions",
}
MEMORY = "You are now acting as the managed memory extraction subagent"


@pytest.fixture
def desk(desk_of: Callable[[Client], Desk]) -> Desk:
    return desk_of(QWEN_CODE)


def result(run: Run) -> dict[str, Any]:
    """Its last event: what the run came to."""
    return next(event for event in reversed(run.lines()) if event["type"] == "result")


def calls_of(upstream: Simulator) -> list[dict[str, Any]]:
    """The calls upstream, without those of the agent that looks for something to remember when a turn is over."""
    return [call for call in generations(upstream) if MEMORY not in call["body"]]


# ── a day's work ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("model", "path"), [*MODELS.items(), ("gemini-3-pro-preview", "/chat/completions")])
def test_writes_a_file_runs_a_command_and_goes_on(desk: Desk, upstream: Simulator, model: str, path: str) -> None:
    before = booked(upstream)
    steps = [
        f"[[think: Let me look.]] {tool('write_file', file_path=str(desk.project / 'hello.txt'), content='grüß 你好')}",
        tool("run_shell_command", command="echo $((40+2)) > out.txt", is_background=False),
    ]
    run = desk.ask(rounds(*steps, say("Both done.")), model)
    assert (run.code, result(run).get("result"), result(run)["num_turns"]) == (0, "Both done.", 3), run
    assert (desk.project / "hello.txt").read_text("utf-8") == "grüß 你好"
    assert (desk.project / "out.txt").read_text("utf-8") == "42\n"
    calls = calls_of(upstream)
    assert_one_turn(calls, path, model, 3)
    assert "Successfully created and wrote" in calls[1]["body"]
    # Whatever else it asks, for its memory say, is no request of the person's.
    assert booked(upstream) - before == 1
    if path == "/chat/completions":
        thoughts = [part["thinking"] for part in parts(run) if part["type"] == "thinking"]
        assert thoughts == ["Let me look."]
        assert '"reasoning_text":"Let me look."' in calls[1]["body"]


def parts(run: Run) -> list[dict[str, Any]]:
    """What the model has said, thought and called."""
    said = [event["message"]["content"] for event in run.lines() if event["type"] == "assistant"]
    return [part for content in said for part in content]


def test_its_memory_is_not_paid_for(desk: Desk, upstream: Simulator) -> None:
    before = booked(upstream)
    assert result(desk.ask(say("Hello."), "gpt-4.1"))["result"] == "Hello."
    asked, remembered = generations(upstream)
    assert [call["header"]["x-initiator"] for call in (asked, remembered)] == ["user", "agent"]
    assert MEMORY in remembered["body"]
    assert booked(upstream) - before == 1


def test_agents_it_sends_out_are_not_paid_for(desk: Desk, upstream: Simulator) -> None:
    before = booked(upstream)
    errand = tool("agent", description="look", prompt="Look around.", subagent_type="general-purpose")
    run = desk.ask(rounds(errand, say("Sent out.")), "gpt-4.1")
    assert run.code == 0, run
    # The errand, its result as a notification, and the round after the tool call.
    assert "You are a general-purpose subagent working for a parent agent." in "".join(
        call["body"] for call in generations(upstream)
    )
    assert sorted(call["header"]["x-initiator"] for call in generations(upstream)).count("user") == 1
    assert booked(upstream) - before == 1


# ── troubles ────────────────────────────────────────────────────────────────────────────────────────────────────────


def failure(run: Run) -> str:
    assert (run.code, result(run)["is_error"]) == (1, True), run
    return str(result(run)["error"]["message"])


def test_wrong_key(desk: Desk, upstream: Simulator) -> None:
    put_wrong_key(desk.home / ".qwen/settings.json")
    assert failure(desk.ask(say("Never."))).startswith("[API Error: 401 Wrong API key.")
    assert generations(upstream) == []


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5.3-codex"])
def test_rate_limit_with_retry_after(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.rate_limit()
    run = desk.ask(say("At last."), model)
    assert (run.code, result(run).get("result")) == (0, "At last."), run
    assert statuses(calls_of(upstream)) == [429, 200]


def test_server_error(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.server_error()
    run = desk.ask(say("At last."), "gpt-4.1")
    assert (run.code, result(run).get("result")) == (0, "At last."), run
    assert statuses(calls_of(upstream)) == [500] * trouble.ATTEMPTS + [200]


@pytest.mark.parametrize("model", MODELS)
def test_context_overflow(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.context_overflow()
    said = failure(desk.ask(say("Never."), model))
    assert said.startswith("[API Error: 400 "), said
    assert "138898" in said
    assert len(calls_of(upstream)) == 1


def test_unknown_model(desk: Desk, upstream: Simulator) -> None:
    file = desk.home / ".qwen/settings.json"
    told = json.loads(file.read_text("utf-8"))
    # A name that is not in its list it replaces by the first of the list, without a word.
    told["modelProviders"]["openai"].append({**told["modelProviders"]["openai"][0], "id": trouble.NO_MODEL})
    file.write_text(json.dumps(told), "utf-8")
    said = failure(desk.ask(say("Never."), trouble.NO_MODEL))
    assert said.startswith("[API Error: 404 "), said
    assert trouble.NO_MODEL in said
    assert len(calls_of(upstream)) == 1


@pytest.mark.parametrize("model", MODELS)
def test_cut_stream(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.cut()
    run = desk.ask(say(SAID), model)
    # It keeps what has come, and asks for the rest; or for all of it, if nothing has come.
    first, second = calls_of(upstream)[:2]
    assert (run.code, result(run)["is_error"]) == (0, False), run
    assert ("The connection dropped mid-response. Resume directly" in second["body"]) or SAID in result(run)["result"]
    assert first["json"]["stream"] is second["json"]["stream"] is True
