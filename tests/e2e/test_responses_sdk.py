"""The Responses API of the official OpenAI SDK, unmodified, against bridge and simulator over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.pictures import png_base64, png_url
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.upstream import generations, in_chat_terms, initiators, last_generation, text_of

CODEX, GPT, CLAUDE = "gpt-5.3-codex", "gpt-4.1", "claude-sonnet-4.6"
MODELS = [CODEX, GPT, CLAUDE]
PATHS = {CODEX: "/responses", GPT: "/chat/completions", CLAUDE: "/v1/messages"}
PROTOCOLS = {CODEX: "responses", GPT: "chat", CLAUDE: "messages"}

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Current weather",
    "parameters": CITY,
    "strict": True,
}
PATCH: Any = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edit files",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch" LF'},
}

every_model = pytest.mark.parametrize("model", MODELS)
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def sdk(bridge: Bridge, *, key: str | None = None, retries: int = 0) -> OpenAI:
    http = openai.DefaultHttpxClient(verify=NO_AUTHORITIES)
    key = key or bridge.api_key
    return OpenAI(base_url=f"{bridge.url}/v1", api_key=key, max_retries=retries, timeout=60, http_client=http)


@pytest.fixture
def client(shared_bridge: Bridge) -> Iterator[OpenAI]:
    with sdk(shared_bridge) as client:
        yield client


def ask(client: OpenAI, model: str, given: Any, stream: bool = False, **options: Any) -> Any:
    """One question, through the whole answer or the streaming helper of the SDK; the response."""
    if not stream:
        return client.responses.create(model=model, input=given, **options)
    with client.responses.stream(model=model, input=given, **options) as events:
        seen = list(events)
        check_grammar(seen)
        final = events.get_final_response()
    assert final.output_text == "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    return final


def check_grammar(events: list[Any]) -> None:
    """The order that the protocol prescribes, one id for each thing, and the end equal to the sum of what came."""
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in ("response.completed", "response.incomplete")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    lifecycle = [event.response for event in events if hasattr(event, "response")]
    assert len({response.id for response in lifecycle}) == 1
    added = [event for event in events if event.type == "response.output_item.added"]
    done = [event for event in events if event.type == "response.output_item.done"]
    assert [event.output_index for event in added] == list(range(len(added)))
    assert [event.output_index for event in done] == list(range(len(added)))
    ids = [event.item.id for event in added]
    assert [event.item.id for event in done] == ids
    assert [item.id for item in lifecycle[-1].output] == ids
    assert all(len(item_id) <= 64 for item_id in ids)
    for event in events:
        if hasattr(event, "item_id"):
            assert event.item_id == ids[event.output_index]
    assert [plain(event.item) for event in done] == [plain(item) for item in lifecycle[-1].output]


def plain(item: Any) -> Any:
    """An output item without what the SDK itself adds to it."""
    found = item.to_dict(mode="json")
    found.pop("parsed_arguments", None)
    for part in found.get("content") or []:
        part.pop("parsed", None)
    return found


def fed_back(response: Any) -> list[Any]:
    """The output items as input of the next turn, as the SDK's users do it."""
    return [plain(item) for item in response.output]


def calls(response: Any, kind: str = "function_call") -> list[Any]:
    return [item for item in response.output if item.type == kind]


def output(call: Any, content: Any) -> Any:
    return {"type": call.type + "_output", "call_id": call.call_id, "output": content}


def user(content: Any) -> Any:
    return {"role": "user", "content": content}


# ── text ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_model
def test_plain_answer(client: OpenAI, upstream: Simulator, model: str) -> None:
    raw = client.responses.with_raw_response.create(model=model, input="你好")
    response = raw.parse()

    assert raw.headers["x-bridge-upstream"] == PROTOCOLS[model]
    assert (response.object, response.model, response.status) == ("response", model, "completed")
    assert response.id.startswith("resp_")
    assert response.created_at > 1_700_000_000
    assert (response.error, response.incomplete_details) == (None, None)
    assert "你好" in response.output_text
    (item,) = response.output
    assert (item.type, item.role, item.status) == ("message", "assistant", "completed")
    usage = response.usage
    assert usage is not None
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens > 0
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (0, 0)
    (request,) = generations(upstream)
    assert request["path"] == PATHS[model]
    assert [(one["role"], text_of(one["content"])) for one in in_chat_terms(request)["messages"]] == [("user", "你好")]
    assert initiators(upstream) == ["user"]


