"""Answers, whole and streamed: from a chat upstream into neutral terms, and out to a chat client."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from app.converters.chat.client.request import decode_request
from app.converters.chat.client.response import encode_response
from app.converters.chat.client.stream import StreamEncoder
from app.converters.chat.thoughts import thoughts
from app.converters.chat.upstream.response import decode_response
from app.converters.chat.upstream.stream import StreamDecoder
from app.converters.neutral.events import (
    Event,
    PartDelta,
    PartEnd,
    Ping,
    ResponseEnd,
    ResponseStart,
    StreamError,
    accumulate,
    check,
    explode,
)
from app.converters.neutral.vocabulary import (
    Annotation,
    FinishReason,
    Part,
    Reasoning,
    Refusal,
    Request,
    Response,
    Text,
    Tool,
    ToolCall,
    Usage,
)
from app.errors import GatewayError, UpstreamProtocolError
from tests.support.effort import tries
from tests.support.rows import rows
from tests.support.streams import sse_event

FIXTURES = Path(__file__).parents[3] / "fixtures" / "chat"
STREAMS = sorted(path.name.removesuffix(".stream.sse") for path in FIXTURES.glob("*.stream.sse"))
GOOD = sorted(set(STREAMS) - {"error"})
BOTH = sorted(set(STREAMS) & {path.name.removesuffix(".response.json") for path in FIXTURES.glob("*.response.json")})
# The contract's own captures show two different answers, or one that stream and whole spell differently.
SAME = sorted(set(BOTH) - {"openai_text", "openai_tool", "claude_choices", "reasoning"})

PLAIN = Request(model="m", has_tools_field=True)
CUSTOM = Request(model="m", has_tools_field=True, tools=(Tool("patch", kind="custom"), Tool("go", namespace="files")))


def stream_of(case: str) -> bytes:
    return (FIXTURES / f"{case}.stream.sse").read_bytes()


def whole_of(case: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((FIXTURES / f"{case}.response.json").read_bytes())
    return answer


def decoded(raw: bytes, cut: int = 0) -> list[Event]:
    decoder = StreamDecoder()
    pieces = [raw[at : at + cut] for at in range(0, len(raw), cut)] if cut else [raw]
    events = [event for piece in pieces for event in decoder.feed_bytes(piece)] + decoder.finish()
    assert decoder.finish() == []
    assert decoder.feed_bytes(sse_event("", '{"choices":[]}')) == []
    check(events)
    return events


def by_event(raw: bytes) -> list[Event]:
    decoder = StreamDecoder()
    lines = [line.removeprefix("data: ") for line in raw.decode().splitlines() if line.startswith("data: ")]
    return [event for line in lines for event in decoder.feed_bytes(sse_event("", line))] + decoder.finish()


def content_of(events: list[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Ping)]


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "i",
        "created": 1,
        "model": "u",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def answered(*chunks: dict[str, Any], done: bool = True) -> Response:
    raw = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
    return accumulate(decoded(raw + (b"data: [DONE]\n\n" if done else b"")))


# -- laws over the fixtures: decoding --------------------------------------------------------------------------------


@rows()
@pytest.mark.parametrize("case", GOOD)
def test_every_stream_is_grammatical_and_ends_well(case: str) -> None:
    assert isinstance(decoded(stream_of(case))[-1], ResponseEnd)


@pytest.mark.parametrize("case", SAME)
def test_stream_and_whole_are_the_same_answer(case: str) -> None:
    assert accumulate(decoded(stream_of(case))) == decode_response(whole_of(case))


@rows()
@pytest.mark.parametrize("case", STREAMS)
def test_same_events_wherever_the_bytes_are_cut(case: str) -> None:
    raw = stream_of(case)
    expected = content_of(decoded(raw))
    assert str(content_of(by_event(raw))) == str(expected)
    for cut in (1, 2, 7, 100):
        assert str(content_of(decoded(raw, cut))) == str(expected)


@rows()
@pytest.mark.parametrize("case", GOOD)
def test_a_truncated_stream_never_looks_finished(case: str) -> None:
    lines = stream_of(case).decode().splitlines(keepends=True)
    finish = next(
        at
        for at, line in enumerate(lines)
        if ('"finish_reason":"' in line and "function_call" not in line) or '"finish_reason":"function_call"' in line
    )
    for kept in range(finish + 1):
        events = decoded("".join(lines[:kept]).encode())
        assert isinstance(events[-1], StreamError)
        assert sum(isinstance(event, PartEnd) and isinstance(event.part, ToolCall) for event in events) <= 1
    torn = decoded("".join(lines[:finish]).encode() + lines[finish].encode()[:-20])
    assert isinstance(torn[-1], StreamError)


def test_in_band_error_is_decoded() -> None:
    *_, last = decoded(stream_of("error"))
    assert isinstance(last, StreamError)
    assert (last.error.status, last.error.code) == (429, "rate_limit_exceeded")


def test_bare_error_outside_of_an_event() -> None:
    raw = stream_of("text").split(b"data: [DONE]")[0] + b'{"error":{"code":"rate_limited","message":"slow"}}'
    assert isinstance(decoded(raw)[-1], StreamError)


# -- decoding: details -----------------------------------------------------------------------------------------------


def test_parallel_calls_of_claude() -> None:
    response = accumulate(decoded(stream_of("tool_parallel")))
    assert response.parts == (
        Text("Checking both."),
        ToolCall("toolu_bdrk_a", "get_weather", '{"city":"Oslo"}'),
        ToolCall("toolu_bdrk_b", "get_weather", '{"city":"Rome"}'),
    )
    assert response.finish_reason == "tool_calls"
    assert response.usage == Usage(120, 100, None, 64, None)


def test_thought_with_split_proof() -> None:
    response = accumulate(decoded(stream_of("thinking")))
    assert response.parts == (Reasoning("Let me think.", "EqoBCkgIBxABGAIiQLnew==", "chat"), Text("12 degrees."))
    assert response.usage is not None
    assert response.usage.reasoning_tokens == 30


def test_proof_of_gemini_stands_before_its_call() -> None:
    thought, call = accumulate(decoded(stream_of("gemini_tool"))).parts
    assert isinstance(thought, Reasoning)
    assert isinstance(call, ToolCall)
    assert thought.origin == call.origin == "chat"
    assert thought.signature
    assert call.signature


def test_gemini_counts_its_thoughts_apart() -> None:
    usage = accumulate(decoded(stream_of("gemini_tool"))).usage
    assert usage == Usage(640, 0, None, 18 + 83, 83)
    assert decode_response(whole_of("reasoning")).usage == Usage(11, 0, None, 116, 112)


def test_late_azure_proof_is_a_part_of_its_own() -> None:
    parts = accumulate(decoded(stream_of("reasoning_azure"))).parts
    assert isinstance(parts[-1], Reasoning)
    assert parts[-1].signature == parts[-1].id
    assert str(parts[-1].id).startswith("cot_")


def test_legacy_function_call_is_a_call() -> None:
    response = accumulate(decoded(stream_of("legacy_function")))
    assert response.finish_reason == "tool_calls"
    assert response.calls[0].name == "get_current_weather"


def test_interleaved_calls_are_told_one_after_the_other() -> None:
    def part(index: int, **function: str) -> dict[str, Any]:
        return {
            "tool_calls": [
                {"index": index, "function": function, **({"id": f"c{index}"} if "name" in function else {})}
            ]
        }

    response = answered(
        chunk(part(0, name="a", arguments='{"x":')),
        chunk(part(1, name="b", arguments='{"y":')),
        chunk(part(0, arguments="1}")),
        chunk(part(1, arguments="2}")),
        chunk({}, "tool_calls"),
    )
    assert [call.arguments for call in response.calls] == ['{"x":1}', '{"y":2}']


def test_text_around_a_call_and_a_second_thought() -> None:
    response = answered(
        chunk({"reasoning_text": "one", "reasoning_opaque": "P"}),
        chunk({"reasoning_text": "two"}),
        chunk({"content": "a"}),
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}),
        chunk({"content": "b"}),
        chunk({}, "stop"),
    )
    assert response.parts == (
        Reasoning("one", "P", "chat"),
        Reasoning("two"),
        Text("a"),
        ToolCall("c", "f", "{}"),
        Text("b"),
    )
    assert response.finish_reason == "tool_calls"


def test_a_name_that_comes_late() -> None:
    response = answered(
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
    )
    assert response.calls == (ToolCall("c", "f", "{}"),)


def test_annotations_belong_to_the_text() -> None:
    raw = {"type": "url_citation", "url_citation": {"url": "https://x", "title": "X", "start_index": 0, "end_index": 1}}
    streamed = answered(chunk({"content": "ab"}), chunk({"annotations": [raw]}), chunk({}, "stop"))
    (text,) = streamed.parts
    assert isinstance(text, Text)
    assert text.annotations == (Annotation("url", "https://x", "X", 0, 1, origin="chat", value=raw),)
    message = encode_response(streamed, PLAIN, model="m")["choices"][0]["message"]
    assert message["annotations"] == [raw]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("end_turn", "stop"),
        ("odd", "stop"),
    ],
)
def test_finish_reasons(reason: str, expected: FinishReason) -> None:
    assert answered(chunk({"content": "a"}), chunk({}, reason)).finish_reason == expected


def test_refusal_is_a_reason_of_its_own() -> None:
    response = decode_response(whole_of("refusal"))
    assert (response.parts, response.finish_reason) == ((Refusal("I can't help with that."),), "refusal")
    assert encode_response(response, PLAIN, model="m")["choices"][0]["finish_reason"] == "stop"


def test_whole_error_and_nonsense() -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response({"error": {"code": "rate_limited", "message": "slow"}})
    assert caught.value.status == 429
    with pytest.raises(UpstreamProtocolError):
        decode_response({"choices": []})


def test_all_choices_of_a_whole_answer_are_read() -> None:
    assert len(decode_response(whole_of("tool_parallel")).parts) == 3
    assert decode_response(whole_of("anthropic")).text
    assert decode_response(whole_of("no_choices")).parts == ()


def test_decoding_leaves_the_body_alone() -> None:
    body = whole_of("text")
    decode_response(body)
    assert body == whole_of("text")


# -- encoding for a chat client --------------------------------------------------------------------------------------


class Read:
    """A client's stream taken apart; checks its grammar (conversion rules §4)."""

    def __init__(self, raw: bytes) -> None:
        frames = raw.decode().split("\n\n")
        assert frames.pop() == ""
        data = [frame.removeprefix("data: ") for frame in frames if not frame.startswith(":")]
        self.is_done = data[-1:] == ["[DONE]"]
        values = [json.loads(one) for one in data if one != "[DONE]"]
        self.error = values.pop()["error"] if values and "error" in values[-1] else None
        self.chunks = values
        assert not (self.error and self.is_done)
        assert len({(c["id"], c["object"], c["created"], c["model"]) for c in values}) <= 1
        self.usage = values.pop()["usage"] if values and not values[-1]["choices"] else None
        self.message: dict[str, Any] = {}
        self.finish: str | None = None
        for one in values:
            assert not self.finish, "nothing but usage comes after the finish"
            (entry,) = one["choices"]
            self.finish = entry["finish_reason"]
            self._add(copy.deepcopy(entry["delta"]))
        assert self.is_done == bool(self.finish)

    def _add(self, delta: dict[str, Any]) -> None:
        assert ("role" in delta) == (not self.message)
        for key, value in delta.items():
            if key == "tool_calls":
                self._add_calls(value)
            elif key == "function_call":
                call = self.message.setdefault("function_call", {"name": "", "arguments": ""})
                for name, text in value.items():
                    call[name] += text
            elif isinstance(value, list):
                self.message[key] = self.message.get(key, []) + value
            else:
                self.message[key] = self.message.get(key, "") + value

    def _add_calls(self, fragments: list[dict[str, Any]]) -> None:
        calls = self.message.setdefault("tool_calls", [])
        for fragment in fragments:
            index = fragment.pop("index")
            kind = "custom" if "custom" in fragment else "function"
            if index == len(calls):
                assert fragment["id"]
                assert fragment["type"] == kind
                assert fragment[kind]["name"]
                calls.append(fragment)
                continue
            assert index == len(calls) - 1
            assert fragment.keys() == {kind}
            (name,) = fragment[kind]
            calls[index][kind][name] += fragment[kind][name]


