"""The official Anthropic SDK, unmodified, against bridge and simulator over real HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, beta_tool
from pydantic import BaseModel

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.pictures import png_base64
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.upstream import generations, in_chat_terms, initiators, last_generation, text_of

CLAUDE, CODEX, GPT, GEMINI = "claude-sonnet-4.6", "gpt-5.3-codex", "gpt-4.1", "gemini-3-pro-preview"
MODELS = [CLAUDE, CODEX, GPT, GEMINI]
PATHS = {CLAUDE: "/v1/messages", CODEX: "/responses", GPT: "/chat/completions", GEMINI: "/chat/completions"}
PROTOCOLS = {CLAUDE: "messages", CODEX: "responses", GPT: "chat", GEMINI: "chat"}

WEATHER: Any = {
    "name": "get_weather",
    "description": "Current weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

every_model = pytest.mark.parametrize("model", MODELS)
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def sdk(bridge: Bridge, *, key: str | None = None, retries: int = 0) -> Anthropic:
    http = anthropic.DefaultHttpxClient(verify=NO_AUTHORITIES)
    key = key or bridge.api_key
    return Anthropic(base_url=bridge.url, api_key=key, max_retries=retries, timeout=60, http_client=http)


@pytest.fixture
def client(shared_bridge: Bridge) -> Iterator[Anthropic]:
    with sdk(shared_bridge) as client:
        yield client


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def ask(client: Anthropic, model: str, messages: Any, stream: bool = False, **options: Any) -> Any:
    """One question, through the whole-answer or the streaming helper of the SDK; the message."""
    options = {"max_tokens": 1024, **options}
    if not stream:
        return client.messages.create(model=model, messages=messages, **options)
    with client.messages.stream(model=model, messages=messages, **options) as events:
        check_grammar(list(events))
        return events.get_final_message()


def check_grammar(events: list[Any]) -> None:
    """The order that the protocol prescribes, on the SDK's own view of the stream."""
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    started = [event.index for event in events if event.type == "content_block_start"]
    assert started == list(range(len(started)))
    open_block: int | None = None
    for event in events:
        if event.type == "content_block_start":
            assert open_block is None
            open_block = event.index
        elif event.type == "content_block_delta":
            assert open_block == event.index
        elif event.type == "content_block_stop":
            assert open_block == event.index
            open_block = None
    assert open_block is None


def texts(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def uses(message: Any) -> list[Any]:
    return [block for block in message.content if block.type == "tool_use"]


def said(message: Any) -> list[str]:
    """The types of its blocks, but for thoughts that are a proof and nothing else: Gemini's may come late."""
    return [block.type for block in message.content if block.type != "thinking" or block.thinking]


def echo(message: Any) -> Any:
    """The answer as the SDK's users send it back."""
    return {"role": "assistant", "content": message.to_dict(mode="json")["content"]}


def results(*blocks: tuple[Any, Any]) -> Any:
    """Tool results: call and content of each."""
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": use.id, "content": content} for use, content in blocks],
    }


def image(width: int, height: int) -> Any:
    source = {"type": "base64", "media_type": "image/png", "data": png_base64(width, height)}
    return {"type": "image", "source": source}


# ── text ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_model
def test_plain_answer(client: Anthropic, upstream: Simulator, model: str) -> None:
    raw = client.messages.with_raw_response.create(model=model, max_tokens=1024, messages=user("你好"))
    message = raw.parse()

    assert raw.headers["x-bridge-upstream"] == PROTOCOLS[model]
    assert (message.type, message.role, message.model) == ("message", "assistant", model)
    assert message.id
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert [block.type for block in message.content] == ["text"]
    assert "你好" in texts(message)
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    (request,) = generations(upstream)
    assert request["path"] == PATHS[model]
    assert request["json"]["model"] == model
    assert [(one["role"], text_of(one["content"])) for one in in_chat_terms(request)["messages"]] == [("user", "你好")]
    assert initiators(upstream) == ["user"]


