"""Codex CLI (``codex exec`` sends everything to ``POST /v1/responses``), on models of all three kinds."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run, set_up_by_exports
from tests.clients.programs import CODEX
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator
from tests.support.bridge import ROOT, Bridge
from tests.support.pictures import png_base64

NATIVE = "gpt-5.3-codex"
# A Responses model, a chat-only one and a Claude one, and the path on which Copilot serves each.
MODELS = {NATIVE: "/responses", "gpt-4.1": "/chat/completions", "claude-sonnet-4.6": "/v1/messages"}
PATCH = """*** Begin Patch
*** Add File: added.txt
+grüß dich 你好
*** Update File: old.txt
@@
-before
+after
*** End Patch"""


@pytest.fixture
def desk(desk_of: Callable[[Client], Desk]) -> Desk:
    return desk_of(CODEX)


# Every type of tool and item that Codex has: what a model takes that knows all of them, or nothing but functions.
OWN_TYPES = ("custom", "namespace", "additional_tools", "tool_search", "web_search")
NATIVELY = {NATIVE: dict.fromkeys(OWN_TYPES, True)}
AS_FUNCTIONS = {NATIVE: dict.fromkeys(OWN_TYPES, 400)}
FAILING = {NATIVE: {**NATIVELY[NATIVE], "custom": 500}}
Taking = Callable[[dict[str, Any]], None]


@pytest.fixture(autouse=True)
def taking(bridge: Bridge, upstream: Simulator) -> Iterator[Taking]:
    """Sets what the model takes: all of it, unless a test says otherwise."""
    usual = upstream.config()["responses_by_model"]

    def take(types: dict[str, Any]) -> None:
        forget = [sys.executable, "-m", "flask", "--app", "wsgi", "learned", "forget", NATIVE]
        subprocess.run(forget, cwd=ROOT, env=bridge.env, capture_output=True, check=False, timeout=60)
        upstream.config(responses_by_model=types)

    upstream.config(responses_by_model=NATIVELY)
    yield take
    if upstream.config()["responses_by_model"] != NATIVELY:
        take(NATIVELY)
    upstream.config(responses_by_model=usual)


def tool(name: str, **arguments: object) -> str:
    return f"[[tool: {name} {json.dumps(arguments)}]]"


def items(run: Run, kind: str) -> list[dict[str, object]]:
    """What has been completed of this kind: agent_message, command_execution, file_change, reasoning, error."""
    done = [event["item"] for event in run.lines() if event["type"] == "item.completed"]
    return [item for item in done if item["type"] == kind]


def said(run: Run) -> list[object]:
    return [item["text"] for item in items(run, "agent_message")]


def errors(run: Run) -> list[str]:
    return [event["message"] for event in run.lines() if event["type"] == "error"]


# ── a day's work ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("model", "path"), MODELS.items())
def test_runs_a_command_and_applies_a_patch(desk: Desk, upstream: Simulator, model: str, path: str) -> None:
    (desk.project / "old.txt").write_text("before\n", "utf-8")
    steps = [tool("exec_command", cmd="echo from the shell > shell.txt"), tool("apply_patch", input=PATCH)]
    before = upstream.ledger()
    run = desk.ask(" [[next]] ".join([*steps, "[[say: Both done.]]"]), model)
    assert (run.code, said(run), errors(run)) == (0, ["Both done."], []), run
    assert (desk.project / "shell.txt").read_text("utf-8") == "from the shell\n"
    assert (desk.project / "added.txt").read_text("utf-8") == "grüß dich 你好\n"
    assert (desk.project / "old.txt").read_text("utf-8") == "after\n"
    calls = generations(upstream)
    assert [(call["path"], call["json"]["model"]) for call in calls] == [(path, model)] * 3
    assert "Success. Updated the following files" in calls[2]["body"]
    # One prompt of a person is one premium request, however many rounds it takes.
    assert [call["header"]["x-initiator"] for call in calls] == ["user", "agent", "agent"]
    assert len({call["header"]["x-interaction-id"] for call in calls}) == 1
    assert upstream.ledger()["user_requests"] - before["user_requests"] == 1


# ── its own tools ───────────────────────────────────────────────────────────────────────────────────────────────────


def patched(desk: Desk) -> Run:
    (desk.project / "old.txt").write_text("before\n", "utf-8")
    run = desk.ask(f"{tool('apply_patch', input=PATCH)} [[next]] [[say: Patched.]]", NATIVE)
    assert (run.code, said(run), errors(run)) == (0, ["Patched."], []), run
    assert (desk.project / "added.txt").read_text("utf-8") == "grüß dich 你好\n"
    assert (desk.project / "old.txt").read_text("utf-8") == "after\n"
    return run


def types_of(call: dict[str, Any]) -> set[str]:
    return {tool["type"] for tool in call["json"]["tools"]}


def patch_tool(call: dict[str, Any]) -> dict[str, Any]:
    [found] = [tool for tool in call["json"]["tools"] if tool.get("name") == "apply_patch"]
    return dict(found)


def test_a_patch_goes_through_the_grammar_tool_natively(desk: Desk, upstream: Simulator) -> None:
    """Contract §7.4, §7.10: what Codex sends reaches the model as it is, and so does what the model calls."""
    patched(desk)
    first, second = generations(upstream)
    assert [first["status"], second["status"]] == [200, 200]
    offered = patch_tool(first)
    assert (offered["type"], offered["format"]["type"], offered["format"]["syntax"]) == ("custom", "grammar", "lark")
    assert "begin_patch" in offered["format"]["definition"]
    assert types_of(first) >= {"function", "custom", "web_search"}
    assert first["json"]["reasoning"] == second["json"]["reasoning"]
    call, result = second["json"]["input"][-2:]
    assert (call["type"], call["name"], call["input"]) == ("custom_tool_call", "apply_patch", PATCH)
    assert (result["type"], result["call_id"]) == ("custom_tool_call_output", call["call_id"])
    assert "Success. Updated the following files" in json.dumps(result)


@pytest.mark.parametrize(("knobs", "status"), [(AS_FUNCTIONS, 400), (FAILING, 500)], ids=["refused", "failing"])
def test_a_model_without_grammar_tools_gets_a_function_and_codex_its_own_call(
    desk: Desk, upstream: Simulator, taking: Taking, knobs: dict[str, Any], status: int
) -> None:
    taking(knobs)
    patched(desk)
    calls = generations(upstream)
    answered = [call for call in calls if call["status"] == 200]
    refused = [call for call in calls if call["status"] != 200]
    assert patch_tool(refused[0])["type"] == "custom"
    assert {call["status"] for call in refused} == {status}
    # What was refused is repaired within the first call, and remembered for the second; a failure proves nothing.
    assert len(answered) == 2
    assert (calls[-2:] == answered) == (status == 400)
    for call in answered:
        offered = patch_tool(call)
        assert (offered["type"], list(offered["parameters"]["properties"])) == ("function", ["input"])
        assert "lark grammar" in offered["description"]
    if knobs is AS_FUNCTIONS:
        assert types_of(answered[0]) == {"function"}
    call, result = answered[1]["json"]["input"][-2:]
    assert (call["type"], json.loads(call["arguments"])) == ("function_call", {"input": PATCH})
    assert (result["type"], result["call_id"]) == ("function_call_output", call["call_id"])
    # The ids of a call do not change on the way: Codex knew it as its own `custom_tool_call`, or it had not patched.
    assert "Success. Updated the following files" in json.dumps(result)


@pytest.mark.parametrize("model", MODELS)
def test_it_knows_the_models_of_the_account(desk: Desk, model: str) -> None:
    """Without a list it says of every name that is not OpenAI's: "Model metadata … not found"."""
    run = desk.ask("[[say: Hello.]]", model)
    assert (said(run), items(run, "error")) == (["Hello."], []), run


