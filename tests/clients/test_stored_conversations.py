"""Libraries that rely on a server which stores responses: ten turns with tools, of which each sends what is new and
names what came before. Upstream gets the whole conversation, with models of every kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.clients.libraries import GOING_ON
from tests.clients.talks import Library, Talk
from tests.clients.troubles import generations
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.upstream import in_chat_terms, initiators, text_of

CLAUDE, GPT, CODEX = "claude-sonnet-4.6", "gpt-4.1", "gpt-5.3-codex"
TURNS = range(10)
PROMPTS = [
    f'[[tool: get_weather {{"city": "Oslo {turn}"}}]] [[next]] [[say: answer {turn}]] question {turn}' for turn in TURNS
]


def stored(bridge: Bridge) -> int:
    with closing(sqlite3.connect(bridge.data_dir / "bridge.db")) as database:
        (count,) = database.execute("SELECT count(*) FROM bridge_stored_responses").fetchone()
    return int(count)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", [CODEX, GPT, CLAUDE])
@pytest.mark.parametrize("library", GOING_ON, ids=lambda library: library.name)
def test_ten_turns_with_tools(
    library: Library,
    model: str,
    streamed: bool,
    bridge: Bridge,
    talk_to: Callable[[Library], Talk],
    upstream: Simulator,
) -> None:
    talk = talk_to(library)
    upstream.requests(clear=True)

    told = talk.do("goes_on", model=model, prompts=PROMPTS, streamed=streamed)

    assert told == {"texts": [f"answer {turn}" for turn in TURNS], "asked": [f"Oslo {turn}" for turn in TURNS]}
    assert initiators(upstream) == ["user", "agent"] * len(TURNS)
    assert stored(bridge) >= 2 * len(TURNS)
    received = [one for one in in_chat_terms(generations(upstream)[-1])["messages"] if one["role"] != "system"]
    assert [one["role"] for one in received] == ["user", "assistant", "tool", "assistant"] * 9 + [
        "user",
        "assistant",
        "tool",
    ]
    assert [text_of(one["content"]) for one in received if one["role"] == "user"] == PROMPTS
