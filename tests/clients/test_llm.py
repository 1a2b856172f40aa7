"""llm and llm-anthropic (clients' facts: chat through the OpenAI SDK, Messages through Anthropic's)."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run, configure, exported
from tests.clients.programs import LLM
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator
from tests.support.pictures import png_base64
from tests.support.upstream import initiators

CODEX, CLAUDE = "copilot/gpt-5.3-codex", "copilot/claude-sonnet-4.6"
MODELS = {
    "copilot/gpt-4.1": "/chat/completions",
    CODEX: "/responses",
    CLAUDE: "/chat/completions",
}
WORDS = "one two three four five six seven eight."


@pytest.fixture
def desk(desk_of: Callable[[Client], Desk]) -> Desk:
    return desk_of(LLM)


def ask(desk: Desk, prompt: str, model: str | None = None, *more: str) -> Run:
    return desk.run(*LLM.ask(desk, prompt, model, *more))


@pytest.mark.parametrize(("model", "path"), MODELS.items())
def test_answers(desk: Desk, upstream: Simulator, model: str, path: str) -> None:
    run = ask(desk, "[[say: grüß dich 你好]]", model)

    assert (run.code, run.out) == (0, "grüß dich 你好\n"), run
    (call,) = generations(upstream)
    assert (call["path"], call["json"]["stream"]) == (path, True)


@pytest.mark.parametrize("model", [CODEX, CLAUDE])
def test_calls_a_tool(desk: Desk, upstream: Simulator, model: str) -> None:
    run = ask(desk, "[[tool: llm_version]]", model, "--tool", "llm_version")

    assert "The tool answered: 0.36" in run.out, run
    assert initiators(upstream) == ["user", "agent"]


def test_gives_what_a_schema_asks_for(desk: Desk, upstream: Simulator) -> None:
    run = ask(desk, "Invent a dog.", CLAUDE, "--schema", "name, age int", "--no-stream")

    assert run.json() == {"name": "sample", "age": 1}, run
    (call,) = generations(upstream)
    assert not call["json"].get("stream")


def test_shows_a_picture(desk: Desk, upstream: Simulator) -> None:
    (desk.project / "dot.png").write_bytes(base64.b64decode(png_base64(12, 7)))

    run = ask(desk, "What do you see?", CLAUDE, "--attachment", "dot.png")

    assert "12x7" in run.out, run


def test_goes_on_with_a_conversation(desk: Desk, upstream: Simulator) -> None:
    ask(desk, "[[say: First.]]")
    run = desk.run("llm", "prompt", "--continue", "[[say: Second.]]")

    assert run.out == "Second.\n", run
    assert [message["content"] for message in generations(upstream)[-1]["json"]["messages"]] == [
        "[[say: First.]]",
        "First.",
        "[[say: Second.]]",
    ]


def test_the_anthropic_plugin_takes_the_variables_of_its_sdk(desk: Desk, upstream: Simulator) -> None:
    desk.env |= exported(configure(desk.bridge, "anthropic-python", "--shell", "bash", "--show-key"))

    run = ask(desk, "[[say: Here I am.]]", "claude-sonnet-4.6")

    assert (run.code, run.out) == (0, "Here I am.\n"), run
    (call,) = generations(upstream)
    assert (call["path"], call["json"]["model"]) == ("/v1/messages", "claude-sonnet-4.6")


# ── trouble ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key(desk: Desk, upstream: Simulator) -> None:
    run = ask(desk, "hi", None, "--key", trouble.WRONG_KEY)

    assert run.code == 1
    assert "401" in run.err, run
    assert "Wrong API key" in run.err
    assert generations(upstream) == []


def test_rate_limit_with_retry_after(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.rate_limit(times=1)
    run = ask(desk, f"[[say: {WORDS}]]")
    assert (run.code, run.out) == (0, f"{WORDS}\n"), run
    assert [call["status"] for call in generations(upstream)] == [429, 200]


def test_server_error(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.server_error(times=1)
    run = ask(desk, f"[[say: {WORDS}]]")
    assert (run.code, run.out) == (0, f"{WORDS}\n"), run
    assert [call["status"] for call in generations(upstream)] == [500] * trouble.ATTEMPTS + [200]


def test_context_overflow(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.context_overflow(times=None)
    run = ask(desk, "hi", CLAUDE)
    assert run.code == 1
    assert "maximum context length is 64000 tokens, but the request has 138898 tokens" in run.err, run
    assert len(generations(upstream)) == 1


def test_unknown_model(desk: Desk, upstream: Simulator) -> None:
    """A model that its list has, and the account no longer."""
    models = next((desk.home / ".config").rglob("extra-openai-models.yaml"))
    models.write_text(models.read_text("utf-8").replace("model_name: gpt-4.1\n", f"model_name: {trouble.NO_MODEL}\n"))
    run = ask(desk, "hi")
    assert run.code == 1
    assert "404" in run.err, run
    assert trouble.NO_MODEL in run.err


@pytest.mark.parametrize("model", [CODEX, CLAUDE])
def test_cut_stream(desk: Desk, upstream: Simulator, model: str) -> None:
    run = ask(desk, f"[[say: {WORDS}]] [[cut: 7]]", model)
    assert run.code == 1, run
    assert "broke off before the answer was complete" in run.err, run
    assert WORDS.startswith(run.out.strip())
    assert run.out.strip() != WORDS