@pytest.mark.parametrize("model", [NATIVE, "claude-sonnet-4.6"])
def test_thoughts_are_shown_and_their_proof_comes_home(desk: Desk, upstream: Simulator, model: str) -> None:
    prompt = f"[[think: Let me look.]] {tool('exec_command', cmd='echo the note')} [[next]] [[say: Seen.]]"
    run = desk.run(*CODEX.ask(desk, prompt, model, "-c", 'model_reasoning_effort="high"'))
    assert (said(run), [item["text"] for item in items(run, "reasoning")]) == (["Seen."], ["Let me look."]), run
    # The simulator refuses a proof that it has not issued itself, or not for these words.
    _, second = generations(upstream)
    assert second["status"] == 200
    assert ('"encrypted_content"' if model == NATIVE else '"signature"') in second["body"]
    assert "the note" in second["body"]


@pytest.mark.parametrize("model", MODELS)
def test_looks_at_a_picture(desk: Desk, upstream: Simulator, model: str) -> None:
    (desk.project / "dot.png").write_bytes(base64.b64decode(png_base64(12, 7)))
    run = desk.run(*CODEX.ask(desk, "What is this?", model, "--image", "dot.png", "--"))
    assert "12x7 pixels" in str(said(run)), run
    assert generations(upstream)[0]["header"]["copilot-vision-request"] == "true"


