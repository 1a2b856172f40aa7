"""SDKs and frameworks do what they are for, through every endpoint and on models of every kind, and start from what
``configure`` printed. Looked at: what they hand to their users, and what the simulator received."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.libraries import LIBRARIES
from tests.clients.talks import Library, Talk
from tests.clients.troubles import generations
from tests.simulator.client import Simulator
from tests.support.pictures import png_url
from tests.support.upstream import in_chat_terms, initiators

CLAUDE, GPT, CODEX = "claude-sonnet-4.6", "gpt-4.1", "gpt-5.3-codex"
# Where the bridge sends a model's calls, by the endpoint they came in through: native wherever Copilot serves it so.
PATHS = {
    ("chat", CLAUDE): "/chat/completions",
    ("chat", GPT): "/chat/completions",
    ("chat", CODEX): "/responses",
    ("responses", CLAUDE): "/v1/messages",
    ("responses", GPT): "/chat/completions",
    ("responses", CODEX): "/responses",
    ("messages", CLAUDE): "/v1/messages",
    ("messages", GPT): "/chat/completions",
    ("messages", CODEX): "/responses",
}
TEXT = "The quick brown fox — über 你好 👋🏽."
TWO_ROUNDS = (
    '[[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Zürich"}]] [[next]] '
    '[[tool: get_weather {"city": "Bern"}]]'
)

TalkTo = Callable[[Library], Talk]


def ways(verb: str, models: tuple[str, ...] = (CLAUDE, GPT, CODEX)) -> Any:
    """Every library that has this verb, through each of its endpoints, on each of these models."""
    return pytest.mark.parametrize(
        ("library", "api", "model"),
        [
            pytest.param(library, api, model, id=f"{library.name}-{api}-{model}")
            for library in LIBRARIES
            for api in library.apis
            for model in models
            if library.has(api, verb)
        ],
    )


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_the_snippet_runs_as_printed(
    library: Library, talk_to: TalkTo, printed_by: Callable[[Library], list[str]]
) -> None:
    talk_to(library)
    for printed in printed_by(library):
        assert "I am the Copilot simulator" in printed


@ways("text")
def test_text(library: Library, api: str, model: str, talk_to: TalkTo, upstream: Simulator) -> None:
    talk = talk_to(library)
    upstream.requests(clear=True)

    told = talk.do("text", api=api, model=model, prompt=f"[[say: {TEXT}]]", retries=0)

    assert told["text"] == TEXT
    assert told["end"] in ("stop", "completed", "end_turn", None)
    (call,) = generations(upstream)
    assert (call["path"], call["json"]["model"]) == (PATHS[api, model], model)
    assert not call["json"].get("stream")


@ways("stream")
def test_stream(library: Library, api: str, model: str, talk_to: TalkTo, upstream: Simulator) -> None:
    talk = talk_to(library)
    upstream.requests(clear=True)

    told = talk.do("stream", api=api, model=model, prompt=f"[[say: {TEXT}]]", retries=0)

    assert told["text"] == "".join(told["pieces"]) == TEXT
    assert len(told["pieces"]) >= 5
    assert told["end"] in ("stop", "completed", "end_turn", None)
    (call,) = generations(upstream)
    assert (call["path"], call["json"]["stream"]) == (PATHS[api, model], True)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@ways("tools")
def test_tools(library: Library, api: str, model: str, streamed: bool, talk_to: TalkTo, upstream: Simulator) -> None:
    """Two calls at once, then a third, then the answer: one request of the user's, the rest are the agent's."""
    talk = talk_to(library)
    upstream.requests(clear=True)
    before = upstream.ledger()

    told = talk.do("tools", api=api, model=model, prompt=TWO_ROUNDS, streamed=streamed)

    assert sorted(told["asked"][:2]) == ["Oslo", "Zürich"]
    assert told["asked"][2:] == ["Bern"]
    assert "Bern: 11 degrees" in told["text"]
    assert [call["path"] for call in generations(upstream)] == [PATHS[api, model]] * 3
    assert initiators(upstream) == ["user", "agent", "agent"]
    assert upstream.ledger()["user_requests"] - before["user_requests"] == 1
    received = in_chat_terms(generations(upstream)[-1])["messages"]
    assert [one["role"] for one in received if one["role"] != "system"] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "tool",
    ]


@ways("structured")
def test_structured_output(library: Library, api: str, model: str, talk_to: TalkTo, upstream: Simulator) -> None:
    talk = talk_to(library)
    upstream.requests(clear=True)

    told = talk.do("structured", api=api, model=model, prompt="Where?")

    assert told == {"city": "sample", "inhabitants": 1}  # what the simulator makes of the schema
    assert {call["path"] for call in generations(upstream)} == {PATHS[api, model]}


@ways("image")
def test_image(library: Library, api: str, model: str, talk_to: TalkTo, upstream: Simulator) -> None:
    talk = talk_to(library)
    upstream.requests(clear=True)

    told = talk.do("image", api=api, model=model, prompt="What do you see?", url=png_url(12, 7))

    assert "12x7" in told["text"]
    (call,) = generations(upstream)
    assert call["header"]["copilot-vision-request"] == "true"


@ways("thinking", (CLAUDE, CODEX))
def test_thinking(library: Library, api: str, model: str, talk_to: TalkTo, upstream: Simulator) -> None:
    talk = talk_to(library)
    upstream.requests(clear=True)

    told = talk.do("thinking", api=api, model=model, prompt="[[think: Let me see.]] [[say: I have seen.]]")

    assert told == {"thoughts": "Let me see.", "text": "I have seen."}
