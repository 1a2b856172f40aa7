"""The native stream, normalized: laws over every fixture, and every quirk of contract §7.5, §7.6."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.converters.codec import NativeRequest
from app.converters.neutral.model_limits import ModelLimits
from app.converters.responses.native.client_tools import ClientTools
from app.converters.responses.native.request import prepare
from app.converters.responses.native.response import normalize_response, response_to_stream
from app.converters.responses.native.stream import StreamNormalizer
from app.errors import UpstreamConnectError, UpstreamError
from tests.support.effort import tries
from tests.support.identities import identity_of
from tests.unit.converters.responses.grammar import FIXTURES, Stream, fixture, fixture_json, frames

CASES = sorted(path.name.removesuffix(".stream.sse") for path in FIXTURES.glob("*.stream.sse"))
each_case = pytest.mark.parametrize("case", CASES)
IDENTITY = identity_of("asked-for", created=1111, fallback_id="resp_fallback")


FUNCTIONS_ALONE = frozenset({"type:custom", "type:namespace", "type:additional_tools"})
"""What a model has refused that takes functions and nothing else."""


def restore_of(case: str) -> ClientTools | None:
    raw = fixture(f"{case}.request.json")
    request = NativeRequest(raw=raw, body=json.loads(raw), model="m", limits=ModelLimits(), refused=FUNCTIONS_ALONE)
    prepared = prepare(request)
    restore: ClientTools | None = prepared.restore
    return restore


def normalize(raw: bytes, restore: ClientTools | None = None, *, cuts: int = 0) -> tuple[Stream, StreamNormalizer]:
    normalizer = StreamNormalizer(IDENTITY, restore=restore)
    pieces = [raw[at : at + cuts] for at in range(0, len(raw), cuts)] if cuts else [raw]
    out = b"".join(normalizer.feed(piece) for piece in pieces) + normalizer.finish()
    assert normalizer.ended
    assert normalizer.finish() == normalizer.feed(b"data: {}\n\n") == b""
    return Stream(out), normalizer


@each_case
def test_every_stream_is_normalized(case: str) -> None:
    stream, normalizer = normalize(fixture(f"{case}.stream.sse"), restore_of(case))
    assert not stream.is_failed
    assert stream.final["model"] == "asked-for"
    assert stream.final["usage"] == normalizer.usage
    assert normalizer.usage is not None
    assert "cache_write_tokens" in normalizer.usage["input_tokens_details"]
    assert len(stream.raw) < len(fixture(f"{case}.stream.sse"))


@each_case
def test_wherever_the_bytes_are_cut(case: str) -> None:
    raw, restore = fixture(f"{case}.stream.sse"), restore_of(case)
    whole = normalize(raw, restore)[0].raw
    for cuts in (1, 7, 400, 1500):
        assert normalize(raw, restore, cuts=cuts)[0].raw == whole
    assert normalize(raw.replace(b"\n", b"\r\n"), restore, cuts=3)[0].raw == whole


@each_case
def test_both_paths_give_the_same_bytes(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, restore = fixture(f"{case}.stream.sse"), restore_of(case)
    fast = normalize(raw, restore)[0].raw
    monkeypatch.setattr(StreamNormalizer, "_learn", lambda *_: None)
    assert normalize(raw, restore)[0].raw == fast


@each_case
def test_truncated_stream_never_looks_finished(case: str) -> None:
    pieces = frames(fixture(f"{case}.stream.sse"))
    for cut in range(len(pieces)):
        stream, normalizer = normalize(b"".join(pieces[:cut]), restore_of(case))
        assert stream.is_failed
        assert isinstance(normalizer.error, UpstreamError)


@each_case
def test_whole_answer_is_normalized_likewise(case: str) -> None:
    restore = restore_of(case)
    stream, _ = normalize(fixture(f"{case}.stream.sse"), restore)
    whole = json.loads(normalize_response(fixture(f"{case}.response.json"), IDENTITY, restore=restore))
    assert whole["output"] == stream.output
    assert whole["output_text"] == stream.final["output_text"]
    assert {key: whole[key] for key in stream.final if key != "error"} == {
        key: value for key, value in stream.final.items() if key != "error"
    }
    as_stream = Stream(response_to_stream(fixture(f"{case}.response.json"), IDENTITY, restore=restore))
    assert as_stream.output == whole["output"]
    assert as_stream.final == whole


def test_custom_tools_and_namespaces_come_back() -> None:
    stream, _ = normalize(fixture("tool_custom.stream.sse"), restore_of("tool_custom"))
    first, second, third = stream.output
    assert (first["type"], first["name"], first["input"]) == (
        "custom_tool_call",
        "apply_patch",
        '*** Begin Patch\n+é "x"\n*** End',
    )
    assert first["id"].startswith("ctc_")
    assert (second["name"], second["namespace"], second["input"]) == ("exec", "functions", "console.log(1)")
    assert (third["type"], third["name"], third["namespace"]) == ("function_call", "wait", "functions")
    assert stream.final["tools"] == fixture_json("tool_custom.request.json")["tools"]
    assert "response.custom_tool_call_input.delta" in stream.types


def test_ciphertext_is_never_shown() -> None:
    stream, _ = normalize(fixture("tool_ciphertext.stream.sse"))
    deltas = [event["delta"] for event in stream.events if event["type"].endswith("arguments.delta")]
    assert deltas == ['{"city":"Paris"}']


def test_summary_that_comes_only_in_the_end_is_told() -> None:
    stream, _ = normalize(fixture("thinking_silent.stream.sse"))
    deltas = [event["delta"] for event in stream.events if event["type"] == "response.reasoning_summary_text.delta"]
    assert deltas == ["Only in the end"]


def test_sound_ids_stay() -> None:
    raw = fixture("text.stream.sse")
    first = json.loads(frames(raw)[0].split(b"data: ")[1])["response"]["id"]
    stream, _ = normalize(raw.replace(first.encode(), b"resp_0123"))
    assert stream.final["id"] == "resp_0123"


@pytest.mark.parametrize(
    "frame",
    [
        b'event: error\ndata: {"type":"error","code":"server_error","message":"Boom","param":null}\n\n',
        b'data: {"type":"error","error":{"code":"user_model_rate_limited","message":"Boom"}}\n\n',
        b'{"error":{"message":"Boom","code":"server_error"}}\n\n',
        b'event: response.failed\ndata: {"response":{"error":{"code":"server_error","message":"Boom"}}}\n\n',
        b'event: response.cancelled\ndata: {"response":{"status":"cancelled","error":{"message":"Boom"}}}\n\n',
    ],
)
def test_errors_inside_the_stream(frame: bytes) -> None:
    pieces = frames(fixture("text.stream.sse"))
    stream, normalizer = normalize(b"".join(pieces[:5]) + frame + b"".join(pieces[5:]))
    assert stream.types[-2:] == ["error", "response.failed"]
    assert "Boom" in stream.error["message"]
    assert normalizer.error is not None
    assert stream.final["error"]["code"] in ("server_error", "rate_limit_exceeded")


def test_error_before_anything() -> None:
    stream, _ = normalize(b'data: {"error":{"message":"Boom"}}\n\n')
    assert stream.types == ["error"]


def test_transport_failure() -> None:
    normalizer = StreamNormalizer(IDENTITY)
    out = normalizer.feed(b"".join(frames(fixture("text.stream.sse"))[:6]))
    out += normalizer.fail(UpstreamConnectError("It broke."))
    assert Stream(out).is_failed
    assert normalizer.fail(UpstreamConnectError("Again.")) == b""


def test_page_instead_of_events() -> None:
    stream, _ = normalize(b"<html><title>Bad gateway</title></html>\n")
    assert "Bad gateway" in stream.error["message"]


def test_half_a_call_is_never_closed() -> None:
    pieces = frames(fixture("tool_single.stream.sse"))
    opened = next(at for at, piece in enumerate(pieces) if b"function_call_arguments.delta" in piece)
    last = re.sub(rb'"output":\[.*?\],"parallel', b'"output":[],"parallel', pieces[-1])
    stream, _ = normalize(b"".join([*pieces[: opened + 1], last]))
    assert stream.is_failed
    assert "inside a tool call" in stream.error["message"]


def test_items_are_taken_from_the_final_object_where_the_stream_left_them_out() -> None:
    pieces = frames(fixture("tool_parallel.stream.sse"))
    stream, _ = normalize(pieces[0] + pieces[-1])
    assert [item["call_id"] for item in stream.output] == ["call_a1", "call_a2", "call_a3"]


def test_final_object_without_output_gets_what_was_told() -> None:
    pieces = frames(fixture("thinking.stream.sse"))
    last = re.sub(rb'"output":\[.*\],"parallel', b'"output":[],"parallel', pieces[-1])
    stream, _ = normalize(b"".join([*pieces[:-1], last]))
    assert [item["type"] for item in stream.output] == ["reasoning", "message"]


nasty = st.sampled_from(
    ['"}', '"delta":"', "\\", "\n\n", "é😀", "\u2028", "\x00", "data: [DONE]", '","logprobs":[]}', "x"]
)


@settings(max_examples=tries(100), deadline=None)
@given(st.lists(st.text(min_size=1) | nasty, min_size=1, max_size=10), st.booleans(), st.integers(1, 80))
def test_any_text_comes_through(texts: list[str], spaced: bool, cuts: int) -> None:
    separators = (", ", ": ") if spaced else (",", ":")

    def frame(kind: str, **fields: Any) -> bytes:
        data = json.dumps({"type": kind, "sequence_number": 0, **fields}, separators=separators)
        return f"event: {kind}\ndata: {data}\n\n".encode()

    item = {"type": "message", "role": "assistant", "id": "a", "content": [], "status": "in_progress"}
    part = {"type": "output_text", "text": "".join(texts)}
    raw = frame("response.created", response={"id": "1", "status": "in_progress"})
    raw += frame("response.output_item.added", output_index=0, item=item)
    for at, text in enumerate(texts):
        place = {"item_id": f"i{at}", "output_index": 0, "content_index": 0}
        raw += frame("response.output_text.delta", **place, delta=text, logprobs=[], obfuscation="zz")
    raw += frame("response.output_item.done", output_index=0, item={**item, "content": [part]})
    raw += frame("response.completed", response={"id": "2", "status": "completed", "output": []})
    stream, _ = normalize(raw, cuts=cuts)
    assert stream.output[0]["content"][0]["text"] == "".join(texts)
    assert stream.final["output_text"] == "".join(texts)
