"""The stream mender, quirk by quirk.

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
6.5.11      test_6_5_11_annotations_are_removed_and_arguments_kept
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

from app.converters.chat.call_proofs import shown
from app.converters.chat.mender import StreamMender
from app.errors import UpstreamConnectError, UpstreamProtocolError

Mend = Callable[..., Any]
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


def test_6_3_4_usage_alone_is_an_empty_answer(mend: Mend) -> None:
    mended = mend(frame([], usage={"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}) + DONE)
    assert (mended.text(), mended.finish, mended.is_done) == ("", "stop", True)


def test_6_3_4_anthropic_body_in_a_frame_is_translated(mend: Mend, case: Case) -> None:
    mended = mend(b"data: " + case("anthropic.response.json") + b"\n" + DONE, include_usage=True)
    assert mended.text() == "Reading it."
    assert mended.text("reasoning_content") == "Hm."
    assert mended.calls == [("toolu_bdrk_01A", "read_file", '{"path":"a.txt"}')]
    assert mended.finish == "tool_calls"
    assert mended.usages[0]["prompt_tokens"] == 100


def test_6_4_comments_pass_and_do_not_start_the_answer(mend: Mend) -> None:
    mender = StreamMender(model="m", include_usage=False, created=1, fallback_id="f")
    assert mender.feed(b": keep-alive\n\n") == b": keep-alive\n\n"
    assert not mender.started
    assert mend(b": keep-alive\n\n" + HI + b":\n\n" + STOP + DONE).comments == [": keep-alive", ":"]


def test_6_4_single_line_breaks_separate_frames(mend: Mend) -> None:
    stream = (HI + HI + STOP + DONE).replace(b"\n\n", b"\n")
    assert mend(stream).text() == "HiHi"


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_6_4_any_line_ending_will_do(mend: Mend, ending: bytes) -> None:
    stream = (HI + HI + STOP + DONE).replace(b"\n", ending)
    for cut in (1, 2, 3, 50):
        mended = mend(stream, cut=cut)
        assert (mended.text(), mended.is_done) == ("HiHi", True)


def test_6_4_no_space_after_data_and_no_newline_at_the_end(mend: Mend) -> None:
    stream = (HI + HI + STOP + DONE).replace(b"data: ", b"data:").rstrip()
    mended = mend(stream)
    assert (mended.text(), mended.is_done) == ("HiHi", True)


def test_6_4_one_event_may_be_spread_over_several_data_lines(mend: Mend) -> None:
    spread = HI.replace(b'"created"', b'\ndata: "created"').replace(b'"id"', b"\n: hm\ndata: " + b'"id"')
    assert mend(spread + STOP + DONE).text() == "Hi"
    assert mend(spread + STOP + DONE, cut=1).text() == "Hi"
    for cut in range(len(spread)):
        mender = StreamMender(model="m", include_usage=False, created=1, fallback_id="f")
        assert b'"Hi"' in mender.feed(spread[:cut]) + mender.feed(spread[cut:])


def test_6_4_other_fields_and_a_byte_order_mark_are_no_concern(mend: Mend) -> None:
    stream = b"\xef\xbb\xbf" + HI + b"event: x\nid: 1\nretry: 5\ndata:\n\n" + STOP + DONE
    assert mend(stream).text() == "Hi"


def test_6_4_nothing_counts_after_done(mend: Mend) -> None:
    assert mend(HI + STOP + DONE + HI + DONE).text() == "Hi"


def test_6_5_1_leading_filter_chunk_gives_no_identity(mend: Mend, case: Case) -> None:
    for name in ("openai_text.stream.sse", "openai_text_2024.stream.sse"):
        mended = mend(case(name))
        assert mended.chunks[0]["id"].startswith("chatcmpl-")
        assert mended.chunks[0]["id"] != "chatcmpl-fallback"
        assert mended.chunks[0]["created"] > 1_700_000_000
        assert mended.chunks[0]["model"] == "asked-for"
        assert b"prompt_filter_results" not in mended.raw


def test_6_5_2_openai_text_keeps_its_usage_chunk_only_when_asked_for(mend: Mend, case: Case) -> None:
    without = mend(case("openai_text.stream.sse"))
    assert (without.text(), without.finish, without.usages) == ("Hi", "stop", [])
    assert without.mender.usage is not None
    assert without.mender.usage["total_tokens"] == 1240
    with_usage = mend(case("openai_text.stream.sse"), include_usage=True)
    assert with_usage.chunks[-1]["choices"] == []
    assert with_usage.usages == [without.mender.usage]
    assert with_usage.chunks[0]["system_fingerprint"] == "fp_da3e2947cd"


def test_6_5_3_older_openai_text_gets_object_and_one_role(mend: Mend, case: Case) -> None:
    mended = mend(case("openai_text_2024.stream.sse"), include_usage=True)
    assert (mended.text(), mended.finish) == ("Hello", "stop")
    # Upstream sent no usage: none is invented.
    assert mended.usages == []


def test_6_5_3_empty_role_is_removed(mend: Mend) -> None:
    mended = mend(
        delta(role="", content="a") + delta(role="", content="b") + delta(role=None, content="c") + STOP + DONE
    )
    assert [d.get("role") for d in mended.deltas] == ["assistant", None, None, None]
    assert mended.text() == "abc"


def test_6_5_4_claude_usage_moves_from_the_finish_chunk(mend: Mend, case: Case) -> None:
    mended = mend(case("claude_text.stream.sse"), include_usage=True)
    assert (mended.text(), mended.finish) == ("I'll do two things:", "stop")
    assert mended.chunks[-1]["choices"] == []
    assert mended.usages == [{"completion_tokens": 170, "prompt_tokens": 2128, "total_tokens": 2298}]
    assert mend(case("claude_text.stream.sse")).usages == []


def test_6_5_4_content_filter_offsets_do_not_stay(mend: Mend) -> None:
    entry = {"index": 0, "content_filter_offsets": {"end_offset": 1}, "delta": {"content": "x"}}
    frames = [
        b"data: " + json.dumps({"choices": [entry | {"content_filter_offsets": {"end_offset": n}}]}).encode() + b"\n\n"
        for n in range(5)
    ]
    compact = [f.replace(b'": ', b'":').replace(b", ", b",") for f in frames]
    for stream in (frames, compact):
        mended = mend(b"".join(stream) + STOP + DONE)
        assert mended.text() == "xxxxx"
        assert b"offset" not in mended.raw


def test_6_5_5_tool_call_passes(mend: Mend, case: Case) -> None:
    mended = mend(case("openai_tool.stream.sse"))
    assert mended.calls == [("call_uTF3ZPytqMVlIQ6nHo2kZXGL", "read_file", '{"path":"a.txt"}')]
    assert mended.finish == "tool_calls"


def test_6_5_5_usage_on_finish_chunk_moves_even_with_no_completion_tokens(mend: Mend, case: Case) -> None:
    mended = mend(case("openai_tool_2024.stream.sse"), include_usage=True)
    assert mended.usages == [{"completion_tokens": 0, "prompt_tokens": 218, "total_tokens": 218}]
    assert mended.chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_6_5_5_stop_with_calls_becomes_tool_calls(mend: Mend, case: Case) -> None:
    stream = case("openai_tool.stream.sse").replace(b'"finish_reason":"tool_calls"', b'"finish_reason":"stop"')
    mended = mend(stream)
    assert (mended.finish, mended.mender.finish_reason) == ("tool_calls", "tool_calls")


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_6_5_5_length_with_calls_stays_for_the_call_was_cut_off(mend: Mend, case: Case, reason: str) -> None:
    stream = case("openai_tool.stream.sse").replace(
        b'"finish_reason":"tool_calls"', b'"finish_reason":"%s"' % reason.encode()
    )
    assert mend(stream).finish == reason


def test_6_5_5_interleaved_calls_by_index_stay_apart(mend: Mend) -> None:
    def part(index: int, text: str, **first: Any) -> bytes:
        name = {"name": "f"} if first else {}
        return delta(tool_calls=[{"index": index, **first, "function": {**name, "arguments": text}}])

    stream = part(0, "", id="a") + part(1, "", id="b")
    stream += b"".join(part(i % 2, f"{i}") for i in range(10)) + delta(finish_reason="tool_calls") + DONE
    assert mend(stream).calls == [("a", "f", "02468"), ("b", "f", "13579")]


def test_6_5_6_missing_arguments_become_empty_text(mend: Mend, case: Case) -> None:
    first = mend(case("claude_tools.stream.sse")).deltas[0]["tool_calls"][0]
    assert first == {
        "index": 0,
        "id": "tooluse_994l1PLxZuL88Z4Pc7cudS",
        "type": "function",
        "function": {"name": "edit_file", "arguments": ""},
    }


def test_6_5_7_second_call_with_same_index_gets_its_own_index(mend: Mend, case: Case) -> None:
    assert mend(case("claude_tools.stream.sse")).calls == [
        ("tooluse_994l1PLxZuL88Z4Pc7cudS", "edit_file", '{"filePath":"a.txt"}'),
        ("tooluse_9MVX5YIyXGFdGrVgqKcBgh", "edit_file", "{}"),
    ]


def test_6_5_7_learned_fragments_follow_the_second_call(mend: Mend) -> None:
    def start(call_id: str) -> bytes:
        return delta(
            content=None, tool_calls=[{"index": 0, "id": call_id, "type": "function", "function": {"name": "f"}}]
        )

    def more(text: str) -> bytes:
        return delta(content=None, tool_calls=[{"index": 0, "type": "function", "function": {"arguments": text}}])

    stream = start("a") + more("1") + more("2") + more("3") + start("b") + more("4") + more("5") + more("6")
    assert mend(stream + STOP + DONE).calls == [("a", "f", "123"), ("b", "f", "456")]


def test_6_5_7_fragment_with_a_known_id_continues_that_call(mend: Mend) -> None:
    def part(call_id: str, text: str) -> bytes:
        return delta(tool_calls=[{"index": 0, "id": call_id, "function": {"name": "f", "arguments": text}}])

    stream = part("a", "1") + part("b", "2") + part("a", "3") + part("b", "4")
    assert mend(stream + STOP + DONE).calls == [("a", "f", "13"), ("b", "f", "24")]


def test_6_5_8_gemini_call_keeps_its_proofs(mend: Mend, case: Case) -> None:
    mended = mend(case("gemini_tool.stream.sse"), include_usage=True)
    # The id carries the proof as well, for clients that send back nothing else (test_call_proofs.py).
    assert mended.calls == [(shown("call_RImeWkHpA7rBm1u1", "CqsBCkgIBxAC…"), "read_file", '{"path":"a.txt"}')]
    assert mended.deltas[0]["reasoning_opaque"] == "CqsBCkgIBxAC…"
    assert mended.deltas[0]["tool_calls"][0]["function"]["thought_signature"] == "CqsBCkgIBxAC…"
    assert mended.usages[0]["completion_tokens_details"] == {"reasoning_tokens": 83}
    assert mended.usages[0]["total_tokens"] == 741


def test_6_5_8_missing_ids_and_indexes_are_made_the_same_each_time(mend: Mend) -> None:
    calls = [
        {"function": {"name": "f", "arguments": "{}"}},
        {"id": "", "index": 0, "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": None, "index": 0, "function": {"name": "g", "arguments": {"b": 2}}},
    ]
    stream = delta(tool_calls=calls[:2]) + delta(tool_calls=calls[2:], finish_reason="stop") + DONE
    mended = mend(stream)
    assert [(name, arguments) for _, name, arguments in mended.calls] == [
        ("f", "{}"),
        ("f", '{"a":1}'),
        ("g", '{"b":2}'),
    ]
    assert len({call_id for call_id, _, _ in mended.calls}) == 3
    assert mended.calls == mend(stream, cut=1).calls
    assert mended.finish == "tool_calls"


def test_6_5_8_an_id_that_comes_late_opens_no_second_call(mend: Mend) -> None:
    first = delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}])
    late = delta(tool_calls=[{"index": 0, "id": "late", "function": {"arguments": "{}"}}])
    ((call_id, name, arguments),) = mend(first + late + STOP + DONE).calls
    assert call_id.startswith("call_")
    assert (name, arguments) == ("f", "{}")


def test_6_5_9_several_choices_in_one_chunk_become_one(mend: Mend, case: Case) -> None:
    for other in (
        case("claude_choices.stream.sse"),
        case("claude_choices.stream.sse").replace(b'"index":0,"delta":{"content":null', b'"delta":{"content":null'),
    ):
        mended = mend(other)
        assert mended.text() == "Reading it."
        assert mended.calls == [("toolu_bdrk_01Abc", "list_files", "{}")]
        assert mended.finish == "tool_calls"
        assert {entry["index"] for chunk in mended.chunks for entry in chunk["choices"]} == {0}


def test_6_5_9_several_choices_across_chunks_become_one(mend: Mend) -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    stream = HI + STOP + delta(1, tool_calls=[call]) + delta(1, finish_reason="tool_calls") + DONE
    mended = mend(stream)
    assert (mended.text(), mended.calls, mended.finish) == ("Hi", [("a", "f", "{}")], "tool_calls")


def test_6_5_10_reasoning_text_is_offered_under_both_names(mend: Mend, case: Case) -> None:
    mended = mend(case("reasoning.stream.sse"))
    assert mended.text("reasoning_text") == mended.text("reasoning_content") == "Let me think."
    assert mended.text("reasoning_opaque") == "EqoBCkgIBxABGAIiQL…"
    assert mended.text() == "Hello"


def test_6_5_10_many_reasoning_fragments_and_a_split_proof_all_arrive(mend: Mend) -> None:
    thoughts = [f'thought "{n}" \\ ' for n in range(8)]
    stream = b"".join(delta(content=None, reasoning_text=t, role="assistant") for t in thoughts)
    stream += delta(reasoning_opaque="ab") + delta(reasoning_opaque="cd") + HI + STOP + DONE
    mended = mend(stream)
    assert mended.text("reasoning_content") == mended.text("reasoning_text") == "".join(thoughts)
    assert mended.text("reasoning_opaque") == "abcd"


def test_6_5_10_cot_id_after_the_finish_still_reaches_the_client(mend: Mend, case: Case) -> None:
    mended = mend(case("reasoning_azure.stream.sse"))
    assert mended.text("cot_summary") == mended.text("reasoning_content") == "Analy"
    assert mended.text("cot_id") == "cot_5bd6e035-1d76-531d-c93c-0651066482a9"
    assert mended.is_done
    assert mended.chunks[0]["id"] == "chatcmpl-fallback"


def test_6_5_10_anthropic_names_are_kept_and_offered(mend: Mend) -> None:
    mended = mend(
        delta(thinking="a") + delta(thinking="b") + delta(thinking="c") + delta(signature="s") + HI + STOP + DONE
    )
    assert mended.text("thinking") == mended.text("reasoning_content") == "abc"
    assert mended.text("signature") == "s"


def test_6_5_10_message_may_stand_for_delta(mend: Mend) -> None:
    stream = frame(
        [{"index": 0, "message": {"role": "assistant", "content": "Hi", "padding": "x"}, "finish_reason": "stop"}]
    )
    assert mend(stream + DONE).text() == "Hi"
    parts = frame([{"message": {"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "o"}]}}])
    assert mend(parts + STOP + DONE).text() == "Ho"


def test_6_5_11_annotations_are_removed_and_arguments_kept(mend: Mend, case: Case) -> None:
    mended = mend(case("annotations.stream.sse"))
    assert mended.calls == [("call_uTF3ZPytqMVlIQ6nHo2kZXGL", "read_file", "file")]
    assert b"annotations" not in mended.raw


def test_6_5_12_n_above_one_keeps_its_indices(mend: Mend) -> None:
    stream = b"".join(delta(i, content=f"{i}{t}", role="assistant") for i in (0, 1) for t in "abc")
    stream += delta(0, finish_reason="stop") + delta(1, finish_reason="length") + DONE
    mended = mend(stream, choices=2)
    texts = {0: "", 1: ""}
    for entry in (entry for chunk in mended.chunks for entry in chunk["choices"]):
        texts[entry["index"]] += entry["delta"].get("content", "")
    assert texts == {0: "0a0b0c", 1: "1a1b1c"}
    assert mended.finishes == [(0, "stop"), (1, "length")]


def test_6_5_12_a_choice_without_finish_is_truncated(mend: Mend) -> None:
    stream = delta(0, content="a") + delta(1, content="b") + delta(0, finish_reason="stop")
    assert not mend(stream, choices=2).is_done
    entries = frame(
        [{"delta": {"content": "a"}, "finish_reason": "stop"}, {"delta": {"content": "b"}, "finish_reason": "stop"}]
    )
    assert mend(entries, choices=2).finishes == [(0, "stop"), (1, "stop")]


def test_6_5_13_side_channel_frames_are_dropped(mend: Mend, case: Case) -> None:
    mended = mend(case("side_channel.stream.sse"))
    assert (mended.text(), mended.finish) == ("Hi", "stop")


def test_6_5_13_function_role_is_no_answer_and_does_not_end_it(mend: Mend) -> None:
    stream = delta(content=None, function_call={"name": "bing-search", "arguments": "{}"})
    stream += delta(finish_reason="function_call") + delta(role="function", name="bing-search", content="[{}]")
    assert mend(stream + HI).errors
    mended = mend(stream + HI + STOP + DONE)
    assert (mended.text(), mended.finish) == ("Hi", "stop")


def test_6_5_14_legacy_function_call_passes(mend: Mend, case: Case) -> None:
    mended = mend(case("legacy_function.stream.sse"))
    assert [d["function_call"] for d in mended.deltas if "function_call" in d] == [
        {"arguments": "", "name": "get_current_weather"},
        {"arguments": "{\n"},
    ]
    assert mended.finish == "function_call"


def test_6_5_15_content_filter_passes(mend: Mend, case: Case) -> None:
    mended = mend(case("content_filter.stream.sse"), include_usage=True)
    assert (mended.text(), mended.finish) == ("…", "content_filter")
    assert mended.usages[0]["total_tokens"] == 3910


def test_6_5_16_error_frame_becomes_an_openai_error(mend: Mend, case: Case) -> None:
    mended = mend(HI + case("error.stream.sse") + DONE)
    assert not mended.is_done
    assert mended.errors[0]["code"] == "rate_limit_exceeded"
    assert mended.errors[0]["type"] == "rate_limit_error"
    assert "you've exceeded your rate limit" in mended.errors[0]["message"]
    assert mended.mender.error.status == 429


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"])
def test_6_5_16_bare_error_counts_too(mend: Mend, case: Case, ending: bytes) -> None:
    bare = case("error.stream.sse").removeprefix(b"data: ").strip()
    assert mend(HI + bare + ending).errors[0]["code"] == "rate_limit_exceeded"
    spread = json.dumps(json.loads(bare), indent=2).encode()
    assert mend(HI + spread + ending).errors[0]["code"] == "rate_limit_exceeded"


def test_6_5_16_error_before_anything_was_given_out_can_be_a_status(case: Case) -> None:
    mender = StreamMender(model="m", include_usage=False, created=1, fallback_id="f")
    mender.feed(case("error.stream.sse"))
    assert mender.error is not None
    assert (mender.error.status, mender.started, mender.ended) == (429, False, True)


def test_6_5_16_finish_reason_error_is_an_error_after_its_text(mend: Mend) -> None:
    mended = mend(HI + delta(content=" there", finish_reason="error") + DONE)
    assert mended.text() == "Hi there"
    assert mended.errors[0]["code"] == "upstream_error"


def test_6_5_16_empty_error_object_is_none(mend: Mend) -> None:
    stream = frame([{"delta": {"content": "Hi"}}], error={"code": "", "message": ""}) + STOP + DONE
    assert mend(stream).text() == "Hi"


def test_6_5_17_end_without_finish_is_an_error_and_never_done(mend: Mend) -> None:
    for stream in (b"", HI, HI + HI, b": hm\n\n", HI + b"data: [DO"):
        mended = mend(stream)
        assert not mended.is_done
        assert mended.errors[0]["code"] == "upstream_protocol_error"
        assert isinstance(mended.mender.error, UpstreamProtocolError)


def test_6_5_17_what_upstream_muttered_is_in_the_message(mend: Mend) -> None:
    assert "upstream request timeout" in mend(b"upstream request timeout").errors[0]["message"]


def test_6_5_17_missing_done_after_a_finish_is_complete(mend: Mend, case: Case) -> None:
    for name in ("openai_text", "claude_text", "claude_tools", "reasoning_azure"):
        stream = case(f"{name}.stream.sse").rstrip().removesuffix(b"data: [DONE]")
        for leftover in (b"", b"d", b"data: [DON"):
            assert mend(stream + leftover).is_done


def test_6_5_17_call_begun_after_a_finish_is_not_complete(mend: Mend) -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}
    assert not mend(HI + STOP + delta(1, tool_calls=[call])).is_done


@pytest.mark.parametrize("torn", [b'data: {"choices":[{"ind', b'data: {"choices":]}', b"data: nonsense"])
def test_6_5_17_torn_json_is_an_error_in_the_middle_and_at_the_end(mend: Mend, torn: bytes) -> None:
    for stream in (HI + torn, HI + STOP + torn, HI + torn + b"\n\n" + HI + STOP + DONE, HI + torn + b"\n" + HI + STOP):
        mended = mend(stream)
        assert mended.text() == "Hi"
        assert mended.errors
        assert not mended.is_done
    assert mend(HI + torn + b"\n" + DONE).errors


def test_6_5_17_done_without_finish_ends_a_text_but_no_call(mend: Mend) -> None:
    assert mend(HI + DONE).finish == "stop"
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}
    assert mend(delta(tool_calls=[call]) + DONE).errors


def test_6_5_17_done_without_anything_is_an_error(mend: Mend, case: Case) -> None:
    assert mend(DONE).errors
    assert mend(case("openai_text.stream.sse").split(b"\n\n")[0] + b"\n\n" + DONE).errors


def test_6_5_18_accounting_frames_vanish(mend: Mend) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    extra = {"copilot_usage": {"token_details": [], "total_nano_aiu": 0}}
    stream = HI + frame([{"delta": {}, "finish_reason": "stop"}], **extra) + frame([], usage=usage, **extra)
    assert mend(stream + frame([], **extra) + DONE, include_usage=True).usages == [usage]


def test_6_5_19_html_instead_of_a_stream_is_an_error(mend: Mend) -> None:
    mended = mend(b"<!DOCTYPE html><html><head><title>Just a moment</title></head>\n<body></body></html>")
    assert 'titled "Just a moment"' in mended.errors[0]["message"]
    assert "<" not in mended.errors[0]["message"]


def test_fields_that_openai_knows_stay(mend: Mend) -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.5}]}
    stream = frame([{"delta": {"content": "Hi"}, "logprobs": logprobs}], service_tier="default", padding="xyz")
    mended = mend(stream + frame([{"delta": {}, "logprobs": logprobs, "finish_reason": "stop"}]) + DONE)
    assert mended.chunks[0]["choices"][0]["logprobs"] == logprobs
    assert mended.chunks[0]["service_tier"] == "default"
    assert mended.chunks[1]["choices"][0]["logprobs"] == logprobs


def test_half_an_emoji_passes(mend: Mend) -> None:
    stream = b"".join(HI.replace(b"Hi", half) for half in (b"Hi", b"\\ud83d", b"\\ude00", b"\\ud83d"))
    mended = mend(stream + STOP + DONE)
    assert [d.get("content") for d in mended.deltas[:3]] == ["Hi", "\ud83d", "\ude00"]
    assert mend(HI.replace(b"Hi", b"\\ud83d") + STOP + DONE).text() == "\ud83d"


def test_strange_shapes_do_no_harm(mend: Mend) -> None:
    odd = [
        None,
        1,
        "x",
        {"index": "x", "delta": 5},
        {"index": [], "delta": {"role": [], "thinking": {}}},
        {"delta": {"tool_calls": [None, {"function": None}]}},
    ]
    stream = frame(odd) + frame({}) + frame([{"delta": {"content": 5}, "finish_reason": 7}])
    assert mend(stream + STOP + DONE).is_done
    for scalar in (b"data: 5\n\n", b"data: []\n\n", b"data: null\n\n"):
        assert mend(HI + scalar + STOP + DONE).errors


def test_fail_says_what_broke_and_only_once(mend: Mend) -> None:
    mender = StreamMender(model="m", include_usage=False, created=1, fallback_id="f")
    mender.feed(HI)
    frame_out = mender.fail(UpstreamConnectError("The line went dead."))
    assert json.loads(frame_out.removeprefix(b"data: "))["error"]["message"] == "The line went dead."
    assert mender.fail(UpstreamConnectError("again")) == b""
    assert mender.finish() == b""
    assert mender.feed(HI) == b""
    assert mend(HI + STOP + DONE).mender.fail(UpstreamConnectError("late")) == b""
