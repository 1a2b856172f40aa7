"""The official OpenAI SDK, unmodified, against bridge and simulator over real HTTP."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.plain_http import NO_AUTHORITIES

MODELS = ["gpt-4.1", "claude-haiku-4.5", "gemini-3-flash-preview"]

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def sdk(bridge: Bridge, *, key: str | None = None, retries: int = 0) -> OpenAI:
    http = openai.DefaultHttpxClient(verify=NO_AUTHORITIES)
    key = key or bridge.api_key
    return OpenAI(base_url=f"{bridge.url}/v1", api_key=key, max_retries=retries, timeout=60, http_client=http)


@pytest.fixture
def client(shared_bridge: Bridge) -> Iterator[OpenAI]:
    with sdk(shared_bridge) as client:
        yield client


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def png(width: int, height: int) -> str:
    """A real, tiny picture as a data URL."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\x7f\x20\x20" * width) * height)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    image = b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(image).decode()


@pytest.mark.parametrize("model", MODELS)
def test_plain_answer(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=user("你好"))

    assert answer.object == "chat.completion"
    assert answer.model == model
    assert answer.created > 1_700_000_000
    assert answer.id
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert "你好" in (choice.message.content or "")
    assert answer.usage is not None
    assert answer.usage.total_tokens >= answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("with_usage", [True, False])
def test_streamed_answer(client: OpenAI, model: str, with_usage: bool) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if with_usage else {}
    chunks = list(
        client.chat.completions.create(
            model=model, messages=user("[[say: The quick brown fox.]]"), stream=True, **options
        )
    )

    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "The quick brown fox."
    first, *rest = [c.choices[0].delta.role for c in chunks if c.choices]
    assert first == "assistant"
    assert set(rest) == {None}
    assert [c.choices[0].finish_reason for c in chunks if c.choices if c.choices[0].finish_reason] == ["stop"]
    assert len({(c.id, c.created, c.model, c.object) for c in chunks}) == 1
    with_numbers = [c for c in chunks if c.usage is not None]
    assert len(with_numbers) == (1 if with_usage else 0)
    assert all(c.choices for c in chunks if c.usage is None)
    if with_usage:
        assert chunks[-1].choices == []


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_tool_round_trip(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    billed_before = upstream.ledger()["user_requests"]
    messages = user('[[tool: get_weather {"city": "Zürich"}]]')
    message = ask(client, model, messages, stream)
    (call,) = message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Zürich"}

    messages.append(message.to_dict(mode="json"))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "11 degrees and rain"})
    assert "11 degrees and rain" in (ask(client, model, messages, stream).content or "")

    first, second = (request["header"] for request in upstream.requests("/chat/completions"))
    assert (first["x-initiator"], second["x-initiator"]) == ("user", "agent")
    assert first["x-interaction-id"] == second["x-interaction-id"]
    assert upstream.ledger()["user_requests"] - billed_before == 1


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_parallel_tools(client: OpenAI, model: str, stream: bool) -> None:
    prompt = '[[say: Looking at both.]] [[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Rome"}]]'
    messages = user(prompt)
    message = ask(client, model, messages, stream)

    assert message.content == "Looking at both."
    assert [json.loads(call.function.arguments)["city"] for call in message.tool_calls] == ["Oslo", "Rome"]
    assert len({call.id for call in message.tool_calls}) == 2

    messages.append(message.to_dict(mode="json"))
    for call, text in zip(message.tool_calls, ("minus 3", "plus 17"), strict=True):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
    final = ask(client, model, messages, stream).content or ""
    assert "minus 3" in final
    assert "plus 17" in final


def ask(client: OpenAI, model: str, messages: Any, stream: bool) -> Any:
    """One question, through the whole-answer or the streaming helper of the SDK; the assistant message."""
    if not stream:
        return client.chat.completions.create(model=model, messages=messages, tools=[WEATHER]).choices[0].message
    with client.chat.completions.stream(model=model, messages=messages, tools=[WEATHER]) as events:
        for _ in events:
            pass
        final = events.get_final_completion().choices[0]
    assert final.finish_reason == ("tool_calls" if final.message.tool_calls else "stop")
    return final.message


