"""aider (clients' facts: chat, streamed; for names with “codex” LiteLLM, which is inside, calls /responses)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run
from tests.clients.programs import AIDER
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator

# A model that Copilot serves in chat, one in /responses only, one with a protocol of its own.
MODELS = {
    "openai/gpt-4.1": "/chat/completions",
    "openai/gpt-5.3-codex": "/responses",
    "openai/claude-sonnet-4.6": "/chat/completions",
}
GPT = "openai/gpt-4.1"
BEFORE, AFTER = 'print("hello")\n', 'print("grüß dich 你好")\n'
DIFF = f"""[[say: As you wish.

hello.py
```python
<<<<<<< SEARCH
{BEFORE}=======
{AFTER}>>>>>>> REPLACE
```
]]"""
WHOLE = f"""[[say: As you wish.

hello.py
```python
{AFTER}```
]]"""


@pytest.fixture
def desk(desk_of: Callable[[Client], Desk]) -> Desk:
    desk = desk_of(AIDER)
    (desk.project / "hello.py").write_text(BEFORE, "utf-8")
    return desk


def hello(desk: Desk) -> str:
    return (desk.project / "hello.py").read_text("utf-8")


def edit(desk: Desk, model: str = GPT, prompt: str = DIFF, *more: str) -> Run:
    return desk.run(*AIDER.ask(desk, prompt, model, *more, "--file", "hello.py"))


@pytest.mark.parametrize(("model", "path"), MODELS.items())
def test_edits_a_file(desk: Desk, upstream: Simulator, model: str, path: str) -> None:
    run = edit(desk, model)

    assert "Applied edit to hello.py" in run.text, run
    assert hello(desk) == AFTER
    (call,) = generations(upstream)
    assert (call["path"], call["json"]["stream"]) == (path, True)
    assert f"openai/{call['json']['model']}" == model


def test_writes_a_whole_file(desk: Desk, upstream: Simulator) -> None:
    run = edit(desk, GPT, WHOLE, "--edit-format", "whole", "--no-stream")

    assert hello(desk) == AFTER, run
    (call,) = generations(upstream)
    assert not call["json"].get("stream")


def test_knows_the_models_as_configured(desk: Desk, upstream: Simulator) -> None:
    """The main model, the small one beside it, and their sizes: without these it warns."""
    run = desk.ask("[[say: Hello.]]")

    config = (desk.home / ".aider.conf.yml").read_text("utf-8")
    shown = dict(re.findall(r"^(Main|Weak) model: (\S+)", run.out, re.MULTILINE))
    assert f"model: {shown['Main']}\n" in config, run
    assert f"weak-model: {shown['Weak']}\n" in config, run
    assert "diff edit format" in run.out
    assert "Warning" not in run.text, run
    assert [f"openai/{call['json']['model']}" for call in generations(upstream)] == [shown["Main"]]


# ── trouble ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key(desk: Desk, upstream: Simulator) -> None:
    run = edit(desk, GPT, DIFF, "--openai-api-key", trouble.WRONG_KEY)

    assert "AuthenticationError" in run.text, run
    assert "Wrong API key" in " ".join(run.text.split()), run
    assert generations(upstream) == []
    assert hello(desk) == BEFORE


def test_rate_limit_with_retry_after(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.rate_limit(times=1)
    run = edit(desk)
    assert hello(desk) == AFTER, run
    assert [call["status"] for call in generations(upstream)] == [429, 200]


def test_server_error(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.server_error(times=1)
    run = edit(desk)
    assert hello(desk) == AFTER, run
    assert [call["status"] for call in generations(upstream)] == [500] * trouble.ATTEMPTS + [200]


def test_context_overflow(desk: Desk, troubles: Troubles, upstream: Simulator) -> None:
    troubles.context_overflow(times=None)
    run = edit(desk)
    assert "has hit a token limit" in " ".join(run.text.split()), run
    assert hello(desk) == BEFORE
    assert len(generations(upstream)) == 1


def test_unknown_model(desk: Desk, upstream: Simulator) -> None:
    run = edit(desk, f"openai/{trouble.NO_MODEL}")
    assert "NotFoundError" in run.text, run
    assert hello(desk) == BEFORE


@pytest.mark.parametrize("model", [GPT, "openai/gpt-5.3-codex"])
def test_cut_stream(desk: Desk, troubles: Troubles, upstream: Simulator, model: str) -> None:
    """What has arrived is no edit: it asks again."""
    troubles.cut(times=1)
    run = edit(desk, model)
    assert "broke off before the answer was complete" in " ".join(run.text.split()), run
    assert hello(desk) == AFTER, run
    assert len(generations(upstream)) == 2
