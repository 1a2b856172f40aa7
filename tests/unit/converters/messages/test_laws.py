"""The laws of conversion rules §8, over every fixture."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converters.messages.client.request import decode_request
from app.converters.messages.client.response import encode_response
from app.converters.messages.client.stream import StreamEncoder
from app.converters.messages.native.response import normalize_response, response_to_stream
from app.converters.messages.native.stream import StreamNormalizer
from app.converters.messages.upstream.request import encode_request
from app.converters.messages.upstream.response import decode_response
from app.converters.neutral.events import StreamError, accumulate, check, explode
from app.converters.neutral.losses import Losses
from app.converters.neutral.vocabulary import Message, Reasoning, Refusal, Request, Text
from tests.support.identities import identity_of
from tests.unit.converters.messages.conftest import CASES, SONNET, Accumulated, decode, frames_of, load, stream


def encoded(request: Request) -> dict[str, Any]:
    return encode_request(request, SONNET, Losses())


def client_stream(case: str) -> bytes:
    encoder = StreamEncoder(decode_request(load(case, "request")), model="asked")
    return b"".join(encoder.feed(event) for event in decode(stream(case)))


# System messages inside the conversation become the user's, so that one case does not come back as it went.
@pytest.mark.parametrize("case", [case for case in CASES if case != "system_variants"])
def test_a_request_survives_the_round_trip(case: str) -> None:
    request = decode_request(load(case, "request"))
    assert decode_request(encoded(request)) == request


def test_encoding_is_idempotent(case: str) -> None:
    once = encoded(decode_request(load(case, "request")))
    assert encoded(decode_request(once)) == once


def test_nothing_of_a_fixture_is_lost_within_the_protocol(case: str) -> None:
    losses = Losses()
    encode_request(decode_request(load(case, "request")), SONNET, losses)
    assert losses.names() == []


def test_an_answer_survives_the_round_trip(case: str) -> None:
    response = decode_response(load(case, "response"))
    request = decode_request(load(case, "request"))
    again = decode_response(encode_response(response, request, model=response.model))
    # Words of refusal are text to a messages client.
    told = tuple(Text(part.text) if isinstance(part, Refusal) else part for part in response.parts)
    assert again == dataclasses.replace(response, parts=told)


def test_stream_equals_whole(case: str) -> None:
    events = decode(stream(case))
    check(events)
    assert accumulate(events) == decode_response(load(case, "response"))


def test_the_client_gets_the_same_streamed_and_whole(case: str) -> None:
    request, response = decode_request(load(case, "request")), decode_response(load(case, "response"))
    whole = encode_response(response, request, model="asked")
    for raw in (client_stream(case), _exploded(response, request)):
        got = Accumulated(raw).message
        assert got is not None
        for block in got["content"]:
            block.pop("input_text", None)
        assert got == whole


def _exploded(response: Any, request: Request) -> bytes:
    encoder = StreamEncoder(request, model="asked")
    return b"".join(encoder.feed(event) for event in explode(response))


def test_truncated_after_every_frame_never_looks_finished(case: str) -> None:
    frames = stream(case).split(b"\n\n")
    for count in range(len(frames) - 2):  # [DONE] and message_stop are the last two
        cut = b"\n\n".join(frames[:count]) + b"\n\n" if count else b""
        events = decode(cut)
        check(events)
        assert isinstance(events[-1], StreamError)
        encoder = StreamEncoder(decode_request(load(case, "request")), model="m")
        raw = b"".join(encoder.feed(event) for event in events)
        assert Accumulated(raw).error
        normalizer = StreamNormalizer(identity_of("m"))
        normalized = normalizer.feed(cut) + normalizer.finish()
        assert Accumulated(normalized).error
        assert normalizer.error is not None


def test_normalized_is_what_upstream_said(case: str) -> None:
    normalizer = StreamNormalizer(identity_of("asked", fallback_id="msg_fallback"))
    raw = normalizer.feed(stream(case)) + normalizer.finish()
    assert normalizer.error is None
    assert b"bedrock-inv" not in raw
    got, response = Accumulated(raw).message, load(case, "response")
    assert got is not None
    for block in got["content"]:
        block.pop("input_text", None)
    whole = json.loads(normalize_response(json.dumps(response).encode(), identity_of("asked")))
    assert got == whole
    assert normalizer.usage == response["usage"]
    assert normalizer.finish_reason == response["stop_reason"]


def test_a_whole_answer_as_a_stream(case: str) -> None:
    raw = response_to_stream(json.dumps(load(case, "response")).encode(), identity_of("asked"))
    normalizer = StreamNormalizer(identity_of("asked"))
    other = Accumulated(normalizer.feed(stream(case)) + normalizer.finish()).message
    assert _without_text(Accumulated(raw).message) == _without_text(other)


def _without_text(message: Any) -> Any:
    for block in message["content"]:
        block.pop("input_text", None)
    return message


def test_the_same_wherever_the_bytes_are_cut(case: str) -> None:
    raw = stream(case)
    normalizer = StreamNormalizer(identity_of("asked"))
    whole = normalizer.feed(raw) + normalizer.finish()
    for at in range(0, len(raw), 7):
        other = StreamNormalizer(identity_of("asked"))
        assert other.feed(raw[:at]) + other.feed(raw[at:]) + other.finish() == whole
    single = StreamNormalizer(identity_of("asked"))
    assert b"".join(single.feed(raw[at : at + 1]) for at in range(len(raw))) + single.finish() == whole


@given(
    case=st.sampled_from(CASES), cuts=st.lists(st.integers(1, 200), max_size=60), ending=st.sampled_from(["\r\n", "\r"])
)
def test_any_cut_and_any_line_ending(case: str, cuts: list[int], ending: str) -> None:
    raw = stream(case)
    reference = StreamNormalizer(identity_of("m"))
    whole = reference.feed(raw) + reference.finish()
    given_raw = raw.replace(b"\n", ending.encode())
    normalizer, out, at = StreamNormalizer(identity_of("m")), b"", 0
    for cut in cuts:
        out += normalizer.feed(given_raw[at : at + cut])
        at += cut
    assert out + normalizer.feed(given_raw[at:]) + normalizer.finish() == whole


def test_prefix_stability(case: str) -> None:
    """A turn more never changes what the turns before it become."""
    body = load(case, "request")
    messages = body["messages"]
    longer = [*messages, {"role": "assistant", "content": "So it is."}, {"role": "user", "content": "And then?"}]
    if body["messages"][-1]["role"] == "assistant":
        pytest.skip("ends in a prefill")
    short, long = encoded(decode_request(body)), encoded(decode_request({**body, "messages": longer}))
    assert long["messages"][: len(short["messages"])] == short["messages"]
    for name in ("system", "tools"):
        assert long.get(name) == short.get(name)


def test_the_last_event_needs_no_blank_line_but_all_of_its_json() -> None:
    raw = stream("text").split(b"data: [DONE]")[0].rstrip()
    whole, torn = StreamNormalizer(identity_of("m")), StreamNormalizer(identity_of("m"))
    assert not Accumulated(whole.feed(raw) + whole.finish()).error
    assert Accumulated(torn.feed(raw[:-1]) + torn.finish()).error


def test_frames_divided_by_single_line_breaks() -> None:
    raw = stream("tool_single")
    reference = StreamNormalizer(identity_of("m"))
    whole = reference.feed(raw) + reference.finish()
    single = raw.replace(b"\n\n", b"\n")
    for size in (1, 10, 100, 1000, len(single)):
        normalizer = StreamNormalizer(identity_of("m"))
        out = (
            b"".join(normalizer.feed(single[at : at + size]) for at in range(0, len(single), size))
            + normalizer.finish()
        )
        assert out == whole


def test_frames_of_reads_what_is_there() -> None:
    assert frames_of(b"event: ping\ndata: {}\n\n") == [("ping", "{}")]
    assert Message("user").parts == ()


def test_a_signed_thought_that_another_block_cuts_short_keeps_its_proof() -> None:
    start = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 1}}}
    blocks = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "proof"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "so"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_stop", "index": 1},
    ]
    end = [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}]
    events = decode(b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in (start, *blocks, *end)))
    assert accumulate(events).parts == (Reasoning("hm", "proof", "messages"), Text("so"))
