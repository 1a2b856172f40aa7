"""Web search by Copilot's own MCP endpoint, out of the box (contract §14.2).

What it is sent, what comes of its answers, and who searches where it is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.store import open_store
from tests.integration.test_web_search import (
    CLAUDE,
    CODEX,
    FAILING,
    GEMINI,
    KITES,
    PAGES,
    PATHS,
    SEARCH,
    accumulated,
    ask,
    body_of,
    error_of,
    kinds,
    post,
    whole_and_streamed,
)
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.streams import pieces
from tests.support.upstream import generations, in_chat_terms, initiators, text_of

MCP = "/mcp"


@pytest.fixture(scope="module")
def bridge(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge as it is out of the box, impatient enough to hear its keep-alive."""
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "KEEP_ALIVE_S": "0.2"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        running.chat("warm up: token and model list")
        yield running


@pytest.fixture
def upstream(bridge: Bridge, simulator_process: Simulator) -> Simulator:
    """Its simulator, with nothing recorded yet; what the bridge has learned before is forgotten."""
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    simulator_process.config(mcp="json", responses_tools=["function"])
    store = open_store(data_dir=bridge.data_dir, redis_url=None)
    for key in store.scan("no-search:"):
        store.delete(key)
    store.close()
    return simulator_process


def searches(upstream: Simulator) -> list[dict[str, Any]]:
    return [request for request in upstream.requests() if request["path"] == MCP]


@pytest.mark.parametrize(
    ("model", "stream", "form"),
    [(CLAUDE, False, "sse"), (CLAUDE, True, "json"), (CODEX, True, "sse"), (GEMINI, False, "json")],
)
def test_a_search_is_served(bridge: Bridge, upstream: Simulator, model: str, stream: bool, form: str) -> None:
    upstream.config(mcp=form)
    before = upstream.ledger()["searches"]
    found = ask(bridge, model, f"{KITES}[[next]][[say: They fly.]]", stream)
    use, result, text = found["content"]
    assert use["input"] == {"query": "kites"}
    assert [(one["title"], one["url"]) for one in result["content"]] == PAGES
    assert all(one["encrypted_content"] for one in result["content"])
    assert text["text"] == "They fly."
    assert found["usage"]["server_tool_use"] == {"web_search_requests": 1}
    assert [call["path"] for call in generations(upstream)] == [PATHS[model]] * 2
    assert initiators(upstream) == ["user", "agent"]
    read = text_of(in_chat_terms(generations(upstream)[-1])["messages"][-1]["content"])
    assert "Simulated news\nhttps://news.test/kites\nSimulated news on kites." in read
    assert "†" not in read
    assert upstream.ledger()["searches"] == before + 1


def test_what_the_endpoint_is_sent(bridge: Bridge, upstream: Simulator) -> None:
    """Contract §14.2, to the letter: GitHub's own token, no greeting, one call."""
    answer = post(bridge, body_of(CLAUDE, f"{KITES}[[next]][[say: They fly.]]"))
    (call,) = searches(upstream)
    assert (call["method"], call["host"]) == ("POST", "capi")
    assert call["json"] == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "web_search", "arguments": {"query": "kites"}},
    }
    sent = {name: call["header"][name] for name in call["header"] if name not in ("host", "content-length")}
    assert sent == {
        "authorization": "Bearer ghu_test_individual",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "user-agent": sent["user-agent"],
        "x-mcp-host": "github-coding-agent",
        "x-mcp-toolsets": "web_search",
        "x-initiator": "agent",
        "x-request-id": answer.headers["x-request-id"],
    }
    assert bridge.request_line(answer.headers["x-request-id"])["searches"] == 1


