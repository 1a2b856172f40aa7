"""Requests of chat clients decoded, neutral requests encoded for a chat upstream."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import completion_create_params

from app.converters.chat.client.request import decode_request
from app.converters.chat.fields import FIELDS
from app.converters.chat.upstream.request import encode_request
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.vocabulary import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    OutputFormat,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
)
from app.errors import GatewayError, InvalidRequestError, UnsupportedFeatureError
from tests.support.effort import tries
from tests.support.rows import rows
from tests.support.seals import joined

FIXTURES = Path(__file__).parents[3] / "fixtures" / "chat"
CASES = sorted(path.name.removesuffix(".request.json") for path in FIXTURES.glob("*.request.json"))
EXACT = sorted(set(CASES) - {"document", "tool_custom", "tool_results"})

GPT = ModelLimits(vendor="Azure OpenAI", family="gpt-4.1", structured_outputs=True, parallel_tool_calls=True)
GPT5 = ModelLimits(vendor="OpenAI", family="gpt-5", reasoning_effort=("low", "medium", "high"), structured_outputs=True)
CLAUDE = ModelLimits(
    vendor="Anthropic",
    family="claude-sonnet-4.5",
    max_output_tokens=32000,
    max_non_streaming_output_tokens=16000,
    min_thinking_budget=1024,
    max_thinking_budget=32000,
    reasoning_effort=("low", "medium", "high"),
    parallel_tool_calls=True,
)
USER = Message("user", (Text("hi"),))
TOOL = Tool("look", schema={"type": "object"})


def body_of(case: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((FIXTURES / f"{case}.request.json").read_text("utf-8"))
    return body


def chat(*messages: Any, **more: Any) -> Request:
    return decode_request({"model": "m", "messages": list(messages), **more})


def ask(**more: Any) -> Request:
    return chat({"role": "user", "content": "hi"}, **more)


def sent(request: Request, limits: ModelLimits = GPT, refused: frozenset[str] = frozenset()) -> dict[str, Any]:
    return encode_request(request, limits, Losses(), refused)


def sent_with_losses(request: Request, limits: ModelLimits = GPT) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    body = encode_request(request, limits, losses)
    return body, losses.names()


def of(*messages: Message, **more: Any) -> Request:
    return Request(model="m", messages=messages, **more)


# -- laws over the fixtures ------------------------------------------------------------------------------------------


def limits_of(case: str) -> ModelLimits:
    return CLAUDE if body_of(case)["model"].startswith("claude") else GPT


@pytest.mark.parametrize("case", EXACT)
def test_round_trip(case: str) -> None:
    request = decode_request(body_of(case))
    again = decode_request(sent(request, limits_of(case)))
    # Usage is asked for in any case, an advice may be left out; an empty `content` beside calls says nothing.
    assert dataclasses.replace(again, include_usage=request.include_usage, user=request.user) == request


@pytest.mark.parametrize("case", sorted(set(CASES) - {"document"}))
def test_encoding_what_was_encoded_changes_nothing(case: str) -> None:
    once = sent(decode_request(body_of(case)), limits_of(case))
    again = decode_request(once)
    assert sent(again, limits_of(case)) == once


@rows()
@pytest.mark.parametrize("case", sorted(set(CASES) - {"document"}))
@pytest.mark.parametrize("limits", [GPT, GPT5, CLAUDE], ids=["gpt", "gpt5", "claude"])
def test_adding_a_turn_changes_nothing_before_it(case: str, limits: ModelLimits) -> None:
    request = decode_request(body_of(case))
    longer = dataclasses.replace(
        request,
        messages=(
            *request.messages,
            Message("assistant", (Reasoning("hm", "sig", "chat"), ToolCall("c-new", "look", "{}"))),
            Message("user", (ToolResult("c-new", (Image(url="https://x/y.png"),), is_error=True), Text("next"))),
        ),
    )
    before, after = sent(request, limits)["messages"], sent(longer, limits)["messages"]
    assert after[: len(before)] == before
    assert len(after) == len(before) + 4


def test_every_field_of_the_spec_is_accounted_for() -> None:
    spec = set(completion_create_params.CompletionCreateParamsBase.__annotations__) | {"stream"}
    assert spec <= set(FIELDS)


def test_every_mapped_field_is_read() -> None:
    """No mapped field lands in `extra`, every carried, dropped or unknown one does."""
    body = {name: None for name in FIELDS if "." not in name}
    request = chat(
        {"role": "user", "content": "x"}, **{k: v for k, v in body.items() if k not in ("model", "messages")}
    )
    assert request == chat({"role": "user", "content": "x"})
    given = {"seed": 7, "web_search_options": {}, "brand_new": [1], "logit_bias": {"1": 2}}
    assert ask(**given).extra == {"chat": given}


# -- decoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": ["hi"]}, "messages[0]"),
        ({"model": "m", "messages": [{"role": "boss", "content": ""}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ],
)
def test_a_wrong_body_names_the_place(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decode_request(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": 5}}, "image_url.url"),
        ({"type": "image_url"}, "image_url"),
        ({"type": "image_url", "image_url": ""}, "image_url"),
        ({"type": "file", "file": {}}, "file"),
        ({"type": "input_audio", "input_audio": {"data": ""}}, "input_audio.data"),
        ({"type": 5}, "type"),
    ],
)
def test_a_wrong_part_names_the_place(part: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        chat({"role": "user", "content": "a"}, {"role": "user", "content": ["b", part]})
    assert caught.value.param == f"messages[1].content[1].{param}"


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("temperature", "warm", "temperature"),
        ("max_tokens", 0, "max_tokens"),
        ("max_completion_tokens", True, "max_completion_tokens"),
        ("stop", [1], "stop[0]"),
        ("reasoning_effort", "heroic", "reasoning_effort"),
        ("response_format", {"type": "yaml"}, "response_format.type"),
        ("response_format", {"type": "json_schema"}, "response_format.json_schema"),
        ("tools", [{"type": "function"}], "tools[0].function"),
        ("tools", [{"type": "function", "function": {"name": "x", "parameters": []}}], "tools[0].function.parameters"),
        ("tool_choice", "sometimes", "tool_choice"),
        ("tool_choice", {"type": "function", "function": {}}, "tool_choice.function.name"),
        ("stream", "yes", "stream"),
        ("stream_options", True, "stream_options"),
    ],
)
def test_a_wrong_field_names_itself(field: str, value: Any, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ask(**{field: value})
    assert caught.value.param == param


@pytest.mark.parametrize(("field", "value"), [("n", 2), ("audio", {"voice": "x"}), ("modalities", ["audio"])])
def test_what_changes_the_meaning_is_refused(field: str, value: Any) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        ask(**{field: value})
    assert caught.value.param == field


def test_what_asks_for_nothing_is_not_refused() -> None:
    assert ask(n=1, modalities=["text"], audio=None) == ask()


def test_reasoning_under_any_name() -> None:
    for name in ("reasoning_content", "reasoning_text", "cot_summary", "thinking"):
        (message,) = chat({"role": "assistant", "content": "a", name: "hm"}).messages
        assert message.parts == (Reasoning("hm"), Text("a"))
    (both,) = chat(
        {"role": "assistant", "reasoning_content": "hm", "reasoning_text": "hm", "reasoning_opaque": "P"}
    ).messages
    assert both.parts == (Reasoning("hm", "P", "chat"),)


def test_sealed_proofs_come_home_one_by_one() -> None:
    thoughts = (Reasoning("one", "S1", "messages"), Reasoning("two", "S2", "messages", redacted=False))
    (message,) = chat(
        {"role": "assistant", "reasoning_content": "onetwo", "reasoning_opaque": joined(thoughts)}
    ).messages
    assert message.parts == thoughts


def test_azure_proof_is_an_id() -> None:
    request = chat({"role": "assistant", "content": "a", "cot_summary": "hm", "cot_id": "cot_1"})
    assert request.messages[0].parts[0] == Reasoning("hm", "cot_1", "chat", "cot_1")
    assert sent(request)["messages"] == [{"role": "assistant", "content": "a", "cot_summary": "hm", "cot_id": "cot_1"}]


def test_legacy_functions_become_tools() -> None:
    request = chat(
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
        {"role": "function", "name": "look", "content": "seen"},
        functions=[{"name": "look", "parameters": {"type": "object"}}],
        function_call={"name": "look"},
    )
    assert request.tools == (TOOL,)
    assert request.tool_choice == ToolChoice("named", tool=ToolRef("look"))
    assert request.messages[2].results[0].call_id == request.messages[1].calls[0].call_id == "call_function_1"
    assert not request.has_tools_field


def test_a_legacy_result_without_call_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        chat({"role": "function", "name": "look", "content": "seen"})


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("any", ToolChoice("required")),
        ("validated", ToolChoice("auto")),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "custom", "custom": {"name": "x"}}, ToolChoice("named", tool=ToolRef("x", "custom"))),
        ({"type": "function", "name": "x"}, ToolChoice("named", tool=ToolRef("x"))),
        ({"type": "web_search"}, ToolChoice("named", tool=ToolRef("web_search", "hosted"))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "x"}}]},
            },
            ToolChoice("allowed", allowed=(ToolRef("x"),), is_required=True),
        ),
    ],
)
def test_tool_choice(given: Any, choice: ToolChoice) -> None:
    assert ask(tool_choice=given).tool_choice == choice


def test_cache_marks_of_all_spellings() -> None:
    mark = {"type": "ephemeral"}
    request = chat(
        {"role": "user", "content": "hi", "cache_control": mark},
        {
            "role": "user",
            "content": [{"type": "text", "text": "a", "copilot_cache_control": mark}, {"type": "text", "text": "b"}],
        },
    )
    assert [part.cache for message in request.messages for part in message.parts if isinstance(part, Text)] == [
        True,
        True,
        False,
    ]


# -- encoding: messages ----------------------------------------------------------------------------------------------


def test_results_stand_behind_their_calls_and_their_images_in_a_user_message() -> None:
    messages = sent(decode_request(body_of("tool_results")))["messages"]
    assert [message["role"] for message in messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "tool",
        "user",
        "assistant",
        "tool",
        "user",
    ]
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == [
        "call_1",
        "call_2",
        "call_3",
        "call_4",
    ]
    assert messages[2]["content"] == [{"type": "text", "text": "12 degrees"}, {"type": "text", "text": "rain"}]
    assert messages[3]["content"] == "the screen"
    assert messages[5]["content"][0]["text"] == "From the result of tool call call_2:"
    assert messages[5]["content"][1]["type"] == "image_url"
    assert messages[6] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_4", "type": "function", "function": {"name": "run", "arguments": "{}"}}],
    }


def test_a_result_that_is_an_image_alone_points_to_it() -> None:
    call = Message("assistant", (ToolCall("c", "look"),))
    result = Message("user", (ToolResult("c", (Image(url="https://x/y.png"),)),))
    _, tool, user = sent(of(call, result))["messages"]
    assert tool["content"].startswith("(The result is in the user message")
    assert user["role"] == "user"


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ((), "Error:"),
        ((Text("boom"),), "Error: boom"),
        ((Text("Error: boom"),), "Error: boom"),
        ((Text("error 5"),), "error 5"),
    ],
)
def test_a_failed_result_says_so(parts: tuple[Any, ...], content: str) -> None:
    call = Message("assistant", (ToolCall("c", "look"),))
    body = sent(of(call, Message("user", (ToolResult("c", parts, is_error=True),))))
    assert body["messages"][1]["content"] == content


def test_missing_and_orphan_results_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="'c'"):
        sent(of(Message("assistant", (ToolCall("c", "look"),))))
    with pytest.raises(InvalidRequestError, match="'c'"):
        sent(of(Message("user", (ToolResult("c"),))))


def test_ids_and_names_are_made_valid_and_still_meet() -> None:
    call = ToolCall("call:1|fc_" + "x" * 60, "mcp.tool!", "{}", namespace="files")
    body = sent(of(Message("assistant", (call,)), Message("user", (ToolResult(call.call_id),))))
    assistant, tool = body["messages"]
    (encoded,) = assistant["tool_calls"]
    assert encoded["id"] == tool["tool_call_id"]
    assert len(encoded["id"]) <= 40
    assert encoded["function"]["name"].startswith("files__mcp_tool_")


def test_developer_is_for_openai_alone() -> None:
    request = of(Message("developer", (Text("x"),)), USER)
    assert [sent(request, limits)["messages"][0]["role"] for limits in (GPT, CLAUDE, ModelLimits())] == [
        "developer",
        "system",
        "system",
    ]


def test_empty_texts_are_left_out_for_claude() -> None:
    request = of(
        Message("system", (Text(""),)), Message("user", (Text(""), Text("x"))), Message("user"), Message("assistant")
    )
    assert sent(request, CLAUDE)["messages"] == [{"role": "user", "content": "x"}]
    assert [message["content"] for message in sent(request)["messages"]] == ["", "x", "", ""]


def test_cache_marks() -> None:
    request = of(
        Message("system", (Text("a", cache=True), Text("b"))),
        Message("user", (Text("c", cache=True),)),
        Message("assistant", (ToolCall("c", "look", cache=True),)),
        Message("user", (ToolResult("c", (Text("r"),), cache=True),)),
    )
    mark = {"type": "ephemeral"}
    system, user, assistant, tool = sent(request, CLAUDE)["messages"]
    assert system["content"][0]["copilot_cache_control"] == mark
    assert "copilot_cache_control" not in system["content"][1]
    assert user == {"role": "user", "content": "c", "copilot_cache_control": mark}
    assert assistant["copilot_cache_control"] == tool["copilot_cache_control"] == mark


@pytest.mark.parametrize(
    ("thoughts", "expected"),
    [
        ((Reasoning("t", "P", "chat"),), {"reasoning_text": "t", "reasoning_opaque": "P"}),
        ((Reasoning("t"), Reasoning("", "P", "chat")), {"reasoning_text": "t", "reasoning_opaque": "P"}),
        ((Reasoning("t", "P", "chat"), Reasoning("", "Q", "chat")), {"reasoning_text": "t", "reasoning_opaque": "PQ"}),
        ((Reasoning("t", "P", "chat"), Reasoning("u", "Q", "chat")), {"reasoning_text": "t", "reasoning_opaque": "P"}),
        (
            (Reasoning("t", "S", "messages"), Reasoning("u", "P", "chat")),
            {"reasoning_text": "u", "reasoning_opaque": "P"},
        ),
        ((Reasoning("t", "S", "messages"),), {"reasoning_text": "t"}),
        ((Reasoning("", "S", "messages", redacted=True),), {}),
        ((Reasoning("t", "c", "chat", "c"),), {"cot_summary": "t", "cot_id": "c"}),
    ],
)
def test_one_pair_of_thought_and_proof_per_turn(thoughts: tuple[Reasoning, ...], expected: dict[str, str]) -> None:
    message = Message("assistant", (*thoughts, Text("a")))
    assert sent(of(message))["messages"] == [{"role": "assistant", "content": "a", **expected}]


def test_refused_proofs_are_left_out_with_their_thoughts() -> None:
    call = ToolCall("c", "look", "{}", signature="G", origin="chat")
    request = of(Message("assistant", (Reasoning("t", "P", "chat"), call)), Message("user", (ToolResult("c"),)))
    body = sent(request, refused=frozenset({"proof"}))
    assert "P" not in json.dumps(body)
    assert "thought_signature" not in json.dumps(body)
    assert sent(request)["messages"][0]["tool_calls"][0]["function"]["thought_signature"] == "G"


def test_custom_calls_of_the_history_are_functions() -> None:
    body = sent(decode_request(body_of("tool_custom")))
    function = body["messages"][1]["tool_calls"][0]["function"]
    assert function == {"name": "apply_patch", "arguments": '{"input":"first try"}'}
    assert body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert "start: /.+/" in body["tools"][0]["function"]["description"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "apply_patch"}}


def test_torn_arguments_are_kept_where_they_would_be_parsed() -> None:
    request = of(Message("assistant", (ToolCall("c", "look", '{"a":'),)), Message("user", (ToolResult("c"),)))
    arguments = [
        sent(request, limits)["messages"][0]["tool_calls"][0]["function"]["arguments"] for limits in (GPT, CLAUDE)
    ]
    assert arguments == ['{"a":', '{"_raw_arguments":"{\\"a\\":"}']


def test_text_documents_are_text_others_are_refused() -> None:
    files = (
        File(text="body", title="T", context="C", citations=True),
        File(data="aGk=", media_type="text/plain", name="a.txt"),
        File(parts=(Text("p"), Image(url="https://x/y.png"))),
    )
    body, dropped = sent_with_losses(of(Message("user", files)))
    texts = [part["text"] for part in body["messages"][0]["content"] if part["type"] == "text"]
    assert texts == ["Document: T\nC\n\nbody", "Document: a.txt\n\nhi", "Document:", "p"]
    assert dropped == ["messages[].content[].citations"]
    refused: list[Any] = [
        File(data="JVBE", media_type="application/pdf"),
        File(url="https://x"),
        File(file_id="f"),
        Audio("x"),
        Image(file_id="f"),
    ]
    for part in refused:
        with pytest.raises(UnsupportedFeatureError):
            sent(of(Message("user", (part,))))


def test_foreign_parts_are_dropped_and_recorded_own_ones_come_back() -> None:
    own = {"type": "brand_new", "x": 1}
    body, dropped = sent_with_losses(
        of(Message("user", (Opaque("chat", own), Opaque("messages", {"type": "search_result"}), Text("a"))))
    )
    assert body["messages"][0]["content"] == [own, {"type": "text", "text": "a"}]
    assert dropped == ["messages[].content[].search_result"]


def test_refusals_are_text_for_others() -> None:
    request = of(Message("assistant", (Refusal("no"),)))
    assert sent(request)["messages"] == [{"role": "assistant", "content": None, "refusal": "no"}]
    assert sent(request, CLAUDE)["messages"] == [{"role": "assistant", "content": "no"}]


# -- encoding: the rest ----------------------------------------------------------------------------------------------


def test_usage_is_always_asked_for_in_a_stream() -> None:
    assert sent(ask(stream=True))["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent(ask())
    assert "stream" not in sent(ask(stream=True), ModelLimits(streaming=False))


@pytest.mark.parametrize(
    ("limits", "stream", "wanted", "expected"),
    [
        (GPT, False, 100, {"max_tokens": 100}),
        (GPT5, False, 100, {"max_completion_tokens": 100}),
        (CLAUDE, True, 128000, {"max_tokens": 32000}),
        (CLAUDE, False, 128000, {"max_tokens": 16000}),
        (CLAUDE, False, None, {}),
    ],
)
def test_output_limit(limits: ModelLimits, stream: bool, wanted: int | None, expected: dict[str, int]) -> None:
    body = sent(of(USER, max_output_tokens=wanted, stream=stream), limits)
    assert {name: value for name, value in body.items() if name.startswith("max_")} == expected


def test_a_refused_output_limit_changes_its_name() -> None:
    request = of(USER, max_output_tokens=9)
    assert sent(request, GPT, frozenset({"max_tokens>max_completion_tokens"}))["max_completion_tokens"] == 9
    assert sent(request, GPT5, frozenset({"max_completion_tokens>max_tokens"}))["max_tokens"] == 9


@pytest.mark.parametrize(
    ("limits", "config", "expected"),
    [
        (GPT, ReasoningConfig(effort="high"), {}),
        (GPT5, ReasoningConfig(effort="max"), {"reasoning_effort": "high"}),
        (GPT5, ReasoningConfig(mode="disabled"), {"reasoning_effort": "low"}),
        (GPT5, ReasoningConfig(mode="adaptive"), {}),
        (GPT5, ReasoningConfig(mode="enabled", budget_tokens=1024), {"reasoning_effort": "low"}),
        (CLAUDE, ReasoningConfig(effort="high"), {"reasoning_effort": "high"}),
        (CLAUDE, ReasoningConfig(mode="enabled", budget_tokens=9000), {"thinking_budget": 9000}),
        (CLAUDE, ReasoningConfig(mode="adaptive"), {"thinking_budget": 16000}),
        (CLAUDE, ReasoningConfig(mode="adaptive", effort="low"), {"reasoning_effort": "low"}),
        (CLAUDE, ReasoningConfig(mode="disabled"), {}),
    ],
)
def test_reasoning(limits: ModelLimits, config: ReasoningConfig, expected: dict[str, Any]) -> None:
    body = sent(of(USER, reasoning=config), limits)
    assert {name: body[name] for name in ("reasoning_effort", "thinking_budget") if name in body} == expected


def test_an_effort_that_cannot_be_sent_is_recorded() -> None:
    assert sent_with_losses(ask(reasoning_effort="high"))[1] == ["reasoning_effort"]


def test_sampling_within_what_the_model_takes() -> None:
    request = of(USER, temperature=1.7, top_p=0.5, top_k=3)
    assert sent_with_losses(request) == (
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 1.7, "top_p": 0.5},
        ["top_k"],
    )
    assert sent(request, CLAUDE)["temperature"] == 1
    assert sent_with_losses(request, GPT5)[1] == ["temperature", "top_p", "top_k"]
    thinking = dataclasses.replace(request, reasoning=ReasoningConfig(budget_tokens=2000))
    assert "temperature" not in sent(thinking, CLAUDE)


def test_structured_output_or_an_instruction() -> None:
    wanted = OutputFormat("json_schema", schema={"type": "object"})
    assert sent(of(USER, output_format=wanted))["response_format"]["json_schema"]["name"] == "response"
    losses = Losses()
    body = encode_request(of(USER, output_format=wanted), CLAUDE, losses)
    assert "response_format" not in body
    assert '{"type":"object"}' in body["messages"][0]["content"]
    assert [loss.kind for loss in losses] == ["changed"]


def test_advice_is_recorded_where_it_is_not_sent() -> None:
    given: dict[str, Any] = {
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "verbosity": "low",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "store": True,
        "logprobs": True,
        "web_search_options": {},
        "seed": 1,
        "stream_options": {"include_obfuscation": False},
    }
    body, dropped = sent_with_losses(ask(**given), CLAUDE)
    assert set(body) == {"model", "messages", "seed"}
    assert set(dropped) == set(given) - {"seed", "stream_options"} | {"stream_options.include_obfuscation"}
    assert {"user", "safety_identifier", "prompt_cache_key", "verbosity"} <= set(sent(ask(**given), GPT5))
    assert sent_with_losses(ask(store=False))[1] == []


def test_fields_of_other_protocols_are_recorded() -> None:
    request = of(
        USER,
        extra={"responses": {"truncation": "auto"}},
        tools=(dataclasses.replace(TOOL, extra={"messages": {"defer_loading": True}}),),
    )
    assert sent_with_losses(request)[1] == ["tools[].defer_loading", "truncation"]


def test_tools() -> None:
    hosted = Tool("web_search", kind="hosted", extra={"responses": {"type": "web_search"}})
    strict = dataclasses.replace(TOOL, strict=True, cache=True)
    body, dropped = sent_with_losses(of(USER, tools=(strict, hosted)), CLAUDE)
    schema = {"type": "object", "properties": {}}
    assert body["tools"] == [{"type": "function", "function": {"name": "look", "parameters": schema}}]
    assert dropped == ["tools[].web_search", "tools[].cache_control", "tools[].strict"]
    assert sent(of(USER, tools=(strict,)))["tools"][0]["function"]["strict"] is True
    assert "tools" not in sent(of(USER, tools=(TOOL,)), ModelLimits(tool_calls=False))


def test_forced_tools_that_cannot_be_carried_are_refused() -> None:
    hosted = Tool("web_search", kind="hosted")
    for choice in (ToolChoice("required"), ToolChoice("named", tool=ToolRef("web_search", "hosted"))):
        with pytest.raises(UnsupportedFeatureError):
            sent(of(USER, tools=(hosted,), tool_choice=choice))
    assert "tool_choice" not in sent(of(USER, tools=(hosted,), tool_choice=ToolChoice("auto")))


def test_allowed_tools_are_the_only_ones_offered() -> None:
    other = Tool("other")
    choice = ToolChoice("allowed", allowed=(ToolRef("look"),), is_required=True)
    body = sent(of(USER, tools=(TOOL, other), tool_choice=choice))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]
    assert body["tool_choice"] == "required"
    none = dataclasses.replace(choice, allowed=(ToolRef("gone"),), is_required=False)
    assert sent(of(USER, tools=(TOOL,), tool_choice=none))["tool_choice"] == "none"


def test_refused_fields_are_left_out() -> None:
    request = chat(
        {"role": "user", "content": "hi", "name": "ann"},
        top_p=0.5,
        seed=3,
        tool_choice="required",
        tools=[{"type": "function", "function": {"name": "x", "strict": True}}],
    )
    losses = Losses()
    body = encode_request(
        request,
        GPT,
        losses,
        frozenset({"top_p", "seed", 'tool_choice="auto"', "messages[].name", "tools[].function.strict"}),
    )
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "object", "properties": {}}}}],
        "tool_choice": "auto",
    }
    assert set(losses.names()) == {"tool_choice", "top_p", "seed", "messages[].name", "tools[].function.strict"}


# -- properties ------------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "user", "tool", "text", "image_url", "c1", "auto"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "image_url",
                    "url",
                    "tool_calls",
                    "id",
                    "function",
                    "name",
                    "arguments",
                    "tool_call_id",
                    "custom",
                    "input",
                    "function_call",
                    "reasoning_opaque",
                    "file",
                    "input_audio",
                    "source",
                    "refusal",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=tries(300), deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(name for name in FIELDS if "." not in name)), _JSON, max_size=6), _JSON)
def test_any_body_gives_a_request_or_a_client_error(body: dict[str, Any], messages: Any) -> None:
    try:
        request = decode_request({"model": "m", **body, "messages": messages})
        for limits in (GPT, GPT5, CLAUDE):
            json.dumps(sent(request, limits))
    except GatewayError as error:
        failed = error
    else:
        return
    assert failed.status == 400
    assert failed.param


_ID = st.sampled_from(["a", "b", "call:1", "x" * 80])
_PARTS = st.lists(
    st.one_of(
        st.builds(Text, st.text(max_size=4), cache=st.booleans()),
        st.builds(Image.of, st.just("https://x/y.png"), cache=st.booleans()),
        st.builds(File, text=st.text(min_size=1, max_size=4)),
        st.builds(Refusal, st.text(min_size=1, max_size=4)),
        st.builds(Reasoning, st.text(max_size=4), st.sampled_from(["P", "Q"]), st.sampled_from(["chat", "messages"])),
    ),
    max_size=3,
).map(tuple)


@st.composite
def _conversation(draw: st.DrawFn) -> tuple[Message, ...]:
    messages: list[Message] = []
    for _ in range(draw(st.integers(1, 5))):
        role = draw(st.sampled_from(["system", "developer", "user", "assistant"]))
        parts = draw(_PARTS)
        ids = draw(st.lists(_ID, max_size=2)) if role == "assistant" else []
        if role == "assistant":
            parts = tuple(part for part in parts if not isinstance(part, Image | File))
        calls = [ToolCall(call_id, "look", draw(st.sampled_from(["", "{}", "torn"]))) for call_id in ids]
        messages.append(Message(role, (*parts, *calls)))  # type: ignore[arg-type]
        results = draw(st.permutations([ToolResult(call_id, draw(_PARTS), draw(st.booleans())) for call_id in ids]))
        messages += [Message("user", (result,)) for result in results]
        if messages[-1].role != "user":
            messages.append(Message("user", (Text("go on"),)))
    return tuple(messages)


@settings(max_examples=tries(150), deadline=None)
@given(_conversation(), _conversation(), st.sampled_from([GPT, GPT5, CLAUDE]))
def test_any_conversation_is_prefix_stable_and_encodes_to_a_fixed_point(
    first: tuple[Message, ...], more: tuple[Message, ...], limits: ModelLimits
) -> None:
    before = sent(of(*first), limits)["messages"]
    after = sent(of(*first, *more), limits)["messages"]
    assert after[: len(before)] == before
    if before:
        again = decode_request({"model": "m", "messages": before})
        assert sent(again, limits)["messages"] == before


@pytest.mark.parametrize("kind", [[], {}, ["text"], {"type": "text"}, True])
def test_a_part_whose_type_is_a_list_or_an_object_is_the_clients_mistake(kind: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decode_request({"model": "m", "messages": [{"role": "user", "content": [{"type": kind, "text": "x"}]}]})
    assert caught.value.param == "messages[0].content[0].type"
