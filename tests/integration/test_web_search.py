"""Web search inside an answer, over real HTTP: three upstreams, whole and streamed, and what can go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.streams import pieces
from tests.support.upstream import generations, in_chat_terms, initiators, text_of

CLAUDE, CODEX, GEMINI = "claude-sonnet-4.6", "gpt-5.3-codex", "gemini-2.5-pro"
PATHS = {CLAUDE: "/v1/messages", CODEX: "/responses", GEMINI: "/chat/completions"}
SEARCHER = "gpt-5.4"

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
WEATHER = {
    "name": "get_weather",
    "description": "Current weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
KITES = '[[tool: web_search {"query": "kites"}]]'
PAGES = [("Simulated news", "https://news.test/kites"), ("Simulated wiki", "https://wiki.test/kites")]

every_model = pytest.mark.parametrize("model", [CLAUDE, CODEX, GEMINI])
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def searching(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge that serves web search, impatient enough to hear its keep-alive."""
    simulator_process.reset()
    env = {
        **simulator_process.settings_env(),
        "GH_COPILOT_TOKEN": "ghu_test_individual",
        "WEB_SEARCH_MODEL": SEARCHER,
        "KEEP_ALIVE_S": "0.2",
    }
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        running.chat("warm up: token and model list")
        yield running


@pytest.fixture
def upstream(searching: Bridge, simulator_process: Simulator) -> Simulator:
    """Its simulator, with nothing recorded yet, where the models of /responses have web search."""
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    simulator_process.config(responses_tools=["function", "web_search"])
    return simulator_process


def body_of(model: str, messages: Any, stream: bool = False, **fields: Any) -> dict[str, Any]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return {"model": model, "max_tokens": 2000, "messages": messages, "stream": stream, "tools": [SEARCH], **fields}


def post(bridge: Bridge, body: dict[str, Any], **options: Any) -> requests.Response:
    return bridge.post("/v1/messages", json=body, **options)


def ask(bridge: Bridge, model: str, messages: Any, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """The whole answer, however it came."""
    answer = post(bridge, body_of(model, messages, stream, **fields))
    assert answer.status_code == 200, answer.text
    return shown(accumulated(answer.text) if stream else answer.json())


def shown(message: dict[str, Any]) -> dict[str, Any]:
    """Without the proofs of Gemini's calls, which stand in thoughts that say nothing."""
    said = [block for block in message["content"] if block.get("thinking") != ""]
    return {**message, "content": said, "all": message["content"]}


def events_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(frame.partition("data: ")[2]) for frame in text.split("\n\n") if "data: " in frame]


def accumulated(text: str) -> dict[str, Any]:
    """A stream put together by the book; its grammar is checked on the way."""
    message: dict[str, Any] = {}
    given = ""
    for event in events_in(text):
        match event["type"]:
            case "message_start":
                assert not message
                message = event["message"]
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
                given = ""
            case "content_block_delta":
                assert event["index"] == len(message["content"]) - 1
                block, delta = message["content"][-1], event["delta"]
                for name in ("text", "thinking", "signature"):
                    if name in delta:
                        block[name] += delta[name]
                given += delta.get("partial_json", "")
            case "content_block_stop":
                if given:
                    message["content"][-1]["input"] = json.loads(given)
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
            case "message_stop":
                message["stopped"] = True
            case other:
                assert other in ("ping", "error"), other
    assert message.pop("stopped")
    return message


def kinds(message: dict[str, Any]) -> list[str]:
    return [block["type"] for block in message["content"]]


def error_of(message: dict[str, Any]) -> Any:
    (result,) = [block for block in message["content"] if block["type"] == "web_search_tool_result"]
    assert result["content"]["type"] == "web_search_tool_result_error"
    return result["content"]["error_code"]