def encoded(events: list[Event], request: Request = PLAIN, **more: Any) -> Read:
    encoder = StreamEncoder(request, model="asked", **more)
    return Read(b"".join(encoder.feed(event) for event in events))


def normal(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if value not in (None, "")}


@rows()
@pytest.mark.parametrize("case", GOOD)
def test_a_chat_client_gets_back_what_a_chat_upstream_said(case: str) -> None:
    """chat → neutral → chat, streamed and whole alike."""
    events = decoded(stream_of(case))
    response = accumulate(events)
    read = encoded(events, include_usage=True)
    whole = encode_response(response, PLAIN, model="asked")
    ChatCompletion.model_validate(whole)
    for one in read.chunks:
        ChatCompletionChunk.model_validate(one)
    assert normal(read.message) == normal(whole["choices"][0]["message"])
    assert read.finish == whole["choices"][0]["finish_reason"]
    assert read.usage == whole.get("usage")
    if case not in ("reasoning_azure", "legacy_function"):
        assert decode_response(whole) == dataclasses.replace(
            response, id=whole["id"], model="asked", created_at=response.created_at
        )


@rows()
@pytest.mark.parametrize("case", GOOD)
def test_what_was_encoded_decodes_to_the_same(case: str) -> None:
    events = content_of(decoded(stream_of(case)))
    encoder = StreamEncoder(PLAIN, model="asked", include_usage=True)
    again = accumulate(decoded(b"".join(encoder.feed(event) for event in events)))
    first = accumulate(events)
    assert (again.text, again.calls, again.finish_reason) == (first.text, first.calls, first.finish_reason)
    if first.usage is not None:
        assert again.usage == first.usage


