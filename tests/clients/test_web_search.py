"""Claude Code's WebSearch tool: served by Copilot's own search or by a model, and honest where it is switched off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.clients.desk import Client, Desk, Run, set_up
from tests.clients.programs import CLAUDE_CODE
from tests.clients.troubles import generations
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge

NATIVE, CONVERTED, SEARCHER = "claude-sonnet-4.6", "gpt-5.3-codex", "gpt-5.4"
PROMPT = '[[tool: WebSearch {"query": "red kites"}]] [[next]] [[say: All done.]]'


@pytest.fixture(scope="module")
def searching(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge with a search model."""
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "WEB_SEARCH_MODEL": SEARCHER}
    with Bridge(env, tmp_path_factory.mktemp("searching")) as running:
        yield running


@pytest.fixture(scope="module")
def switched_off(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "WEB_SEARCH_MODEL": "off"}
    with Bridge(env, tmp_path_factory.mktemp("off")) as running:
        yield running


@pytest.fixture
def capable(upstream: Simulator) -> Iterator[Simulator]:
    """A Copilot whose models have web search at /responses."""
    before = upstream.config()["responses_tools"]
    upstream.config(responses_tools=["function", "web_search"])
    yield upstream
    upstream.config(responses_tools=before)


def outcome(run: Run) -> dict[str, object]:
    """What the WebSearch tool made of the answer: its own account of it."""
    found = [event["tool_use_result"] for event in run.lines() if isinstance(event.get("tool_use_result"), dict)]
    assert len(found) == 1, run
    one: dict[str, object] = found[0]
    return one


def search(desk: Desk, model: str) -> Run:
    run = desk.run(*CLAUDE_CODE.ask(desk, PROMPT, model, "--allowedTools", "WebSearch"))
    assert run.lines()[-1]["result"] == "All done.", run
    return run


@pytest.mark.parametrize("model", [NATIVE, CONVERTED])
def test_searches_with_no_other_key(desk_of: Callable[[Client], Desk], upstream: Simulator, model: str) -> None:
    """Out of the box: by Copilot's MCP endpoint, which books one search, and one request of a person."""
    before = upstream.ledger()
    told = outcome(search(desk_of(CLAUDE_CODE), model))
    assert told["searchCount"] == 1
    links = told["results"][0]["content"]
    assert [link["url"] for link in links] == ["https://news.test/red-kites", "https://wiki.test/red-kites"]
    (call,) = [request for request in upstream.requests() if request["path"] == "/mcp"]
    assert call["json"]["params"] == {"name": "web_search", "arguments": {"query": "red kites"}}
    assert call["header"]["authorization"].startswith("Bearer ghu_test_")
    assert "https://news.test/red-kites" in json.dumps(generations(upstream)[-1]["json"])
    after = upstream.ledger()
    assert after["searches"] - before["searches"] == 1
    assert after["user_requests"] - before["user_requests"] == 1


@pytest.mark.parametrize("model", [NATIVE, CONVERTED])
def test_searches_the_web_by_a_model(
    searching: Bridge, capable: Simulator, tmp_path_factory: pytest.TempPathFactory, model: str
) -> None:
    desk = set_up(CLAUDE_CODE, searching, tmp_path_factory.mktemp("home") / "home")
    before = capable.ledger()
    told = outcome(search(desk, model))
    assert told["searchCount"] == 1
    links = told["results"][0]["content"]
    assert [link["url"] for link in links] == ["https://news.test/red-kites", "https://wiki.test/red-kites"]
    assert [call["json"]["model"] for call in generations(capable)].count(SEARCHER) == 1
    assert "https://news.test/red-kites" in json.dumps(generations(capable)[-1]["json"])
    # One prompt of a person: neither the search nor the conversation that Claude Code leads for it is another.
    assert capable.ledger()["user_requests"] - before["user_requests"] == 1


@pytest.mark.parametrize("model", [NATIVE, CONVERTED])
def test_says_that_it_cannot_search(
    switched_off: Bridge, capable: Simulator, tmp_path_factory: pytest.TempPathFactory, model: str
) -> None:
    desk = set_up(CLAUDE_CODE, switched_off, tmp_path_factory.mktemp("home") / "home")
    told = outcome(search(desk, model))
    assert told["searchCount"] == 1
    assert told["results"][0] == "Web search error: unavailable"
    # The model that called for it reads why.
    assert "WEB_SEARCH_MODEL" in json.dumps(generations(capable)[-1]["json"])
    assert len(generations(capable)) == 2
