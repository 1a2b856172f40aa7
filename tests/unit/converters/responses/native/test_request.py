"""Native requests: bytes as they come, but for what upstream refuses (contract §7.2–§7.6, clients.md 0)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.limits import Limits
from app.converters.prepared import Prepared
from app.converters.responses.native import prepare
from app.converters.responses.traits import image_urls, traits
from app.errors import InvalidRequestError, UnsupportedFeatureError
from tests.unit.converters.responses.grammar import FIXTURES, fixture_json

LIMITS = Limits(model="gpt-5.2", max_output_tokens=1000, reasoning_effort=("low", "medium", "high"))
PLAIN: dict[str, Any] = {"store": False, "include": ["reasoning.encrypted_content"]}
SAID = {"type": "message", "role": "user", "content": "Hi"}


def ready(body: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Prepared]:
    body = {"model": "m", "input": "x", **body}
    before = json.dumps(body)
    prepared = prepare(before.encode(), body, **{"model": "gpt-5.2", "limits": LIMITS, **more})
    assert json.dumps(body) == before, "the client's body was touched"
    sent: dict[str, Any] = json.loads(prepared.body)
    return sent, prepared


def test_bytes_pass_where_only_the_model_changes() -> None:
    raw = b'{ "input" : "caf\\u00e9 \\"model\\": x",  "model":"asked" , "store":false,'
    raw += b'"include":["reasoning.encrypted_content"] }'
    prepared = prepare(raw, json.loads(raw), model="gpt-5.2", limits=LIMITS)
    assert prepared.body == raw.replace(b'"asked"', b'"gpt-5.2"')
    assert prepare(raw, json.loads(raw), model="asked", limits=LIMITS).body is raw
    assert prepared.dropped == ()
    assert prepared.restore is None


def test_nested_model_key_is_left_alone() -> None:
    body = {**PLAIN, "metadata": {"model": "m"}}
    sent, _ = ready(body)
    assert (sent["model"], sent["metadata"]) == ("gpt-5.2", {"model": "m"})


def test_nothing_is_stored_and_reasoning_is_asked_for() -> None:
    sent, prepared = ready({"store": True, "include": ["web_search_call.results"]})
    assert sent["store"] is False
    assert sent["include"] == ["reasoning.encrypted_content"]
    assert prepared.dropped == ("include:web_search_call.results",)


@pytest.mark.parametrize(
    "field",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": {"id": "c"}},
        {"background": True},
        {"prompt": {"id": "p"}},
        {"input": [{"type": "item_reference", "id": "rs_1"}]},
        {"input": [{"id": "rs_1"}]},
        {"input": [SAID, {"type": "compaction_trigger"}]},
        {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}},
        {"tools": [{"type": "web_search"}], "tool_choice": "required"},
        {"tool_choice": {"type": "image_generation"}},
    ],
)
def test_what_would_change_the_meaning_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        ready(field)
    assert caught.value.param


def test_what_says_nothing_is_left_out() -> None:
    sent, prepared = ready({**PLAIN, "previous_response_id": None, "background": False, "conversation": None})
    assert not {"previous_response_id", "background", "conversation"} & sent.keys()
    assert prepared.dropped == ()


def test_advice_upstream_refuses_is_dropped_and_said() -> None:
    sent, prepared = ready(
        {
            **PLAIN,
            "service_tier": "flex",
            "client_metadata": {"a": "b"},
            "stream_options": {"include_obfuscation": False},
            "reasoning": {"effort": "low", "context": "all_turns"},
            "temperature": 0.2,
            "top_p": 0.9,
            "user": "u" * 65,
            "prompt_cache_key": "k" * 100,
        }
    )
    assert set(prepared.dropped) == {
        "service_tier",
        "client_metadata",
        "stream_options",
        "reasoning.context",
        "temperature",
        "top_p",
        "user",
    }
    assert sent["reasoning"] == {"effort": "low"}
    assert len(sent["prompt_cache_key"]) == 64
    assert "temperature" not in sent


def test_sampling_stays_for_models_that_do_not_reason() -> None:
    sent, _ = ready({**PLAIN, "temperature": 0.2}, model="gpt-4.1", limits=Limits(family="gpt-4.1"))
    assert sent["temperature"] == 0.2


@pytest.mark.parametrize(
    ("given", "sent_"),
    [("xhigh", "high"), ("minimal", "low"), ("none", "low"), ("medium", "medium")],
)
def test_effort_is_clamped(given: str, sent_: str) -> None:
    assert ready({"reasoning": {"effort": given}})[0]["reasoning"] == {"effort": sent_}


def test_effort_is_left_out_for_models_without() -> None:
    sent, prepared = ready({**PLAIN, "reasoning": {"effort": "low"}}, limits=Limits())
    assert "reasoning" not in sent
    assert prepared.dropped == ("reasoning.effort",)


@pytest.mark.parametrize(("given", "sent_"), [(1, 16), (16, 16), (500, 500), (128000, 1000)])
def test_output_limit_is_clamped(given: int, sent_: int) -> None:
    assert ready({"max_output_tokens": given})[0]["max_output_tokens"] == sent_


def test_ids_and_nulls_of_items_are_left_out() -> None:
    items = [
        {**SAID, "id": "msg_1"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "encrypted_content": "gAAA",
            "status": None,
            "content": None,
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c" * 80, "name": "f", "arguments": "{}", "namespace": None},
        {"type": "function_call_output", "id": "fo_1", "call_id": "c" * 80, "output": "x"},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "gBBB"},
    ]
    sent, prepared = ready({"input": items})
    assert sent["input"][0] == SAID
    assert sent["input"][1] == {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    assert sent["input"][2]["call_id"] == sent["input"][3]["call_id"]
    assert len(sent["input"][2]["call_id"]) <= 64
    assert sent["input"][4] == {"type": "compaction", "encrypted_content": "gBBB"}
    assert prepared.dropped == ()


def test_thoughts_without_a_proof_of_upstream_are_left_out() -> None:
    thoughts = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "reasoning", "summary": [], "encrypted_content": "gwseal1:messages::sig"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
    ]
    assert len(ready({"input": [*thoughts, SAID]})[0]["input"]) == 2
    sent, prepared = ready({"input": [*thoughts, SAID]}, refused=frozenset({"proof"}))
    assert sent["input"] == [SAID]
    assert prepared.dropped == ("input:reasoning",)


def test_items_of_hosted_tools_are_left_out() -> None:
    items = [SAID, {"type": "web_search_call", "id": "ws_1", "status": "completed"}, {"type": "tool_search_call"}]
    sent, prepared = ready({"input": items})
    assert sent["input"] == [SAID]
    assert prepared.dropped == ("input:web_search_call", "input:tool_search_call")


def test_codex_tools_become_functions() -> None:
    sent, prepared = ready(fixture_json("tool_custom.request.json"))
    assert [(tool["type"], tool["name"], tool["strict"]) for tool in sent["tools"]] == [
        ("function", "apply_patch", False),
        ("function", "functions__exec", False),
        ("function", "functions__wait", False),
    ]
    assert prepared.dropped == ("tools:web_search",)
    kinds = [item.get("type", "message") for item in sent["input"]]
    assert kinds == ["message", *["function_call", "function_call_output"] * 2]
    assert sent["input"][1]["arguments"] == '{"input":"*** Begin\\n\\"q\\""}'
    assert sent["input"][3]["name"] == "functions__exec"
    assert "namespace" not in sent["input"][3]


@pytest.mark.parametrize(
    ("choice", "sent_"),
    [
        ({"type": "custom", "name": "exec"}, {"type": "function", "name": "functions__exec"}),
        (
            {"type": "function", "name": "wait", "namespace": "functions"},
            {"type": "function", "name": "functions__wait"},
        ),
        ("required", "required"),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "custom", "name": "apply_patch"}, {"type": "mcp"}],
            },
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "apply_patch"}]},
        ),
    ],
)
def test_tool_choice_follows_the_tools(choice: Any, sent_: Any) -> None:
    body = {**fixture_json("tool_custom.request.json"), "tool_choice": choice}
    assert ready(body)[0]["tool_choice"] == sent_


def test_choice_goes_when_no_tool_remains() -> None:
    sent, _ = ready({"tools": [{"type": "web_search"}], "tool_choice": "auto", "parallel_tool_calls": True})
    assert not {"tools", "tool_choice"} & sent.keys()


def test_plain_functions_stay_as_they_are() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "defer_loading": True}]
    sent, prepared = ready({"tools": tools})
    assert sent["tools"] == [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    assert prepared.dropped == ("tools[].defer_loading",)
    assert ready({"tools": []})[0]["tools"] == []


def test_images_are_inlined_wherever_they_are() -> None:
    url, data = "https://a.test/x.png", "data:image/png;base64,AA"
    image = {"type": "input_image", "image_url": url, "detail": "auto"}
    items = [
        {"role": "user", "content": [image]},
        {"type": "function_call_output", "call_id": "c", "output": [image]},
    ]
    body = {"model": "m", "input": items}
    assert image_urls(body) == [url]
    assert traits(body).has_images
    sent, _ = ready(body, inlined={url: data})
    assert json.dumps(sent).count(data) == 2
    assert url not in json.dumps(sent)


def test_what_upstream_refused_before_is_left_out() -> None:
    items = [{**SAID, "phase": "x"}, {"role": "assistant", "content": "y"}]
    body = {**PLAIN, "input": items, "text": {"verbosity": "low"}, "truncation": "auto"}
    sent, prepared = ready(body, refused=frozenset({"input[].phase", "text.verbosity", "truncation", "absent.x"}))
    assert sent["input"] == [SAID, items[1]]
    assert not {"text", "truncation"} & sent.keys()
    assert prepared.dropped == ("input[].phase", "text.verbosity", "truncation")


def test_huge_integers_survive() -> None:
    raw = b'{"model":"m","input":"x","metadata":{"n":123456789012345678901234567890}}'
    prepared = prepare(
        raw, json.loads(raw.replace(b"123456789012345678901234567890", b"1e29")), model="m", limits=LIMITS
    )
    assert b"123456789012345678901234567890" in prepared.body


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.request.json")), ids=lambda path: path.name.split(".")[0])
def test_earlier_turns_keep_their_bytes(path: Any) -> None:
    body = json.loads(path.read_bytes())
    if isinstance(body["input"], str):
        body["input"] = [{"role": "user", "content": body["input"]}]
    before = ready(body)[0]["input"]
    longer = [*body["input"], {"role": "assistant", "content": "a", "id": "msg_9"}, SAID]
    after = ready({**body, "input": longer})[0]["input"]
    assert json.dumps(after).startswith(json.dumps(before)[:-1])


# -- traits ----------------------------------------------------------------------------------------------------------

OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("items", "initiator"),
    [
        ("Hi", "user"),
        ([SAID], "user"),
        ([SAID, {"role": "assistant", "content": "x"}], "agent"),
        ([SAID, CALL, OUTPUT], "agent"),
        ([SAID, CALL, OUTPUT, {"role": "developer", "content": "x"}], "agent"),
        ([SAID, {"type": "additional_tools", "tools": []}], "user"),
        ([{"role": "system", "content": "x"}], "user"),
        ([SAID, {"type": "reasoning", "summary": []}], "agent"),
        (["Hi"], "user"),
        (7, "user"),
    ],
)
def test_initiator(items: Any, initiator: str) -> None:
    found = traits({"model": "m", "input": items, "stream": True})
    assert found.initiator == initiator
    assert (found.model, found.stream, found.include_usage, found.choices) == ("m", True, True, 1)


def test_interaction_key_is_the_same_in_all_tool_rounds() -> None:
    first = traits({"input": [SAID]}).interaction_key
    assert traits({"input": [SAID, CALL, OUTPUT]}).interaction_key == first
    assert traits({"input": [SAID, CALL, OUTPUT, SAID]}).interaction_key != first


def test_traits_never_fail() -> None:
    for body in ({}, {"model": 1, "input": None}, {"input": [None, 1, {"content": [None]}, {"role": 4}]}):
        assert traits(body).model == ""


@pytest.mark.parametrize("body", [{"tools": 7}, {"tools": [7]}, {"tools": [{"type": "custom"}]}, {"input": [{}]}])
def test_malformed_requests_are_client_errors(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        ready(body)