@every_model
@whole_and_streamed
def test_a_search_is_served(searching: Bridge, upstream: Simulator, model: str, stream: bool) -> None:
    found = ask(searching, model, f"{KITES}[[next]][[say: They fly.]]", stream)
    use, result, text = found["content"]
    assert use.items() >= {"type": "server_tool_use", "name": "web_search", "input": {"query": "kites"}}.items()
    assert use["id"] == result["tool_use_id"]
    assert use["id"].startswith("srvtoolu_")
    assert [(one["title"], one["url"]) for one in result["content"]] == PAGES
    assert all(one["encrypted_content"] for one in result["content"])
    assert text["text"] == "They fly."
    assert found["stop_reason"] == "end_turn"
    assert found["usage"]["server_tool_use"] == {"web_search_requests": 1}
    assert found["model"] == model
    assert [call["path"] for call in generations(upstream)] == [PATHS[model], "/responses", PATHS[model]]
    assert generations(upstream)[1]["json"]["model"] == SEARCHER


@every_model
def test_only_the_first_call_is_a_persons(searching: Bridge, upstream: Simulator, model: str) -> None:
    ask(searching, model, f"{KITES}[[next]]{KITES}[[next]][[say: Done.]]")
    assert initiators(upstream) == ["user", "agent", "agent", "agent", "agent"]
    ids = {call["header"]["x-interaction-id"] for call in generations(upstream)}
    assert len(ids) == 1


@every_model
def test_the_model_reads_what_was_found(searching: Bridge, upstream: Simulator, model: str) -> None:
    ask(searching, model, f"{KITES}[[next]][[say: They fly.]]")
    messages = in_chat_terms(generations(upstream)[-1])["messages"]
    assert [message["role"] for message in messages][-2:] == ["assistant", "tool"]
    read = text_of(messages[-1]["content"])
    assert "https://news.test/kites" in read
    assert "Simulated news on kites." in read


@every_model
@whole_and_streamed
def test_a_forced_search_is_forced_once(searching: Bridge, upstream: Simulator, model: str, stream: bool) -> None:
    """As Claude Code asks for a search."""
    asked = "Perform a web search for the query: red kites"
    found = ask(searching, model, asked, stream, tool_choice={"type": "tool", "name": "web_search"})
    assert kinds(found) == ["server_tool_use", "web_search_tool_result", "text"]
    assert found["content"][0]["input"] == {"query": "red kites"}
    first, _, last = (in_chat_terms(call).get("tool_choice") for call in generations(upstream))
    assert first not in (None, "auto")
    assert last in (None, "auto")


def test_without_a_search_nothing_else_is_called(searching: Bridge, upstream: Simulator) -> None:
    found = ask(searching, CLAUDE, "[[say: Hello.]]")
    assert kinds(found) == ["text"]
    assert "server_tool_use" not in found["usage"]
    assert len(generations(upstream)) == 1


@every_model
def test_two_searches_at_once(searching: Bridge, upstream: Simulator, model: str) -> None:
    prompt = '[[tool: web_search {"query": "red"}]][[tool: web_search {"query": "blue"}]][[next]][[say: Both fly.]]'
    found = ask(searching, model, prompt, True)
    assert kinds(found) == ["server_tool_use", "web_search_tool_result"] * 2 + ["text"]
    assert [found["content"][at]["input"]["query"] for at in (0, 2)] == ["red", "blue"]
    assert found["usage"]["server_tool_use"] == {"web_search_requests": 2}


