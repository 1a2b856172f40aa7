"""Cursor's requests (``tests.support.cursor``) through a real bridge, to every kind of model of a strict upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support import cursor as bodies
from tests.support.bridge import Bridge
from tests.support.cursor import PATCH, SECOND_PATCH, agent, ask, claude
from tests.support.grammar import Told, read
from tests.support.pictures import png_base64, png_url
from tests.support.upstream import generations, in_chat_terms, initiators, last_generation

Json = dict[str, Any]

ENDPOINT = "/v1/chat/completions"
GPT, CODEX, BOTH = "gpt-4.1", "gpt-5.3-codex", "gpt-5-mini"
CLAUDE, GEMINI = "claude-sonnet-4.6", "gemini-2.5-pro"
GEMINI_3 = "gemini-3-pro-preview"  # wants the proofs of its calls back
# Where agent mode goes: to Responses if the model is served there, else to what says most.
AGENT_PATHS = {
    GPT: "/chat/completions",
    CODEX: "/responses",
    BOTH: "/responses",
    CLAUDE: "/v1/messages",
    GEMINI: "/chat/completions",
}
CHAT_PATHS = {**AGENT_PATHS, BOTH: "/chat/completions", CLAUDE: "/chat/completions"}
MODES = {"agent": agent, "ask": ask}
TEXT = "The quick brown fox — über 你好 👋🏽."

every_model = pytest.mark.parametrize("model", AGENT_PATHS)
every_mode = pytest.mark.parametrize("mode", MODES)
either_way = pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])


@pytest.fixture(scope="module")
def shared(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "ANSWER_PROBES": "true"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        yield running


@pytest.fixture
def upstream(shared: Bridge, simulator_process: Simulator) -> Iterator[Simulator]:
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    yield simulator_process
    simulator_process.clear_faults()


def post(bridge: Bridge, body: Json, *, streamed: bool = True) -> requests.Response:
    body = {**body, "stream": streamed}
    return bridge.post(ENDPOINT, json=body if streamed else {k: v for k, v in body.items() if k != "stream_options"})


def told(response: requests.Response) -> Json:
    """The message of an answer, whole or put together from a stream that ended well."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        stream: Told = read("chat", response.content)
        assert stream.is_finished, stream.error
        usage = [chunk["usage"] for chunk in stream.events if not chunk["choices"]]
        assert len(usage) == 1, "Cursor asked for the usage chunk"
        answer = stream.answer
    else:
        answer = response.json()
        assert answer["object"] == "chat.completion"
    message: Json = answer["choices"][0]["message"]
    return message


def only_call(response: requests.Response) -> Json:
    (call,) = told(response)["tool_calls"]
    assert call["type"] == "function"
    found: Json = call
    return found


def said_by(call: Json) -> tuple[str, str]:
    """Name and arguments; Gemini's calls carry a proof beside them."""
    return call["function"]["name"], call["function"]["arguments"]


# ── text, tools, patches ────────────────────────────────────────────────────────────────────────────────────────────


@every_model
@every_mode
@either_way
def test_text(shared: Bridge, upstream: Simulator, mode: str, model: str, streamed: bool) -> None:
    response = post(shared, MODES[mode](model, f"[[say: {TEXT}]]"), streamed=streamed)
    assert told(response)["content"] == TEXT
    (call,) = generations(upstream)
    paths = AGENT_PATHS if mode == "agent" else CHAT_PATHS
    assert (call["path"], call["status"], call["json"]["model"]) == (paths[model], 200, model)
    assert call["header"]["x-initiator"] == "user"
    received = in_chat_terms(call)
    assert [tool["function"]["name"] for tool in received["tools"]] == ["ReadFile", "ApplyPatch"]
    assert bodies.GRAMMAR in received["tools"][1]["function"]["description"]