@every_model
def test_streamed_answer_is_the_whole_answer(client: OpenAI, upstream: Simulator, model: str) -> None:
    prompt = "[[say: The quick brown fox — über 你好 👋🏽.]]"
    streamed, whole = ask(client, model, prompt, True), ask(client, model, prompt)
    assert streamed.output_text == whole.output_text == "The quick brown fox — über 你好 👋🏽."
    assert [item.type for item in streamed.output] == [item.type for item in whole.output]
    assert (streamed.status, streamed.model) == (whole.status, whole.model)
    assert streamed.usage == whole.usage
    assert initiators(upstream) == ["user", "user"]


@every_model
def test_usage_tells_cached_and_reasoning_tokens(client: OpenAI, upstream: Simulator, model: str) -> None:
    prompt = (
        "[[knob: cached_tokens=7]] [[knob: reasoning_tokens=3]] [[think: one two three]] [[say: fine]] " + "word " * 30
    )
    options: dict[str, Any] = {"reasoning": {"effort": "medium", "summary": "auto"}} if model != GPT else {}
    for stream in (False, True):
        usage = ask(client, model, prompt, stream, **options).usage
        assert usage.input_tokens_details.cached_tokens == 7
        assert usage.input_tokens > 30
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        if model != CLAUDE:  # does not tell by default
            assert usage.output_tokens_details.reasoning_tokens == 3


@every_model
def test_instructions_and_developer_messages(client: OpenAI, upstream: Simulator, model: str) -> None:
    given = [{"role": "developer", "content": "Be brief."}, user("[[say: aye]] hi")]
    assert ask(client, model, given, instructions="Answer like a pirate.").output_text == "aye"
    messages = in_chat_terms(last_generation(upstream))["messages"]
    rules, said = messages[:-1], messages[-1]
    assert {one["role"] for one in rules} <= {"system", "developer"}
    told = " ".join(text_of(one["content"]) for one in rules)
    assert told.index("Answer like a pirate.") < told.index("Be brief.")
    assert (said["role"], text_of(said["content"])) == ("user", "[[say: aye]] hi")