@every_model
@whole_and_streamed
def test_the_clients_own_tool_beside_a_search(searching: Bridge, upstream: Simulator, model: str, stream: bool) -> None:
    """The search is done, the client runs its tool, and the next turn meets both results in their place."""
    prompt = f'{KITES}[[tool: get_weather {{"city": "Kiel"}}]][[next]][[say: Good wind.]]'
    tools = [SEARCH, WEATHER]
    first = ask(searching, model, prompt, stream, tools=tools)
    assert kinds(first) == ["server_tool_use", "web_search_tool_result", "tool_use"]
    assert first["stop_reason"] == "tool_use"
    call = first["content"][-1]
    assert call["input"] == {"city": "Kiel"}
    answered = {"type": "tool_result", "tool_use_id": call["id"], "content": "Windy."}
    messages = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": first["all"]},
        {"role": "user", "content": [answered]},
    ]
    second = ask(searching, model, messages, stream, tools=tools)
    assert [block.get("text") for block in second["content"]] == ["Good wind."]
    said = in_chat_terms(generations(upstream)[-1])["messages"]
    assert [message["role"] for message in said] == ["user", "assistant", "tool", "tool"]
    assert [text_of(message["content"])[:14] for message in said[2:]] == ["Simulated news", "Windy."]


@every_model
@pytest.mark.parametrize("tools", [[SEARCH], [WEATHER], []], ids=["search", "other", "none"])
def test_the_next_turn_knows_what_was_found(
    searching: Bridge, upstream: Simulator, model: str, tools: list[Any]
) -> None:
    prompt = f"{KITES}[[next]][[say: They fly.]]"
    first = ask(searching, model, prompt)
    messages = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": first["all"]},
        {"role": "user", "content": "[[say: As I said.]]"},
    ]
    second = ask(searching, model, messages, tools=tools)
    assert second["content"][0]["text"] == "As I said."
    sent = json.dumps(generations(upstream)[-1]["json"])
    assert "Simulated news on kites." in sent
    assert "bridge-search" not in sent


def test_thinking_goes_along_with_a_search(searching: Bridge, upstream: Simulator) -> None:
    """The simulator refuses a tool round that does not begin with the thought, word for word."""
    prompt = f"[[think: What flies?]]{KITES}[[next]][[think: I see.]][[say: They fly.]]"
    thinking = {"type": "enabled", "budget_tokens": 1024}
    found = ask(searching, "claude-haiku-4.5", prompt, True, thinking=thinking)
    assert kinds(found)[0] == "thinking"
    assert kinds(found)[-1] == "text"
    messages = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": found["all"]},
        {"role": "user", "content": "[[say: Indeed.]]"},
    ]
    again = ask(searching, "claude-haiku-4.5", messages, True, thinking=thinking)
    assert again["content"][-1]["text"] == "Indeed."
    assert all(call["status"] == 200 for call in generations(upstream) if "status" in call)


@whole_and_streamed
def test_more_searches_than_allowed(searching: Bridge, upstream: Simulator, stream: bool) -> None:
    prompt = f"{KITES}[[next]]{KITES}[[next]][[say: Enough.]]"
    found = ask(searching, CLAUDE, prompt, stream, tools=[{**SEARCH, "max_uses": 1}])
    assert kinds(found) == ["server_tool_use", "web_search_tool_result"] * 2 + ["text"]
    assert found["content"][3]["content"]["error_code"] == "max_uses_exceeded"
    assert sum(call["path"] == "/responses" for call in generations(upstream)) == 1


def test_domains_are_kept(searching: Bridge, upstream: Simulator) -> None:
    prompt = f"{KITES}[[next]][[say: Done.]]"
    found = ask(searching, CLAUDE, prompt, tools=[{**SEARCH, "allowed_domains": ["wiki.test"]}])
    assert [one["url"] for one in found["content"][1]["content"]] == ["https://wiki.test/kites"]
    read = json.dumps(generations(upstream)[-1]["json"])
    assert "news.test" not in read
    assert "wiki.test" in generations(upstream)[1]["json"]["instructions"]


# ── a search that fails ─────────────────────────────────────────────────────────────────────────────────────────────

FAILING = f"{KITES}[[next]][[say: I could not search.]]"