@every_model
def test_agent_mode_in_two_rounds_of_one_turn_and_a_second_turn(
    shared: Bridge, upstream: Simulator, model: str
) -> None:
    """The patch comes as raw text in a function, goes back so, and reaches the model as the call that it made."""
    before = upstream.ledger()["user_requests"]
    patch = json.dumps({"input": PATCH}, ensure_ascii=False)
    second = json.dumps({"input": SECOND_PATCH})
    said: list[Any] = [
        f'[[tool: ApplyPatch {patch}]] [[next]] [[tool: ReadFile {{"path": "hello.txt"}}]] [[next]] [[say: Done.]]'
    ]
    first = only_call(post(shared, agent(model, *said)))
    assert said_by(first) == ("ApplyPatch", PATCH)

    said += [bodies.item_call(first["id"], "ApplyPatch", PATCH), bodies.item_result(first["id"], "Patched.")]
    look = only_call(post(shared, agent(model, *said)))
    assert (look["function"]["name"], json.loads(look["function"]["arguments"])) == ("ReadFile", {"path": "hello.txt"})

    arguments = look["function"]["arguments"]
    said += [bodies.item_call(look["id"], "ReadFile", arguments), bodies.item_result(look["id"], "grüß dich")]
    assert told(post(shared, agent(model, *said)))["content"] == "Done."

    said += [{"role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}]
    said += [f"[[tool: ApplyPatch {second}]] [[next]] [[say: All done.]]"]
    again = only_call(post(shared, agent(model, *said)))
    assert said_by(again) == ("ApplyPatch", SECOND_PATCH)
    said += [bodies.item_call(again["id"], "ApplyPatch", SECOND_PATCH), bodies.item_result(again["id"], "Patched.")]
    assert told(post(shared, agent(model, *said), streamed=False))["content"] == "All done."

    made = generations(upstream)
    assert [(one["path"], one["status"]) for one in made] == [(AGENT_PATHS[model], 200)] * 5
    assert initiators(upstream) == ["user", "agent", "agent", "user", "agent"]
    interactions = [one["header"]["x-interaction-id"] for one in made]
    assert (len(set(interactions[:3])), len(set(interactions[3:])), len(set(interactions))) == (1, 1, 2)
    assert upstream.ledger()["user_requests"] - before == 2
    received = [one for one in in_chat_terms(made[-1])["messages"] if one["role"] != "system"]
    assert [one["role"] for one in received] == [
        *("user", "assistant", "tool", "assistant", "tool", "assistant"),
        *("user", "assistant", "tool"),
    ]
    patches = [call["function"] for one in received for call in one.get("tool_calls") or []]
    assert [json.loads(one["arguments"]) for one in patches if one["name"] == "ApplyPatch"] == [
        {"input": PATCH},
        {"input": SECOND_PATCH},
    ]


@every_model
@either_way
def test_ask_mode_patches_too(shared: Bridge, upstream: Simulator, model: str, streamed: bool) -> None:
    prompt = f"[[tool: ApplyPatch {json.dumps({'input': PATCH})}]] [[next]] [[say: Done.]]"
    call = only_call(post(shared, ask(model, prompt), streamed=streamed))
    assert said_by(call) == ("ApplyPatch", PATCH)
    back = [bodies.chat_call(call["id"], "ApplyPatch", PATCH), bodies.chat_result(call["id"], "Patched.")]
    assert told(post(shared, ask(model, prompt, *back), streamed=streamed))["content"] == "Done."
    assert initiators(upstream) == ["user", "agent"]
    assert {one["path"] for one in generations(upstream)} == {CHAT_PATHS[model]}


@every_model
@either_way
def test_the_tools_and_blocks_of_models_called_claude(
    shared: Bridge, upstream: Simulator, model: str, streamed: bool
) -> None:
    prompt = '[[tool: ReadFile {"path": "a"}]] [[next]] [[say: Done.]]'
    call = only_call(post(shared, claude(model, prompt), streamed=streamed))
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("ReadFile", {"path": "a"})
    back = [
        bodies.block_call(call["id"], "ReadFile", {"path": "a"}),
        bodies.block_result(call["id"], "no such file", is_error=True),
    ]
    assert told(post(shared, claude(model, prompt, *back), streamed=streamed))["content"] == "Done."
    assert initiators(upstream) == ["user", "agent"]
    received = in_chat_terms(last_generation(upstream))["messages"]
    assert [one["role"] for one in received] == ["system", "user", "assistant", "tool"]
    assert "no such file" in str(received[-1]["content"])
    # The same in the words of Responses, but for the blocks.
    mixed = agent(model, prompt, *back, tools=[bodies.ANTHROPIC_READ], tool_choice={"type": "auto"})
    assert told(post(shared, mixed, streamed=streamed))["content"] == "Done."


@every_model
def test_a_tool_that_anthropic_words_can_force(shared: Bridge, upstream: Simulator, model: str) -> None:
    chosen = claude(model, "Look.", tool_choice={"type": "tool", "name": "ReadFile"})
    assert only_call(post(shared, chosen))["function"]["name"] == "ReadFile"
    assert (
        only_call(post(shared, claude(model, "Look.", tool_choice={"type": "any"})))["function"]["name"] == "ReadFile"
    )


# ── pictures, thoughts, usage ───────────────────────────────────────────────────────────────────────────────────────

PICTURES = {
    "responses": (agent, {"type": "input_image", "image_url": png_url(12, 7)}),
    "chat in input": (agent, {"type": "image_url", "image_url": {"url": png_url(12, 7)}}),
    "chat": (ask, {"type": "image_url", "image_url": {"url": png_url(12, 7)}}),
    "anthropic": (
        claude,
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png_base64(12, 7)}},
    ),
}


