"""Chat requests: traits, images, and the little that is changed on the way (contract §5.5, §6.1, §6.2, §6.6)."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converters.chat.native.body import REFUSED_FIELDS, prepare
from app.converters.chat.traits import image_urls, traits
from app.converters.neutral.losses import Losses

USER = {"role": "user", "content": "Hi"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "42"}
SYSTEM = {"role": "system", "content": "Be kind."}


def url(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address, "detail": "low"}}


def test_traits_of_a_plain_request() -> None:
    found = traits({"model": "m", "messages": [USER]})
    assert (found.model, found.stream, found.include_usage, found.choices) == ("m", False, False, 1)
    assert (found.has_images, found.initiator) == (False, "user")


def test_traits_read_stream_usage_and_n() -> None:
    found = traits(
        {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "n": 3, "messages": [USER]}
    )
    assert (found.stream, found.include_usage, found.choices) == (True, True, 3)


@pytest.mark.parametrize(
    ("messages", "initiator"),
    [
        ([USER], "user"),
        ([SYSTEM, USER], "user"),
        ([USER, CALL, RESULT], "agent"),
        ([USER, {"role": "function", "name": "f", "content": "x"}], "agent"),
        ([USER, CALL], "agent"),
        ([USER, CALL, RESULT, USER], "user"),
        ([USER, CALL, RESULT, SYSTEM], "agent"),
        ([USER, {"role": "developer", "content": "x"}], "user"),
        ([SYSTEM], "user"),
        ([], "user"),
    ],
)
def test_5_5_initiator_is_the_last_message_that_is_no_instruction(messages: list[Any], initiator: str) -> None:
    assert traits({"messages": messages}).initiator == initiator


def test_all_tool_rounds_of_one_turn_share_a_key_and_turns_do_not() -> None:
    rounds: list[list[Any]] = [[SYSTEM, USER], [SYSTEM, USER, CALL, RESULT], [SYSTEM, USER, CALL, RESULT, CALL, RESULT]]
    assert len({traits({"messages": messages}).interaction_key for messages in rounds}) == 1
    next_turn = [*rounds[2], USER]
    other = [SYSTEM, {"role": "user", "content": "Ho"}]
    keys = {traits({"messages": messages}).interaction_key for messages in (rounds[0], next_turn, other, [])}
    assert len(keys) == 4


def test_cache_marks_that_wander_do_not_change_the_key() -> None:
    marked = {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}
    assert traits({"messages": [USER]}).interaction_key == traits({"messages": [marked, CALL, RESULT]}).interaction_key


@pytest.mark.parametrize(
    "content",
    [
        [url("data:image/png;base64,AA==")],
        [{"type": "text", "text": "x"}, {"type": "input_image", "image_url": "https://a/b.png"}],
        [{"type": "image", "source": {"type": "base64"}}],
        [{"type": "tool_result", "content": [{"type": "image", "source": {}}]}],
        [{"image_url": {"url": "https://a/b.png"}}],
    ],
)
@pytest.mark.parametrize("role", ["user", "tool", "assistant"])
def test_5_7_images_are_found_in_any_message(content: list[Any], role: str) -> None:
    assert traits({"messages": [USER, {"role": role, "content": content}, USER]}).has_images


def test_image_urls_in_order_and_once() -> None:
    parts = [url("https://b/"), url("data:x"), {"type": "input_image", "image_url": "HTTP://a/"}, url("https://b/")]
    nested = {
        "role": "tool",
        "content": [{"type": "x", "content": [{"type": "image", "source": {"url": "https://c/"}}]}],
    }
    body = {"messages": [{"role": "user", "content": parts}, nested]}
    assert image_urls(body) == ["https://b/", "HTTP://a/", "https://c/"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": 5},
        {"messages": [None, 5, {"role": 7, "content": 8}]},
        {"model": 3, "n": True, "stream_options": 1},
        {"messages": [{"role": "user", "content": [None, {"type": [], "image_url": 5}, {"type": {}}]}]},
    ],
)
def test_strange_bodies_do_no_harm(body: dict[str, Any]) -> None:
    traits(body)
    image_urls(body)
    prepare(json.dumps(body).encode(), body, model="m", is_openai=False, losses=Losses(), inlined={"a": "b"})


def prepared(body: dict[str, Any], raw: bytes | None = None, **more: Any) -> tuple[bytes, list[str]]:
    before = copy.deepcopy(body)
    losses = Losses()
    asked: dict[str, Any] = {"model": "m", "is_openai": True, "losses": losses, **more}
    out = prepare(json.dumps(body).encode() if raw is None else raw, body, **asked)
    assert body == before
    return out, losses.names()


ODD = (
    b'{ "x":1.10, "big":123456789012345678901234567890,\n'
    b'"model" : "m", "messages":[{"role":"user","content":"\\u0041"}]}'
)


def test_native_means_untouched() -> None:
    assert prepared(json.loads(ODD), ODD) == (ODD, [])
    assert prepared(json.loads(ODD), ODD, is_openai=False) == (ODD, [])


def test_a_mapped_model_is_spliced_in() -> None:
    out, dropped = prepared(json.loads(ODD), ODD, model='gpt-"4.1"')
    assert out == ODD.replace(b'"m"', b'"gpt-\\"4.1\\""')
    assert dropped == []


def test_a_mapped_model_is_told_from_others() -> None:
    body = {"model": "a", "x": {"model": "a"}, "messages": [{"role": "user", "content": '"model":"a"'}]}
    assert json.loads(prepared(body, model="b")[0]) == {**body, "model": "b"}
    escaped = b'{"mod\\u0065l":"a","x":{"model":"c"},"messages":[]}'
    assert json.loads(prepared(json.loads(escaped), escaped, model="b")[0])["model"] == "b"
    twice = b'{"model":"a","model":"c","messages":[]}'
    assert json.loads(prepared(json.loads(twice), twice, model="b")[0])["model"] == "b"
    none = b'{"messages":[]}'
    assert json.loads(prepared(json.loads(none), none, model="b")[0])["model"] == "b"


def test_12_3_13_refused_fields_are_dropped_and_reported() -> None:
    body = {
        "model": "m",
        "store": True,
        "service_tier": "auto",
        "metadata": {"a": "b"},
        "web_search_options": {},
        "user": "u",
        "messages": [USER],
    }
    out, dropped = prepared(body)
    assert sorted(dropped) == sorted(REFUSED_FIELDS) == ["metadata", "service_tier", "store", "web_search_options"]
    assert json.loads(out) == {"model": "m", "user": "u", "messages": [USER]}


def test_big_integers_survive_a_rewrite() -> None:
    raw = b'{"model":"m","store":false,"seed":123456789012345678901234567890,"messages":[]}'
    body = {"model": "m", "store": False, "seed": 1.2345678901234568e29, "messages": []}
    assert prepared(body, raw)[0] == raw.replace(b'"store":false,', b"")


def test_6_6_reasoning_content_comes_back_as_reasoning_text() -> None:
    message = {"role": "assistant", "reasoning_content": "Hm.", "reasoning_opaque": "o=", "content": "x"}
    out = json.loads(prepared({"model": "m", "messages": [USER, message]})[0])["messages"][1]
    assert out == {"role": "assistant", "reasoning_text": "Hm.", "reasoning_opaque": "o=", "content": "x"}


@pytest.mark.parametrize("own", [{"reasoning_text": "T"}, {"cot_summary": "T", "cot_id": "i"}, {"thinking": "T"}])
def test_6_6_upstreams_own_reasoning_goes_first(own: dict[str, str]) -> None:
    message = {"role": "assistant", **own, "reasoning_content": "C", "content": "x"}
    out = json.loads(prepared({"model": "m", "messages": [message]})[0])["messages"][0]
    assert out == {"role": "assistant", **own, "content": "x"}


def test_6_6_an_empty_reasoning_text_is_made_up_for() -> None:
    message = {"role": "assistant", "reasoning_text": "", "reasoning_content": "C"}
    out = json.loads(prepared({"model": "m", "messages": [message]})[0])["messages"][0]
    assert out == {"role": "assistant", "reasoning_text": "C"}


def test_12_3_8_padding_and_annotations_are_not_sent_back() -> None:
    message = {"role": "assistant", "content": "x", "padding": "abc", "copilot_annotations": {}, "copilot_usage": {}}
    kept = {
        "role": "user",
        "content": "padding",
        "copilot_cache_control": {"type": "ephemeral"},
        "copilot_references": [],
    }
    out = json.loads(prepared({"model": "m", "messages": [message, kept]})[0])["messages"]
    assert out == [{"role": "assistant", "content": "x"}, kept]


def test_what_litellm_adds_to_earlier_turns_is_not_sent() -> None:
    message = {"role": "assistant", "content": "x", "provider_specific_fields": {"refusal": None}}
    out = json.loads(prepared({"model": "m", "messages": [USER, message, USER]})[0])["messages"]
    assert out == [USER, {"role": "assistant", "content": "x"}, USER]


def test_6_2_developer_becomes_system_for_other_vendors_only() -> None:
    body = {"model": "m", "messages": [{"role": "developer", "content": "x"}, {"role": "user", "content": "developer"}]}
    assert prepared(body)[0] == json.dumps(body).encode()
    out = json.loads(prepared(body, is_openai=False)[0])["messages"]
    assert [message["role"] for message in out] == ["system", "user"]


@pytest.mark.parametrize("mark", [{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h", "scope": "global"}])
def test_6_2_anthropics_cache_marks_get_copilots_name(mark: dict[str, str]) -> None:
    """opencode writes them for Claude models, and upstream refuses them: "Extra inputs are not permitted"."""
    parts = [{"type": "text", "text": "x", "cache_control": mark}, {"type": "text", "text": "y"}]
    messages = [
        {"role": "system", "content": "s", "cache_control": mark},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "cache_control": mark}]},
        {"role": "tool", "tool_call_id": "1", "content": "t", "cache_control": None},
    ]
    out = json.loads(prepared({"model": "m", "messages": messages}, is_openai=False)[0])["messages"]
    own = {"type": "ephemeral"}
    assert out == [
        {"role": "system", "content": "s", "copilot_cache_control": own},
        {
            "role": "user",
            "content": [{"type": "text", "text": "x", "copilot_cache_control": own}, {"type": "text", "text": "y"}],
        },
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "t"},
    ]


OBJECT = {"type": "object", "properties": {"cache_control": {}}}


def test_a_schema_that_speaks_of_cache_marks_stays_as_it_is() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": OBJECT}}
    body = {"model": "m", "messages": [{"role": "user", "content": '"cache_control"'}], "tools": [tool]}
    assert prepared(body)[0] == json.dumps(body).encode()


def test_image_urls_are_replaced_wherever_they_stand() -> None:
    parts = [url("https://a/"), url("https://other/"), {"type": "input_image", "image_url": "https://a/"}]
    deep = [{"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": "https://a/"}}]}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}, {"role": "tool", "content": deep}]}
    out = json.loads(prepared(body, inlined={"https://a/": "data:image/png;base64,AA=="})[0])["messages"]
    assert out[0]["content"][0] == url("data:image/png;base64,AA==")
    assert out[0]["content"][1] == url("https://other/")
    assert out[0]["content"][2]["image_url"] == "data:image/png;base64,AA=="
    assert out[1]["content"][0]["content"][0]["source"]["url"] == "data:image/png;base64,AA=="


def test_half_an_emoji_survives_a_rewrite() -> None:
    raw = b'{"model":"m","store":true,"messages":[{"role":"user","content":"\\ud83d"}]}'
    assert prepared(json.loads(raw), raw)[0] == raw.replace(b'"store":true,', b"")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just("model"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(body=st.dictionaries(st.text(max_size=8), values, max_size=5), old=st.text(max_size=5), new=st.text(max_size=5))
def test_whatever_the_body_only_the_model_changes(body: dict[str, Any], old: str, new: str) -> None:
    body = {**{k: v for k, v in body.items() if k not in REFUSED_FIELDS and k != "messages"}, "model": old}
    out, dropped = prepared(body, model=new)
    assert json.loads(out) == {**body, "model": new}
    assert dropped == []


@pytest.mark.parametrize(
    "words", ['the key "cache_control"', "an id like call_1__proof_c2VjcmV0", '"cache_control": {}']
)
def test_words_of_the_bridge_in_a_text_leave_the_body_as_it_came(words: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": words}, CALL | {"content": words}, RESULT]}
    raw = json.dumps(body).encode()
    assert prepare(raw, body, model="m", is_openai=True, losses=Losses()) is raw
