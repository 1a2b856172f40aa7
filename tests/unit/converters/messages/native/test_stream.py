"""The native normalizer: what it removes, what it lets through, how it ends (contract §8.6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.messages.native.response import normalize_response, response_to_stream
from app.converters.messages.native.stream import StreamNormalizer
from app.converters.messages.upstream.schemas import RESTORE
from app.converters.messages.vocabulary import ANSWER_TOOL
from app.errors import GatewayError, UpstreamConnectError, UpstreamProtocolError
from tests.support.identities import identity_of
from tests.unit.converters.messages.conftest import Accumulated, frames_of, load, stream

START = (
    b'event: message_start\ndata: {"message":{"content":[],"id":"msg_1","model":"up","role":"assistant",'
    b'"stop_reason":null,"stop_sequence":null,"type":"message","usage":{"input_tokens":3,"output_tokens":1}},'
    b'"type":"message_start"}\n\n'
)
OPEN = (
    b'event: content_block_start\ndata: {"content_block":{"text":"","type":"text"},"index":0,'
    b'"type":"content_block_start"}\n\n'
)
DELTA = (
    b'event: content_block_delta\ndata: { "delta":{"text":"hi","type":"text_delta"},"index":0,'
    b'"type":"content_block_delta"}\n\n'
)


def started() -> StreamNormalizer:
    normalizer = StreamNormalizer(identity_of("asked", fallback_id="msg_fallback"))
    normalizer.feed(START)
    return normalizer


def test_plain_frames_pass_byte_for_byte() -> None:
    normalizer = started()
    assert normalizer.feed(OPEN + DELTA * 3) == OPEN + DELTA * 3
    odd = DELTA.replace(b'"hi"', b'"message_stop \\"error\\" [DONE] data: x"')
    assert normalizer.feed(odd) == odd
    assert not normalizer.ended


def test_an_incomplete_frame_is_held_back() -> None:
    normalizer = started()
    assert normalizer.feed(OPEN + DELTA[:30]) == OPEN
    assert normalizer.feed(DELTA[30:-2]) == b""
    # Whole JSON is a whole event: whether a blank line follows is not waited for.
    assert normalizer.feed(DELTA[-2:-1]) == DELTA
    assert normalizer.feed(DELTA[-1:]) == b""


def test_the_model_is_the_clients() -> None:
    normalizer = StreamNormalizer(identity_of("asked", fallback_id="msg_fallback"))
    got = json.loads(frames_of(normalizer.feed(START.replace(b'"id":"msg_1",', b"")))[0][1])
    assert got["message"]["model"] == "asked"
    assert got["message"]["id"] == "msg_fallback"
    assert normalizer.started


def test_noise_is_removed_and_what_upstream_adds_stays() -> None:
    normalizer = started()
    noted = DELTA.replace(b"data: { ", b'data: {"copilot_annotations":{"a":[1]},')
    assert normalizer.feed(OPEN + noted) == OPEN + noted
    ending = b'event: message_stop\ndata: {"type":"message_stop","amazon-bedrock-invocationMetrics":{"a":1}}\n\n'
    assert json.loads(frames_of(normalizer.feed(ending))[0][1]) == {"type": "message_stop"}


def test_a_report_of_no_context_edits_is_removed() -> None:
    """LangChain's stream takes what it has not asked for to be an object of the SDK's, and breaks."""
    normalizer = started()
    ending = (
        b'event: message_delta\ndata: {"type":"message_delta","context_management":{"applied_edits":[]},'
        b'"delta":{"stop_reason":"x"}}\n\n'
    )
    assert json.loads(frames_of(normalizer.feed(ending))[0][1]) == {
        "type": "message_delta",
        "delta": {"stop_reason": "x"},
    }
    told = ending.replace(b"[]", b'[{"type":"clear_thinking_20251015"}]')
    assert normalizer.feed(told) == told
    whole = {"content": [], "stop_reason": "end_turn", "context_management": {"applied_edits": []}}
    assert "context_management" not in json.loads(normalize_response(json.dumps(whole).encode(), identity_of("asked")))


def test_nothing_follows_the_end() -> None:
    normalizer = started()
    out = normalizer.feed(b'event: message_stop\ndata: {"type":"message_stop"}\n\ndata: [DONE]\n\n' + DELTA)
    assert out == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert normalizer.ended
    assert normalizer.error is None
    assert normalizer.feed(DELTA) == normalizer.finish() == normalizer.fail(GatewayError("x")) == b""


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (b"", "broke off"),
        (b"data: [DONE]\n\n", "broke off"),
        (b'event: content_block_delta\ndata: {"delta":\n\n', "torn"),
        (
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
            "Overloaded",
        ),
        (b'{"error":{"message":"rate limited","code":"rate_limited"}}\n', "rate limited"),
        (b"<html><title>Just a moment</title></html>\n\n", "Just a moment"),
        (START, "twice"),
    ],
)
def test_a_bad_end_is_an_error_and_never_a_stop(tail: bytes, words: str) -> None:
    normalizer = started()
    out = normalizer.feed(OPEN + DELTA + tail) + normalizer.finish()
    assert b"message_stop" not in out
    name, data = frames_of(out)[-1]
    assert name == "error"
    assert words in json.loads(data)["error"]["message"]
    assert normalizer.error is not None
    assert normalizer.feed(DELTA) == normalizer.finish() == b""


def test_an_overload_keeps_its_type() -> None:
    normalizer = started()
    out = normalizer.feed(
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    )
    assert json.loads(frames_of(out)[0][1])["error"]["type"] == "overloaded_error"


def test_a_broken_transport() -> None:
    normalizer = started()
    assert frames_of(normalizer.fail(UpstreamConnectError("gone")))[0][0] == "error"
    assert normalizer.ended


def test_an_error_before_the_start_is_known_before_anything_is_told() -> None:
    normalizer = StreamNormalizer(identity_of("m"))
    normalizer.feed(b'{"error":{"message":"no","code":"rate_limited"}}')
    out = normalizer.finish()
    assert not normalizer.started
    assert normalizer.error is not None
    assert normalizer.error.status == 429
    assert out.startswith(b"event: error\n")


def test_a_stream_without_its_start() -> None:
    normalizer = StreamNormalizer(identity_of("m"))
    assert b"event: error" in normalizer.feed(b'event: ping\ndata: {"type":"ping"}\n\n' + DELTA)


def test_comments_pings_and_unnamed_events() -> None:
    normalizer = started()
    assert normalizer.feed(b": alive\n\n") == b": alive\n\n"
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    assert normalizer.feed(b"id: 7\n" + ping) == ping
    assert normalizer.feed(DELTA.split(b"\n", 1)[1]) == DELTA


def test_whole_answers() -> None:
    body = load("text", "response")
    normalized = json.loads(normalize_response(json.dumps(body).encode(), identity_of("asked")))
    assert normalized["model"] == "asked"
    assert normalized["copilot_usage"] == body["copilot_usage"]
    bare: dict[str, Any] = {"content": [{"type": "text", "text": "x"}]}
    found = json.loads(normalize_response(json.dumps(bare).encode(), identity_of("m", fallback_id="msg_f")))
    assert found["id"] == "msg_f"
    assert found["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert Accumulated(
        response_to_stream(
            json.dumps({**bare, "stop_reason": "end_turn"}).encode(), identity_of("m", fallback_id="msg_f")
        )
    ).is_complete


@pytest.mark.parametrize("body", [b"<html></html>", b'{"content":', b"[]", b'{"choices":[]}'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        normalize_response(body, identity_of("m"))


def test_an_error_with_status_200() -> None:
    with pytest.raises(GatewayError, match="Overloaded"):
        normalize_response(
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', identity_of("m")
        )


def test_the_books() -> None:
    normalizer = StreamNormalizer(identity_of("m"))
    normalizer.feed(stream("cached_usage"))
    assert normalizer.usage is not None
    assert normalizer.usage["cache_read_input_tokens"] == 9000
    assert normalizer.finish_reason == "end_turn"


def test_structured_output_that_came_as_a_call_is_text_again() -> None:
    use = {"type": "tool_use", "id": "t", "name": ANSWER_TOOL, "input": {"a": 1}}
    body = {
        "id": "msg_1",
        "content": [use],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 2, "output_tokens": 3},
    }
    raw = json.dumps({**body, "copilot_usage": {}}).encode()
    whole = json.loads(normalize_response(raw, identity_of("asked"), restore=RESTORE))
    assert whole["content"] == [{"type": "text", "text": '{"a":1}'}]
    assert (whole["stop_reason"], whole["model"]) == ("end_turn", "asked")
    assert Accumulated(response_to_stream(raw, identity_of("asked"), restore=RESTORE)).message == whole
    upstream = response_to_stream(raw, identity_of("up")) + b"data: [DONE]\n\n"
    normalizer = StreamNormalizer(identity_of("asked"), restore=RESTORE)
    got = Accumulated(normalizer.feed(upstream) + normalizer.finish())
    assert got.message == whole
    assert normalizer.error is None
    assert normalizer.usage == body["usage"]
    broken = StreamNormalizer(identity_of("asked"), restore=RESTORE)
    assert Accumulated(broken.feed(upstream[: len(upstream) // 2]) + broken.finish()).error
    refused = StreamNormalizer(identity_of("asked"), restore=RESTORE)
    assert not refused.feed(b'event: error\ndata: {"error":{"message":"no"}}\n\n').startswith(b"event: message")
    assert not refused.started