def test_the_limits_of_the_tool_are_said_and_kept(bridge: Bridge, upstream: Simulator) -> None:
    tool = {
        **SEARCH,
        "allowed_domains": ["wiki.test"],
        "user_location": {"type": "approximate", "city": "Kiel", "country": "DE"},
    }
    found = ask(bridge, CLAUDE, f"{KITES}[[next]][[say: Done.]]", tools=[tool])
    # The simulator makes its addresses from the whole query.
    assert [one["url"].partition("/kites")[0] for one in found["content"][1]["content"]] == ["https://wiki.test"]
    assert searches(upstream)[0]["json"]["params"]["arguments"] == {"query": "kites site:wiki.test (near Kiel, DE)"}
    assert "news.test" not in generations(upstream)[-1]["body"]


def test_a_server_that_wants_to_be_greeted_is_greeted_once(bridge: Bridge, upstream: Simulator) -> None:
    upstream.config(mcp="session")
    for _ in range(2):
        assert kinds(ask(bridge, CLAUDE, f"{KITES}[[next]][[say: They fly.]]"))[1] == "web_search_tool_result"
    methods = [call["json"]["method"] for call in searches(upstream)]
    greeted = ["tools/call", "initialize", "notifications/initialized", "tools/call"]
    assert methods[-5:] == [*greeted, "tools/call"]
    session = {call["header"].get("mcp-session-id") for call in searches(upstream)[-2:]}
    assert len(session) == 1
    assert None not in session
    # A session that the server has forgotten is begun anew.
    upstream.requests(clear=True)
    upstream.fault(endpoint=MCP, status=404, body="session not found")
    assert kinds(ask(bridge, CLAUDE, f"{KITES}[[next]][[say: They fly.]]"))[1] == "web_search_tool_result"
    assert [call["json"]["method"] for call in searches(upstream)] == greeted


# ── not there ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", ["absent", "forbidden"])
def test_where_it_is_not_there_a_model_searches(bridge: Bridge, upstream: Simulator, mode: str) -> None:
    """The cheapest that can; and it is not asked for again."""
    upstream.config(mcp=mode, responses_tools=["function", "web_search"])
    tried = []
    for _ in range(2):
        found = ask(bridge, CLAUDE, f"{KITES}[[next]][[say: They fly.]]")
        assert [(one["title"], one["url"]) for one in found["content"][1]["content"]] == PAGES
        tried.append(len(searches(upstream)))
    assert tried[0] == tried[1] > 0
    assert [call["path"] for call in generations(upstream)] == ["/v1/messages", "/responses", "/v1/messages"] * 2
    assert generations(upstream)[1]["json"]["model"] == "gpt-5-mini"
    assert initiators(upstream).count("user") == 2


@whole_and_streamed
def test_where_nobody_can_search_it_is_said_at_once(bridge: Bridge, upstream: Simulator, stream: bool) -> None:
    upstream.config(mcp="forbidden")
    asked = "Perform a web search for the query: kites"
    forced = {"tool_choice": {"type": "tool", "name": "web_search"}}
    # Learned from searches that fail: each tries a few models more, until nobody is left to be asked.
    for _ in range(9):
        upstream.requests(clear=True)
        found = ask(bridge, CLAUDE, asked, stream, **forced)
        assert error_of(found) == "unavailable"
        if not generations(upstream):
            break
    assert generations(upstream) == []
    assert "Copilot offers none" in found["content"][2]["text"]
    # A request that only may search is told that it cannot.
    answer = post(bridge, body_of(CLAUDE, "[[say: I cannot.]]", stream))
    assert "web_search_20250305" in answer.headers["x-bridge-dropped"]
    assert "web_search is not available" in generations(upstream)[-1]["body"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"config": "quota"}, "too_many_requests"),
        ({"config": "error"}, "unavailable"),
        ({"config": "failed"}, "unavailable"),
        ({"status": 500, "body": "oops"}, "unavailable"),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, "unavailable"),
        ({"status": 200, "body": {"jsonrpc": "2.0", "id": 1, "result": 7}}, "unavailable"),
        ({"reset": True, "times": None}, "unavailable"),
        ({"at_byte": 40, "cut_kind": "reset"}, "unavailable"),
    ],
    ids=["quota", "rpc", "tool", "500", "page", "odd", "reset", "torn"],
)
def test_a_failed_search_is_told_and_the_answer_goes_on(
    bridge: Bridge, upstream: Simulator, fault: dict[str, Any], code: str
) -> None:
    if "config" in fault:
        upstream.config(mcp=fault["config"])
    else:
        upstream.fault(endpoint=MCP, **fault)
    found = ask(bridge, CLAUDE, FAILING)
    assert error_of(found) == code
    assert found["content"][-1]["text"] == "I could not search."
    assert found["usage"]["server_tool_use"] == {"web_search_requests": 0}
    # It is no sign that there is no search: the next one is tried again.
    upstream.config(mcp="json")
    upstream.clear_faults()
    upstream.requests(clear=True)
    ask(bridge, CLAUDE, f"{KITES}[[next]][[say: Yes.]]")
    assert len(searches(upstream)) == 1


