"""Cursor's bodies at the chat endpoint: what they mean, where they go, and in which form calls come back."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from app.converters import chat, cursor
from app.converters.codec import ClientCodec, NativeRequest
from app.converters.exchange import Converted
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.vocabulary import (
    Image,
    Reasoning,
    Request,
    Response,
    Text,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
)
from app.converters.registry import UPSTREAMS
from app.errors import GatewayError, InvalidRequestError, UnsupportedFeatureError
from tests.support import cursor as bodies
from tests.support.cursor import PATCH, agent, ask, block_call, block_result, claude, item_call, item_result
from tests.support.identities import identity_of

Json = dict[str, Any]

PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
LINKED = {"type": "image", "source": {"type": "url", "url": "https://pictures.test/a.png"}}
every_upstream = pytest.mark.parametrize("upstream", UPSTREAMS)


def decode(body: Json) -> Request:
    return cursor.codec_for(body).decode_request(body)


def calls(request: Request) -> list[ToolCall]:
    return [call for message in request.messages for call in message.calls]


def is_native(body: Json) -> bool:
    native = cursor.codec_for(body).native
    return native is not None and native.passes(orjson.dumps(body), body)


def sent(body: Json, upstream: str, **entry: Any) -> tuple[Json, list[str]]:
    losses = Losses()
    limits = ModelLimits.of({"id": "m", "vendor": "OpenAI", **entry})
    return UPSTREAMS[upstream].encode_request(decode(body), limits, losses), losses.names()


# ── which codec ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "codec"),
    [
        ({"input": "hi"}, cursor.CLIENT),
        ({"input": [{"role": "user", "content": "hi"}], "messages": []}, cursor.CLIENT),
        ({"input": [{"role": "user", "content": "hi"}], "messages": None}, cursor.CLIENT),
        ({"messages": [{"role": "user", "content": "hi"}]}, chat.CLIENT),
        ({"messages": [{"role": "user", "content": "hi"}], "input": []}, chat.CLIENT),
        ({"messages": [{"role": "user", "content": "hi"}], "input": "hi"}, chat.CLIENT),
        ({"model": "m"}, chat.CLIENT),
    ],
)
def test_input_in_place_of_messages_has_its_own_codec(body: Json, codec: ClientCodec) -> None:
    assert cursor.codec_for(body) is codec


def test_only_what_a_chat_upstream_takes_passes_natively() -> None:
    plain = ask("m", "hi", tools=[bodies.NESTED_READ])
    assert is_native(plain)
    assert is_native({**plain, "tool_choice": {"type": "function", "function": {"name": "ReadFile"}}})
    assert is_native(
        ask("m", {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, tools=[])
    )
    for body in (
        agent("m", "hi"),
        ask("m", "hi"),
        ask("m", "hi", tools=[bodies.FLAT_READ]),
        ask("m", "hi", tools=[bodies.ANTHROPIC_READ]),
        {**plain, "tool_choice": {"type": "any"}},
        {**plain, "tool_choice": {"type": "function", "name": "ReadFile"}},
        ask("m", "hi", block_call("c", "ReadFile", {}), tools=[]),
        ask("m", block_result("c", "x"), tools=[]),
        ask("m", {"role": "user", "content": [PIXEL]}, tools=[]),
        ask("m", {"role": "user", "content": [{"type": "input_text", "text": "hi"}]}, tools=[]),
    ):
        assert not is_native(body), body


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [None, 5, {"role": "user", "content": [None, {"type": []}, {"type": {}}]}], "tools": [None, 5]},
        {"messages": 5, "tools": {}, "tool_choice": 7},
        {"messages": [{"role": "assistant", "tool_calls": [None, {"type": []}]}]},
        {"input": [None, 5, {"content": [{"type": "tool_result"}, 5, None]}], "stream_options": 5, "model": 7},
        {"input": {"a": 1}, "tools": 5},
        {"input": [{"role": [], "type": {}, "content": [{"type": []}]}]},
    ],
)
def test_strange_bodies_do_no_harm(body: Json) -> None:
    codec = cursor.codec_for(body)
    codec.traits(body)
    codec.image_urls(body)
    assert codec.native is None or codec.native.passes(orjson.dumps(body), body) in (True, False)
    with pytest.raises(GatewayError):
        codec.decode_request({"model": "m", **body})


# ── agent mode: what is said ────────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_body_says_what_it_says() -> None:
    request = decode(agent("gpt-5.4", "Do it."))
    assert (request.model, request.stream, request.include_usage) == ("gpt-5.4", True, True)
    assert [(message.role, message.text) for message in request.messages] == [
        ("system", bodies.SYSTEM),
        ("user", "Do it."),
    ]
    assert [(tool.name, tool.kind) for tool in request.tools] == [("ReadFile", "function"), ("ApplyPatch", "custom")]
    assert request.tools[1].format == bodies.APPLY_PATCH["format"]
    assert request.reasoning is not None
    assert (request.reasoning.effort, request.reasoning.summary, request.verbosity) == ("medium", "auto", "low")
    assert request.tool_choice == ToolChoice("auto")


@every_upstream
def test_what_cursor_sends_by_itself_is_never_refused_and_what_is_lost_is_named(upstream: str) -> None:
    _, dropped = sent(agent("m", "hi", store=True, metadata={"depth": 3}, some_new_field={"x": 1}), upstream)
    # An upstream of OpenAI's own protocol takes the truncation; nobody takes what nobody knows.
    assert {"metadata", "some_new_field"} <= set(dropped)
    assert ("truncation" in dropped) == (upstream != "responses")
    assert not {"input", "include", "stream_options", "user", "previous_response_id"} & set(dropped)
    assert not any("envelop" in name for name in dropped)


def test_a_stored_answer_cannot_be_gone_on_from() -> None:
    with pytest.raises(UnsupportedFeatureError) as refused:
        decode(agent("m", "hi", previous_response_id="resp_1"))
    assert refused.value.param == "previous_response_id"


def test_only_one_answer_can_be_had() -> None:
    assert decode(agent("m", "hi", n=1)).model == "m"
    with pytest.raises(UnsupportedFeatureError) as refused:
        decode(agent("m", "hi", n=2))
    assert refused.value.param == "n"


@pytest.mark.parametrize(("fields", "limit"), [({"max_tokens": 7}, 7), ({"max_completion_tokens": 8}, 8), ({}, None)])
def test_limits_under_the_names_of_chat_count(fields: Json, limit: int | None) -> None:
    assert decode(agent("m", "hi", **fields)).max_output_tokens == limit
    assert decode(agent("m", "hi", **fields, max_output_tokens=9)).max_output_tokens == 9


def test_an_effort_under_the_name_of_chat_counts() -> None:
    request = decode(agent("m", "hi", reasoning=None, reasoning_effort="high"))
    assert request.reasoning is not None
    assert (request.reasoning.effort, request.reasoning.shows_text) == ("high", True)


# ── calls: there and back ───────────────────────────────────────────────────────────────────────────────────────────

HISTORIES = {
    "items": agent("m", "Go.", item_call("c1", "ApplyPatch", PATCH), item_result("c1", "Done.")),
    "custom items": agent(
        "m",
        "Go.",
        {"type": "custom_tool_call", "call_id": "c1", "name": "ApplyPatch", "input": PATCH},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done."},
    ),
    "chat": ask("m", "Go.", bodies.chat_call("c1", "ApplyPatch", PATCH), bodies.chat_result("c1", "Done.")),
    "chat in input": agent("m", "Go.", bodies.chat_call("c1", "ApplyPatch", PATCH), bodies.chat_result("c1", "Done.")),
    "blocks": ask(
        "m",
        "Go.",
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "ApplyPatch", "input": PATCH}],
        },
        block_result("c1", "Done."),
    ),
    "not offered any more": agent(
        "m", "Go.", item_call("c1", "ApplyPatch", PATCH), item_result("c1", "Done."), tools=[bodies.FLAT_READ]
    ),
}


@every_upstream
@pytest.mark.parametrize("name", HISTORIES)
def test_a_call_in_its_envelope_is_a_free_text_call_again(name: str, upstream: str) -> None:
    body = HISTORIES[name]
    (call,) = calls(decode(body))
    assert (call.kind, call.call_id, call.name, call.arguments) == ("custom", "c1", "ApplyPatch", PATCH)
    wire, _ = sent(body, upstream)
    if upstream == "responses":
        # Free text, as the model was offered it (contract §7.10).
        [item] = [item for item in wire["input"] if item["type"] == "custom_tool_call"]
        made = [(item["name"], json.dumps({"input": item["input"]}))]
        answered = [(i["call_id"], i["output"]) for i in wire["input"] if i["type"] == "custom_tool_call_output"]
        assert answered in ([("c1", "Done.")], [("c1", [{"type": "input_text", "text": "Done."}])])
    # For an upstream without free text: the argument that the tool is declared with.
    elif upstream == "chat":
        made = [(c["function"]["name"], c["function"]["arguments"]) for c in wire["messages"][2]["tool_calls"]]
        assert wire["messages"][3] == {"role": "tool", "tool_call_id": "c1", "content": "Done."}
    else:
        made = [(block["name"], json.dumps(block["input"])) for block in wire["messages"][1]["content"]]
        assert wire["messages"][2]["content"][0]["tool_use_id"] == "c1"
    assert [(name, json.loads(arguments)) for name, arguments in made] == [("ApplyPatch", {"input": PATCH})]


def test_calls_of_functions_stay_what_they_are() -> None:
    known = agent("m", "Go.", item_call("c1", "ReadFile", '{"path":"a"}'), item_result("c1", "x"))
    gone = agent("m", "Go.", item_call("c1", "Shell", '{"command":"ls"}'), item_result("c1", "x"))
    torn = agent("m", "Go.", item_call("c1", "ReadFile", '{"path'), item_result("c1", "x"))
    assert [call.kind for body in (known, gone, torn) for call in calls(decode(body))] == ["function"] * 3


def answer(body: Json, upstream: str, call: ToolCall) -> tuple[Json, list[Json]]:
    """What the client gets for an answer that calls: whole, and as a stream."""
    whole_body: Json
    if upstream == "chat":
        made = {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        message = {"role": "assistant", "content": None, "tool_calls": [made]}
        whole_body = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    elif upstream == "responses":
        item = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
        whole_body = {"id": "resp_1", "object": "response", "status": "completed", "output": [item]}
    else:
        block = {"type": "tool_use", "id": call.call_id, "name": call.name, "input": json.loads(call.arguments)}
        whole_body = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [block],
            "stop_reason": "tool_use",
        }
    codec = cursor.codec_for(body)
    exchange = Converted(
        codec,
        UPSTREAMS[upstream],
        body,
        traits=codec.traits(body),
        identity=identity_of("asked", created=7, fallback_id="f"),
        model="m",
        limits=ModelLimits.of({"id": "m"}),
        inlined={},
    )
    content = orjson.dumps(whole_body)
    frames = exchange.whole_as_stream(content).split(b"\n\n")
    chunks = [orjson.loads(frame.removeprefix(b"data: ")) for frame in frames if frame.startswith(b"data: {")]
    return orjson.loads(exchange.whole(content)), chunks


def streamed_call(chunks: list[Json]) -> Json:
    """The one call in these chunks, put together as SDKs do."""
    fragments = [c for chunk in chunks for one in chunk["choices"] for c in one["delta"].get("tool_calls", [])]
    assert {fragment["index"] for fragment in fragments} == {0}
    assert all(set(fragment) <= {"index", "id", "type", "function"} for fragment in fragments)
    text = "".join(fragment["function"].get("arguments", "") for fragment in fragments)
    first = fragments[0]
    return {
        "id": first["id"],
        "type": first["type"],
        "function": {"name": first["function"]["name"], "arguments": text},
    }


@every_upstream
@pytest.mark.parametrize("make", [agent, ask], ids=["agent", "ask"])
@pytest.mark.parametrize("text", [PATCH, ""], ids=["patch", "nothing"])
def test_a_free_text_call_goes_in_the_envelope_of_a_function(make: Any, upstream: str, text: str) -> None:
    made = ToolCall("c1", "ApplyPatch", json.dumps({"input": text}))
    whole, chunks = answer(make("m", "Go."), upstream, made)
    expected = {"id": "c1", "type": "function", "function": {"name": "ApplyPatch", "arguments": text}}
    assert whole["choices"][0]["message"]["tool_calls"] == [expected]
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert streamed_call(chunks) == expected


@every_upstream
def test_a_function_call_is_as_ever(upstream: str) -> None:
    made = ToolCall("c1", "ReadFile", '{"path":"a"}')
    expected = {"id": "c1", "type": "function", "function": {"name": "ReadFile", "arguments": '{"path":"a"}'}}
    for body in (agent("m", "Go."), claude("m", "Go.")):
        whole, chunks = answer(body, upstream, made)
        assert whole["choices"][0]["message"]["tool_calls"] == [expected]
        assert streamed_call(chunks) == expected


@every_upstream
def test_who_declares_a_free_text_tool_as_chat_does_gets_its_call_as_chat_does(upstream: str) -> None:
    nested = {"type": "custom", "custom": {"name": "ApplyPatch", "format": {"type": "text"}}}
    body = ask("m", "Go.", tools=[nested])
    whole, chunks = answer(body, upstream, ToolCall("c1", "ApplyPatch", json.dumps({"input": PATCH})))
    expected = {"id": "c1", "type": "custom", "custom": {"name": "ApplyPatch", "input": PATCH}}
    assert whole["choices"][0]["message"]["tool_calls"] == [expected]
    first, *rest = [c for chunk in chunks for one in chunk["choices"] for c in one["delta"].get("tool_calls", [])]
    assert first["type"] == "custom"
    assert "".join(fragment["custom"]["input"] for fragment in [first, *rest]) == PATCH


def test_a_call_that_upstream_itself_makes_of_free_text_goes_in_the_envelope_too() -> None:
    request = decode(agent("m", "Go."))
    made = ToolCall("c1", "ApplyPatch", PATCH, kind="custom")
    told = cursor.CLIENT.encode_response(Response("x", "m", 7, (made,), "tool_calls"), request, identity_of("m"))
    (call,) = told["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "ApplyPatch", "arguments": PATCH}


# ── Anthropic's words in a chat body ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", [claude, agent], ids=["messages", "input"])
def test_anthropic_blocks_are_calls_results_and_pictures(make: Any) -> None:
    body = make(
        "claude-x",
        {"role": "user", "content": [{"type": "text", "text": "Look."}, PIXEL, LINKED]},
        block_call("toolu_1", "ReadFile", {"path": "a"}),
        block_result("toolu_1", "no such file", is_error=True),
        "And now?",
        tools=[bodies.ANTHROPIC_READ],
    )
    request = decode(body)
    said = [message for message in request.messages if message.role != "system"]
    assert [message.role for message in said] == ["user", "assistant", "user", "user"]
    assert said[0].parts == (
        Text("Look."),
        Image(data="AAAA", media_type="image/png"),
        Image(url="https://pictures.test/a.png"),
    )
    assert said[1].parts == (Text("I look."), ToolCall("toolu_1", "ReadFile", '{"path":"a"}'))
    assert said[2].parts == (ToolResult("toolu_1", (Text("no such file"),), is_error=True),)
    assert request.tools[0].schema == bodies.ANTHROPIC_READ["input_schema"]
    codec = cursor.codec_for(body)
    assert codec.traits(body).has_images
    assert codec.image_urls(body) == ["https://pictures.test/a.png"]


@pytest.mark.parametrize("make", [claude, agent], ids=["messages", "input"])
@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "tool", "name": "ReadFile"}, ToolChoice("named", tool=ToolRef("ReadFile"))),
    ],
)
def test_anthropic_tool_choices(make: Any, choice: Json, meant: ToolChoice) -> None:
    request = decode(make("m", "hi", tools=[bodies.ANTHROPIC_READ], tool_choice=choice))
    assert (request.tool_choice, request.parallel_tool_calls) == (meant, None)
    single = decode(
        make("m", "hi", tools=[bodies.ANTHROPIC_READ], tool_choice={**choice, "disable_parallel_tool_use": True})
    )
    assert (single.tool_choice, single.parallel_tool_calls) == (meant, False)
    # Not the legacy form of calls, which has room for one call as well.
    assert single.has_tools_field


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "function"}], ids=str)
def test_a_flat_function_need_not_say_its_type(kind: Json) -> None:
    (tool,) = decode(claude("m", "hi", tools=[{**bodies.ANTHROPIC_READ, **kind}])).tools
    assert (tool.name, tool.kind, tool.schema) == ("ReadFile", "function", bodies.ANTHROPIC_READ["input_schema"])


def test_a_typed_anthropic_function_is_no_free_text() -> None:
    (tool,) = decode(claude("m", "hi", tools=[{"type": "custom", **bodies.ANTHROPIC_READ}])).tools
    assert (tool.kind, tool.schema) == ("function", bodies.ANTHROPIC_READ["input_schema"])


def test_thoughts_in_blocks_keep_their_proofs() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "dark"},
        {"type": "text", "text": "Yes."},
    ]
    request = decode(claude("m", "hi", {"role": "assistant", "content": blocks}, "go on"))
    assert request.messages[2].parts == (
        Reasoning("Hm.", "sig", "messages"),
        Reasoning("", "dark", "messages", redacted=True),
        Text("Yes."),
    )


def test_a_call_said_in_both_forms_is_one_call() -> None:
    both = {
        **block_call("c1", "ReadFile", {"path": "a"}),
        **{"tool_calls": bodies.chat_call("c1", "ReadFile", "{}")["tool_calls"]},
    }
    assert [call.call_id for call in calls(decode(claude("m", "hi", both, block_result("c1", "x"))))] == ["c1"]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": [{"type": "tool_use", "id": "c", "name": "x", "input": {}}]}, "content[0]"),
        ({"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "c"}]}, "content[0]"),
        ({"role": "user", "content": [{"type": "tool_result", "content": "x"}]}, "content[0].tool_use_id"),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": 7, "input": {}}]},
            "content[0].name",
        ),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "x", "input": 5}]},
            "content[0].input",
        ),
    ],
)
@pytest.mark.parametrize(("make", "where"), [(claude, "messages"), (agent, "input")], ids=["messages", "input"])
def test_what_is_malformed_is_named(make: Any, where: str, message: Json, param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        decode(make("m", "hi", message))
    assert refused.value.param == f"{where}[2].{param}"


def test_a_malformed_item_after_others_is_named_by_its_place() -> None:
    body = agent("m", "hi", block_result("c", "x"), {"type": "function_call", "call_id": None, "name": "x"})
    with pytest.raises(InvalidRequestError) as refused:
        decode(body)
    assert refused.value.param == "input[3].call_id"


def test_what_only_items_have_is_not_taken_for_a_part_of_a_message() -> None:
    said = {"type": "message", "id": "msg_1", "status": "completed", "role": "user", "content": [PIXEL]}
    wire, dropped = sent(agent("m", said, text={}), "chat")
    assert set(wire["messages"][1]) == {"role", "content"}
    assert not any(name.startswith("messages") for name in dropped)


def test_an_empty_list_of_calls_is_left_out_on_the_native_path_too() -> None:
    body = ask("m", "hi", {"role": "assistant", "content": "Hello.", "tool_calls": []}, "go on", tools=[])
    prepared = chat.NATIVE.prepare(
        NativeRequest(
            raw=orjson.dumps(body),
            body=body,
            model="m",
            limits=ModelLimits.of({}),
            inlined={},
            headers={},
            refused=frozenset(),
        )
    )
    assert orjson.loads(prepared.body)["messages"][2] == {"role": "assistant", "content": "Hello."}
    assert body["messages"][2]["tool_calls"] == []


# ── traits: who is the cause, and of what ───────────────────────────────────────────────────────────────────────────

ROUNDS: dict[str, list[Json]] = {
    "agent": [agent("m", "Go."), HISTORIES["items"]],
    "ask": [ask("m", "Go."), HISTORIES["chat"]],
    "claude": [
        claude("m", "Go."),
        claude("m", "Go.", block_call("c1", "ReadFile", {}), block_result("c1", "x")),
        claude(
            "m",
            "Go.",
            block_call("c1", "ReadFile", {}),
            {"role": "user", "content": [*block_result("c1", "x")["content"], {"type": "text", "text": " \n"}]},
        ),
    ],
    "claude in input": [
        agent("m", "Go."),
        agent("m", "Go.", block_call("c1", "ReadFile", {}), block_result("c1", "x")),
    ],
}


@pytest.mark.parametrize("name", ROUNDS)
def test_tool_rounds_are_the_agents_and_of_one_interaction(name: str) -> None:
    found = [cursor.codec_for(body).traits(body) for body in ROUNDS[name]]
    assert [one.initiator for one in found] == ["user", *["agent"] * (len(found) - 1)]
    assert len({one.interaction_key for one in found}) == 1
    assert all((one.model, one.stream, one.include_usage) == ("m", True, True) for one in found)


@pytest.mark.parametrize("make", [claude, agent], ids=["messages", "input"])
def test_what_a_person_says_beside_a_result_is_a_new_turn(make: Any) -> None:
    result = block_result("c1", "x")["content"]
    spoken = {"role": "user", "content": [*result, {"type": "text", "text": "No, the other one!"}]}
    before = make("m", "Go.", block_call("c1", "ReadFile", {}), block_result("c1", "x"))
    body = make("m", "Go.", block_call("c1", "ReadFile", {}), spoken)
    codec = cursor.codec_for(body)
    assert codec.traits(body).initiator == "user"
    assert codec.traits(body).interaction_key != codec.traits(before).interaction_key