@every_model
@pytest.mark.parametrize("form", PICTURES)
def test_pictures(shared: Bridge, upstream: Simulator, model: str, form: str) -> None:
    make, picture = PICTURES[form]
    kind = "input_text" if form == "responses" else "text"
    said = {"role": "user", "content": [{"type": kind, "text": "What do you see?"}, picture]}
    assert "12x7" in told(post(shared, make(model, said)))["content"]
    assert last_generation(upstream)["header"]["copilot-vision-request"] == "true"


@pytest.mark.parametrize("model", [CODEX, BOTH, CLAUDE])
@either_way
def test_thoughts_come_as_chat_clients_read_them_and_their_proofs_come_home(
    shared: Bridge, upstream: Simulator, model: str, streamed: bool
) -> None:
    prompt = '[[think: Let me see.]] [[tool: ReadFile {"path": "a"}]] [[next]] [[say: Seen.]]'
    message = told(post(shared, agent(model, prompt), streamed=streamed))
    assert message["reasoning_content"] == "Let me see."
    (call,) = message["tool_calls"]
    echoed = {**message, "content": message["content"] or ""}
    back = agent(model, prompt, echoed, bodies.chat_result(call["id"], "x"))
    assert told(post(shared, back, streamed=streamed))["content"] == "Seen."
    received = last_generation(upstream)
    if received["path"] == "/responses":
        (thought,) = [item for item in received["json"]["input"] if item["type"] == "reasoning"]
        assert thought["encrypted_content"]
    else:
        blocks = [block for one in received["json"]["messages"] for block in one["content"]]
        assert [block["thinking"] for block in blocks if block["type"] == "thinking"] == ["Let me see."]


@either_way
def test_gemini_3_gets_the_proofs_of_its_calls_back(shared: Bridge, upstream: Simulator, streamed: bool) -> None:
    prompt = f"[[think: Hm.]] [[tool: ApplyPatch {json.dumps({'input': PATCH})}]] [[next]] [[say: Done.]]"
    message = told(post(shared, agent(GEMINI_3, prompt), streamed=streamed))
    result = bodies.chat_result(message["tool_calls"][0]["id"], "Patched.")
    echoed = agent(GEMINI_3, prompt, {**message, "content": ""}, result)
    assert told(post(shared, echoed, streamed=streamed))["content"] == "Done."
    bare = agent(GEMINI_3, prompt, bodies.chat_call(result["tool_call_id"], "ApplyPatch", PATCH), result)
    assert told(post(shared, bare, streamed=streamed))["content"] == "Done."


@every_model
def test_what_cannot_be_carried_is_named_and_nothing_is_refused(
    shared: Bridge, upstream: Simulator, model: str
) -> None:
    odd = agent(model, "[[say: Fine.]]", store=True, metadata={"depth": 3}, some_new_field={"x": 1})
    response = post(shared, odd)
    assert told(response)["content"] == "Fine."
    dropped = response.headers["x-bridge-dropped"].split(", ")
    assert {"metadata", "some_new_field"} <= set(dropped)
    assert response.headers["x-bridge-upstream"] == AGENT_PATHS[model].split("/")[-1].replace("completions", "chat")