@every_model
def test_streamed_answer_is_the_whole_answer(client: Anthropic, upstream: Simulator, model: str) -> None:
    prompt = "[[say: The quick brown fox — über 你好 👋🏽.]]"
    with client.messages.stream(model=model, max_tokens=1024, messages=user(prompt)) as stream:
        assert "".join(stream.text_stream) == "The quick brown fox — über 你好 👋🏽."
        streamed = stream.get_final_message()
    whole = ask(client, model, user(prompt))

    assert texts(streamed) == texts(whole)
    assert [block.type for block in streamed.content] == [block.type for block in whole.content]
    assert (streamed.stop_reason, streamed.model, streamed.role) == (whole.stop_reason, model, "assistant")
    assert streamed.usage.input_tokens == whole.usage.input_tokens
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert initiators(upstream) == ["user", "user"]


@every_model
def test_event_order_and_first_numbers(client: Anthropic, upstream: Simulator, model: str) -> None:
    prompt = (
        '[[think: Hm.]] [[say: Both.]] [[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Rome"}]]'
    )
    stream = client.messages.create(
        model=model, max_tokens=4096, messages=user(prompt), tools=[WEATHER], thinking=thinking(model), stream=True
    )
    events = list(stream)
    check_grammar(events)
    assert events[0].message.content == []
    assert events[0].message.usage.input_tokens >= 0
    assert [event for event in events if event.type == "message_delta"][-1].usage.output_tokens > 0


def thinking(model: str) -> Any:
    return {"type": "adaptive"} if model == CLAUDE else {"type": "enabled", "budget_tokens": 2048}


@every_model
@pytest.mark.parametrize(
    "system",
    [
        "Answer like a pirate.",
        [
            {"type": "text", "text": "Answer like "},
            {"type": "text", "text": "a pirate.", "cache_control": {"type": "ephemeral"}},
        ],
    ],
    ids=["string", "blocks"],
)
def test_system_prompt(client: Anthropic, upstream: Simulator, model: str, system: Any) -> None:
    ask(client, model, user("hi"), system=system)
    request = last_generation(upstream)
    first, second = in_chat_terms(request)["messages"]
    assert first["role"] in ("system", "developer")
    assert text_of(first["content"]).split() == ["Answer", "like", "a", "pirate."]
    assert (second["role"], text_of(second["content"])) == ("user", "hi")
    if model == CLAUDE:
        assert request["json"]["system"] == system


