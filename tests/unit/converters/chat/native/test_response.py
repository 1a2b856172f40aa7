"""Whole answers, section by section (contract §6.3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from app.converters.chat.native.response import normalize_response, response_to_stream
from app.errors import GatewayError, UpstreamProtocolError
from tests.support.identities import identity_of

Case = Callable[[str], bytes]
IDENTITY = identity_of("asked-for", created=1111, fallback_id="chatcmpl-fallback")
FILES = ("openai_text", "openai_tool", "claude_choices", "reasoning", "anthropic", "no_choices")


def normalized(body: bytes, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(normalize_response(body, IDENTITY, **more))
    return answer


def one(*entries: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"choices": list(entries), **more}).encode()


def test_6_3_1_openai_text_gets_what_is_missing_and_keeps_what_the_filters_found(case: Case) -> None:
    raw = normalize_response(case("openai_text.response.json"), IDENTITY)
    answer, safe = json.loads(raw), {"filtered": False, "severity": "safe"}
    assert answer["object"] == "chat.completion"
    assert (answer["created"], answer["model"]) == (1111, "asked-for")
    assert answer["id"] == "chatcmpl-AZlhP0hZe9nmJgXqNo6nQRrh6XBXf"
    assert answer["system_fingerprint"] == "fp_a4f8e7c905"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi there, friend!", "refusal": None},
            "logprobs": None,
            "content_filter_results": dict.fromkeys(("hate", "self_harm", "sexual", "violence"), safe),
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"]["total_tokens"] == 22
    assert answer["prompt_filter_results"][0]["prompt_index"] == 0
    assert b"padding" not in raw


def test_6_3_2_tool_call_gets_a_null_content(case: Case) -> None:
    message = normalized(case("openai_tool.response.json"))["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {
            "id": "call_xSsfdRITfXlGktbNjgNHsTsk",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"location":"Tokyo"}'},
        }
    ]


def test_6_3_3_split_choices_become_one(case: Case) -> None:
    (choice,) = normalized(case("claude_choices.response.json"))["choices"]
    assert choice["message"]["content"] == "I'll look at the file first."
    assert choice["message"]["tool_calls"][0]["id"] == "toolu_bdrk_01M0pvz0P6kV5q5k8wRb9uSc"
    assert choice["finish_reason"] == "tool_calls"


def test_6_3_3_variants_with_other_indexes_reasons_and_more_entries() -> None:
    call = {"function": {"name": "f"}, "index": 0}
    body = one(
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"content": "a", "reasoning_text": "", "reasoning_opaque": "o"},
        },
        {
            "index": 1,
            "finish_reason": "stop",
            "message": {"content": "b", "reasoning_text": "r", "reasoning_opaque": "p"},
        },
        {"index": 2, "finish_reason": None, "message": {"tool_calls": [call]}},
        {"finish_reason": None, "message": {"tool_calls": [dict(call, id="")]}},
    )
    (choice,) = normalized(body)["choices"]
    message = choice["message"]
    assert (message["content"], message["reasoning_text"], message["reasoning_opaque"]) == ("ab", "r", "o")
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ["{}", "{}"]
    assert "index" not in message["tool_calls"][0]
    assert len({call["id"] for call in message["tool_calls"]}) == 2
    assert choice["finish_reason"] == "tool_calls"


def test_6_3_3_choices_stay_apart_when_several_were_asked_for() -> None:
    body = one({"index": 1, "message": {"content": "b"}}, {"index": 0, "message": {"content": "a"}})
    assert [(c["index"], c["message"]["content"]) for c in normalized(body, choices=2)["choices"]] == [
        (1, "b"),
        (0, "a"),
    ]
    body = one({"index": 0, "message": {"content": "a"}}, {"index": 0, "message": {"content": "b"}})
    assert [(c["index"], c["message"]["content"]) for c in normalized(body, choices=2)["choices"]] == [
        (0, "a"),
        (1, "b"),
    ]


def test_6_3_4_anthropic_body_is_translated(case: Case) -> None:
    answer = normalized(case("anthropic.response.json"))
    (choice,) = answer["choices"]
    assert answer["id"] == "msg_bdrk_01A"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Reading it.",
        "refusal": None,
        "reasoning_text": "Hm.",
        "reasoning_opaque": "c2ln",
        "reasoning_content": "Hm.",
        "tool_calls": [
            {
                "id": "toolu_bdrk_01A",
                "type": "function",
                "function": {"name": "read_file", "arguments": '{"path":"a.txt"}'},
            }
        ],
    }
    assert choice["finish_reason"] == "tool_calls"
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 90}
    assert answer["usage"]["total_tokens"] == 107


@pytest.mark.parametrize(
    ("theirs", "ours"), [("end_turn", "stop"), ("max_tokens", "length"), ("refusal", "content_filter")]
)
def test_6_3_4_anthropic_stop_reasons(theirs: str, ours: str) -> None:
    body = json.dumps({"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": theirs}).encode()
    assert normalized(body)["choices"][0]["finish_reason"] == ours


def test_6_3_4_usage_without_choices_is_an_empty_answer(case: Case) -> None:
    answer = normalized(case("no_choices.response.json"))
    assert answer["choices"][0]["message"]["content"] == ""
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["copilot_usage"]["token_details"] is not None


def test_6_3_5_reasoning_is_offered_under_both_names(case: Case) -> None:
    answer = normalized(case("reasoning.response.json"))
    message = answer["choices"][0]["message"]
    assert message["reasoning_text"] == message["reasoning_content"] == "Let me compute…"
    assert message["reasoning_opaque"] == "CtcBCkgIBxACGAIqQH…"
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 112
    assert answer["usage"]["total_tokens"] == 127
    older = normalized(one({"message": {"content": "x", "cot_summary": "s", "cot_id": "i"}}))["choices"][0]["message"]
    assert (older["reasoning_content"], older["cot_summary"], older["cot_id"]) == ("s", "s", "i")


def test_6_3_5_reasoning_tokens_get_a_place_and_missing_counts_a_value() -> None:
    usage = normalized(one({"message": {}}, usage={"prompt_tokens": 3, "reasoning_tokens": 5}))["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 5}
    assert (usage["completion_tokens"], usage["total_tokens"]) == (0, 3)


def test_big_numbers_and_half_an_emoji_survive() -> None:
    body = b'{"choices":[{"message":{"content":"\\ud83d"}}],"seed":123456789012345678901234567890}'
    raw = normalize_response(body, IDENTITY)
    assert b"123456789012345678901234567890" in raw
    assert b"\\ud83d" in raw


@pytest.mark.parametrize(
    "body", [b"", b"<html><title>Oops</title>", b"nonsense", b'{"choices":[{', b"[]", b"{}", b'{"choices":[]}']
)
def test_what_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        normalize_response(body, IDENTITY)
    with pytest.raises(UpstreamProtocolError):
        response_to_stream(body, IDENTITY, include_usage=True)


def test_an_error_with_status_200_is_that_error() -> None:
    with pytest.raises(GatewayError) as caught:
        normalize_response(b'{"error":{"code":"rate_limited","message":"Slow down"}}', IDENTITY)
    assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("name", FILES)
def test_every_answer_fits_the_sdk_and_normalizing_twice_changes_nothing(case: Case, name: str) -> None:
    raw = normalize_response(case(f"{name}.response.json"), IDENTITY)
    ChatCompletion.model_validate_json(raw)
    assert normalize_response(raw, IDENTITY) == raw


@pytest.mark.parametrize("name", FILES)
def test_the_stream_of_a_whole_answer_says_the_same(case: Case, name: str) -> None:
    body = case(f"{name}.response.json")
    answer = normalized(body)
    message = answer["choices"][0]["message"]
    out = response_to_stream(body, IDENTITY, include_usage=True)
    assert out.endswith(b"data: [DONE]\n\n")
    frames = [json.loads(line[6:]) for line in out.split(b"\n\n")[:-2]]
    deltas = [entry["delta"] for frame in frames for entry in frame["choices"]]
    assert [delta.get("role") for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    assert "".join(delta.get("content") or "" for delta in deltas) == (message["content"] or "")
    assert "".join(delta.get("reasoning_text") or "" for delta in deltas) == message.get("reasoning_text", "")
    assert "".join(delta.get("reasoning_opaque") or "" for delta in deltas) == message.get("reasoning_opaque", "")
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [{k: v for k, v in call.items() if k != "index"} for call in calls] == message.get("tool_calls", [])
    assert frames[-2]["choices"][0]["finish_reason"] == answer["choices"][0]["finish_reason"]
    assert frames[-1]["usage"] == answer["usage"]
    assert {frame["id"] for frame in frames} == {answer["id"]}
    assert b'"usage"' not in response_to_stream(body, IDENTITY, include_usage=False)


def test_a_stream_of_several_choices_keeps_them_apart() -> None:
    body = one(
        {"index": 0, "message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}, "finish_reason": "length"}
    )
    out = response_to_stream(body, IDENTITY, include_usage=False, choices=2)
    entries = [json.loads(line[6:])["choices"][0] for line in out.split(b"\n\n")[:-2]]
    assert [(e["index"], e["finish_reason"]) for e in entries if e["finish_reason"]] == [(0, "stop"), (1, "length")]


def test_two_calls_with_one_id_can_be_told_apart() -> None:
    """As in a stream: whoever answers them goes by their ids."""
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "t", "arguments": f'{{"a":{at}}}'}} for at in range(3)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    answer = normalized(one({"index": 0, "message": message, "finish_reason": "tool_calls"}))
    ids = [call["id"] for call in answer["choices"][0]["message"]["tool_calls"]]
    assert ids[0] == "c1"
    assert len(set(ids)) == 3
