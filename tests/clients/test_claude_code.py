"""Claude Code (``claude -p`` sends everything to ``POST /v1/messages?beta=true``), on models of all kinds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run, set_up_by_exports
from tests.clients.programs import CLAUDE_CODE
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.pictures import png_base64

NATIVE = "claude-sonnet-4.6"
# One model per way that Copilot serves them, and the path on which it is called.
MODELS = {
    NATIVE: "/v1/messages",
    "gpt-4.1": "/chat/completions",
    "gemini-3-pro-preview": "/chat/completions",
    "gpt-5.3-codex": "/responses",
}


@pytest.fixture
def desk(desk_of: Callable[[Client], Desk]) -> Desk:
    return desk_of(CLAUDE_CODE)


def tool(name: str, **arguments: object) -> str:
    return f"[[tool: {name} {json.dumps(arguments)}]]"


def result(run: Run) -> dict[str, object]:
    """The last event of a run: what it came to."""
    return next(event for event in reversed(run.lines()) if event["type"] == "result")


def results(run: Run) -> list[object]:
    """What it came to each time that it had finished; background agents begin anew after that."""
    return [event["result"] for event in run.lines() if event["type"] == "result"]


def retries(run: Run) -> list[int]:
    """The statuses after which it tried again."""
    return [event["error_status"] for event in run.lines() if event.get("subtype") == "api_retry"]


# ── a day's work ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("model", "path"), MODELS.items())
def test_writes_a_file_and_goes_on_after_the_result(desk: Desk, upstream: Simulator, model: str, path: str) -> None:
    target = desk.project / "hello.txt"
    before = upstream.ledger()
    run = desk.ask(
        f"{tool('Write', file_path=str(target), content='grüß dich 你好')} [[next]] [[say: Written.]]", model
    )
    assert (run.code, result(run)["result"], result(run)["num_turns"]) == (0, "Written.", 2), run
    assert target.read_text("utf-8") == "grüß dich 你好"
    first, second = generations(upstream)
    assert [first["path"], second["path"]] == [path, path]
    assert {first["json"]["model"], second["json"]["model"]} == {model}
    assert "File created successfully" in second["body"]
    # One prompt of a person is one premium request, however many rounds it takes.
    assert [first["header"]["x-initiator"], second["header"]["x-initiator"]] == ["user", "agent"]
    assert first["header"]["x-interaction-id"] == second["header"]["x-interaction-id"]
    ledger = upstream.ledger()
    assert ledger["user_requests"] - before["user_requests"] == 1
    assert ledger["agent_requests"] - before["agent_requests"] == 1


def test_five_tool_rounds_of_one_prompt_are_billed_once(desk: Desk, upstream: Simulator) -> None:
    rounds = [tool("Write", file_path=str(desk.project / f"{n}.txt"), content=str(n)) for n in range(4)]
    rounds.append(tool("Bash", command="cat 0.txt 1.txt 2.txt 3.txt > all.txt", description="Join the files"))
    before = upstream.ledger()
    run = desk.run(
        *CLAUDE_CODE.ask(desk, " [[next]] ".join([*rounds, "[[say: All done.]]"]), NATIVE, "--allowedTools", "Bash")
    )
    assert result(run)["result"] == "All done.", run
    assert (desk.project / "all.txt").read_text("utf-8") == "0123"
    ledger = upstream.ledger()
    assert ledger["user_requests"] - before["user_requests"] == 1
    assert ledger["agent_requests"] - before["agent_requests"] == 5
    assert ledger["premium_units"] - before["premium_units"] == 1


def test_parallel_calls_all_get_their_results(desk: Desk, upstream: Simulator) -> None:
    calls = [tool("Write", file_path=str(desk.project / name), content=name) for name in ("a.txt", "b.txt")]
    for model in MODELS:
        run = desk.ask(f"{' '.join(calls)} [[next]] [[say: Both.]]", model)
        assert result(run)["result"] == "Both.", run
        assert sorted(file.name for file in desk.project.glob("*.txt")) == ["a.txt", "b.txt"]
        for file in desk.project.glob("*.txt"):
            file.unlink()


@pytest.mark.parametrize("model", [NATIVE, "gpt-5.3-codex"])
def test_thoughts_are_shown_and_their_proof_comes_home(desk: Desk, upstream: Simulator, model: str) -> None:
    (desk.project / "note.txt").write_text("the note", "utf-8")
    prompt = f"[[think: Let me look.]] {tool('Read', file_path=str(desk.project / 'note.txt'))} [[next]] [[say: Seen.]]"
    run = desk.ask(prompt, model)
    blocks = [block for event in run.lines() if event["type"] == "assistant" for block in event["message"]["content"]]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use", "text"], run
    assert blocks[0]["thinking"] == "Let me look."
    assert blocks[0]["signature"]
    # The simulator refuses a proof that it has not issued itself, or not for these words.
    _, second = generations(upstream)
    assert second["status"] == 200
    assert ('"signature"' if model == NATIVE else '"encrypted_content"') in second["body"]
    assert "the note" in second["body"]


@pytest.mark.parametrize("model", MODELS)
def test_looks_at_a_picture(desk: Desk, upstream: Simulator, model: str) -> None:
    (desk.project / "dot.png").write_bytes(base64.b64decode(png_base64(12, 7)))
    run = desk.ask(tool("Read", file_path=str(desk.project / "dot.png")), model)
    assert run.code == 0, run
    first, second = generations(upstream)
    assert "image/png" not in first["body"]
    assert "image/png" in second["body"]
    assert "copilot-vision-request" not in first["header"]
    assert second["header"]["copilot-vision-request"] == "true"
    assert second["header"]["x-initiator"] == "agent"


def test_a_second_prompt_goes_on_in_the_same_conversation(desk: Desk, upstream: Simulator) -> None:
    assert result(desk.ask("[[say: One.]]", NATIVE))["result"] == "One."
    run = desk.run(*CLAUDE_CODE.ask(desk, "[[say: Two.]]", "gpt-4.1", "--continue"))
    assert result(run)["result"] == "Two.", run
    first, second = generations(upstream)
    assert [first["header"]["x-initiator"], second["header"]["x-initiator"]] == ["user", "user"]
    assert "One." in second["body"]


def test_structured_output(desk: Desk, upstream: Simulator) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    prompt = f"{tool('StructuredOutput', city='Oslo')} [[next]] [[say: Done.]]"
    for model in (NATIVE, "gpt-5.3-codex"):
        run = desk.run(*CLAUDE_CODE.ask(desk, prompt, model, "--json-schema", json.dumps(schema)))
        assert result(run)["structured_output"] == {"city": "Oslo"}, run


def test_a_sub_agent_is_no_second_prompt_of_the_person(desk: Desk, upstream: Simulator, bridge: Bridge) -> None:
    told = tool("Task", description="Look around", prompt="What is here?", subagent_type="general-purpose")
    before = upstream.ledger()
    run = desk.ask(f"{told} [[next]] [[say: The agent is off.]]", NATIVE)
    assert results(run)[0] == "The agent is off.", run
    assert upstream.ledger()["user_requests"] - before["user_requests"] == 1
    assert "subagent" in purposes(bridge, upstream)


def test_compacting_is_no_second_prompt_of_the_person(desk: Desk, upstream: Simulator, bridge: Bridge) -> None:
    assert result(desk.ask("[[say: A long talk.]]", NATIVE))["result"] == "A long talk."
    before = upstream.ledger()
    run = desk.run(*CLAUDE_CODE.ask(desk, "/compact", NATIVE, "--continue"))
    assert run.code == 0, run
    assert generations(upstream)[1:], "nothing was sent to be summarised"
    assert upstream.ledger()["user_requests"] == before["user_requests"]
    assert "summary" in purposes(bridge, upstream)


def purposes(bridge: Bridge, upstream: Simulator) -> list[str]:
    """What the log says the calls of this test were for."""
    return [bridge.request_line(one["header"]["x-request-id"])["purpose"] for one in generations(upstream)]


def test_the_exports_alone_are_enough(bridge: Bridge, upstream: Simulator, tmp_path: Path) -> None:
    run = set_up_by_exports(CLAUDE_CODE, bridge, tmp_path / "home").ask("[[say: From the shell.]]")
    assert result(run)["result"] == "From the shell.", run
    assert generations(upstream)[0]["json"]["model"] == NATIVE


def test_the_model_it_was_set_up_with_is_asked(desk: Desk, upstream: Simulator) -> None:
    assert result(desk.ask("[[say: Hello.]]"))["result"] == "Hello."
    assert [one["json"]["model"] for one in generations(upstream)] == [NATIVE]


def test_its_own_names_of_models_are_understood(desk: Desk, upstream: Simulator) -> None:
    for name, served in {"opus": "claude-opus-4.6", "haiku": "claude-haiku-4.5"}.items():
        upstream.requests(clear=True)
        run = desk.ask("[[say: Hello.]]", name)
        assert result(run)["result"] == "Hello.", run
        assert generations(upstream)[0]["json"]["model"] == served


# ── troubles ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key(desk: Desk, upstream: Simulator) -> None:
    settings = desk.home / ".claude" / "settings.json"
    told = json.loads(settings.read_text("utf-8"))
    told["env"]["ANTHROPIC_AUTH_TOKEN"] = trouble.WRONG_KEY
    settings.write_text(json.dumps(told), "utf-8")
    run = desk.ask("[[say: Hello.]]")
    assert (run.code, result(run)["is_error"], result(run)["api_error_status"]) == (1, True, 401)
    assert "Wrong API key" in str(result(run)["result"])
    assert retries(run) == []
    assert generations(upstream) == []


@pytest.mark.parametrize("model", MODELS)
def test_rate_limit_with_retry_after(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.rate_limit()
    run = desk.ask("[[say: At last.]]", model)
    assert (run.code, result(run)["result"], retries(run)) == (0, "At last.", [429]), run
    assert [one["status"] for one in generations(upstream)] == [429, 200]


@pytest.mark.parametrize("model", [NATIVE, "gpt-5.3-codex"])
def test_server_error(desk: Desk, troubles: Troubles, model: str) -> None:
    troubles.server_error()
    run = desk.ask("[[say: At last.]]", model)
    assert (run.code, result(run)["result"], retries(run)) == (0, "At last.", [502]), run


def test_server_error_that_stays(desk: Desk, troubles: Troubles) -> None:
    troubles.server_error(times=None)
    run = desk.run(*CLAUDE_CODE.ask(desk, "[[say: Never.]]", NATIVE), CLAUDE_CODE_MAX_RETRIES="1")
    assert (run.code, result(run)["api_error_status"], retries(run)) == (1, 502, [502]), run
    assert "GitHub Copilot failed" in str(result(run)["result"])


@pytest.mark.parametrize("model", MODELS)
def test_context_overflow(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.context_overflow()
    run = desk.ask("[[say: Never.]]", model)
    # Its own words: it has read the numbers out of the error.
    assert result(run)["terminal_reason"] == "prompt_too_long", run
    assert "138898 tokens (limit 64000)" in str(result(run)["result"])
    assert len(generations(upstream)) == 1


def test_context_overflow_in_a_conversation_is_compacted(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    for n in range(3):
        desk.run(*CLAUDE_CODE.ask(desk, f"[[say: {n} {'word ' * 2000}]]", NATIVE, *(["--continue"] if n else [])))
    before = upstream.ledger()
    upstream.requests(clear=True)
    troubles.context_overflow(times=1)
    run = desk.run(*CLAUDE_CODE.ask(desk, "[[say: Still here.]]", NATIVE, "--continue"))
    assert (run.code, result(run)["result"]) == (0, "Still here."), run
    refused, *answered = generations(upstream)
    assert refused["status"] == 400
    assert {one["status"] for one in answered} == {200}
    assert upstream.ledger()["user_requests"] - before["user_requests"] == 1


def test_unknown_model(desk: Desk) -> None:
    run = desk.ask("[[say: Never.]]", trouble.NO_MODEL)
    assert (run.code, result(run)["api_error_status"]) == (1, 404), run
    assert f"issue with the selected model ({trouble.NO_MODEL})" in str(result(run)["result"])


@pytest.mark.parametrize("model", MODELS)
def test_cut_stream(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.cut()
    run = desk.ask("[[say: one two three four five six seven eight.]]", model)
    # It noticed, and asked again without streaming.
    assert (run.code, result(run)["result"]) == (0, "one two three four five six seven eight."), run
    assert [one["json"].get("stream", False) for one in generations(upstream)] == [True, False]