@pytest.mark.parametrize("model", MODELS)
def test_image(client: OpenAI, upstream: Simulator, model: str) -> None:
    content: Any = [
        {"type": "text", "text": "What do you see?"},
        {"type": "image_url", "image_url": {"url": png(12, 7)}},
    ]
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    assert "12x7" in (answer.choices[0].message.content or "")
    assert upstream.last_request("/chat/completions")["header"]["copilot-vision-request"] == "true"


@pytest.mark.parametrize("model", ["claude-haiku-4.5", "gemini-3-pro-preview"])
def test_reasoning_is_offered_and_taken_back(client: OpenAI, upstream: Simulator, model: str) -> None:
    messages = user('[[think: Let me see.]] [[tool: get_weather {"city": "Oslo"}]]')
    with client.chat.completions.stream(model=model, messages=messages, tools=[WEATHER]) as events:
        reasoning = ""
        for event in events:
            if event.type == "chunk" and event.chunk.choices:
                reasoning += getattr(event.chunk.choices[0].delta, "reasoning_content", None) or ""
        message = events.get_final_completion().choices[0].message
    assert reasoning == "Let me see."

    echoed: Any = message.to_dict(mode="json")
    del echoed["reasoning_text"]  # a client that knows reasoning_content only
    tool: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "fine"}
    client.chat.completions.create(model=model, messages=[*messages, echoed, tool], tools=[WEATHER])
    received = upstream.last_request("/chat/completions")["json"]["messages"][1]
    assert received["reasoning_text"] == "Let me see."
    assert received["reasoning_opaque"]
    assert "reasoning_content" not in received


@pytest.mark.parametrize("stream", [False, True])
def test_gemini_3_gets_its_proof_back_from_a_client_that_knows_of_none(
    client: OpenAI, upstream: Simulator, stream: bool
) -> None:
    """Contract §6.6: it refuses a tool round without; the ids of the calls have brought it home."""
    messages = user(
        '[[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Rome"}]] [[next]] [[say: Fine.]]'
    )
    message: Any
    for model in ("gemini-3-pro-preview", "gpt-4.1"):
        if stream:
            with client.chat.completions.stream(
                model="gemini-3-pro-preview", messages=messages, tools=[WEATHER]
            ) as events:
                message = events.get_final_completion().choices[0].message
        else:
            answer = client.chat.completions.create(model="gemini-3-pro-preview", messages=messages, tools=[WEATHER])
            message = answer.choices[0].message
        calls: Any = [
            {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": "{}"}}
            for call in message.tool_calls or []
        ]
        results: Any = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in calls]
        turn: Any = {"role": "assistant", "content": None, "tool_calls": calls}
        # Another model takes over as easily: it gets the calls without what is not its own.
        final = client.chat.completions.create(model=model, messages=[*messages, turn, *results], tools=[WEATHER])
        assert final.choices[0].message.content == "Fine."
        received = upstream.requests("/chat/completions")[-1]
        assert received["status"] == 200
        assert ("reasoning_opaque" in received["body"]) == (model != "gpt-4.1")
        assert "__proof_" not in received["body"]
    assert [one["status"] for one in upstream.requests("/chat/completions")] == [200] * 4


def test_embeddings(client: OpenAI) -> None:
    """The SDK asks for base64 by itself, and for floats if told so; both are the same vectors."""
    as_base64 = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    as_floats = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], encoding_format="float")
    assert [item.index for item in as_base64.data] == [0, 1]
    for left, right in zip(as_base64.data, as_floats.data, strict=True):
        assert left.embedding == pytest.approx(right.embedding, abs=1e-6)
    assert as_base64.model == "text-embedding-3-small"
    single = client.embeddings.create(model="text-embedding-3-small", input="one")
    assert single.data[0].embedding == pytest.approx(as_floats.data[0].embedding, abs=1e-6)


def test_many_embeddings_are_asked_for_in_batches(client: OpenAI, upstream: Simulator) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=[f"text {n}" for n in range(700)])
    assert [item.index for item in answer.data] == list(range(700))
    assert len(upstream.requests("/embeddings")) == 2