@whole_and_streamed
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 429, "body": {"error": {"message": "slow down", "code": "rate_limited"}}}, "too_many_requests"),
        ({"status": 403, "body": {"error": {"message": "no", "code": "forbidden"}}}, "unavailable"),
        ({"status": 500, "body": {"error": {"message": "oops"}}, "times": None}, "unavailable"),
        ({"after_events": 3, "cut_kind": "abrupt"}, "unavailable"),
        ({"after_events": 3, "cut_kind": "clean"}, "unavailable"),
        ({"stream_error": ["server_error", "oops"]}, "unavailable"),
    ],
    ids=["429", "403", "500", "torn", "cut", "failed"],
)
def test_a_failed_search_is_told_and_the_answer_goes_on(
    searching: Bridge, upstream: Simulator, stream: bool, fault: dict[str, Any], code: str
) -> None:
    upstream.fault(endpoint="/responses", **fault)
    found = ask(searching, CLAUDE, FAILING, stream)
    assert error_of(found) == code
    assert found["content"][-1]["text"] == "I could not search."
    assert found["usage"]["server_tool_use"] == {"web_search_requests": 0}
    result = in_chat_terms(generations(upstream)[-1])["messages"][-1]
    assert result["role"] == "tool"


def test_a_model_without_web_search(searching: Bridge, upstream: Simulator) -> None:
    upstream.config(responses_tools=["function"])
    found = ask(searching, CLAUDE, FAILING)
    assert error_of(found) == "unavailable"
    assert searching.log_line("web search tool is not supported")["level"] == "DEBUG"


def test_a_model_that_answers_from_memory(searching: Bridge, upstream: Simulator) -> None:
    prompt = '[[tool: web_search {"query": "[[finish: stop]][[chunks: 3]]"}]][[next]][[say: I could not search.]]'
    assert error_of(ask(searching, CLAUDE, prompt)) == "unavailable"


def test_a_query_of_the_wrong_kind(searching: Bridge, upstream: Simulator) -> None:
    prompt = '[[tool: web_search {"query": 7}]][[next]][[say: Sorry.]]'
    assert error_of(ask(searching, CLAUDE, prompt)) == "invalid_tool_input"
    assert len(generations(upstream)) == 2


def test_a_search_tool_of_the_wrong_shape_is_named(searching: Bridge, upstream: Simulator) -> None:
    answer = post(searching, body_of(CLAUDE, "hi", tools=[{**SEARCH, "max_uses": "many"}]))
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "tools[0].max_uses" in answer.json()["error"]["message"]
    assert generations(upstream) == []


# ── the model that was asked fails ──────────────────────────────────────────────────────────────────────────────────


@whole_and_streamed
def test_a_refusal_before_anything_has_its_own_status(searching: Bridge, upstream: Simulator, stream: bool) -> None:
    upstream.fault(endpoint="/v1/messages", status=429, headers={"Retry-After": "7"}, body={"message": "slow down"})
    answer = post(searching, body_of(CLAUDE, FAILING, stream))
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"
    assert answer.json()["error"]["type"] == "rate_limit_error"


def test_a_failure_after_the_search_ends_the_stream_with_an_error(searching: Bridge, upstream: Simulator) -> None:
    upstream.fault(endpoint="/v1/messages", skip=1, status=429, body={"message": "slow down"})
    events = events_in(post(searching, body_of(CLAUDE, FAILING, True)).text)
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "rate_limit_error"
    assert "message_stop" not in [event["type"] for event in events]
    upstream.fault(endpoint="/v1/messages", skip=1, status=429, body={"message": "slow down"})
    assert post(searching, body_of(CLAUDE, FAILING)).status_code == 429


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_client_hears_of_the_search_while_it_runs(searching: Bridge, upstream: Simulator) -> None:
    """The search waits at a gate: the client has been told of it by then, and hears that we are alive."""
    prompt = '[[tool: web_search {"query": "kites [[gate: search]]"}]][[next]][[say: They fly.]]'
    with post(searching, body_of(CLAUDE, prompt, True), stream=True) as answer:
        heard = b""
        for piece in pieces(answer):
            heard += piece
            if b"server_tool_use" in heard and heard.count(b"event: ping") >= 3:
                break
        assert b"web_search_tool_result" not in heard
        upstream.open_gate("search")
        heard += b"".join(pieces(answer))
    assert kinds(accumulated(heard.decode())) == ["server_tool_use", "web_search_tool_result", "text"]


