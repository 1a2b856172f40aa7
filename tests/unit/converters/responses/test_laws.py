"""The laws of conversion rules §8 over every fixture: conversion side."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.converters.neutral import events as ev
from app.converters.neutral import vocabulary as ir
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.responses.client.request import decode_request
from app.converters.responses.client.response import encode_response
from app.converters.responses.client.stream import StreamEncoder
from app.converters.responses.upstream.request import encode_request
from app.converters.responses.upstream.response import decode_response
from app.converters.responses.upstream.stream import StreamDecoder
from app.errors import UnsupportedFeatureError, UpstreamStatusError
from tests.support.effort import tries
from tests.support.streams import sse_event
from tests.unit.converters.responses.grammar import FIXTURES, Stream, fixture, fixture_json, named

CASES = sorted(path.name.removesuffix(".stream.sse") for path in FIXTURES.glob("*.stream.sse"))
each_case = pytest.mark.parametrize("case", CASES)
LIMITS = ModelLimits(model="gpt-5.2", max_output_tokens=64000, reasoning_effort=("low", "medium", "high"))


def decode(raw: bytes) -> list[ev.Event]:
    decoder = StreamDecoder()
    found = [event for name, data in named(raw) for event in decoder.feed_bytes(sse_event(name, data))]
    return found + decoder.finish()


def request_of(case: str) -> ir.Request:
    return decode_request(fixture_json(f"{case}.request.json"))


@each_case
def test_stream_equals_whole(case: str) -> None:
    told = decode(fixture(f"{case}.stream.sse"))
    ev.check(told)
    assert ev.accumulate(told) == decode_response(fixture_json(f"{case}.response.json"))


@each_case
def test_answer_survives_the_round_trip(case: str) -> None:
    answer = decode_response(fixture_json(f"{case}.response.json"))
    wire = encode_response(answer, ir.Request(model="m"), model="asked-for")
    assert wire["model"] == "asked-for"
    again = decode_response(json.loads(json.dumps(wire)))
    assert dataclasses.replace(again, model=answer.model, usage=answer.usage) == answer


@each_case
def test_request_survives_the_round_trip(case: str) -> None:
    request = request_of(case)
    losses = Losses()
    wire = encode_request(request, LIMITS, losses)
    again = decode_request(json.loads(json.dumps(wire)))
    assert encode_request(again, LIMITS, Losses()) == wire


@each_case
def test_truncated_stream_never_looks_finished(case: str) -> None:
    frames = named(fixture(f"{case}.stream.sse"))
    for cut in range(len(frames)):
        decoder = StreamDecoder()
        told = [event for name, data in frames[:cut] for event in decoder.feed_bytes(sse_event(name, data))]
        told += decoder.finish()
        assert isinstance(told[-1], ev.StreamError)
        assert decoder.finish() == []
        ev.check(told)


@each_case
def test_torn_json_is_an_error(case: str) -> None:
    frames = named(fixture(f"{case}.stream.sse"))
    decoder = StreamDecoder()
    name, data = frames[3]
    assert isinstance(decoder.feed_bytes(sse_event(name, data[:-5]))[-1], ev.StreamError)
    assert decoder.feed_bytes(sse_event(*frames[4])) == []


@each_case
def test_encoded_stream_is_protocol_correct_and_equals_the_whole(case: str) -> None:
    request, answer = request_of(case), decode_response(fixture_json(f"{case}.response.json"))
    encoder = StreamEncoder(request, model="asked-for")
    stream = Stream(b"".join(encoder.feed(event) for event in ev.explode(answer)))
    assert stream.final == encode_response(answer, request, model="asked-for")


@each_case
def test_cut_after_every_event_the_client_sees_an_error(case: str) -> None:
    answer = decode_response(fixture_json(f"{case}.response.json"))
    told = ev.explode(answer)
    error = ev.StreamError(UpstreamStatusError("It broke.", status=429, code="rate_limit_exceeded"))
    for cut in range(len(told)):
        encoder = StreamEncoder(request_of(case), model="asked-for")
        raw = b"".join(encoder.feed(event) for event in [*told[:cut], error, *told[cut:]])
        stream = Stream(raw)
        assert stream.is_failed
        assert stream.error["message"] == stream.error["error"]["message"] == "It broke."


@each_case
def test_earlier_turns_keep_their_encoding(case: str) -> None:
    """Prefix stability: the provider's prompt cache lives by it."""
    body = fixture_json(f"{case}.request.json")
    answer = decode_response(fixture_json(f"{case}.response.json"))
    items = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
    before = encode_request(decode_request({**body, "input": items}), LIMITS, Losses())
    output = encode_response(answer, request_of(case), model="m")["output"]
    results = [
        {"type": item["type"] + "_output", "call_id": item["call_id"], "output": "ok"}
        for item in output
        if item["type"].endswith("tool_call") or item["type"] == "function_call"
    ]
    longer = [*items, *output, *results, {"role": "user", "content": "Go on"}]
    after = encode_request(decode_request({**body, "input": longer}), LIMITS, Losses())
    assert after["input"][: len(before["input"])] == before["input"]
    assert after["tools"] == before["tools"] if "tools" in before else "tools" not in after