def test_usage_chunk_exactly_when_asked_for() -> None:
    events = explode(Response("i", "u", 5, (Text("a"),), "stop", usage=Usage(9, 3, 2, 4, 1)))
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
    asked = decode_request({**body, "stream_options": {"include_usage": True}})
    assert encoded(events, decode_request(body)).usage is None
    assert encoded(events, asked).usage == {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


def test_usage_of_the_start_counts_where_the_end_is_silent() -> None:
    events: list[Event] = [
        ResponseStart("i", "u", 5, Usage(input_tokens=7)),
        ResponseEnd("stop", usage=Usage(output_tokens=2)),
    ]
    assert encoded(events, include_usage=True).usage["total_tokens"] == 9


def test_the_first_frame_goes_out_at_once() -> None:
    assert b'"role":"assistant"' in StreamEncoder(PLAIN, model="m").feed(ResponseStart("i", "u"))
    assert StreamEncoder(PLAIN, model="m").feed(Ping()) == b":keep-alive\n\n"


def test_ids_and_times() -> None:
    response = Response("msg_1", "u", 99, (), "stop")
    whole = encode_response(response, PLAIN, model="m")
    assert (whole["id"], whole["created"], whole["model"]) == ("chatcmpl-msg_1", 99, "m")
    assert encode_response(dataclasses.replace(response, id="r" * 300), PLAIN, model="m")["id"].startswith(
        "chatcmpl-rrr"
    )


def test_custom_tools_and_namespaces_come_back() -> None:
    calls = (ToolCall("c1", "patch", '{"input":"a\\nb"}'), ToolCall("c2", "files__go", ""))
    response = Response("i", "u", 5, calls, "tool_calls")
    read = encoded(explode(response), CUSTOM)
    whole = encode_response(response, CUSTOM, model="m")["choices"][0]["message"]
    assert (
        read.message["tool_calls"]
        == whole["tool_calls"]
        == [
            {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "a\nb"}},
            {"id": "c2", "type": "function", "function": {"name": "go", "arguments": "{}"}},
        ]
    )