def test_a_client_that_leaves_ends_the_search(searching: Bridge, upstream: Simulator) -> None:
    aborted = upstream.state()["aborted_streams"]
    prompt = '[[tool: web_search {"query": "kites [[gate: left]]"}]][[next]][[say: They fly.]]'
    with post(searching, body_of(CLAUDE, prompt, True), stream=True) as answer:
        heard = b""
        for piece in pieces(answer):
            heard += piece
            if b"server_tool_use" in heard and heard.count(b"event: ping") >= 3:
                break
    upstream.wait("aborted_streams", aborted + 1)
    assert sum(call["path"] == "/v1/messages" for call in generations(upstream)) == 1


def test_the_log_tells_of_searches(searching: Bridge, upstream: Simulator) -> None:
    answer = post(searching, body_of(CLAUDE, f"{KITES}[[next]][[say: They fly.]]"))
    assert searching.request_line(answer.headers["x-request-id"])["searches"] == 1


# ── off ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def plain(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge whose search is switched off."""
    env = {
        **simulator_process.settings_env(),
        "GH_COPILOT_TOKEN": "ghu_test_individual",
        "WEB_SEARCH_MODEL": "off",
    }
    with Bridge(env, tmp_path_factory.mktemp("plain")) as running:
        yield running


@every_model
@whole_and_streamed
def test_off_the_model_is_told(plain: Bridge, upstream: Simulator, model: str, stream: bool) -> None:
    answer = post(plain, body_of(model, "[[say: I cannot search here.]]", stream, system="Be kind."))
    assert answer.status_code == 200
    assert "web_search_20250305" in answer.headers["x-bridge-dropped"]
    (call,) = generations(upstream)
    said = in_chat_terms(call)
    assert not said.get("tools")
    system = "".join(text_of(one["content"]) for one in said["messages"] if one["role"] == "system")
    assert system.startswith("Be kind.")
    assert "web_search is not available through this connection" in system


@every_model
@whole_and_streamed
def test_off_a_forced_search_fails_and_says_why(plain: Bridge, upstream: Simulator, model: str, stream: bool) -> None:
    asked = "Perform a web search for the query: kites"
    found = ask(plain, model, asked, stream, tool_choice={"type": "tool", "name": "web_search"})
    assert kinds(found) == ["server_tool_use", "web_search_tool_result", "text"]
    assert found["content"][0]["input"] == {"query": "kites"}
    assert error_of(found) == "unavailable"
    assert "WEB_SEARCH_MODEL" in found["content"][2]["text"]
    assert generations(upstream) == []


@every_model
def test_off_a_forced_search_beside_other_tools_is_left_to_the_model(
    plain: Bridge, upstream: Simulator, model: str
) -> None:
    choice = {"type": "tool", "name": "web_search"}
    found = ask(plain, model, "[[say: I cannot.]]", tools=[SEARCH, WEATHER], tool_choice=choice)
    assert found["content"][0]["text"] == "I cannot."
    assert in_chat_terms(generations(upstream)[0]).get("tool_choice") in (None, "auto")


@every_model
def test_off_the_options_of_a_chat_client_are_named(plain: Bridge, upstream: Simulator, model: str) -> None:
    said = [{"role": "user", "content": "[[say: I cannot.]]"}]
    answer = plain.post("/v1/chat/completions", json={"model": model, "messages": said, "web_search_options": {}})
    assert answer.json()["choices"][0]["message"]["content"] == "I cannot."
    assert answer.headers["x-bridge-dropped"] == "web_search_options"