def test_custom_tools_pass_as_what_they_are() -> None:
    """Contract §7.4, §7.10, also for clients of other protocols."""
    wire = encode_request(request_of("tool_custom"), LIMITS, Losses())
    given = fixture_json("tool_custom.request.json")
    assert wire["tools"][:2] == given["tools"]
    assert [(tool["type"], tool["name"]) for tool in wire["tools"][2:]] == [
        ("custom", "functions__exec"),
        ("function", "functions__wait"),
    ]
    calls = [item for item in wire["input"] if item["type"].startswith("custom_tool_call")]
    assert [call.get("input", call.get("output")) for call in calls][::2] == ['*** Begin\n"q"', "1+1"]
    assert calls[2]["name"] == "functions__exec"


def test_custom_tools_go_out_as_functions_and_come_back() -> None:
    request = request_of("tool_custom")
    losses = Losses()
    wire = encode_request(request, LIMITS, losses, frozenset({"type:custom", "type:web_search"}))
    assert [tool["name"] for tool in wire["tools"]] == ["apply_patch", "functions__exec", "functions__wait"]
    assert {tool["type"] for tool in wire["tools"]} == {"function"}
    assert "start: /.+/" in wire["tools"][0]["description"]
    assert losses.names() == ["tools[].web_search", "tools[].custom"]
    calls = [item for item in wire["input"] if item["type"] == "function_call"]
    assert [json.loads(call["arguments"]) for call in calls] == [{"input": '*** Begin\n"q"'}, {"input": "1+1"}]
    assert calls[1]["name"] == "functions__exec"
    answer = encode_response(decode_response(fixture_json("tool_custom.response.json")), request, model="m")
    first, second, third = answer["output"]
    assert (first["type"], first["name"], first["input"]) == (
        "custom_tool_call",
        "apply_patch",
        '*** Begin Patch\n+é "x"\n*** End',
    )
    assert (second["type"], second["name"], second["namespace"]) == ("custom_tool_call", "exec", "functions")
    assert (third["type"], third["name"], third["namespace"]) == ("function_call", "wait", "functions")
    assert answer["tools"] == [
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Apply a patch",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        },
        {"type": "web_search"},
    ]


def test_thoughts_come_first_and_only_with_their_proof() -> None:
    request = request_of("thinking")
    items = encode_request(request, LIMITS, Losses())["input"]
    assert [item["type"] for item in items] == ["message", "reasoning", "message", "message"]
    assert "id" not in items[1]
    losses = Losses()
    without = encode_request(request, LIMITS, losses, frozenset({"proof"}))["input"]
    assert [item["type"] for item in without] == ["message", "message", "message"]
    assert losses.names() == ["messages[].reasoning"]