def test_models(client: OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert {"gpt-4.1", "claude-haiku-4.5", "text-embedding-3-small", "gpt-4o-mini"} <= set(listed)
    assert listed["gpt-4.1"].object == "model"
    assert isinstance(listed["gpt-4.1"].created, int)
    assert client.models.retrieve("claude-haiku-4-5-20251001").id == "claude-haiku-4.5"
    with pytest.raises(openai.NotFoundError, match="claude-haiku"):
        client.models.retrieve("claude-haiku-9")


def test_structured_output(client: OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model="gpt-4.1",
        messages=user("Where?"),
        response_format={"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": schema}},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["city"], str)


def test_wrong_key_is_an_authentication_error(bridge: Bridge) -> None:
    with sdk(bridge, key="sk-wrong") as client, pytest.raises(openai.AuthenticationError, match="Wrong API key"):
        client.chat.completions.create(model="gpt-4.1", messages=user("hi"))


@pytest.mark.parametrize("stream", [False, True])
def test_scripted_429_is_a_rate_limit_error_with_its_retry_after(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="gpt-4.1", messages=user("[[error: 429 retry-after=3]]"), stream=stream)
    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.code


def test_the_sdk_retries_a_429_and_succeeds(bridge: Bridge, simulator: Simulator) -> None:
    simulator.fault("rate_limited_429", headers={"retry-after": "0"})
    with sdk(bridge, retries=2) as client:
        answer = client.chat.completions.create(model="gpt-4.1", messages=user("[[say: back again]]"))
    assert answer.choices[0].message.content == "back again"


def test_upstream_cut_in_mid_stream_reaches_the_sdk_as_an_error(client: OpenAI) -> None:
    prompt = "[[say: one two three four five six seven eight]] [[cut: 5]]"
    stream = client.chat.completions.create(model="gpt-4.1", messages=user(prompt), stream=True)
    with pytest.raises(openai.APIError, match="broke off"):
        for _ in stream:
            pass


def test_unknown_model_is_a_not_found_error_with_near_matches(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"claude-sonnet-4\.6") as caught:
        client.chat.completions.create(model="claude-sonnet-9.9", messages=user("hi"))
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_model_served_elsewhere_only_is_converted(client: OpenAI, upstream: Simulator) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="gpt-5.3-codex", messages=user("[[say: from the other side]]")
    )
    assert answer.headers["x-bridge-upstream"] == "responses"
    assert answer.parse().choices[0].message.content == "from the other side"
    assert upstream.requests("/chat/completions") == []


def test_model_that_speaks_no_protocol_of_ours_is_refused_with_the_reason(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="/embeddings") as caught:
        client.chat.completions.create(model="text-embedding-3-small", messages=user("hi"))
    assert caught.value.code == "unsupported_api_for_model"


def test_context_overflow_has_openais_code(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt-3.5-turbo", messages=user("word " * 60_000))
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("gpt-4o-mini", "claude-opus-4.6"),  # the default mapping
        ("claude-sonnet-4-6", "claude-sonnet-4.6"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4.5"),
        ("claude-opus-4-6[1m]", "claude-opus-4.6-1m"),
        ("GPT-4.1", "gpt-4.1"),
    ],
)
def test_model_names_mean_what_clients_mean(client: OpenAI, upstream: Simulator, asked: str, served: str) -> None:
    answer = client.chat.completions.create(model=asked, messages=user("hi"))
    assert answer.model == asked
    assert upstream.last_request("/chat/completions")["json"]["model"] == served


def test_every_field_reaches_upstream_as_it_came(client: OpenAI, upstream: Simulator) -> None:
    extra = {"top_p": 0.9, "seed": 7, "stop": ["x"], "user": "me", "reasoning_effort": "low", "thinking_budget": 100}
    client.chat.completions.create(
        model="claude-haiku-4.5", messages=user("hi"), extra_body={**extra, "unheard_of": {"a": [1, None, 2.50]}}
    )
    sent = upstream.last_request("/chat/completions")["json"]
    assert sent == {
        "model": "claude-haiku-4.5",
        "messages": user("hi"),
        **extra,
        "unheard_of": {"a": [1, None, 2.5]},
    }


def test_fields_that_upstream_refuses_are_left_out_and_named(client: OpenAI, upstream: Simulator) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="gpt-4.1", messages=user("hi"), store=True, service_tier="auto", metadata={"a": "b"}
    )
    assert answer.headers["x-bridge-dropped"] == "store, service_tier, metadata"
    assert set(upstream.last_request("/chat/completions")["json"]) == {"model", "messages"}