@every_model
@whole_and_streamed
def test_many_turns(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    given: list[Any] = []
    for number in range(1, 4):
        given.append(user(f"[[say: answer {number}]] question {number}"))
        response = ask(client, model, given, stream)
        assert response.output_text == f"answer {number}"
        given += fed_back(response)
    received = in_chat_terms(last_generation(upstream))["messages"]
    assert [one["role"] for one in received] == ["user", "assistant", "user", "assistant", "user"]
    assert [text_of(one["content"]) for one in received if one["role"] == "assistant"] == ["answer 1", "answer 2"]
    assert initiators(upstream) == ["user"] * 3


@every_model
def test_incomplete_by_max_output_tokens(client: OpenAI, upstream: Simulator, model: str) -> None:
    long = "[[say: " + " ".join(f"word{n}" for n in range(40)) + "]]"
    whole = ask(client, model, long, max_output_tokens=20)
    events = list(client.responses.create(model=model, input=long, max_output_tokens=20, stream=True))
    check_grammar(events)
    assert events[-1].type == "response.incomplete"
    for response in (whole, events[-1].response):
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.output_text.split() == [f"word{n}" for n in range(20)]


@every_model
def test_a_limit_below_what_upstream_takes_is_raised(client: OpenAI, upstream: Simulator, model: str) -> None:
    """Clients probe with 1."""
    assert ask(client, model, "hi", max_output_tokens=1).status in ("completed", "incomplete")
    assert generations(upstream)[-1]["status"] == 200


@whole_and_streamed
def test_refusal(client: OpenAI, upstream: Simulator, stream: bool) -> None:
    response = ask(client, CODEX, "[[say: I cannot.]] [[finish: refusal]]", stream)
    (part,) = response.output[0].content
    assert (part.type, part.refusal) == ("refusal", "I cannot.")


@every_model
def test_filtered_answer(client: OpenAI, upstream: Simulator, model: str) -> None:
    prompt = "[[say: one two three four five six]] [[filter: hate]]"
    events = list(client.responses.create(model=model, input=prompt, stream=True))
    check_grammar(events)
    for response in (ask(client, model, prompt), events[-1].response):
        assert response.output_text.startswith("one two three")
        if model == CLAUDE:  # does not tell a filter from a refusal of its own
            assert response.output[-1].content[0].type == "refusal"
            continue
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "content_filter"


# ── tools ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_model
@whole_and_streamed
def test_tool_round_trip(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    before = upstream.ledger()
    given: list[Any] = [user('[[say: Looking.]] [[tool: get_weather {"city": "Zürich"}]]')]
    response = ask(client, model, given, stream, tools=[WEATHER])
    (call,) = calls(response)
    assert response.status == "completed"
    assert (call.name, json.loads(call.arguments), call.status) == ("get_weather", {"city": "Zürich"}, "completed")
    assert response.output_text == "Looking."

    given += [*fed_back(response), output(call, "11 degrees and rain")]
    final = ask(client, model, given, stream, tools=[WEATHER])
    assert "11 degrees and rain" in final.output_text

    first, second = generations(upstream)
    assert initiators(upstream) == ["user", "agent"]
    assert first["header"]["x-interaction-id"] == second["header"]["x-interaction-id"]
    after = upstream.ledger()
    assert after["user_requests"] - before["user_requests"] == 1
    assert after["agent_requests"] - before["agent_requests"] == 1
    (offered,) = in_chat_terms(first)["tools"]
    assert (offered["function"]["name"], offered["function"]["description"]) == ("get_weather", "Current weather")
    assert offered["function"]["parameters"] == CITY
    _, turn, result = in_chat_terms(second)["messages"]
    assert text_of(turn["content"]) == "Looking."
    assert [json.loads(one["function"]["arguments"]) for one in turn["tool_calls"]] == [{"city": "Zürich"}]
    assert (result["role"], text_of(result["content"])) == ("tool", "11 degrees and rain")
    assert result["tool_call_id"] == turn["tool_calls"][0]["id"]


@every_model
@whole_and_streamed
def test_parallel_tools(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    given: list[Any] = [user('[[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Rome"}]]')]
    response = ask(client, model, given, stream, tools=[WEATHER])
    oslo, rome = calls(response)
    assert [json.loads(call.arguments)["city"] for call in (oslo, rome)] == ["Oslo", "Rome"]
    assert oslo.call_id != rome.call_id

    # In the wrong order, and each result right behind its call: allowed here, and nowhere else.
    crossed = [*fed_back(response), output(rome, "plus 17"), output(oslo, "minus 3")]
    final = ask(client, model, [*given, *crossed], stream, tools=[WEATHER]).output_text
    assert "minus 3" in final
    assert "plus 17" in final
    apart = [fed_back(response)[0], output(oslo, "minus 3"), fed_back(response)[1], output(rome, "plus 17")]
    assert "plus 17" in ask(client, model, [*given, *apart], stream, tools=[WEATHER]).output_text
    received = in_chat_terms(last_generation(upstream))["messages"]
    assert [text_of(one["content"]) for one in received if one["role"] == "tool"] == ["minus 3", "plus 17"]
    assert initiators(upstream) == ["user", "agent", "agent"]


@every_model
def test_one_tool_at_a_time(client: OpenAI, upstream: Simulator, model: str) -> None:
    prompt = '[[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Rome"}]]'
    assert len(calls(ask(client, model, prompt, tools=[WEATHER], parallel_tool_calls=False))) == 1


@every_model
@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}], ids=["required", "named"])
def test_forced_tool(client: OpenAI, upstream: Simulator, model: str, choice: Any) -> None:
    (call,) = calls(ask(client, model, "hi", tools=[WEATHER], tool_choice=choice))
    assert isinstance(json.loads(call.arguments)["city"], str)