def test_foreign_proofs_are_sealed_for_the_client_and_left_out_upstream() -> None:
    thought = ir.Reasoning("Hm", "sig", "messages")
    answer = ir.Response("msg_1", "claude", 1, (thought, ir.Text("Hi")), "stop")
    item = encode_response(answer, ir.Request(model="m"), model="m")["output"][0]
    assert item["encrypted_content"].startswith("gwseal1:messages:")
    assert item["summary"] == [{"type": "summary_text", "text": "Hm"}]
    back = decode_request({"model": "m", "input": [item, {"role": "user", "content": "x"}]})
    assert back.messages[0].parts == (thought,)
    assert [i["type"] for i in encode_request(back, LIMITS, Losses())["input"]] == ["message"]


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        ({"type": "file_search"}, [{"type": "file_search"}]),
        ("required", [{"type": "image_generation"}]),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp"}]}, [{"type": "mcp"}]),
    ],
)
def test_forced_hosted_tools_are_refused(choice: Any, tools: Any) -> None:
    request = decode_request({"model": "m", "input": "x", "tools": tools, "tool_choice": choice})
    with pytest.raises(UnsupportedFeatureError) as caught:
        encode_request(request, LIMITS, Losses())
    assert caught.value.param == "tool_choice"


# -- any grammatical sequence of events ------------------------------------------------------------------------------

texts = st.text(max_size=12)
CUSTOM = {"type": "custom", "name": "run"}
SPACE = {"type": "namespace", "name": "ns", "description": "", "tools": [{"type": "function", "name": "do"}]}
parts: st.SearchStrategy[ir.Part] = st.one_of(
    st.builds(ir.Text, texts),
    st.builds(ir.Refusal, texts),
    st.builds(ir.Reasoning, texts, st.none() | st.just("proof"), st.sampled_from(["messages", "responses", "chat"])),
    st.builds(ir.Reasoning, st.just(""), st.just("data"), st.just("messages"), redacted=st.just(True)),
    st.builds(
        ir.ToolCall,
        st.text("abc123", min_size=1),
        st.sampled_from(["run", "ns__do", "other"]),
        st.sampled_from(["", "{}", '{"input": "a\\n\\"b\\""}', '{"a":1}', "not json"]),
    ),
    st.builds(ir.ToolCall, st.just("c"), st.just("free"), texts, st.just("custom")),
    st.builds(ir.Opaque, st.just("messages"), st.just({"type": "server_tool_use"})),
)
finishes = st.sampled_from(
    ["stop", "stop_sequence", "tool_calls", "length", "context_overflow", "content_filter", "refusal", "pause"]
)
usages = st.none() | st.builds(ir.Usage, *[st.none() | st.integers(0, 10**6)] * 5)


@settings(max_examples=tries(150), deadline=None)
@given(st.lists(parts, max_size=6), finishes, usages, st.data())
def test_any_answer_makes_a_correct_stream(
    given_parts: list[ir.Part], finish: Any, usage: ir.Usage | None, data: st.DataObject
) -> None:
    request = decode_request({"model": "m", "input": "x", "tools": [CUSTOM, SPACE]})
    answer = ir.Response("up/stream+id=", "model", 5, tuple(given_parts), finish, usage=usage)
    told = ev.explode(answer)
    for at in sorted(data.draw(st.lists(st.integers(1, len(told) - 1), max_size=3)), reverse=True):
        told.insert(at, ev.Ping())
    encoder = StreamEncoder(request, model="m")
    stream = Stream(b"".join(encoder.feed(event) for event in told))
    assert stream.final == encode_response(answer, request, model="m")
    decoder = StreamDecoder()
    again = [event for item in stream.events for event in decoder.feed_bytes(sse_event(item["type"], json.dumps(item)))]
    ev.check(again)
    kept = [part for part in given_parts if isinstance(part, ir.Text | ir.Refusal)]
    assert [part for part in ev.accumulate(again).parts if isinstance(part, ir.Text | ir.Refusal)] == kept


@pytest.mark.parametrize("at", ["1e400", "-1", "1e300", "true", '"now"'])
def test_a_time_that_is_none_does_not_break_the_answer(at: str) -> None:
    raw = b'{"status":"completed","output":[],"created_at":%s}' % at.encode()
    assert decode_response(json.loads(raw)).created_at is None
    event = b'{"type":"response.completed","response":%s}' % raw
    found = StreamDecoder().feed_bytes(sse_event("response.completed", event.decode()))
    assert isinstance(found[0], ev.ResponseStart)
    assert found[0].created_at is None