def test_legacy_clients_get_their_call_in_the_legacy_form() -> None:
    request = decode_request(
        {"model": "m", "messages": [{"role": "user", "content": "x"}], "functions": [{"name": "f"}]}
    )
    response = Response("i", "u", 5, (ToolCall("c", "f", '{"a":1}'),), "tool_calls")
    read = encoded(explode(response), request)
    whole = encode_response(response, request, model="m")["choices"][0]
    assert read.message["function_call"] == whole["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert read.finish == whole["finish_reason"] == "function_call"


@pytest.mark.parametrize(
    "found",
    [
        (Reasoning("t", "S", "messages"),),
        (Reasoning("t", "S", "messages"), Reasoning("u", "E", "responses", "rs:1")),
        (Reasoning("", "D", "messages", redacted=True), Reasoning("u", "S", "messages")),
        (Reasoning("t", "P", "chat"),),
        (Reasoning("t", "c", "chat", "c"),),
        (Reasoning("t"),),
    ],
)
def test_thoughts_come_home_through_a_chat_client(found: tuple[Reasoning, ...]) -> None:
    response = Response("i", "u", 5, (*found, Text("a")), "stop")
    whole = encode_response(response, PLAIN, model="m")["choices"][0]["message"]
    assert tuple(thoughts(whole)) == found
    assert normal(encoded(explode(response)).message) == normal(whole)


def test_an_unfinished_call_is_never_closed() -> None:
    for request in (PLAIN, CUSTOM):
        events = explode(Response("i", "u", 5, (Text("a"), ToolCall("c", "patch", '{"input":"rm -rf"}')), "tool_calls"))
        cut = next(at for at, event in enumerate(events) if isinstance(event, PartDelta) and event.field == "arguments")
        read = encoded([*events[: cut + 1], StreamError(UpstreamProtocolError("broke"))], request)
        assert read.error is not None
        assert not read.is_done
        assert read.finish is None
    assert read.message["tool_calls"][0]["custom"]["input"] == ""


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop_sequence", "stop"),
        ("pause", "stop"),
        ("context_overflow", "length"),
        ("refusal", "content_filter"),
        ("length", "length"),
    ],
)
def test_finish_reasons_for_the_client(reason: FinishReason, expected: str) -> None:
    response = Response("i", "u", 5, (Text("a"),), reason)
    assert encode_response(response, PLAIN, model="m")["choices"][0]["finish_reason"] == expected
    assert encoded(explode(response)).finish == expected


