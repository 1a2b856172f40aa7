"""opencode (``opencode run``): a provider per protocol; titles and sub-agents beside the main conversation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run
from tests.clients.programs import OPENCODE
from tests.clients.steps import SAID, assert_one_turn, booked, put_wrong_key, rounds, say, statuses, tool
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator

CHAT, RESPONSES, MESSAGES = "copilot-bridge", "copilot-bridge-responses", "copilot-bridge-messages"
# Provider and model, and where Copilot serves the model to this provider's protocol.
NATIVE = {
    f"{CHAT}/gpt-4.1": "/chat/completions",
    f"{RESPONSES}/gpt-5.3-codex": "/responses",
    f"{MESSAGES}/claude-sonnet-4.6": "/v1/messages",
}
OTHER = {
    f"{CHAT}/gemini-3-pro-preview": "/chat/completions",
    f"{CHAT}/claude-sonnet-4.6": "/chat/completions",
    f"{MESSAGES}/gpt-5.3-codex": "/responses",
}
PATCH = "*** Begin Patch\n*** Add File: hello.txt\n+grüß dich 你好\n*** End Patch"
TITLE = "You are a title generator."
# With a title given it asks for none, which keeps scripted troubles for the request that they are meant for.
UNTITLED = ("--title", "Trouble")


@pytest.fixture(scope="module")
def used(prepared: Callable[[Client], Desk], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Run once already: what it does on its first start takes it as long as all the rest."""
    desk = prepared(OPENCODE).copy(tmp_path_factory.mktemp("opencode") / "home")
    assert text(desk.run(*OPENCODE.ask(desk, say("First."), None, *UNTITLED))) == "First."
    return desk


@pytest.fixture
def desk(used: Desk, tmp_path: Path) -> Desk:
    return used.copy(tmp_path / "home")


def add(desk: Desk, name: str) -> None:
    """Give a provider a model that `configure` lists elsewhere, as people do by hand."""
    provider, model = name.split("/")
    file = desk.home / ".config/opencode/opencode.json"
    told = json.loads(file.read_text("utf-8"))
    told["provider"][provider]["models"].setdefault(model, {"reasoning": True})
    file.write_text(json.dumps(told), "utf-8")


def text(run: Run) -> str:
    return "".join(event["part"]["text"] for event in run.lines() if event["type"] == "text")


def error(run: Run) -> dict[str, Any]:
    """What it shows when it gives up."""
    assert run.code == 1, run
    return dict(next(event for event in run.lines() if event["type"] == "error")["error"])


def main_calls(upstream: Simulator) -> list[dict[str, Any]]:
    """The calls upstream for the conversation itself."""
    return [call for call in generations(upstream) if TITLE not in call["body"]]


# ── a day's work ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "path"), [*NATIVE.items(), *OTHER.items()])
def test_writes_a_file_runs_a_command_and_goes_on(desk: Desk, upstream: Simulator, name: str, path: str) -> None:
    add(desk, name)
    model = name.split("/")[1]
    before = booked(upstream)
    # Which tool it offers for files depends on the model's name.
    write = (
        tool("apply_patch", patchText=PATCH)
        if "gpt-5" in model
        else tool("write", filePath=str(desk.project / "hello.txt"), content="grüß dich 你好\n")
    )
    run = desk.ask(rounds(write, tool("bash", command="echo $((40+2)) > out.txt"), say("Both done.")), name)
    assert (run.code, text(run)) == (0, "Both done."), run
    assert (desk.project / "hello.txt").read_text("utf-8") == "grüß dich 你好\n"
    assert (desk.project / "out.txt").read_text("utf-8") == "42\n"
    assert_one_turn(main_calls(upstream), path, model, 3)
    # The title that it asks for beside is no request of the person's.
    titles = [call for call in generations(upstream) if TITLE in call["body"]]
    assert [(call["status"], call["header"]["x-initiator"]) for call in titles] == [(200, "agent")]
    assert booked(upstream) - before == 1