@every_model
@whole_and_streamed
def test_custom_tool_round_trip(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    """A tool with a grammar travels as it is, or as a function, and comes back as what it is."""
    patch = '*** Begin Patch\n+ print("grüße")\n*** End Patch'
    given: list[Any] = [user("[[tool: apply_patch " + json.dumps({"input": patch}) + "]]")]
    response = ask(client, model, given, stream, tools=[PATCH, WEATHER])
    (call,) = calls(response, "custom_tool_call")
    assert (call.name, call.input) == ("apply_patch", patch)
    assert calls(response) == []

    given += [*fed_back(response), output(call, "Done!")]
    assert "Done!" in ask(client, model, given, stream, tools=[PATCH, WEATHER]).output_text
    first, second = generations(upstream)
    assert initiators(upstream) == ["user", "agent"]
    if first["path"] == "/responses":
        assert first["json"]["tools"][0] == PATCH
        call, result = second["json"]["input"][-2:]
        assert (call["type"], call["input"]) == ("custom_tool_call", patch)
        assert (result["type"], result["output"]) == ("custom_tool_call_output", "Done!")
        return
    function = in_chat_terms(first)["tools"][0]["function"]
    assert function["name"] == "apply_patch"
    assert "*** Begin Patch" in function["description"]  # the grammar
    (argument,) = function["parameters"]["properties"].values()
    assert argument["type"] == "string"
    _, turn, result = in_chat_terms(second)["messages"]
    (sent,) = turn["tool_calls"]
    assert list(json.loads(sent["function"]["arguments"]).values()) == [patch]
    assert text_of(result["content"]) == "Done!"


@every_model
def test_custom_tool_streams_its_input(client: OpenAI, upstream: Simulator, model: str) -> None:
    prompt = "[[tool: apply_patch " + json.dumps({"input": 'one\ntwo\nthree é 😀 \\ " end'}) + "]]"
    events = list(client.responses.create(model=model, input=prompt, tools=[PATCH], stream=True))
    check_grammar(events)
    deltas = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
    (done,) = [event for event in events if event.type == "response.custom_tool_call_input.done"]
    assert "".join(deltas) == done.input == 'one\ntwo\nthree é 😀 \\ " end'
    assert not any("function_call" in event.type for event in events)


@every_model
def test_hosted_tool_is_left_out_unless_it_is_forced(client: OpenAI, upstream: Simulator, model: str) -> None:
    raw = client.responses.with_raw_response.create(
        model=model, input="[[say: fine]]", tools=[{"type": "image_generation"}, WEATHER]
    )
    assert raw.parse().output_text == "fine"
    assert "image_generation" in raw.headers["x-bridge-dropped"]
    assert len(last_generation(upstream)["json"]["tools"]) == 1

    upstream.requests(clear=True)
    with pytest.raises(openai.BadRequestError, match="image_generation"):
        ask(client, model, "hi", tools=[{"type": "image_generation"}], tool_choice={"type": "image_generation"})
    assert generations(upstream) == []


@every_model
@whole_and_streamed
def test_picture_as_tool_result(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    given: list[Any] = [user('[[tool: get_weather {"city": "Oslo"}]] [[next]] [[say: I see.]]')]
    response = ask(client, model, given, tools=[WEATHER])
    shown = [{"type": "input_text", "text": "radar"}, {"type": "input_image", "image_url": png_url(9, 5)}]
    given += [*fed_back(response), output(calls(response)[0], shown)]
    assert ask(client, model, given, stream, tools=[WEATHER]).output_text
    request = last_generation(upstream)
    assert png_base64(9, 5) in json.dumps(request["json"])
    assert "radar" in json.dumps(request["json"])
    assert request["header"]["copilot-vision-request"] == "true"
    assert initiators(upstream) == ["user", "agent"]


# ── reasoning ───────────────────────────────────────────────────────────────────────────────────────────────────────


@every_model
@whole_and_streamed
def test_reasoning_round_trip(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    options: dict[str, Any] = {
        "tools": [WEATHER],
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    given: list[Any] = [user('[[think: Let me see, 你好.]] [[say: Looking.]] [[tool: get_weather {"city": "Oslo"}]]')]
    response = ask(client, model, given, stream, **options)
    thought = response.output[0]
    assert thought.type == "reasoning"
    assert [part.text for part in thought.summary] == ["Let me see, 你好."]
    assert thought.encrypted_content
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]

    given += [*fed_back(response), output(calls(response)[0], "fine")]
    assert "fine" in ask(client, model, given, stream, **options).output_text
    assert initiators(upstream) == ["user", "agent"]
    second = last_generation(upstream)["json"]
    if model == CODEX:
        (item,) = [item for item in second["input"] if item.get("type") == "reasoning"]
        assert item["encrypted_content"].startswith("gAAAA")
        assert [part["text"] for part in item["summary"]] == ["Let me see, 你好."]
    elif model == CLAUDE:
        block = second["messages"][1]["content"][0]
        assert (block["type"], block["thinking"]) == ("thinking", "Let me see, 你好.")
        assert block["signature"]
        assert "gwseal" not in block["signature"]
    else:
        turn = second["messages"][1]
        assert turn["reasoning_text"] == "Let me see, 你好."
        assert turn["reasoning_opaque"]
        assert "gwseal" not in turn["reasoning_opaque"]


@pytest.mark.parametrize("model", [CODEX, CLAUDE])
@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_effort(client: OpenAI, upstream: Simulator, model: str, effort: Any) -> None:
    ask(client, model, "hi", reasoning={"effort": effort})
    sent = last_generation(upstream)["json"]
    assert (sent["output_config"] if model == CLAUDE else sent["reasoning"])["effort"] == effort


@every_model
def test_a_thought_that_nobody_can_prove_does_no_harm(client: OpenAI, upstream: Simulator, model: str) -> None:
    """A conversation that began at another provider."""
    given: Any = [
        user("hi"),
        {
            "type": "reasoning",
            "id": "rs_68a1",
            "summary": [{"type": "summary_text", "text": "From elsewhere."}],
            "encrypted_content": "gAAAAABforeign",
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
        user("[[say: still here]]"),
    ]
    assert ask(client, model, given).output_text == "still here"
    served = [request for request in generations(upstream) if request["status"] == 200]
    assert len(served) == 1
    assert "gAAAAABforeign" not in json.dumps(served[0]["json"])


# ── pictures, structured output ─────────────────────────────────────────────────────────────────────────────────────


@every_model
@whole_and_streamed
def test_image(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    content = [
        {"type": "input_text", "text": "What do you see?"},
        {"type": "input_image", "image_url": png_url(12, 7), "detail": "auto"},
    ]
    assert "12x7" in ask(client, model, [user(content)], stream).output_text
    assert last_generation(upstream)["header"]["copilot-vision-request"] == "true"


class Place(BaseModel):
    city: str
    inhabitants: int


@every_model
@whole_and_streamed
def test_parsed_output(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    if stream:
        with client.responses.stream(model=model, input="Where?", text_format=Place) as events:
            parsed = events.get_final_response()
    else:
        parsed = client.responses.parse(model=model, input="Where?", text_format=Place)
    assert isinstance(parsed.output_parsed, Place)
    asked = in_chat_terms(last_generation(upstream))["response_format"]
    assert set(asked["json_schema"]["schema"]["properties"]) == {"city", "inhabitants"}


@every_model
@whole_and_streamed
def test_text_format(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    text: Any = {"format": {"type": "json_schema", "name": "place", "strict": True, "schema": CITY}}
    assert isinstance(json.loads(ask(client, model, "Where?", stream, text=text).output_text)["city"], str)
    if model == GPT:
        asked = last_generation(upstream)["json"]["response_format"]["json_schema"]
        assert asked == {"name": "place", "strict": True, "schema": CITY}


# ── state ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_model
@pytest.mark.parametrize(
    "field",
    [{"previous_response_id": "resp_123"}, {"conversation": "conv_123"}, {"background": True}],
    ids=["previous_response_id", "conversation", "background"],
)
def test_state_that_nobody_has_is_refused(client: OpenAI, upstream: Simulator, model: str, field: Any) -> None:
    (name,) = field
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, model, "hi", **field)
    assert caught.value.param == name
    # Clients send the whole conversation again on this code.
    assert (caught.value.code == "previous_response_not_found") == (name == "previous_response_id")
    assert generations(upstream) == []


@every_model
@whole_and_streamed
@pytest.mark.parametrize("store", [True, False, None])
def test_it_is_told_whether_an_answer_is_stored(
    client: OpenAI, upstream: Simulator, model: str, stream: bool, store: bool | None
) -> None:
    response = ask(client, model, "[[say: fine]]", stream, **({} if store is None else {"store": store}))
    assert response.output_text == "fine"
    assert response.to_dict()["store"] is (store is not False)


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@whole_and_streamed
def test_wrong_key_is_an_authentication_error(shared_bridge: Bridge, stream: bool) -> None:
    with sdk(shared_bridge, key="sk-wrong") as client, pytest.raises(openai.AuthenticationError, match="Wrong API key"):
        ask(client, CODEX, "hi", stream)


@every_model
@whole_and_streamed
def test_rate_limit_keeps_its_retry_after(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, model, "[[error: 429 retry-after=3]]", stream)
    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.code


@every_model
@whole_and_streamed
def test_the_sdk_retries_and_succeeds(shared_bridge: Bridge, upstream: Simulator, model: str, stream: bool) -> None:
    upstream.fault("rate_limited_429", endpoint=PATHS[model], headers={"retry-after": "0"})
    with sdk(shared_bridge, retries=2) as client:
        assert ask(client, model, "[[say: back again]]", stream).output_text == "back again"


@every_model
@whole_and_streamed
def test_overloaded(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError, match="Overloaded"):
        ask(client, model, "[[error: overloaded_529]]", stream)


@every_model
@whole_and_streamed
def test_context_overflow_has_openais_code(client: OpenAI, upstream: Simulator, model: str, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, model, "word " * 350_000, stream)
    assert caught.value.code == "context_length_exceeded"


@whole_and_streamed
def test_unknown_model(client: OpenAI, upstream: Simulator, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError, match=r"gpt-5\.3-codex") as caught:
        ask(client, "gpt-5.9-codex", "hi", stream)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def broken(client: OpenAI, model: str, prompt: str, **options: Any) -> tuple[Exception | None, list[Any]]:
    """How a stream ends that cannot end well: the SDK's error, and the events before it."""
    events: list[Any] = []

    def read() -> None:
        events.extend(client.responses.create(model=model, input=prompt, stream=True, **options))

    with pytest.raises(openai.APIError) as caught:
        read()
    return caught.value, events


@every_model
@pytest.mark.parametrize("kind", ["", " abrupt", " reset"], ids=["clean", "abrupt", "reset"])
def test_cut_stream_is_an_error_and_never_completed(client: OpenAI, upstream: Simulator, model: str, kind: str) -> None:
    _, events = broken(client, model, f"[[say: one two three four five six seven eight]] [[cut: 7{kind}]]")
    kinds = {event.type for event in events}
    assert "response.created" in kinds
    assert not {"response.completed", "response.incomplete", "response.output_item.done"} & kinds


@every_model
def test_error_inside_the_stream(client: OpenAI, upstream: Simulator, model: str) -> None:
    error, events = broken(client, model, "[[stream_error: server_error Enough for now.]]")
    assert "Enough for now" in str(error)
    assert "response.completed" not in {event.type for event in events}


# How far a stream with one call gets into its arguments: bytes of the body.
CUTS = {CLAUDE: 1000, CODEX: 4200, GPT: 1300}


@every_model
def test_cut_in_the_middle_of_a_tool_call_never_closes_it(client: OpenAI, upstream: Simulator, model: str) -> None:
    long = json.dumps({"city": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch"})
    _, events = broken(client, model, f"[[tool: get_weather {long}]] [[cut_bytes: {CUTS[model]}]]", tools=[WEATHER])
    kinds = {event.type for event in events}
    assert "response.function_call_arguments.delta" in kinds
    assert not {"response.completed", "response.output_item.done", "response.function_call_arguments.done"} & kinds