def test_foreign_annotations_count_from_the_start_of_the_message() -> None:
    page = Annotation("url", "https://x", None, 0, 1, origin="responses", value={})
    passage = Annotation("other", cited_text="c", origin="messages", value={})
    response = Response("i", "u", 5, (Text("abc"), Text("d", (page, passage))), "stop")
    citation = {"start_index": 3, "end_index": 4, "title": "https://x", "url": "https://x"}
    for message in (
        encode_response(response, PLAIN, model="m")["choices"][0]["message"],
        encoded(explode(response)).message,
    ):
        assert message["annotations"] == [{"type": "url_citation", "url_citation": citation}]


# -- properties ------------------------------------------------------------------------------------------------------

_TEXT = st.text(max_size=8)
_SOME = st.text(min_size=1, max_size=8)
_PROOF = st.sampled_from(["messages", "responses", "chat"])
_PART: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, _SOME),
    st.builds(Refusal, _SOME),
    st.builds(Reasoning, _TEXT),
    st.builds(Reasoning, _TEXT, _SOME, _PROOF),
    st.builds(Reasoning, st.just(""), _SOME, _PROOF, redacted=st.just(True)),
    st.builds(
        ToolCall,
        _SOME,
        st.sampled_from(["patch", "files__go", "made_up"]),
        st.sampled_from(["", "{}", '{"input":"x"}', '{"a":[1,"}"]}', "torn{"]),
    ),
)
_RESPONSE = st.builds(
    Response,
    st.sampled_from(["msg_1", "resp_" + "x" * 90, ""]),
    st.just("u"),
    st.none() | st.integers(1, 2**31),
    st.lists(_PART, max_size=6).map(tuple),
    st.sampled_from(["stop", "length", "tool_calls", "refusal", "pause"]),
    usage=st.none() | st.builds(Usage, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)),
)


