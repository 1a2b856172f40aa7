"""Cline's command line (``cline --json``): everything goes to ``POST /v1/chat/completions``, native and converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run
from tests.clients.programs import CLINE
from tests.clients.steps import SAID, assert_one_turn, booked, put_wrong_key, rounds, say, statuses, tool
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator

CLAUDE = "claude-sonnet-4.6"
MODELS = {"gpt-4.1": "/chat/completions", "gpt-5.3-codex": "/responses", CLAUDE: "/chat/completions"}
PATCH = "*** Begin Patch\n*** Add File: hello.txt\n+grüß dich 你好\n*** End Patch"


@pytest.fixture
def desk(desk_of: Callable[[Client], Desk]) -> Desk:
    return desk_of(CLINE)


def result(run: Run) -> dict[str, Any]:
    """Its last event: what the run came to."""
    return next(event for event in reversed(run.lines()) if event["type"] == "run_result")


# ── a day's work ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("model", "path"), [*MODELS.items(), ("gemini-3-pro-preview", "/chat/completions")])
def test_writes_a_file_runs_a_command_and_goes_on(desk: Desk, upstream: Simulator, model: str, path: str) -> None:
    before = booked(upstream)
    # Which tool it offers for files depends on the model's name.
    write = (
        tool("editor", path=str(desk.project / "hello.txt"), new_text="grüß dich 你好\n")
        if "gpt" not in model
        else tool("apply_patch", input=PATCH)
    )
    run = desk.ask(rounds(write, tool("run_commands", commands=["echo $((40+2)) > out.txt"]), say("Both done.")), model)
    assert (run.code, result(run)["finishReason"], result(run)["text"]) == (0, "completed", "Both done."), run
    assert (desk.project / "hello.txt").read_text("utf-8").strip() == "grüß dich 你好"
    assert (desk.project / "out.txt").read_text("utf-8") == "42\n"
    calls = generations(upstream)
    assert_one_turn(calls, path, model, 3)
    assert booked(upstream) - before == 1


@pytest.mark.parametrize("model", MODELS)
def test_thoughts_are_shown(desk: Desk, upstream: Simulator, model: str) -> None:
    steps = [f"[[think: Let me look.]] {tool('run_commands', commands=['echo the note'])}", say("Seen.")]
    run = desk.run(*CLINE.ask(desk, rounds(*steps), model, "--thinking", "medium"))
    assert result(run)["text"] == "Seen.", run
    assert "Let me look." in run.out, run
    _, second = generations(upstream)
    assert second["status"] == 200
    # What it sends back is the text alone. A chat upstream takes that; a Responses one wants the proof.
    assert ('"reasoning_text":"Let me look."' in second["body"]) == (MODELS[model] == "/chat/completions")


# ── troubles ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key(desk: Desk, upstream: Simulator) -> None:
    put_wrong_key(desk.home / ".cline/data/settings/providers.json")
    run = desk.ask(say("Never."))
    assert (run.code, result(run)["finishReason"]) == (1, "error"), run
    assert result(run)["text"].startswith("Wrong API key.")
    assert generations(upstream) == []


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5.3-codex"])
def test_rate_limit_with_retry_after(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.rate_limit()
    run = desk.ask(say("At last."), model)
    assert (run.code, result(run)["text"]) == (0, "At last."), run
    assert statuses(generations(upstream)) == [429, 200]


def test_server_error(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.server_error()
    run = desk.ask(say("At last."), "gpt-4.1")
    assert (run.code, result(run)["text"]) == (0, "At last."), run
    assert statuses(generations(upstream)) == [500] * trouble.ATTEMPTS + [200]


@pytest.mark.parametrize("model", MODELS)
def test_context_overflow(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.context_overflow()
    run = desk.ask(say("Never."), model)
    assert (run.code, result(run)["finishReason"]) == (1, "error"), run
    # Its own words: it has understood.
    assert result(run)["text"].startswith("The request exceeds the model's context window"), run
    assert len(generations(upstream)) == 1


def test_unknown_model(desk: Desk, upstream: Simulator) -> None:
    run = desk.ask(say("Never."), trouble.NO_MODEL)
    assert (run.code, result(run)["finishReason"]) == (1, "error"), run
    assert trouble.NO_MODEL in result(run)["text"]
    assert len(generations(upstream)) == 1


@pytest.mark.parametrize("model", MODELS)
def test_cut_stream(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.cut()
    run = desk.ask(say(SAID), model)
    assert (run.code, result(run)["finishReason"]) == (1, "error"), run
    assert "GitHub Copilot broke off before the answer was complete." in result(run)["text"]
    assert len(generations(upstream)) == 1
