"""The stream normalizer, quirk by quirk.

Index, contract section → test (``…`` stands for ``test_6_5_n_`` or the like):

==========  ===========================================================================================
6.3.4       test_6_3_4_usage_alone_is_an_empty_answer, test_6_3_4_anthropic_body_in_a_frame_is_translated
6.4         test_6_4_* (comments, single line breaks, no space, no newline, several data lines, fields)
6.5.1       test_6_5_1_leading_filter_chunk_gives_no_identity (12.3.3)
6.5.2       test_6_5_2_openai_text_keeps_its_usage_chunk_only_when_asked_for
6.5.3       test_6_5_3_older_openai_text_gets_object_and_one_role, test_6_5_3_empty_role_is_removed
6.5.4       test_6_5_4_claude_usage_moves_from_the_finish_chunk (12.3.4)
6.5.5       test_6_5_5_tool_call_passes, …_usage_on_finish…, …_stop_with_calls…, …_length_with_calls…
6.5.6       test_6_5_6_missing_arguments_become_empty_text
6.5.7       test_6_5_7_second_call_with_same_index_gets_its_own_index (12.3.2), …_fragment_without_id…
6.5.8       test_6_5_8_* (whole calls, missing ids, thought signatures)
6.5.9       test_6_5_9_* (several choices, same and other index) (12.3.1)
6.5.10      test_6_5_10_* (reasoning_text, split opaque, cot_summary and cot_id, thinking, message) (12.3.6)
6.5.11      test_6_5_11_annotations_pass_once_and_arguments_are_kept
6.5.12      test_6_5_12_n_above_one_keeps_its_indices
6.5.13      test_6_5_13_* (side channel, function role)
6.5.14      test_6_5_14_legacy_function_call_passes
6.5.15      test_6_5_15_content_filter_passes
6.5.16      test_6_5_16_* (error frame, bare, bare over lines, without newline, finish_reason error)
6.5.17      test_6_5_17_* (truncation, missing [DONE], torn JSON, [DONE] without finish) (12.3.5)
6.5.18      test_6_5_18_accounting_frames_vanish
6.5.19      test_6_5_19_html_instead_of_a_stream_is_an_error
12.3.8      test_request.py: test_12_3_8_*
12.3.11     test_errors.py: test_12_3_11_*
12.3.13     test_request.py: test_12_3_13_*
==========  ===========================================================================================

12.3.7, .9, .10, .12 and .14 concern other protocols or rooms.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.converters.chat.native.stream import StreamNormalizer
from app.converters.chat.thought_signatures import shown
from app.errors import UpstreamConnectError, UpstreamProtocolError
from tests.support.identities import identity_of

Normalize = Callable[..., Any]
Case = Callable[[str], bytes]


def frame(choices: Any, **more: Any) -> bytes:
    return (
        b"data: " + json.dumps({"choices": choices, "created": 7, "id": "u", "model": "m", **more}).encode() + b"\n\n"
    )


def delta(index: int | None = 0, finish_reason: str | None = None, **fields: Any) -> bytes:
    entry: dict[str, Any] = {"delta": fields, "finish_reason": finish_reason}
    return frame([entry if index is None else {"index": index, **entry}])


DONE = b"data: [DONE]\n\n"
HI = delta(content="Hi")
STOP = delta(finish_reason="stop")


def test_6_3_4_usage_alone_is_an_empty_answer(normalize: Normalize) -> None:
    normalized = normalize(frame([], usage={"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}) + DONE)
    assert (normalized.text(), normalized.finish, normalized.is_done) == ("", "stop", True)


def test_6_3_4_anthropic_body_in_a_frame_is_translated(normalize: Normalize, case: Case) -> None:
    normalized = normalize(b"data: " + case("anthropic.response.json") + b"\n" + DONE, include_usage=True)
    assert normalized.text() == "Reading it."
    assert normalized.text("reasoning_content") == "Hm."
    assert normalized.calls == [("toolu_bdrk_01A", "read_file", '{"path":"a.txt"}')]
    assert normalized.finish == "tool_calls"
    assert normalized.usages[0]["prompt_tokens"] == 100


def test_6_4_comments_pass_and_do_not_start_the_answer(normalize: Normalize) -> None:
    normalizer = StreamNormalizer(identity_of("m", created=1, fallback_id="f"), include_usage=False)
    assert normalizer.feed(b": keep-alive\n\n") == b": keep-alive\n\n"
    assert not normalizer.started
    assert normalize(b": keep-alive\n\n" + HI + b":\n\n" + STOP + DONE).comments == [": keep-alive", ":"]


def test_6_4_single_line_breaks_separate_frames(normalize: Normalize) -> None:
    stream = (HI + HI + STOP + DONE).replace(b"\n\n", b"\n")
    assert normalize(stream).text() == "HiHi"


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_6_4_any_line_ending_will_do(normalize: Normalize, ending: bytes) -> None:
    stream = (HI + HI + STOP + DONE).replace(b"\n", ending)
    for cut in (1, 2, 3, 50):
        normalized = normalize(stream, cut=cut)
        assert (normalized.text(), normalized.is_done) == ("HiHi", True)


def test_6_4_no_space_after_data_and_no_newline_at_the_end(normalize: Normalize) -> None:
    stream = (HI + HI + STOP + DONE).replace(b"data: ", b"data:").rstrip()
    normalized = normalize(stream)
    assert (normalized.text(), normalized.is_done) == ("HiHi", True)


def test_6_4_one_event_may_be_spread_over_several_data_lines(normalize: Normalize) -> None:
    spread = HI.replace(b'"created"', b'\ndata: "created"').replace(b'"id"', b"\n: hm\ndata: " + b'"id"')
    assert normalize(spread + STOP + DONE).text() == "Hi"
    assert normalize(spread + STOP + DONE, cut=1).text() == "Hi"
    for cut in range(len(spread)):
        normalizer = StreamNormalizer(identity_of("m", created=1, fallback_id="f"), include_usage=False)
        assert b'"Hi"' in normalizer.feed(spread[:cut]) + normalizer.feed(spread[cut:])


def test_6_4_other_fields_and_a_byte_order_mark_are_no_concern(normalize: Normalize) -> None:
    stream = b"\xef\xbb\xbf" + HI + b"event: x\nid: 1\nretry: 5\ndata:\n\n" + STOP + DONE
    assert normalize(stream).text() == "Hi"


def test_6_4_nothing_counts_after_done(normalize: Normalize) -> None:
    assert normalize(HI + STOP + DONE + HI + DONE).text() == "Hi"


def test_6_5_1_leading_filter_chunk_gives_no_identity(normalize: Normalize, case: Case) -> None:
    for name in ("openai_text.stream.sse", "openai_text_2024.stream.sse"):
        normalized = normalize(case(name))
        assert normalized.chunks[0]["id"].startswith("chatcmpl-")
        assert normalized.chunks[0]["id"] != "chatcmpl-fallback"
        assert normalized.chunks[0]["created"] > 1_700_000_000
        assert normalized.chunks[0]["model"] == "asked-for"
        assert [at for at, chunk in enumerate(normalized.chunks) if "prompt_filter_results" in chunk] == [0]


def test_6_5_2_openai_text_keeps_its_usage_chunk_only_when_asked_for(normalize: Normalize, case: Case) -> None:
    without = normalize(case("openai_text.stream.sse"))
    assert (without.text(), without.finish, without.usages) == ("Hi", "stop", [])
    assert without.normalizer.usage is not None
    assert without.normalizer.usage["total_tokens"] == 1240
    with_usage = normalize(case("openai_text.stream.sse"), include_usage=True)
    assert with_usage.chunks[-1]["choices"] == []
    assert with_usage.usages == [without.normalizer.usage]
    assert with_usage.chunks[0]["system_fingerprint"] == "fp_da3e2947cd"


def test_6_5_3_older_openai_text_gets_object_and_one_role(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("openai_text_2024.stream.sse"), include_usage=True)
    assert (normalized.text(), normalized.finish) == ("Hello", "stop")
    # Upstream sent no usage: none is invented.
    assert normalized.usages == []


def test_6_5_3_empty_role_is_removed(normalize: Normalize) -> None:
    normalized = normalize(
        delta(role="", content="a") + delta(role="", content="b") + delta(role=None, content="c") + STOP + DONE
    )
    assert [d.get("role") for d in normalized.deltas] == ["assistant", None, None, None]
    assert normalized.text() == "abc"


def test_6_5_4_claude_usage_moves_from_the_finish_chunk(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("claude_text.stream.sse"), include_usage=True)
    assert (normalized.text(), normalized.finish) == ("I'll do two things:", "stop")
    assert normalized.chunks[-1]["choices"] == []
    assert normalized.usages == [{"completion_tokens": 170, "prompt_tokens": 2128, "total_tokens": 2298}]
    assert normalize(case("claude_text.stream.sse")).usages == []


def test_6_5_4_content_filter_offsets_do_not_stay(normalize: Normalize) -> None:
    entry = {"index": 0, "content_filter_offsets": {"end_offset": 1}, "delta": {"content": "x"}}
    frames = [
        b"data: " + json.dumps({"choices": [entry | {"content_filter_offsets": {"end_offset": n}}]}).encode() + b"\n\n"
        for n in range(5)
    ]
    compact = [f.replace(b'": ', b'":').replace(b", ", b",") for f in frames]
    for stream in (frames, compact):
        normalized = normalize(b"".join(stream) + STOP + DONE)
        assert normalized.text() == "xxxxx"
        assert b"offset" not in normalized.raw


def test_6_5_5_tool_call_passes(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("openai_tool.stream.sse"))
    assert normalized.calls == [("call_uTF3ZPytqMVlIQ6nHo2kZXGL", "read_file", '{"path":"a.txt"}')]
    assert normalized.finish == "tool_calls"


def test_6_5_5_usage_on_finish_chunk_moves_even_with_no_completion_tokens(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("openai_tool_2024.stream.sse"), include_usage=True)
    assert normalized.usages == [{"completion_tokens": 0, "prompt_tokens": 218, "total_tokens": 218}]
    assert normalized.chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_6_5_5_stop_with_calls_becomes_tool_calls(normalize: Normalize, case: Case) -> None:
    stream = case("openai_tool.stream.sse").replace(b'"finish_reason":"tool_calls"', b'"finish_reason":"stop"')
    normalized = normalize(stream)
    assert (normalized.finish, normalized.normalizer.finish_reason) == ("tool_calls", "tool_calls")


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_6_5_5_length_with_calls_stays_for_the_call_was_cut_off(normalize: Normalize, case: Case, reason: str) -> None:
    stream = case("openai_tool.stream.sse").replace(
        b'"finish_reason":"tool_calls"', b'"finish_reason":"%s"' % reason.encode()
    )
    assert normalize(stream).finish == reason


def test_6_5_5_interleaved_calls_by_index_stay_apart(normalize: Normalize) -> None:
    def part(index: int, text: str, **first: Any) -> bytes:
        name = {"name": "f"} if first else {}
        return delta(tool_calls=[{"index": index, **first, "function": {**name, "arguments": text}}])

    stream = part(0, "", id="a") + part(1, "", id="b")
    stream += b"".join(part(i % 2, f"{i}") for i in range(10)) + delta(finish_reason="tool_calls") + DONE
    assert normalize(stream).calls == [("a", "f", "02468"), ("b", "f", "13579")]


def test_6_5_6_missing_arguments_become_empty_text(normalize: Normalize, case: Case) -> None:
    first = normalize(case("claude_tools.stream.sse")).deltas[0]["tool_calls"][0]
    assert first == {
        "index": 0,
        "id": "tooluse_994l1PLxZuL88Z4Pc7cudS",
        "type": "function",
        "function": {"name": "edit_file", "arguments": ""},
    }


def test_6_5_7_second_call_with_same_index_gets_its_own_index(normalize: Normalize, case: Case) -> None:
    assert normalize(case("claude_tools.stream.sse")).calls == [
        ("tooluse_994l1PLxZuL88Z4Pc7cudS", "edit_file", '{"filePath":"a.txt"}'),
        ("tooluse_9MVX5YIyXGFdGrVgqKcBgh", "edit_file", "{}"),
    ]


def test_6_5_7_learned_fragments_follow_the_second_call(normalize: Normalize) -> None:
    def start(call_id: str) -> bytes:
        return delta(
            content=None, tool_calls=[{"index": 0, "id": call_id, "type": "function", "function": {"name": "f"}}]
        )

    def more(text: str) -> bytes:
        return delta(content=None, tool_calls=[{"index": 0, "type": "function", "function": {"arguments": text}}])

    stream = start("a") + more("1") + more("2") + more("3") + start("b") + more("4") + more("5") + more("6")
    assert normalize(stream + STOP + DONE).calls == [("a", "f", "123"), ("b", "f", "456")]


def test_6_5_7_fragment_with_a_known_id_continues_that_call(normalize: Normalize) -> None:
    def part(call_id: str, text: str) -> bytes:
        return delta(tool_calls=[{"index": 0, "id": call_id, "function": {"name": "f", "arguments": text}}])

    stream = part("a", "1") + part("b", "2") + part("a", "3") + part("b", "4")
    assert normalize(stream + STOP + DONE).calls == [("a", "f", "13"), ("b", "f", "24")]


@pytest.mark.parametrize("has_id", [True, False])
def test_two_calls_with_one_id_are_two_calls(normalize: Normalize, has_id: bool) -> None:
    """Known by their index; the second gets an id of its own, or nobody could answer them apart."""

    def part(index: int, text: str, **first: Any) -> bytes:
        given = {"id": "a"} if first or has_id else {}
        return delta(tool_calls=[{"index": index, **given, "function": {**first, "arguments": text}}])

    stream = part(0, "1", name="f") + part(0, "2") + part(1, "3", name="f") + part(1, "4") + part(0, "5") + part(1, "6")
    (first, _, one), (second, _, two) = normalize(stream + STOP + DONE).calls
    assert (first, one, two) == ("a", "125", "346")
    assert second not in ("", "a")


def test_6_5_8_gemini_call_keeps_its_proofs(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("gemini_tool.stream.sse"), include_usage=True)
    # The id carries the proof as well, for clients that send back nothing else (test_call_proofs.py).
    assert normalized.calls == [(shown("call_RImeWkHpA7rBm1u1", "CqsBCkgIBxAC…"), "read_file", '{"path":"a.txt"}')]
    assert normalized.deltas[0]["reasoning_opaque"] == "CqsBCkgIBxAC…"
    assert normalized.deltas[0]["tool_calls"][0]["function"]["thought_signature"] == "CqsBCkgIBxAC…"
    assert normalized.usages[0]["completion_tokens_details"] == {"reasoning_tokens": 83}
    assert normalized.usages[0]["total_tokens"] == 741


def test_6_5_8_missing_ids_and_indexes_are_made_the_same_each_time(normalize: Normalize) -> None:
    calls = [
        {"function": {"name": "f", "arguments": "{}"}},
        {"id": "", "index": 0, "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": None, "index": 0, "function": {"name": "g", "arguments": {"b": 2}}},
    ]
    stream = delta(tool_calls=calls[:2]) + delta(tool_calls=calls[2:], finish_reason="stop") + DONE
    normalized = normalize(stream)
    assert [(name, arguments) for _, name, arguments in normalized.calls] == [
        ("f", "{}"),
        ("f", '{"a":1}'),
        ("g", '{"b":2}'),
    ]
    assert len({call_id for call_id, _, _ in normalized.calls}) == 3
    assert normalized.calls == normalize(stream, cut=1).calls
    assert normalized.finish == "tool_calls"


def test_6_5_8_an_id_that_comes_late_opens_no_second_call(normalize: Normalize) -> None:
    first = delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}])
    late = delta(tool_calls=[{"index": 0, "id": "late", "function": {"arguments": "{}"}}])
    ((call_id, name, arguments),) = normalize(first + late + STOP + DONE).calls
    assert call_id.startswith("call_")
    assert (name, arguments) == ("f", "{}")


def test_6_5_9_several_choices_in_one_chunk_become_one(normalize: Normalize, case: Case) -> None:
    for other in (
        case("claude_choices.stream.sse"),
        case("claude_choices.stream.sse").replace(b'"index":0,"delta":{"content":null', b'"delta":{"content":null'),
    ):
        normalized = normalize(other)
        assert normalized.text() == "Reading it."
        assert normalized.calls == [("toolu_bdrk_01Abc", "list_files", "{}")]
        assert normalized.finish == "tool_calls"
        assert {entry["index"] for chunk in normalized.chunks for entry in chunk["choices"]} == {0}


def test_6_5_9_several_choices_across_chunks_become_one(normalize: Normalize) -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    stream = HI + STOP + delta(1, tool_calls=[call]) + delta(1, finish_reason="tool_calls") + DONE
    normalized = normalize(stream)
    assert (normalized.text(), normalized.calls, normalized.finish) == ("Hi", [("a", "f", "{}")], "tool_calls")


def test_6_5_10_reasoning_text_is_offered_under_both_names(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("reasoning.stream.sse"))
    assert normalized.text("reasoning_text") == normalized.text("reasoning_content") == "Let me think."
    assert normalized.text("reasoning_opaque") == "EqoBCkgIBxABGAIiQL…"
    assert normalized.text() == "Hello"


def test_6_5_10_many_reasoning_fragments_and_a_split_proof_all_arrive(normalize: Normalize) -> None:
    thoughts = [f'thought "{n}" \\ ' for n in range(8)]
    stream = b"".join(delta(content=None, reasoning_text=t, role="assistant") for t in thoughts)
    stream += delta(reasoning_opaque="ab") + delta(reasoning_opaque="cd") + HI + STOP + DONE
    normalized = normalize(stream)
    assert normalized.text("reasoning_content") == normalized.text("reasoning_text") == "".join(thoughts)
    assert normalized.text("reasoning_opaque") == "abcd"


def test_6_5_10_cot_id_after_the_finish_still_reaches_the_client(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("reasoning_azure.stream.sse"))
    assert normalized.text("cot_summary") == normalized.text("reasoning_content") == "Analy"
    assert normalized.text("cot_id") == "cot_5bd6e035-1d76-531d-c93c-0651066482a9"
    assert normalized.is_done
    assert normalized.chunks[0]["id"] == "chatcmpl-fallback"


def test_6_5_10_anthropic_names_are_kept_and_offered(normalize: Normalize) -> None:
    normalized = normalize(
        delta(thinking="a") + delta(thinking="b") + delta(thinking="c") + delta(signature="s") + HI + STOP + DONE
    )
    assert normalized.text("thinking") == normalized.text("reasoning_content") == "abc"
    assert normalized.text("signature") == "s"


def test_6_5_10_message_may_stand_for_delta(normalize: Normalize) -> None:
    stream = frame(
        [{"index": 0, "message": {"role": "assistant", "content": "Hi", "padding": "x"}, "finish_reason": "stop"}]
    )
    assert normalize(stream + DONE).text() == "Hi"
    parts = frame([{"message": {"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "o"}]}}])
    assert normalize(parts + STOP + DONE).text() == "Ho"


def test_6_5_11_annotations_pass_once_and_arguments_are_kept(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("annotations.stream.sse"))
    assert normalized.calls == [("call_uTF3ZPytqMVlIQ6nHo2kZXGL", "read_file", '{"filePath":"a"}')]
    assert b'"copilot_annotations":{' in normalized.raw
    assert b'"annotations"' not in normalized.raw


def test_6_5_12_n_above_one_keeps_its_indices(normalize: Normalize) -> None:
    stream = b"".join(delta(i, content=f"{i}{t}", role="assistant") for i in (0, 1) for t in "abc")
    stream += delta(0, finish_reason="stop") + delta(1, finish_reason="length") + DONE
    normalized = normalize(stream, choices=2)
    texts = {0: "", 1: ""}
    for entry in (entry for chunk in normalized.chunks for entry in chunk["choices"]):
        texts[entry["index"]] += entry["delta"].get("content", "")
    assert texts == {0: "0a0b0c", 1: "1a1b1c"}
    assert normalized.finishes == [(0, "stop"), (1, "length")]


def test_6_5_12_a_choice_without_finish_is_truncated(normalize: Normalize) -> None:
    stream = delta(0, content="a") + delta(1, content="b") + delta(0, finish_reason="stop")
    assert not normalize(stream, choices=2).is_done
    entries = frame(
        [{"delta": {"content": "a"}, "finish_reason": "stop"}, {"delta": {"content": "b"}, "finish_reason": "stop"}]
    )
    assert normalize(entries, choices=2).finishes == [(0, "stop"), (1, "stop")]


def test_6_5_13_side_channel_frames_are_dropped(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("side_channel.stream.sse"))
    assert (normalized.text(), normalized.finish) == ("Hi", "stop")


def test_6_5_13_function_role_is_no_answer_and_does_not_end_it(normalize: Normalize) -> None:
    stream = delta(content=None, function_call={"name": "bing-search", "arguments": "{}"})
    stream += delta(finish_reason="function_call") + delta(role="function", name="bing-search", content="[{}]")
    assert normalize(stream + HI).errors
    normalized = normalize(stream + HI + STOP + DONE)
    assert (normalized.text(), normalized.finish) == ("Hi", "stop")


def test_6_5_14_legacy_function_call_passes(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("legacy_function.stream.sse"))
    assert [d["function_call"] for d in normalized.deltas if "function_call" in d] == [
        {"arguments": "", "name": "get_current_weather"},
        {"arguments": "{\n}"},
    ]
    assert normalized.finish == "function_call"


def test_6_5_15_content_filter_passes(normalize: Normalize, case: Case) -> None:
    normalized = normalize(case("content_filter.stream.sse"), include_usage=True)
    assert (normalized.text(), normalized.finish) == ("…", "content_filter")
    assert normalized.usages[0]["total_tokens"] == 3910


def test_6_5_16_error_frame_becomes_an_openai_error(normalize: Normalize, case: Case) -> None:
    normalized = normalize(HI + case("error.stream.sse") + DONE)
    assert not normalized.is_done
    assert normalized.errors[0]["code"] == "rate_limit_exceeded"
    assert normalized.errors[0]["type"] == "rate_limit_error"
    assert "you've exceeded your rate limit" in normalized.errors[0]["message"]
    assert normalized.normalizer.error.status == 429


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"])
def test_6_5_16_bare_error_counts_too(normalize: Normalize, case: Case, ending: bytes) -> None:
    bare = case("error.stream.sse").removeprefix(b"data: ").strip()
    assert normalize(HI + bare + ending).errors[0]["code"] == "rate_limit_exceeded"
    spread = json.dumps(json.loads(bare), indent=2).encode()
    assert normalize(HI + spread + ending).errors[0]["code"] == "rate_limit_exceeded"


def test_6_5_16_error_before_anything_was_given_out_can_be_a_status(case: Case) -> None:
    normalizer = StreamNormalizer(identity_of("m", created=1, fallback_id="f"), include_usage=False)
    normalizer.feed(case("error.stream.sse"))
    assert normalizer.error is not None
    assert (normalizer.error.status, normalizer.started, normalizer.ended) == (429, False, True)


def test_6_5_16_finish_reason_error_is_an_error_after_its_text(normalize: Normalize) -> None:
    normalized = normalize(HI + delta(content=" there", finish_reason="error") + DONE)
    assert normalized.text() == "Hi there"
    assert normalized.errors[0]["code"] == "upstream_error"


def test_6_5_16_empty_error_object_is_none(normalize: Normalize) -> None:
    stream = frame([{"delta": {"content": "Hi"}}], error={"code": "", "message": ""}) + STOP + DONE
    assert normalize(stream).text() == "Hi"


def test_6_5_17_end_without_finish_is_an_error_and_never_done(normalize: Normalize) -> None:
    for stream in (b"", HI, HI + HI, b": hm\n\n", HI + b"data: [DO"):
        normalized = normalize(stream)
        assert not normalized.is_done
        assert normalized.errors[0]["code"] == "upstream_protocol_error"
        assert isinstance(normalized.normalizer.error, UpstreamProtocolError)


def test_6_5_17_what_upstream_muttered_is_in_the_message(normalize: Normalize) -> None:
    assert "upstream request timeout" in normalize(b"upstream request timeout").errors[0]["message"]


def test_6_5_17_missing_done_after_a_finish_is_complete(normalize: Normalize, case: Case) -> None:
    for name in ("openai_text", "claude_text", "claude_tools", "reasoning_azure"):
        stream = case(f"{name}.stream.sse").rstrip().removesuffix(b"data: [DONE]")
        for leftover in (b"", b"d", b"data: [DON"):
            assert normalize(stream + leftover).is_done


def test_6_5_17_call_begun_after_a_finish_is_not_complete(normalize: Normalize) -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}
    assert not normalize(HI + STOP + delta(1, tool_calls=[call])).is_done


@pytest.mark.parametrize("torn", [b'data: {"choices":[{"ind', b'data: {"choices":]}', b"data: nonsense"])
def test_6_5_17_torn_json_is_an_error_in_the_middle_and_at_the_end(normalize: Normalize, torn: bytes) -> None:
    for stream in (HI + torn, HI + STOP + torn, HI + torn + b"\n\n" + HI + STOP + DONE, HI + torn + b"\n" + HI + STOP):
        normalized = normalize(stream)
        assert normalized.text() == "Hi"
        assert normalized.errors
        assert not normalized.is_done
    assert normalize(HI + torn + b"\n" + DONE).errors


def test_6_5_17_done_without_finish_ends_a_text_but_no_call(normalize: Normalize) -> None:
    assert normalize(HI + DONE).finish == "stop"
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}
    assert normalize(delta(tool_calls=[call]) + DONE).errors


def test_6_5_17_done_without_anything_is_an_error(normalize: Normalize, case: Case) -> None:
    assert normalize(DONE).errors
    assert normalize(case("openai_text.stream.sse").split(b"\n\n")[0] + b"\n\n" + DONE).errors


def test_6_5_18_accounting_frames_are_told_once_with_the_usage(normalize: Normalize) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    extra = {"copilot_usage": {"token_details": [], "total_nano_aiu": 0}}
    stream = HI + frame([{"delta": {}, "finish_reason": "stop"}], **extra) + frame([], usage=usage, **extra)
    normalized = normalize(stream + frame([], **extra) + DONE, include_usage=True)
    assert normalized.usages == [usage]
    assert [chunk["copilot_usage"] for chunk in normalized.chunks if "copilot_usage" in chunk] == [*extra.values()]
    assert "copilot_usage" in normalized.chunks[-1]


def test_6_5_19_html_instead_of_a_stream_is_an_error(normalize: Normalize) -> None:
    normalized = normalize(b"<!DOCTYPE html><html><head><title>Just a moment</title></head>\n<body></body></html>")
    assert 'titled "Just a moment"' in normalized.errors[0]["message"]
    assert "<" not in normalized.errors[0]["message"]


def test_fields_that_openai_knows_stay(normalize: Normalize) -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.5}]}
    stream = frame([{"delta": {"content": "Hi"}, "logprobs": logprobs}], service_tier="default", padding="xyz")
    normalized = normalize(stream + frame([{"delta": {}, "logprobs": logprobs, "finish_reason": "stop"}]) + DONE)
    assert normalized.chunks[0]["choices"][0]["logprobs"] == logprobs
    assert normalized.chunks[0]["service_tier"] == "default"
    assert normalized.chunks[1]["choices"][0]["logprobs"] == logprobs


def test_half_an_emoji_passes(normalize: Normalize) -> None:
    stream = b"".join(HI.replace(b"Hi", half) for half in (b"Hi", b"\\ud83d", b"\\ude00", b"\\ud83d"))
    normalized = normalize(stream + STOP + DONE)
    assert [d.get("content") for d in normalized.deltas[:3]] == ["Hi", "\ud83d", "\ude00"]
    assert normalize(HI.replace(b"Hi", b"\\ud83d") + STOP + DONE).text() == "\ud83d"


def test_strange_shapes_do_no_harm(normalize: Normalize) -> None:
    odd = [
        None,
        1,
        "x",
        {"index": "x", "delta": 5},
        {"index": [], "delta": {"role": [], "thinking": {}}},
        {"delta": {"tool_calls": [None, {"function": None}]}},
    ]
    stream = frame(odd) + frame({}) + frame([{"delta": {"content": 5}, "finish_reason": 7}])
    assert normalize(stream + STOP + DONE).is_done
    for scalar in (b"data: 5\n\n", b"data: []\n\n", b"data: null\n\n"):
        assert normalize(HI + scalar + STOP + DONE).errors


def test_fail_says_what_broke_and_only_once(normalize: Normalize) -> None:
    normalizer = StreamNormalizer(identity_of("m", created=1, fallback_id="f"), include_usage=False)
    normalizer.feed(HI)
    frame_out = normalizer.fail(UpstreamConnectError("The line went dead."))
    assert json.loads(frame_out.removeprefix(b"data: "))["error"]["message"] == "The line went dead."
    assert normalizer.fail(UpstreamConnectError("again")) == b""
    assert normalizer.finish() == b""
    assert normalizer.feed(HI) == b""
    assert normalize(HI + STOP + DONE).normalizer.fail(UpstreamConnectError("late")) == b""