@settings(max_examples=tries(200), deadline=None)
@given(_RESPONSE, st.sampled_from([PLAIN, CUSTOM]))
def test_any_answer_streams_into_its_whole(response: Response, request: Request) -> None:
    whole = encode_response(response, request, model="asked")
    read = encoded(explode(response), request, include_usage=True)
    assert normal(read.message) == normal(whole["choices"][0]["message"])
    assert read.finish == whole["choices"][0]["finish_reason"]
    assert read.usage == whole.get("usage")


@settings(max_examples=tries(200), deadline=None)
@given(
    st.lists(
        st.one_of(
            st.builds(lambda text: {"content": text}, _TEXT),
            st.builds(lambda text: {"reasoning_text": text}, _TEXT),
            st.builds(lambda text: {"reasoning_opaque": text}, _TEXT),
            st.builds(lambda text: {"refusal": text}, _TEXT),
            st.builds(
                lambda call_id, name, arguments: {
                    "tool_calls": [{"index": 0, "id": call_id, "function": {"name": name, "arguments": arguments}}]
                },
                st.sampled_from([None, "", "a", "b", "c"]),
                st.sampled_from([None, "", "f"]),
                st.sampled_from(["", "{", "}", "{}"]),
            ),
        ),
        max_size=8,
    )
)
def test_any_deltas_keep_the_grammar_and_the_text(deltas: list[dict[str, Any]]) -> None:
    raw = b"".join(b"data: " + json.dumps(chunk(delta)).encode() + b"\n\n" for delta in deltas)
    events = decoded(raw + b"data: " + json.dumps(chunk({}, "stop")).encode() + b"\n\ndata: [DONE]\n\n")
    if isinstance(events[-1], StreamError):
        assert events[-1].error.code == "upstream_protocol_error"
        return
    response = accumulate(events)
    found = [part for part in response.parts if isinstance(part, Reasoning)]
    assert response.text == "".join(delta.get("content", "") for delta in deltas)
    assert "".join(part.text for part in found) == "".join(delta.get("reasoning_text", "") for delta in deltas)
    assert "".join(part.signature or "" for part in found) == "".join(d.get("reasoning_opaque", "") for d in deltas)
    assert all(part.origin == ("chat" if part.signature else None) for part in found)


def test_content_of_a_chunk_that_is_no_string_does_not_break_the_stream() -> None:
    chunk = '{"id":"i","created":1,"model":"m","object":"o","choices":[{"index":0,"delta":{"content":%s}}]}'
    end = '{"id":"i","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    raw = "".join(f"data: {one}\n\n" for one in (*(chunk % text for text in ('"a"', "1", '"b"', "[2]")), end))
    assert accumulate(decoded(raw.encode())).parts == (Text("ab"),)
