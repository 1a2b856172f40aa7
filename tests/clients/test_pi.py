"""pi (``pi --print``): a provider per protocol; it tries again by itself, and compacts when the context overflows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run
from tests.clients.programs import PI
from tests.clients.steps import SAID, assert_one_turn, booked, put_wrong_key, rounds, say, statuses, tool
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator

CHAT, RESPONSES, MESSAGES = "copilot-bridge", "copilot-bridge-responses", "copilot-bridge-messages"
PATHS = {"gpt-4.1": "/chat/completions", "gpt-5.3-codex": "/responses", "claude-sonnet-4.6": "/v1/messages"}
NATIVE = [f"{CHAT}/gpt-4.1", f"{RESPONSES}/gpt-5.3-codex", f"{MESSAGES}/claude-sonnet-4.6"]
CONVERTED = [f"{RESPONSES}/claude-sonnet-4.6", f"{MESSAGES}/gpt-5.3-codex", f"{CHAT}/gpt-5.3-codex"]


@pytest.fixture
def desk(desk_of: Callable[[Client], Desk]) -> Desk:
    return desk_of(PI)


def add(desk: Desk, name: str) -> None:
    """Give a provider a model that `configure` lists elsewhere, as people do by hand."""
    provider, model = name.split("/")
    file = desk.home / ".pi/agent/models.json"
    told = json.loads(file.read_text("utf-8"))
    models = told["providers"][provider]["models"]
    if model not in [one["id"] for one in models]:
        models.append({"id": model, "reasoning": True})
        file.write_text(json.dumps(told), "utf-8")


def answer(run: Run) -> dict[str, Any]:
    """The last message of the model."""
    ends = [one["message"] for one in run.lines() if one["type"] == "message_end"]
    return next(one for one in reversed(ends) if one["role"] == "assistant")


def text(run: Run) -> str:
    return "".join(part["text"] for part in answer(run)["content"] if part["type"] == "text")


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.lines() if event["type"] == kind]


# ── a day's work ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [*NATIVE, *CONVERTED])
def test_writes_a_file_runs_a_command_and_goes_on(desk: Desk, upstream: Simulator, name: str) -> None:
    add(desk, name)
    model = name.split("/")[1]
    before = booked(upstream)
    steps = [tool("write", path="hello.txt", content="grüß dich 你好"), tool("bash", command="echo $((40+2)) >out.txt")]
    run = desk.ask(rounds(*steps, say("Both done.")), name)
    assert (run.code, text(run)) == (0, "Both done."), run
    assert (desk.project / "hello.txt").read_text("utf-8") == "grüß dich 你好"
    assert (desk.project / "out.txt").read_text("utf-8") == "42\n"
    calls = generations(upstream)
    assert_one_turn(calls, PATHS[model], model, 3)
    assert "Successfully wrote" in calls[1]["body"]
    assert booked(upstream) - before == 1


@pytest.mark.parametrize("name", [*NATIVE[1:], *CONVERTED[:2]])
def test_thoughts_are_shown_and_their_proof_comes_home(desk: Desk, upstream: Simulator, name: str) -> None:
    add(desk, name)
    steps = [f"[[think: Let me look.]] {tool('bash', command='echo the note')}", say("Seen.")]
    run = desk.run(*PI.ask(desk, rounds(*steps), name, "--thinking", "medium"))
    thoughts = [
        part["thinking"]
        for event in events(run, "message_end")
        for part in event["message"]["content"]
        if part["type"] == "thinking"
    ]
    assert (text(run), thoughts) == ("Seen.", ["Let me look."]), run
    # The simulator refuses a proof that it has not issued itself, or not for these words.
    _, second = generations(upstream)
    assert second["status"] == 200
    assert ('"signature"' if "claude" in name else '"encrypted_content"') in second["body"]
    assert "the note" in second["body"]


def test_goes_on_with_another_vendors_model_on_another_protocol(desk: Desk, upstream: Simulator) -> None:
    claude, codex = NATIVE[2], NATIVE[1]
    steps = [f"[[think: Claude's thought.]] {tool('bash', command='echo the note')}", say("One.")]
    assert text(desk.run(*PI.ask(desk, rounds(*steps), claude, "--thinking", "medium"))) == "One."
    run = desk.run(*PI.ask(desk, say("Two."), codex, "--continue", "--thinking", "medium"))
    assert text(run) == "Two.", run
    last = generations(upstream)[-1]
    assert (last["path"], last["status"]) == ("/responses", 200)
    assert "the note" in last["body"]
    run = desk.run(*PI.ask(desk, say("Three."), claude, "--continue", "--thinking", "medium"))
    assert text(run) == "Three.", run
    assert statuses(generations(upstream)) == [200] * 4


def test_knows_the_models_of_the_account(desk: Desk) -> None:
    listed = desk.run("pi", "--list-models").text
    assert all(name.split("/")[1] in listed for name in NATIVE), listed


# ── troubles ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key(desk: Desk, upstream: Simulator) -> None:
    put_wrong_key(desk.home / ".pi/agent/models.json")
    run = desk.ask(say("Never."))
    assert "Wrong API key" in answer(run)["errorMessage"], run
    assert events(run, "auto_retry_start") == []
    assert generations(upstream) == []


@pytest.mark.parametrize("name", NATIVE)
def test_rate_limit_with_retry_after(desk: Desk, troubles: Troubles, upstream: Simulator, name: str) -> None:
    troubles.rate_limit()
    run = desk.ask(say("At last."), name)
    assert (run.code, text(run)) == (0, "At last."), run
    assert statuses(generations(upstream)) == [429, 200]


def test_server_error(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.server_error()
    run = desk.ask(say("At last."))
    assert (run.code, text(run)) == (0, "At last."), run
    assert statuses(generations(upstream)) == [500] * trouble.ATTEMPTS + [200]


@pytest.mark.parametrize("name", NATIVE)
def test_context_overflow(desk: Desk, troubles: Troubles, name: str) -> None:
    troubles.context_overflow()
    run = desk.ask(say("Never."), name)
    assert "138898" in answer(run)["errorMessage"], run
    # It has understood what is wrong, and tries to shorten the conversation.
    assert [event["reason"] for event in events(run, "compaction_start")] == ["overflow"]


def test_unknown_model(desk: Desk, upstream: Simulator) -> None:
    add(desk, f"{CHAT}/{trouble.NO_MODEL}")
    run = desk.ask(say("Never."), f"{CHAT}/{trouble.NO_MODEL}")
    assert answer(run)["errorMessage"].startswith("404 "), run
    assert trouble.NO_MODEL in answer(run)["errorMessage"]
    assert events(run, "auto_retry_start") == []
    assert len(generations(upstream)) == 1


@pytest.mark.parametrize("name", NATIVE)
def test_cut_stream(desk: Desk, troubles: Troubles, upstream: Simulator, name: str) -> None:
    troubles.cut()
    run = desk.ask(say(SAID), name)
    # It knows by the words of the error that another try may help.
    assert [event["attempt"] for event in events(run, "auto_retry_start")] == [1], run
    assert (run.code, text(run)) == (0, SAID)
    assert len(generations(upstream)) == 2