# ── errors: in the form of chat ─────────────────────────────────────────────────────────────────────────────────────

USER = {"role": "user", "content": "hi"}
WRONG: list[tuple[Json, str, str]] = [
    ({"input": [USER], "messages": [USER]}, "input", "stands beside 'messages'"),
    ({}, "messages", "'messages' is required"),
    ({"input": []}, "messages", "'messages' is required"),
    ({"input": {"role": "user"}}, "input", "'input' must be a string or a list of items"),
    ({"input": [7]}, "input[0]", "input[0]"),
    ({"input": [{"role": "king", "content": "hi"}]}, "input[0].role", "input[0].role"),
    ({"input": [USER], "stream": "yes"}, "stream", "'stream' must be true or false"),
    ({"input": [USER], "previous_response_id": "resp_1"}, "previous_response_id", "send the whole conversation"),
    ({"input": [USER], "tools": [{"type": "custom"}]}, "tools[0].custom", "tools[0].custom"),
    ({"input": [USER], "n": 2}, "n", "n is not supported"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
        "messages[0].content[0].tool_use_id",
        "id",
    ),
]


@pytest.mark.parametrize(("fields", "param", "words"), WRONG, ids=[str(sorted(one)) + param for one, param, _ in WRONG])
def test_what_is_wrong_is_named(shared: Bridge, upstream: Simulator, fields: Json, param: str, words: str) -> None:
    response = shared.post(ENDPOINT, json={"model": GPT, **fields})
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert words in error["message"]
    assert generations(upstream) == []


@pytest.mark.parametrize(
    "fields", [{"input": "hi", "messages": []}, {"input": "hi", "messages": None}, {"messages": [USER], "input": ""}]
)
def test_an_empty_conversation_beside_the_other_is_none(shared: Bridge, upstream: Simulator, fields: Json) -> None:
    assert shared.post(ENDPOINT, json={"model": GPT, **fields}).status_code == 200


@every_model
@pytest.mark.parametrize(
    ("directive", "status", "kind"),
    [
        ("[[error: 429 retry-after=30]]", 429, "rate_limit_error"),
        ("[[error: prompt_too_long]]", 400, "invalid_request_error"),
    ],
)
@either_way
def test_upstreams_errors(
    shared: Bridge, upstream: Simulator, model: str, directive: str, status: int, kind: str, streamed: bool
) -> None:
    response = post(shared, agent(model, directive), streamed=streamed)
    assert (response.status_code, response.json()["error"]["type"]) == (status, kind)
    if status == 429:
        assert response.headers["retry-after"] == "30"


@every_model
def test_an_error_within_the_stream(shared: Bridge, upstream: Simulator, model: str) -> None:
    stream = read("chat", post(shared, agent(model, f"[[say: {TEXT}]] [[cut: 5]]")).content)
    assert not stream.is_finished
    assert stream.error is not None
    assert "broke off before the answer was complete" in stream.error["message"]
    assert stream.closed_calls == []


def test_an_unknown_model(shared: Bridge, upstream: Simulator) -> None:
    """Not in the catalogue, so upstream is asked, and by the way that such a body is meant for."""
    response = post(shared, agent("gpt-99", "hi"))
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


def test_without_a_model_list_the_body_goes_where_it_was_meant_for(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    simulator.fault("internal_500", endpoint="/models", times=None)
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as bridge:
        assert told(post(bridge, agent(CODEX, "[[say: Fine.]]")))["content"] == "Fine."
    assert last_generation(simulator)["path"] == "/responses"


@either_way
def test_a_probe_is_answered_in_the_form_of_chat(shared: Bridge, upstream: Simulator, streamed: bool) -> None:
    probe = {"model": CODEX, "input": "hi", "max_output_tokens": 1, "stream": streamed}
    response = shared.post(ENDPOINT, json=probe)
    assert response.headers["x-bridge-answered"] == "locally"
    answer = read("chat", response.content).answer if streamed else response.json()
    assert answer["choices"][0]["message"]["content"] == "OK"
    assert generations(upstream) == []