@pytest.mark.parametrize("name", [f"{RESPONSES}/gpt-5.3-codex", f"{MESSAGES}/claude-sonnet-4.6", f"{CHAT}/gpt-4.1"])
def test_thoughts_are_shown_and_come_home(desk: Desk, upstream: Simulator, name: str) -> None:
    steps = [f"[[think: Let me look.]] {tool('bash', command='echo the note')}", say("Seen.")]
    run = desk.run(*OPENCODE.ask(desk, rounds(*steps), name, *UNTITLED, "--thinking", "--variant", "high"))
    thoughts = [event["part"]["text"] for event in run.lines() if event["type"] == "reasoning"]
    assert (text(run), thoughts) == ("Seen.", ["Let me look."]), run
    # The simulator refuses a proof that it has not issued itself, or not for these words.
    _, second = generations(upstream)
    assert second["status"] == 200
    proof = {"/responses": '"encrypted_content"', "/v1/messages": '"signature"'}.get(NATIVE[name], '"reasoning_text"')
    assert proof in second["body"]


def test_sub_agents_are_not_paid_for(desk: Desk, upstream: Simulator) -> None:
    before = booked(upstream)
    errand = tool("task", description="look", prompt="Look around.", subagent_type="general")
    run = desk.run(*OPENCODE.ask(desk, rounds(errand, say("Back.")), None, *UNTITLED))
    assert (run.code, text(run)) == (0, "Back."), run
    assert [call["header"]["x-initiator"] for call in generations(upstream)] == ["user", "agent", "agent"]
    assert booked(upstream) - before == 1


# ── troubles ────────────────────────────────────────────────────────────────────────────────────────────────────────


def ask(desk: Desk, prompt: str, name: str | None = None) -> Run:
    return desk.run(*OPENCODE.ask(desk, prompt, name, *UNTITLED))


def test_wrong_key(desk: Desk, upstream: Simulator) -> None:
    put_wrong_key(desk.home / ".config/opencode/opencode.json")
    shown = error(ask(desk, say("Never.")))
    assert (shown["name"], shown["data"]["statusCode"], shown["data"]["isRetryable"]) == ("APIError", 401, False)
    assert shown["data"]["message"].startswith("Wrong API key.")
    assert generations(upstream) == []


def test_rate_limit_with_retry_after(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.rate_limit()
    run = ask(desk, say("At last."))
    assert (run.code, text(run)) == (0, "At last."), run
    assert statuses(generations(upstream)) == [429, 200]


def test_server_error(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.server_error()
    run = ask(desk, say("At last."))
    assert (run.code, text(run)) == (0, "At last."), run
    assert statuses(generations(upstream)) == [500] * trouble.ATTEMPTS + [200]


@pytest.mark.parametrize("name", NATIVE)
def test_context_overflow(desk: Desk, troubles: Troubles, name: str) -> None:
    troubles.context_overflow()
    shown = error(ask(desk, say("Never."), name))
    # Its own name for it: it has understood.
    assert shown["name"] == "ContextOverflowError"
    assert "138898" in shown["data"]["message"]


def test_unknown_model(desk: Desk, upstream: Simulator) -> None:
    add(desk, f"{CHAT}/{trouble.NO_MODEL}")
    shown = error(ask(desk, say("Never."), f"{CHAT}/{trouble.NO_MODEL}"))
    assert (shown["data"]["statusCode"], shown["data"]["isRetryable"]) == (404, False)
    assert trouble.NO_MODEL in shown["data"]["message"]
    assert len(generations(upstream)) == 1


@pytest.mark.parametrize("name", NATIVE)
def test_cut_stream(desk: Desk, troubles: Troubles, upstream: Simulator, name: str) -> None:
    troubles.cut()
    run = ask(desk, say(SAID), name)
    # It knows by the words of the error that another try may help.
    assert (run.code, text(run)) == (0, SAID), run
    assert len(generations(upstream)) == 2