def test_a_second_prompt_goes_on_in_the_same_conversation(desk: Desk, upstream: Simulator) -> None:
    assert said(desk.ask("[[say: One.]]", NATIVE)) == ["One."]
    free = ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    run = desk.run("codex", "exec", "resume", "--last", *free, "--model", "gpt-4.1", "[[say: Two.]]")
    assert said(run) == ["Two."], run
    first, second = generations(upstream)
    assert [first["header"]["x-initiator"], second["header"]["x-initiator"]] == ["user", "user"]
    assert "One." in second["body"]


@pytest.mark.parametrize("model", MODELS)
def test_structured_output(desk: Desk, model: str) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    (desk.project / "schema.json").write_text(json.dumps(schema), "utf-8")
    run = desk.run(*CODEX.ask(desk, "Name a city.", model, "--output-schema", "schema.json"))
    [answer] = said(run)
    assert list(json.loads(str(answer))) == ["city"], run


def test_a_websocket_is_tried_and_given_up_at_once(desk: Desk, upstream: Simulator) -> None:
    """What a user who has not taken our settings would see: no delay, no error, only HTTP."""
    config = desk.home / ".codex" / "config.toml"
    told = config.read_text("utf-8")
    assert "supports_websockets = false" in told
    config.write_text(told.replace("supports_websockets = false", "supports_websockets = true"), "utf-8")
    run = desk.ask("[[say: By HTTP then.]]", NATIVE)
    assert (said(run), errors(run)) == (["By HTTP then."], []), run
    assert len(generations(upstream)) == 1


def test_the_key_from_the_shell_is_enough(bridge: Bridge, desk: Desk, upstream: Simulator, tmp_path: Path) -> None:
    exporting = set_up_by_exports(CODEX, bridge, tmp_path / "exports")
    (desk.home / ".codex" / ".env").unlink()
    desk.env = exporting.env
    assert said(desk.ask("[[say: From the shell.]]")) == ["From the shell."]
    assert generations(upstream)[0]["path"] == "/responses"


# ── troubles ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key(desk: Desk, upstream: Simulator) -> None:
    (desk.home / ".codex" / ".env").write_text(f"COPILOT_BRIDGE_KEY={trouble.WRONG_KEY}\n", "utf-8")
    run = desk.ask("[[say: Never.]]", NATIVE)
    assert run.code == 1, run
    assert "401 Unauthorized: Wrong API key. Send the bridge's own API_KEY" in errors(run)[-1]
    assert generations(upstream) == []


@pytest.mark.parametrize("model", MODELS)
def test_rate_limit_with_retry_after(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.rate_limit()
    run = desk.ask("[[say: At last.]]", model)
    assert (run.code, said(run)) == (0, ["At last."]), run
    assert "last status: 429" in errors(run)[0]
    assert [one["status"] for one in generations(upstream)] == [429, 200]


@pytest.mark.parametrize("model", MODELS)
def test_server_error(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.server_error()
    run = desk.ask("[[say: At last.]]", model)
    assert (run.code, said(run)) == (0, ["At last."]), run
    assert [one["status"] for one in generations(upstream)] == [500] * trouble.ATTEMPTS + [200]


@pytest.mark.parametrize("model", MODELS)
def test_context_overflow(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.context_overflow()
    run = desk.ask("[[say: Never.]]", model)
    # Its own words: it has understood the code, and does not try again.
    assert (run.code, len(generations(upstream))) == (1, 1), run
    assert "ran out of room in the model's context window" in errors(run)[-1]


def test_unknown_model(desk: Desk) -> None:
    run = desk.ask("[[say: Never.]]", trouble.NO_MODEL)
    assert run.code == 1, run
    assert f"does not offer the model '{trouble.NO_MODEL}' to this account" in errors(run)[-1]


@pytest.mark.parametrize("model", MODELS)
def test_cut_stream(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.cut()
    run = desk.ask("[[say: one two three four five six seven eight.]]", model)
    assert (run.code, said(run)) == (0, ["one two three four five six seven eight."]), run
    assert "stream disconnected before completion" in errors(run)[0]
    assert len(generations(upstream)) == 2