def test_an_endless_answer_is_cut(bridge: Bridge, upstream: Simulator) -> None:
    endless = {"content": [{"type": "text", "text": "x" * 5_000_000}]}
    upstream.fault(endpoint=MCP, status=200, body={"jsonrpc": "2.0", "id": 1, "result": endless})
    assert error_of(ask(bridge, CLAUDE, FAILING)) == "unavailable"


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def heard_of_search(answer: Any) -> bytes:
    heard = b""
    for piece in pieces(answer):
        heard += piece
        if b"server_tool_use" in heard and heard.count(b"event: ping") >= 2:
            break
    return heard


def test_the_client_hears_of_the_search_while_it_runs(bridge: Bridge, upstream: Simulator) -> None:
    prompt = '[[tool: web_search {"query": "kites [[gate: mcp]]"}]][[next]][[say: They fly.]]'
    with post(bridge, body_of(CLAUDE, prompt, True), stream=True) as answer:
        heard = heard_of_search(answer)
        assert b"web_search_tool_result" not in heard
        upstream.open_gate("mcp")
        heard += b"".join(pieces(answer))
    assert kinds(accumulated(heard.decode())) == ["server_tool_use", "web_search_tool_result", "text"]


def test_a_client_that_leaves_ends_the_search(bridge: Bridge, upstream: Simulator) -> None:
    aborted = upstream.state()["aborted_requests"]
    prompt = '[[tool: web_search {"query": "kites [[gate: left]]"}]][[next]][[say: They fly.]]'
    with post(bridge, body_of(CLAUDE, prompt, True), stream=True) as answer:
        heard_of_search(answer)
    upstream.wait("aborted_requests", aborted + 1)
    assert sum(call["path"] == "/v1/messages" for call in generations(upstream)) == 1


# ── clients of /v1/responses ────────────────────────────────────────────────────────────────────────────────────────


