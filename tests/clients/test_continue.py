"""Continue's command line (``cn --print``), on OpenAI's and Anthropic's protocol. It takes the first model it has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run, set_up
from tests.clients.programs import CONTINUE
from tests.clients.steps import SAID, assert_one_turn, booked, put_wrong_key, rounds, say, statuses, tool
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge

CLAUDE = "claude-sonnet-4.6"
MODELS = {"gpt-4.1": "/chat/completions", "gpt-5.3-codex": "/responses", CLAUDE: "/v1/messages"}


@pytest.fixture(scope="module")
def desks(bridge: Bridge, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Desk]:
    """One per model: set up with ``configure continue --model …``."""
    home = tmp_path_factory.mktemp("continue")
    return {model: set_up(CONTINUE, bridge, home / model, "--model", model) for model in MODELS}


@pytest.fixture
def desk_for(desks: dict[str, Desk], tmp_path: Path) -> Callable[[str], Desk]:
    return lambda model: desks[model].copy(tmp_path / "home")


@pytest.fixture
def desk(desk_of: Callable[[Client], Desk]) -> Desk:
    """With the model that `configure` chooses."""
    return desk_of(CONTINUE)


def config(desk: Desk) -> Path:
    return desk.home / ".continue/config.yaml"


def failure(run: Run) -> str:
    """What it says when it gives up."""
    assert (run.code, run.out) == (1, ""), run
    told = json.loads(run.err)
    assert told["status"] == "error"
    return str(told["message"])


# ── a day's work ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("model", "path"), MODELS.items())
def test_writes_a_file_runs_a_command_and_goes_on(
    desk_for: Callable[[str], Desk], upstream: Simulator, model: str, path: str
) -> None:
    desk = desk_for(model)
    before = booked(upstream)
    steps = [
        tool("Write", filepath=str(desk.project / "hello.txt"), content="grüß dich 你好"),
        f"[[think: Now the shell.]] {tool('Bash', command='echo $((40+2)) | tee out.txt')}",
    ]
    run = desk.ask(rounds(*steps, say("Both done.")))
    assert (run.code, run.out.strip()) == (0, "Both done."), run
    assert (desk.project / "hello.txt").read_text("utf-8") == "grüß dich 你好"
    assert (desk.project / "out.txt").read_text("utf-8") == "42\n"
    calls = generations(upstream)
    assert_one_turn(calls, path, model, 3)
    assert "Successfully created file" in calls[1]["body"]
    assert booked(upstream) - before == 1


def test_a_second_prompt_goes_on_in_the_same_conversation(desk: Desk, upstream: Simulator) -> None:
    assert desk.ask(say("One.")).out.strip() == "One."
    run = desk.run(*CONTINUE.ask(desk, say("Two."), None, "--resume"))
    assert "Two." in run.out, run
    first, second = generations(upstream)
    assert [first["header"]["x-initiator"], second["header"]["x-initiator"]] == ["user", "user"]
    assert "One." in second["body"]


# ── troubles ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key(desk: Desk, upstream: Simulator) -> None:
    put_wrong_key(config(desk))
    assert "Wrong API key" in failure(desk.ask(say("Never.")))
    assert generations(upstream) == []


def test_rate_limit_with_retry_after(desk_for: Callable[[str], Desk], troubles: Troubles, upstream: Simulator) -> None:
    troubles.rate_limit()
    run = desk_for("gpt-4.1").ask(say("At last."))
    assert (run.code, run.out.strip()) == (0, "At last."), run
    assert statuses(generations(upstream)) == [429, 200]


def test_rate_limit_on_claude(desk_for: Callable[[str], Desk], troubles: Troubles, upstream: Simulator) -> None:
    """On Anthropic's protocol it shows whatever comes with an error status, and leaves it at that."""
    troubles.rate_limit()
    error = json.loads(failure(desk_for(CLAUDE).ask(say("Never."))))["error"]
    assert error["type"] == "rate_limit_error"
    assert statuses(generations(upstream)) == [429]


def test_server_error(desk_for: Callable[[str], Desk], troubles: Troubles, upstream: Simulator) -> None:
    troubles.server_error()
    run = desk_for("gpt-4.1").ask(say("At last."))
    assert (run.code, run.out.strip()) == (0, "At last."), run
    assert statuses(generations(upstream)) == [500] * trouble.ATTEMPTS + [200]


def test_server_error_on_claude(desk_for: Callable[[str], Desk], troubles: Troubles) -> None:
    troubles.server_error()
    error = json.loads(failure(desk_for(CLAUDE).ask(say("Never."))))["error"]
    assert error["type"] == "api_error"
    assert "GitHub Copilot failed" in error["message"]


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5.3-codex"])
def test_context_overflow(desk_for: Callable[[str], Desk], troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.context_overflow()
    said = failure(desk_for(model).ask(say("Never.")))
    # Its own words: it has understood.
    assert said.startswith("Context length exceeded"), said
    assert "138898" in said
    assert len(generations(upstream)) == 1


def test_context_overflow_on_claude(desk_for: Callable[[str], Desk], troubles: Troubles, upstream: Simulator) -> None:
    troubles.context_overflow()
    error = json.loads(failure(desk_for(CLAUDE).ask(say("Never."))))["error"]
    assert error == {"type": "invalid_request_error", "message": "prompt is too long: 138898 tokens > 64000 maximum"}
    assert len(generations(upstream)) == 1


def test_unknown_model(desk_for: Callable[[str], Desk], upstream: Simulator) -> None:
    desk = desk_for("gpt-4.1")
    told = config(desk).read_text("utf-8")
    config(desk).write_text(re.sub(r"model: \S+", f"model: {trouble.NO_MODEL}", told), "utf-8")
    said = failure(desk.ask(say("Never.")))
    assert trouble.NO_MODEL in said, said
    assert "404" in said
    assert len(generations(upstream)) == 1


@pytest.mark.parametrize("model", MODELS)
def test_cut_stream(desk_for: Callable[[str], Desk], troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.cut()
    said = failure(desk_for(model).ask(say(SAID)))
    assert "GitHub Copilot broke off before the answer was complete." in said, said
    # It does not ask again of its own accord: where it does, it shows the first words twice.
    assert len(generations(upstream)) == 1
