"""Neutral events → a messages client's stream: any grammatical sequence gives a correct one (conversion rules §4)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converters.messages.client.request import decode_request
from app.converters.messages.client.response import encode_response
from app.converters.messages.client.stream import PING, StreamEncoder
from app.converters.messages.upstream.response import decode_response
from app.converters.messages.upstream.stream import StreamDecoder
from app.converters.messages.vocabulary import ANSWER_TOOL, ANSWER_VALUE_TOOL, FINISH_REASONS, NO_PROOF, STOP_REASONS
from app.converters.neutral.events import (
    Event,
    PartDelta,
    PartEnd,
    PartStart,
    Ping,
    ResponseEnd,
    ResponseStart,
    StreamError,
    accumulate,
    explode,
    opened,
    streamed_fields,
)
from app.converters.neutral.sealed_signatures import seal
from app.converters.neutral.vocabulary import (
    Annotation,
    Audio,
    FinishReason,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    Response,
    Text,
    ToolCall,
    Usage,
)
from app.errors import UpstreamProtocolError
from tests.support.streams import sse_event
from tests.unit.converters.messages.conftest import Accumulated, decode, frames_of

REQUEST = Request(model="m", messages=(Message("user", (Text("Hi"),)),))

texts = st.text(max_size=12)
ids = st.text(alphabet="abc_-.|:1", max_size=80)
origins = st.sampled_from(["chat", "messages", "responses"])
parts = st.one_of(
    st.builds(Text, texts, st.just(())),
    st.builds(Refusal, texts),
    st.builds(Audio, st.just(""), transcript=texts),
    st.builds(Reasoning, texts),
    st.builds(Reasoning, texts, st.text("abc", min_size=1), origins),
    st.builds(Reasoning, st.just(""), st.just("data"), st.just("messages"), redacted=st.just(True)),
    st.builds(
        ToolCall, ids, st.just("get"), st.sampled_from(["", "{}", ' {"a": [1, "x"]}', "free", "[1]", '{"a"', " "])
    ),
    st.builds(ToolCall, ids, st.just("patch"), texts, st.just("custom")),
    st.builds(Opaque, origins, st.just({"type": "server_tool_use", "id": "s", "input": {}})),
    st.builds(Image, url=st.just("https://x")),
)
counts = st.one_of(st.none(), st.integers(0, 9999))
responses = st.builds(
    Response,
    id=ids,
    model=st.just("up"),
    created_at=st.none(),
    parts=st.lists(parts, max_size=5).map(tuple),
    finish_reason=st.sampled_from(list(STOP_REASONS)),
    stop_sequence=st.none(),
    usage=st.one_of(st.none(), st.builds(Usage, counts, counts, counts, counts, counts)),
)


def stream_of(events: list[Event], **more: Any) -> bytes:
    encoder = StreamEncoder(REQUEST, model="asked", **more)
    return b"".join(encoder.feed(event) for event in events)


def events_of(response: Response, cuts: list[int]) -> list[Event]:
    """As `explode`, with the deltas in pieces and a ping here and there."""
    events: list[Event] = [ResponseStart(response.id, response.model, None, response.usage)]
    for index, part in enumerate(response.parts):
        events += [PartStart(index, opened(part)), Ping()]
        for name in streamed_fields(part):
            value, at = getattr(part, name) or "", 0
            for cut in [*cuts, len(value)]:
                if value[at : at + cut]:
                    events.append(PartDelta(index, name, value[at : at + cut]))
                at += cut
        events.append(PartEnd(index, part))
    return [*events, ResponseEnd(response.finish_reason, response.stop_sequence, response.usage, response.extra)]


@given(response=responses, cuts=st.lists(st.integers(1, 3), max_size=4))
def test_any_answer_gives_a_correct_stream_with_nothing_lost(response: Response, cuts: list[int]) -> None:
    got = Accumulated(stream_of(events_of(response, cuts)))
    assert got.message is not None
    whole = encode_response(response, REQUEST, model="asked")
    for block, expected in zip(got.content, whole["content"], strict=True):
        told = block.pop("input_text", None)
        if expected["type"] == "tool_use" and block["input"] is None:
            # Broken JSON that began like an object has been told as it came.
            assert expected["input"] == {"_raw_arguments": told}
            continue
        assert block == expected
    assert got.message["stop_reason"] == whole["stop_reason"]
    assert got.message["usage"] == whole["usage"]
    assert b"".join(
        part.text.encode() for part in response.parts if isinstance(part, Text | Refusal)
    ).decode() in "".join(block.get("text", "") for block in got.content) or any(
        isinstance(part, Audio) for part in response.parts
    )


@given(response=responses, at=st.integers(0, 40))
def test_a_failure_anywhere_ends_in_an_error_alone(response: Response, at: int) -> None:
    events = explode(response)
    cut = [*events[: min(at, len(events) - 1)], StreamError(UpstreamProtocolError("Broken."))]
    raw = stream_of([*cut, *events])
    got = Accumulated(raw)
    assert got.error == {"type": "api_error", "message": "Broken."}
    assert b"message_stop" not in raw


@given(response=responses)
def test_what_the_client_got_is_read_again(response: Response) -> None:
    """Our own decoder takes whatever our encoder writes, streamed or whole, to the same answer."""
    whole = decode_response(encode_response(response, REQUEST, model="asked"))
    streamed = accumulate(decode(stream_of(explode(response))))
    if any(isinstance(part, ToolCall) for part in response.parts):
        # Streamed arguments are the model's exact text, those of a whole answer were an object.
        assert [part.text for part in whole.parts if isinstance(part, Text)] == [
            part.text for part in streamed.parts if isinstance(part, Text)
        ]
    elif not any(isinstance(part, Opaque) for part in response.parts):
        assert streamed == whole


def test_the_order_of_events() -> None:
    call = ToolCall("call_a", "get", '{"a":1}')
    answer = Response(
        "x", "up", None, (Reasoning("hm", "s", "messages"), Text("Hi"), call), "tool_calls", usage=Usage(9, 4)
    )
    kinds = [name for name, _ in frames_of(stream_of(explode(answer)))]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert kinds == [
        "message_start",
        block[0],
        block[1],
        block[1],
        block[2],
        *block,
        *block,
        "message_delta",
        "message_stop",
    ]


def test_every_thought_has_a_signature() -> None:
    thoughts = (Reasoning("a"), Reasoning("b", "enc", "responses", "rs"), Reasoning("", "op", "chat"), Reasoning())
    answer = Response("x", "up", None, (*thoughts, Text("So.")), "stop")
    blocks = Accumulated(stream_of(explode(answer))).content
    assert [block.get("signature") for block in blocks] == [NO_PROOF, seal(thoughts[1]), seal(thoughts[2]), None]
    again = decode_request({"model": "m", "messages": [{"role": "assistant", "content": blocks}]}).messages[0].parts
    assert again == (*thoughts[:3], Text("So."))


def test_usage_is_split_and_starts_with_the_best_count() -> None:
    events: list[Event] = [
        ResponseStart("x", "up"),
        ResponseEnd("stop", usage=Usage(120, 100, None, 31, 20)),
    ]
    request = Request(model="m", messages=(Message("user", (Text("word " * 100),)),))
    encoder = StreamEncoder(request, model="asked")
    frames = [json.loads(data) for _, data in frames_of(b"".join(map(encoder.feed, events)))]
    # Some clients look at the start alone; nothing is known by then but how long the prompt is.
    assert frames[0]["message"]["usage"] == {"input_tokens": 125, "output_tokens": 0}
    assert frames[1]["usage"] == {
        "input_tokens": 20,
        "cache_read_input_tokens": 100,
        "output_tokens": 31,
        "output_tokens_details": {"thinking_tokens": 20},
    }


def test_web_sources_become_citations() -> None:
    note = Annotation("url", "https://x", "X", cited_text="Hi")
    answer = Response("x", "up", None, (Text("Hi", (note,)),), "stop")
    (block,) = Accumulated(stream_of(explode(answer))).content
    assert block["citations"][0]["url"] == "https://x"
    assert decode_response(encode_response(answer, REQUEST, model="m")).parts[0].annotations[0].url == "https://x"


def test_pings() -> None:
    assert StreamEncoder(REQUEST, model="m").feed(Ping()) == PING


@pytest.mark.parametrize("reason", list(STOP_REASONS))
def test_reasons_come_back(reason: FinishReason) -> None:
    expected = "refusal" if reason == "content_filter" else reason
    assert FINISH_REASONS[STOP_REASONS[reason]] == expected


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


START = {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 3}}}
END = (
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
)


def block(index: int, opening: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": opening},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


@pytest.mark.parametrize(
    ("name", "told", "expected"), [(ANSWER_TOOL, '{"a":1}', '{"a":1}'), (ANSWER_VALUE_TOOL, '{"value":[1]}', "[1]")]
)
def test_a_structured_answer_is_unwrapped(name: str, told: str, expected: str) -> None:
    use = {"type": "tool_use", "id": "t", "name": name, "input": {}}
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in (told[:3], told[3:])]
    answer = accumulate(decode(sse(START, *block(0, use, *pieces), *END)))
    assert answer.parts == (Text(expected),)
    assert answer.finish_reason == "stop"
    body = {"id": "msg_1", "model": "c", "content": [{**use, "input": json.loads(told)}], "stop_reason": "tool_use"}
    assert decode_response(body).parts == answer.parts
    assert decode_response(body).finish_reason == "stop"


def test_server_tools_are_opaque() -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    answer = accumulate(
        decode(sse(START, *block(0, use, {"type": "input_json_delta", "partial_json": '{"q":1}'}), *END))
    )
    assert answer.parts == (Opaque("messages", {**use, "input": {"q": 1}}),)


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "content_block_stop", "index": 0}],
        [START, START],
        [START, {"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "x"}}],
        [START, *block(0, {"type": "tool_use", "id": "t", "name": "n", "input": {}})[:1], *END],
        [START, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}],
        [START, {"type": "content_block_start", "index": 0}],
    ],
)
def test_nonsense_is_an_error(events: list[dict[str, Any]]) -> None:
    assert isinstance(decode(sse(*events))[-1], StreamError)


def test_torn_json_and_a_late_done() -> None:
    decoder = StreamDecoder()
    assert isinstance(decoder.feed_bytes(sse_event("message_start", '{"type":"mess'))[-1], StreamError)
    assert decoder.feed_bytes(sse_event("message_stop", '{"type":"message_stop"}')) == []
    late = StreamDecoder()
    assert late.feed_bytes(sse_event("", "")) == []
    assert isinstance(late.feed_bytes(sse_event("", "[DONE]"))[-1], StreamError)


def test_calls_whole_from_their_start() -> None:
    use = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}
    assert accumulate(decode(sse(START, *block(0, use), *END))).parts == (ToolCall("t", "n", '{"a":1}'),)


def test_parts_list_is_typed() -> None:
    part: Part = Text("x")
    assert decode(sse(START))[0] == ResponseStart("msg_1", "c", None, Usage(3))
    assert part == Text("x")