def respond(bridge: Bridge, model: str, stream: bool, **fields: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The response, and the events that told it."""
    body = {
        "model": model,
        "input": f"{KITES}[[next]][[say: They fly.]]",
        "tools": [{"type": "web_search"}],
        "stream": stream,
        **fields,
    }
    answer = bridge.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    if not stream:
        return answer.json(), []
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    return told[-1]["response"], told


@pytest.mark.parametrize(
    ("model", "kind", "stream"),
    [
        (CLAUDE, "web_search", True),
        (CLAUDE, "web_search_2025_08_26", False),
        (GEMINI, "web_search_preview", True),
        (GEMINI, "web_search", False),
    ],
)
def test_models_outside_responses_search(
    bridge: Bridge, upstream: Simulator, model: str, kind: str, stream: bool
) -> None:
    found, told = respond(bridge, model, stream, tools=[{"type": kind}], tool_choice={"type": kind})
    search, message = [item for item in found["output"] if item["type"] != "reasoning"]
    assert search["type"] == "web_search_call"
    assert search["id"].startswith("ws_")
    assert search["status"] == "completed"
    assert search["action"]["query"] == "kites"
    assert [source["url"] for source in search["action"]["sources"]] == [url for _, url in PAGES]
    assert message["content"][0]["text"] == "They fly."
    assert [call["path"] for call in generations(upstream)] == [PATHS[model]] * 2
    assert initiators(upstream) == ["user", "agent"]
    if stream:
        of_search = [event for event in told if event.get("item_id") == search["id"] or "search" in event["type"]]
        assert [event["type"].rpartition(".")[2] for event in of_search] == ["in_progress", "searching", "completed"]
        assert [event["sequence_number"] for event in told] == list(range(len(told)))
        done = [event["item"] for event in told if event["type"] == "response.output_item.done"]
        assert done == found["output"]


def test_a_model_at_responses_searches_itself(bridge: Bridge, upstream: Simulator) -> None:
    upstream.config(responses_tools=["function", "web_search"])
    respond(bridge, CODEX, False)
    assert searches(upstream) == []


@whole_and_streamed
def test_a_failed_search_of_a_responses_client(bridge: Bridge, upstream: Simulator, stream: bool) -> None:
    upstream.config(mcp="error")
    found, _ = respond(bridge, CLAUDE, stream)
    assert [item.get("status") for item in found["output"]] == ["failed", "completed"]
    assert "could not be run" in generations(upstream)[-1]["body"]


def test_the_limits_of_a_responses_tool(bridge: Bridge, upstream: Simulator) -> None:
    tool = {
        "type": "web_search",
        "filters": {"allowed_domains": ["wiki.test"]},
        "user_location": {"type": "approximate", "city": "Kiel"},
        "search_context_size": "low",
    }
    prompt = f"{KITES}[[next]]{KITES}[[next]][[say: Done.]]"
    include = ["web_search_call.action.sources"]
    found, _ = respond(bridge, CLAUDE, False, tools=[tool], input=prompt, max_tool_calls=1, include=include)
    assert [item.get("status") for item in found["output"]] == ["completed", "failed", "completed"]
    assert len(searches(upstream)) == 1
    assert searches(upstream)[0]["json"]["params"]["arguments"] == {"query": "kites site:wiki.test (near Kiel)"}
    wrong = bridge.post(
        "/v1/responses",
        json={"model": CLAUDE, "input": "hi", "tools": [{"type": "web_search", "filters": {"allowed_domains": 7}}]},
    )
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "tools[0].filters.allowed_domains"


def test_a_function_of_the_clients_own_by_that_name(bridge: Bridge, upstream: Simulator) -> None:
    own = {"type": "function", "name": "web_search", "parameters": {"type": "object", "properties": {}}}
    prompt = '[[tool: web_search_2 {"query": "kites"}]][[next]][[say: They fly.]]'
    found, _ = respond(bridge, CLAUDE, False, tools=[own, {"type": "web_search"}], input=prompt)
    assert [item["type"] for item in found["output"]] == ["web_search_call", "message"]


# ── clients of /v1/chat/completions ─────────────────────────────────────────────────────────────────────────────────


def chat(bridge: Bridge, model: str, prompt: str, stream: bool, **fields: Any) -> tuple[dict[str, Any], Any]:
    """The message, put together by the book if it was streamed, with its reason to end; and the answer's headers."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream, **fields}
    answer = bridge.post("/v1/chat/completions", json={"web_search_options": {}, **body})
    assert answer.status_code == 200, answer.text
    if not stream:
        choice = answer.json()["choices"][0]
        return {**choice["message"], "finish_reason": choice["finish_reason"]}, answer
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    message: dict[str, Any] = {"content": ""}
    for line in lines:
        chunk = json.loads(line)
        assert "server_tool_use" not in chunk
        for choice in chunk["choices"]:
            message["content"] += choice["delta"].pop("content", None) or ""
            message["annotations"] = message.get("annotations", []) + choice["delta"].pop("annotations", [])
            for piece in choice["delta"].pop("tool_calls", []):
                calls = message.setdefault("tool_calls", [])
                calls += [piece] if len(calls) == piece["index"] else []
            message |= choice["delta"]
            message["finish_reason"] = choice["finish_reason"]
    return message, answer


def notes_of(message: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Of each citation title and address, and the words it is of."""
    assert all(note["type"] == "url_citation" for note in message["annotations"])
    cited = [note["url_citation"] for note in message["annotations"]]
    return [(one["title"], one["url"], message["content"][one["start_index"] : one["end_index"]]) for one in cited]


@whole_and_streamed
@pytest.mark.parametrize("model", [CLAUDE, CODEX, GEMINI])
def test_a_chat_client_finds_the_pages_as_annotations(
    bridge: Bridge, upstream: Simulator, model: str, stream: bool
) -> None:
    before = upstream.ledger()["searches"]
    said = "They fly ([news](https://news.test/kites)). See https://wiki.test/kites."
    message, answer = chat(bridge, model, f"[[say: I look.]]{KITES}[[next]][[say: {said}]]", stream)
    assert message["content"] == f"I look.\n\n{said}"
    assert message["finish_reason"] == "stop"
    assert "tool_calls" not in message
    assert notes_of(message) == [
        (*PAGES[0], "[news](https://news.test/kites)"),
        (*PAGES[1], "https://wiki.test/kites"),
    ]
    assert [call["path"] for call in generations(upstream)] == [PATHS[CODEX if model == CODEX else GEMINI]] * 2
    assert initiators(upstream) == ["user", "agent"]
    assert upstream.ledger()["searches"] == before + 1
    assert "x-bridge-dropped" not in answer.headers
    assert bridge.request_line(answer.headers["x-request-id"])["searches"] == 1


@whole_and_streamed
def test_pages_that_the_text_does_not_name_are_told_all_the_same(
    bridge: Bridge, upstream: Simulator, stream: bool
) -> None:
    message, _ = chat(bridge, CLAUDE, f"{KITES}[[next]][[say: They fly.]]", stream)
    assert notes_of(message) == [(*page, "They fly.") for page in PAGES]


@whole_and_streamed
def test_a_chat_client_that_needs_no_search(bridge: Bridge, upstream: Simulator, stream: bool) -> None:
    message, _ = chat(bridge, GEMINI, "[[say: Hello.]]", stream)
    assert message["content"] == "Hello."
    assert not message.get("annotations")
    assert searches(upstream) == []


@whole_and_streamed
def test_a_chat_clients_own_tool_beside_a_search(bridge: Bridge, upstream: Simulator, stream: bool) -> None:
    own = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
    prompt = f'{KITES}[[tool: get_weather {{"city": "Kiel"}}]]'
    message, _ = chat(bridge, CLAUDE, prompt, stream, tools=[own])
    assert message["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["get_weather"]
    assert len(searches(upstream)) == 1


@whole_and_streamed
def test_a_failed_search_of_a_chat_client(bridge: Bridge, upstream: Simulator, stream: bool) -> None:
    upstream.config(mcp="error")
    message, _ = chat(bridge, CLAUDE, FAILING, stream)
    assert message["content"] == "I could not search."
    assert not message.get("annotations")
    assert "could not be run" in generations(upstream)[-1]["body"]


def test_where_a_chat_client_is(bridge: Bridge, upstream: Simulator) -> None:
    options = {"user_location": {"type": "approximate", "approximate": {"city": "Kiel"}}, "search_context_size": "low"}
    chat(bridge, CLAUDE, f"{KITES}[[next]][[say: Done.]]", False, web_search_options=options)
    assert searches(upstream)[0]["json"]["params"]["arguments"] == {"query": "kites (near Kiel)"}
    wrong = {"model": CLAUDE, "messages": [{"role": "user", "content": "hi"}], "web_search_options": 7}
    answer = bridge.post("/v1/chat/completions", json=wrong)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "web_search_options")
