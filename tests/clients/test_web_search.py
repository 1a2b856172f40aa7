"""Claude Code's WebSearch tool: served by Copilot's own search or by a model, and honest where it is switched off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.clients.desk import Client, Desk, Run, set_up
from tests.clients.programs import CLAUDE_CODE, CODEX
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


@pytest.mark.parametrize("model", [NATIVE, "gpt-4.1"])
def test_codex_searches_on_models_outside_responses(
    desk_of: Callable[[Client], Desk], upstream: Simulator, model: str
) -> None:
    """Codex offers its ``web_search`` to every model; for one that is no Responses model Copilot's MCP endpoint runs
    it, which books one search, and one request of a person."""
    before = upstream.ledger()
    prompt = '[[tool: web_search {"query": "red kites"}]] [[next]] [[say: They fly.]]'
    run = desk_of(CODEX).ask(prompt, model)
    done = [event["item"] for event in run.lines() if event["type"] == "item.completed"]
    assert run.code == 0, run
    assert [item["text"] for item in done if item["type"] == "agent_message"] == ["They fly."], run
    assert [item["query"] for item in done if item["type"] == "web_search"] == ["red kites"], run
    assert not [item for item in done if item["type"] == "error"], run
    (call,) = [request for request in upstream.requests() if request["path"] == "/mcp"]
    assert call["json"]["params"] == {"name": "web_search", "arguments": {"query": "red kites"}}
    assert "https://news.test/red-kites" in generations(upstream)[-1]["body"]
    assert [call["header"]["x-initiator"] for call in generations(upstream)] == ["user", "agent"]
    after = upstream.ledger()
    assert after["searches"] - before["searches"] == 1
    assert after["user_requests"] - before["user_requests"] == 1


def test_codex_goes_on_after_a_search(desk_of: Callable[[Client], Desk], upstream: Simulator) -> None:
    """The round of a tool after a search sends the search back, as an item of the history."""
    prompt = '[[tool: web_search {"query": "red kites"}]] [[next]] [[tool: exec_command {"cmd": "echo done > it.txt"}]]'
    desk = desk_of(CODEX)
    run = desk.ask(f"{prompt} [[next]] [[say: Both done.]]", NATIVE)
    assert run.code == 0, run
    assert (desk.project / "it.txt").read_text("utf-8") == "done\n"
    said = [event["item"].get("text") for event in run.lines() if event["type"] == "item.completed"]
    assert said[-1] == "Both done.", run
    assert {call["status"] for call in generations(upstream)} == {200}
    # The first two make the answer with the search in it. Of that Codex sends back the query alone, and no sources.
    *_, last = generations(upstream)[2:]
    assert "[web_search_call]\\nred kites" in json.dumps(last["json"]["messages"][1:])
    assert len([request for request in upstream.requests() if request["path"] == "/mcp"]) == 1