@every_model
@whole_and_streamed
def test_many_turns(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    messages: Any = []
    for number in range(1, 4):
        messages += user(f"[[say: answer {number}]] question {number}")
        message = ask(client, model, messages, stream)
        assert texts(message) == f"answer {number}"
        messages.append(echo(message))
    received = in_chat_terms(last_generation(upstream))["messages"]
    assert [one["role"] for one in received] == ["user", "assistant", "user", "assistant", "user"]
    assert [text_of(one["content"])[-10:].strip() for one in received] == [
        "question 1",
        "answer 1",
        "question 2",
        "answer 2",
        "question 3",
    ]
    assert initiators(upstream) == ["user"] * 3


@every_model
@whole_and_streamed
def test_stop_at_max_tokens(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    long = "[[say: " + " ".join(f"word{n}" for n in range(40)) + "]]"
    message = ask(client, model, user(long), stream, max_tokens=20)
    assert message.stop_reason == "max_tokens"
    assert texts(message).split() == [f"word{n}" for n in range(20)]


@pytest.mark.parametrize("model", [CLAUDE, GPT, GEMINI])
@whole_and_streamed
def test_stop_sequences(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    message = ask(client, model, user("[[say: one two STOP three]]"), stream, stop_sequences=["STOP", "HALT"])
    assert texts(message).strip() == "one two"
    assert in_chat_terms(last_generation(upstream))["stop"] == ["STOP", "HALT"]
    if model == CLAUDE:  # chat does not tell which one it was
        assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP")
    else:
        assert message.stop_reason == "end_turn"


@whole_and_streamed
def test_stop_sequences_for_a_model_that_has_none_cut_the_answer_here(
    client: Anthropic, upstream: Simulator, stream: bool
) -> None:
    message = ask(client, CODEX, user("[[say: one two STOP three]]"), stream, stop_sequences=["STOP", "HALT"])
    assert texts(message).strip() == "one two"
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP")
    assert message.usage.output_tokens > 0
    assert "stop" not in last_generation(upstream)["json"]


@every_model
@whole_and_streamed
def test_refusal(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    prompt = {CLAUDE: "[[finish: refusal]]", CODEX: "[[say: I cannot help with that.]] [[finish: refusal]]"}
    message = ask(client, model, user(prompt.get(model, "[[say: one two three four]] [[filter: hate]]")), stream)
    assert message.stop_reason == "refusal"
    if model == CODEX:
        assert texts(message) == "I cannot help with that."


# ── tools ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_model
@whole_and_streamed
def test_tool_round_trip(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    before = upstream.ledger()
    messages = user('[[tool: get_weather {"city": "Zürich"}]]')
    message = ask(client, model, messages, stream, tools=[WEATHER])
    (use,) = uses(message)
    assert message.stop_reason == "tool_use"
    assert (use.name, use.input) == ("get_weather", {"city": "Zürich"})

    messages += [echo(message), results((use, "11 degrees and rain"))]
    final = ask(client, model, messages, stream, tools=[WEATHER])
    assert "11 degrees and rain" in texts(final)
    assert final.stop_reason == "end_turn"

    first, second = generations(upstream)
    assert initiators(upstream) == ["user", "agent"]
    assert first["header"]["x-interaction-id"] == second["header"]["x-interaction-id"]
    after = upstream.ledger()
    assert after["user_requests"] - before["user_requests"] == 1
    assert after["agent_requests"] - before["agent_requests"] == 1
    (offered,) = in_chat_terms(first)["tools"]
    assert (offered["function"]["name"], offered["function"]["description"]) == ("get_weather", "Current weather")
    assert offered["function"]["parameters"]["properties"] == {"city": {"type": "string"}}
    assert offered["function"]["parameters"]["required"] == ["city"]
    _, turn, result = in_chat_terms(second)["messages"]
    (call,) = turn["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Zürich"}
    assert (result["role"], text_of(result["content"])) == ("tool", "11 degrees and rain")
    assert result["tool_call_id"] == call["id"]


@every_model
@whole_and_streamed
def test_parallel_tools(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    messages = user('[[say: Both.]] [[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Rome"}]]')
    message = ask(client, model, messages, stream, tools=[WEATHER])
    assert said(message) == ["text", "tool_use", "tool_use"]
    assert texts(message) == "Both."
    assert [use.input["city"] for use in uses(message)] == ["Oslo", "Rome"]
    assert len({use.id for use in uses(message)}) == 2

    oslo, rome = uses(message)
    messages += [echo(message), results((rome, "plus 17"), (oslo, "minus 3"))]  # in any order
    final = texts(ask(client, model, messages, stream, tools=[WEATHER]))
    assert "minus 3" in final
    assert "plus 17" in final
    assert initiators(upstream) == ["user", "agent"]


@every_model
@whole_and_streamed
def test_tool_without_arguments(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    tool: Any = {"name": "now", "input_schema": {"type": "object", "properties": {}}}
    messages = user("[[tool: now {}]]")
    message = ask(client, model, messages, stream, tools=[tool])
    (use,) = uses(message)
    assert use.input == {}
    messages += [echo(message), {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id}]}]
    assert ask(client, model, messages, stream, tools=[tool]).stop_reason == "end_turn"


@every_model
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}], ids=["any", "named"])
def test_forced_tool(client: Anthropic, upstream: Simulator, model: str, choice: Any) -> None:
    message = ask(client, model, user("hi"), tools=[WEATHER], tool_choice=choice)
    (use,) = uses(message)
    assert isinstance(use.input["city"], str)
    assert message.stop_reason == "tool_use"


@every_model
def test_one_tool_at_a_time(client: Anthropic, upstream: Simulator, model: str) -> None:
    prompt = '[[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Rome"}]]'
    choice: Any = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(uses(ask(client, model, user(prompt), tools=[WEATHER], tool_choice=choice))) == 1


@every_model
def test_failed_tool(client: Anthropic, upstream: Simulator, model: str) -> None:
    messages = user('[[tool: get_weather {"city": "Oslo"}]]')
    message = ask(client, model, messages, tools=[WEATHER])
    failed = results((uses(message)[0], "no such city"))
    failed["content"][0]["is_error"] = True
    assert "no such city" in texts(ask(client, model, [*messages, echo(message), failed], tools=[WEATHER]))
    request = last_generation(upstream)
    if model == CLAUDE:
        assert request["json"]["messages"][-1]["content"][0]["is_error"] is True
    else:
        result = in_chat_terms(request)["messages"][-1]
        assert text_of(result["content"]).lower().startswith("error")
        assert text_of(result["content"]).endswith("no such city")
    assert initiators(upstream) == ["user", "agent"]


@every_model
def test_picture_as_tool_result(client: Anthropic, upstream: Simulator, model: str) -> None:
    messages = user('[[tool: get_weather {"city": "Oslo"}]] [[next]] [[say: I see.]]')
    message = ask(client, model, messages, tools=[WEATHER])
    shown = results((uses(message)[0], [{"type": "text", "text": "a radar picture"}, image(9, 5)]))
    assert texts(ask(client, model, [*messages, echo(message), shown], tools=[WEATHER]))
    request = last_generation(upstream)
    assert png_base64(9, 5) in json.dumps(request["json"])
    assert "a radar picture" in json.dumps(request["json"])
    assert request["header"]["copilot-vision-request"] == "true"
    assert initiators(upstream) == ["user", "agent"]


# ── thinking ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["enabled", "adaptive"])
@every_model
@whole_and_streamed
def test_thinking_round_trip(client: Anthropic, upstream: Simulator, model: str, kind: str, stream: bool) -> None:
    """The thought and its proof come home to the upstream that minted them, word for word."""
    asked: Any = {"type": "adaptive"} if kind == "adaptive" else {"type": "enabled", "budget_tokens": 2000}
    options: dict[str, Any] = {"tools": [WEATHER], "thinking": asked, "max_tokens": 4096}
    messages = user('[[think: Let me see, 你好.]] [[say: Looking.]] [[tool: get_weather {"city": "Oslo"}]]')
    message = ask(client, model, messages, stream, **options)
    thought = message.content[0]
    assert (thought.type, thought.thinking) == ("thinking", "Let me see, 你好.")
    assert all(block.signature for block in message.content if block.type == "thinking")
    assert said(message) == ["thinking", "text", "tool_use"]

    messages += [echo(message), results((uses(message)[0], "fine"))]
    assert "fine" in texts(ask(client, model, messages, stream, **options))
    first, second = (request["json"] for request in generations(upstream))
    assert initiators(upstream) == ["user", "agent"]
    if model == CLAUDE:
        assert first["thinking"] == asked
        echoed = second["messages"][1]["content"][0]
        assert echoed == {"type": "thinking", "thinking": "Let me see, 你好.", "signature": thought.signature}
    elif model == CODEX:
        assert first["reasoning"]["summary"]
        assert "reasoning.encrypted_content" in first["include"]
        (item,) = [item for item in second["input"] if item.get("type") == "reasoning"]
        assert item["encrypted_content"].startswith("gAAAA")
        assert item["summary"] == [{"type": "summary_text", "text": "Let me see, 你好."}]
    else:
        turn = second["messages"][1]
        assert turn["reasoning_text"] == "Let me see, 你好."
        assert turn["reasoning_opaque"]
        assert "gwseal" not in turn["reasoning_opaque"]


@whole_and_streamed
def test_redacted_thinking_round_trip(client: Anthropic, upstream: Simulator, stream: bool) -> None:
    options: dict[str, Any] = {"tools": [WEATHER], "thinking": {"type": "adaptive"}, "max_tokens": 4096}
    messages = user('[[knob: thinking_form=redacted]] [[think: secret]] [[tool: get_weather {"city": "Oslo"}]]')
    message = ask(client, CLAUDE, messages, stream, **options)
    assert [block.type for block in message.content] == ["redacted_thinking", "tool_use"]
    messages += [echo(message), results((uses(message)[0], "fine"))]
    assert "fine" in texts(ask(client, CLAUDE, messages, stream, **options))
    echoed = last_generation(upstream)["json"]["messages"][1]["content"][0]
    assert echoed == {"type": "redacted_thinking", "data": message.content[0].data}


@every_model
def test_a_thought_that_nobody_can_prove_does_no_harm(client: Anthropic, upstream: Simulator, model: str) -> None:
    """A conversation that began at another provider."""
    foreign = {"type": "thinking", "thinking": "From elsewhere.", "signature": "RXhhbXBsZQ=="}
    messages = [
        *user("hi"),
        {"role": "assistant", "content": [foreign, {"type": "text", "text": "hello"}]},
        *user("[[say: still here]]"),
    ]
    message = ask(client, model, messages, thinking=thinking(model), max_tokens=4096)
    assert texts(message) == "still here"
    served = [request for request in generations(upstream) if request["status"] == 200]
    assert len(served) == 1
    assert "RXhhbXBsZQ==" not in json.dumps(served[0]["json"])


@pytest.mark.parametrize("model", [CLAUDE, CODEX])
@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_effort(client: Anthropic, upstream: Simulator, model: str, effort: Any) -> None:
    ask(client, model, user("hi"), thinking={"type": "adaptive"}, output_config={"effort": effort})
    sent = last_generation(upstream)["json"]
    assert (sent["output_config"] if model == CLAUDE else sent["reasoning"])["effort"] == effort


# ── pictures and documents ──────────────────────────────────────────────────────────────────────────────────────────


@every_model
@whole_and_streamed
def test_image(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    content = [{"type": "text", "text": "What do you see?"}, image(12, 7)]
    assert "12x7" in texts(ask(client, model, user(content), stream))
    assert last_generation(upstream)["header"]["copilot-vision-request"] == "true"


@every_model
def test_text_document(client: Anthropic, upstream: Simulator, model: str) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "The cat's name is Mrs. Norris."}
    document = {"type": "document", "source": source, "title": "Cats", "context": "A report"}
    ask(client, model, user([document, {"type": "text", "text": "[[say: yes]] Which name?"}]))
    # As text at every upstream: Copilot takes no documents but PDF (contract §8.11).
    said = text_of(in_chat_terms(last_generation(upstream))["messages"][0]["content"])
    for words in ("Cats", "A report", "The cat's name is Mrs. Norris.", "Which name?"):
        assert words in said
    assert said.index("Norris") < said.index("Which name?")


# ── structured output ───────────────────────────────────────────────────────────────────────────────────────────────


class Place(BaseModel):
    city: str
    inhabitants: int


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


# The simulated Gemini does not follow instructions: what it says must be said for it.
ANSWERS = {CLAUDE: "", CODEX: "", GPT: "", GEMINI: '[[say: {"city": "Bern", "inhabitants": 137000}]] '}


@every_model
def test_parsed_output(client: Anthropic, upstream: Simulator, model: str) -> None:
    messages = user(ANSWERS[model] + "Where?")
    parsed = client.messages.parse(model=model, max_tokens=1024, messages=messages, output_format=Place)
    assert isinstance(parsed.parsed_output, Place)
    assert parsed.stop_reason == "end_turn"


@every_model
@whole_and_streamed
def test_output_config(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    config: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
    message = ask(client, model, user(ANSWERS[model] + "Where?"), stream, output_config=config)
    assert isinstance(json.loads(texts(message))["city"], str)
    assert message.stop_reason == "end_turn"
    sent = last_generation(upstream)["json"]
    if model == GEMINI:  # in words, for the catalogue does not list it
        assert "response_format" not in sent
        assert '"city"' in text_of(sent["messages"][0]["content"])
    else:
        asked = in_chat_terms(last_generation(upstream))["response_format"]
        assert asked["json_schema"]["schema"]["properties"] == SCHEMA["properties"]


# ── counting, models ────────────────────────────────────────────────────────────────────────────────────────────────


@every_model
def test_count_tokens(client: Anthropic, upstream: Simulator, model: str) -> None:
    """Upstream counts for Claude, the bridge for all others; neither bills."""
    before = upstream.ledger()
    options: Any = {"system": "Be brief.", "tools": [WEATHER]}
    short = client.messages.count_tokens(model=model, messages=user("hello"), **options).input_tokens
    long = client.messages.count_tokens(model=model, messages=user("hello " * 500), **options).input_tokens
    assert 10 < short < 200
    assert long - short > 400
    counted = upstream.requests("/v1/messages/count_tokens")
    assert len(counted) == (2 if model == CLAUDE else 0)
    assert generations(upstream) == []
    assert upstream.ledger() == before


def test_models(client: Anthropic, upstream: Simulator) -> None:
    listed = {model.id: model for model in client.models.list(limit=1000)}
    assert {CLAUDE, CODEX, GPT, GEMINI} <= set(listed)
    assert all(model.type == "model" and model.display_name for model in listed.values())
    assert client.models.retrieve("claude-sonnet-4-6").id == CLAUDE


@pytest.mark.parametrize(
    ("asked", "served"),
    [("claude-sonnet-4-6", CLAUDE), ("claude-haiku-4-5-20251001", "claude-haiku-4.5")],
)
def test_model_names_mean_what_clients_mean(client: Anthropic, upstream: Simulator, asked: str, served: str) -> None:
    assert ask(client, asked, user("hi")).model == asked
    assert last_generation(upstream)["json"]["model"] == served


# ── the tool runner ─────────────────────────────────────────────────────────────────────────────────────────────────


@every_model
@whole_and_streamed
def test_tool_runner_goes_on_without_threads(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    before = upstream.ledger()
    asked: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Current weather

        Args:
            city: where
        """
        asked.append(city)
        return f"{city}: 11 degrees"

    prompt = (
        '[[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Rome"}]] [[next]] '
        '[[tool: get_weather {"city": "Bern"}]] [[next]] [[say: Warm everywhere.]]'
    )
    runner = client.beta.messages.tool_runner(
        model=model, max_tokens=1024, tools=[get_weather], messages=user(prompt), stream=stream
    )
    final = runner.until_done()

    assert texts(final) == "Warm everywhere."
    assert sorted(asked[:2]) == ["Oslo", "Rome"]
    assert asked[2:] == ["Bern"]
    assert initiators(upstream) == ["user", "agent", "agent"]
    assert upstream.ledger()["user_requests"] - before["user_requests"] == 1
    received = in_chat_terms(last_generation(upstream))["messages"]
    assert [one["role"] for one in received] == ["user", "assistant", "tool", "tool", "assistant", "tool"]


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@whole_and_streamed
def test_wrong_key_is_an_authentication_error(shared_bridge: Bridge, stream: bool) -> None:
    with sdk(shared_bridge, key="sk-wrong") as client:
        with pytest.raises(anthropic.AuthenticationError, match="Wrong API key") as caught:
            ask(client, CLAUDE, user("hi"), stream)
        with pytest.raises(anthropic.AuthenticationError):
            client.models.list()
        with pytest.raises(anthropic.AuthenticationError):
            client.messages.count_tokens(model=CLAUDE, messages=user("hi"))
    assert caught.value.type == "authentication_error"


def test_bearer_token_is_accepted_too(shared_bridge: Bridge, upstream: Simulator) -> None:
    with Anthropic(base_url=shared_bridge.url, auth_token=shared_bridge.api_key, max_retries=0) as client:
        assert texts(ask(client, GPT, user("[[say: welcome]]"))) == "welcome"


@every_model
@whole_and_streamed
def test_rate_limit_keeps_its_retry_after(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(client, model, user("[[error: 429 retry-after=3]]"), stream)
    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.type == "rate_limit_error"
    assert caught.value.request_id or caught.value.response.json()["request_id"]


@every_model
@whole_and_streamed
def test_the_sdk_retries_and_succeeds(shared_bridge: Bridge, upstream: Simulator, model: str, stream: bool) -> None:
    upstream.fault("rate_limited_429", endpoint=PATHS[model], headers={"retry-after": "0"})
    with sdk(shared_bridge, retries=2) as client:
        assert texts(ask(client, model, user("[[say: back again]]"), stream)) == "back again"


@every_model
@whole_and_streamed
def test_overloaded(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    with pytest.raises(anthropic.InternalServerError) as caught:
        ask(client, model, user("[[error: overloaded_529]]"), stream)
    assert "Overloaded" in str(caught.value)
    assert caught.value.type == "overloaded_error"


@every_model
@whole_and_streamed
def test_prompt_too_long(client: Anthropic, upstream: Simulator, model: str, stream: bool) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > \d+ maximum") as caught:
        ask(client, model, user("word " * 350_000), stream)
    assert caught.value.type == "invalid_request_error"


def broken(client: Anthropic, model: str, prompt: str, **options: Any) -> tuple[anthropic.APIError, list[Any]]:
    """The error that a stream ends in, and the events before it."""
    events: list[Any] = []

    def read() -> None:
        with client.messages.stream(model=model, max_tokens=1024, messages=user(prompt), **options) as stream:
            events.extend(stream)

    with pytest.raises(anthropic.APIError) as caught:
        read()
    return caught.value, events


@every_model
@pytest.mark.parametrize("kind", ["", " abrupt", " reset"], ids=["clean", "abrupt", "reset"])
def test_cut_stream_is_an_error_and_never_a_message(
    client: Anthropic, upstream: Simulator, model: str, kind: str
) -> None:
    error, events = broken(client, model, f"[[say: one two three four five six seven eight]] [[cut: 6{kind}]]")
    assert re.search("broke off|closed the connection", str(error))
    assert error.body["error"]["type"] == "api_error"
    assert events[0].type == "message_start"
    assert not {"message_stop", "message_delta"} & {event.type for event in events}


# How far a stream with one call gets into its arguments: bytes of the body.
CUTS = {CLAUDE: 1000, CODEX: 4200, GPT: 1300, GEMINI: 900}


@every_model
def test_cut_in_the_middle_of_a_tool_call_never_closes_it(client: Anthropic, upstream: Simulator, model: str) -> None:
    long = json.dumps({"city": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch"})
    prompt = f"[[tool: get_weather {long}]] [[cut_bytes: {CUTS[model]}]]"
    _, events = broken(client, model, prompt, tools=[WEATHER])
    assert "input_json" in {event.type for event in events}
    assert not {"message_delta", "message_stop"} & {event.type for event in events}
    closed = [event.content_block.type for event in events if event.type == "content_block_stop"]
    assert "tool_use" not in closed


@every_model
def test_error_inside_the_stream(client: Anthropic, upstream: Simulator, model: str) -> None:
    error, events = broken(client, model, "[[stream_error: overloaded_error Enough for now.]]")
    assert "Enough for now" in str(error)
    kinds = {event.type for event in events}
    assert "content_block_delta" in kinds
    assert not {"message_stop", "message_delta"} & kinds


@whole_and_streamed
def test_unknown_model(client: Anthropic, upstream: Simulator, stream: bool) -> None:
    before = upstream.ledger()
    with pytest.raises(anthropic.NotFoundError, match=r"claude-sonnet-4\.6") as caught:
        ask(client, "claude-sonnet-9.9", user("hi"), stream)
    assert caught.value.type == "not_found_error"
    assert upstream.ledger() == before


def test_model_that_speaks_no_protocol_of_ours(client: Anthropic, upstream: Simulator) -> None:
    with pytest.raises(anthropic.BadRequestError, match="/embeddings"):
        ask(client, "text-embedding-3-small", user("hi"))
