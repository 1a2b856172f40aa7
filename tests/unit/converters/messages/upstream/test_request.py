"""Neutral → the body of a messages upstream (conversion rules §1.1, §2; contract §8.2, §8.4)."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from app.converters.messages.upstream import betas
from app.converters.messages.upstream.request import encode_request
from app.converters.messages.upstream.schemas import tool_schema
from app.converters.messages.vocabulary import ANSWER_TOOL, ANSWER_VALUE_TOOL
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.vocabulary import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    ReasoningConfig,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
)
from app.errors import InvalidRequestError, UnsupportedFeatureError
from tests.unit.converters.messages.conftest import NEWEST, OLDER, SONNET

HI = Message("user", (Text("Hi"),))
HI_WIRE: dict[str, Any] = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
TOOL = Tool("get", "d", {"type": "object", "properties": {}})
TOOL_WIRE = {"name": "get", "description": "d", "input_schema": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def encoded(
    *messages: Message, limits: ModelLimits = SONNET, refused: frozenset[str] = frozenset(), **fields: Any
) -> Any:
    return encode_request(Request(model="m", messages=messages or (HI,), **fields), limits, Losses(), refused)


def lost(*messages: Message, limits: ModelLimits = SONNET, **fields: Any) -> list[str]:
    losses = Losses()
    encode_request(Request(model="m", messages=messages or (HI,), **fields), limits, losses)
    return losses.names()


def user(*parts: Part) -> Message:
    return Message("user", parts)


def said(*parts: Part) -> Message:
    return Message("assistant", parts)


def test_the_least() -> None:
    assert encoded(stream=True) == {"model": "m", "max_tokens": 32_000, "messages": [HI_WIRE], "stream": True}


def test_results_stand_right_behind_their_calls_and_ids_are_made_valid() -> None:
    one, two = ToolCall("call.1|fc", "get", '{"a":1}'), ToolCall("call_2", "get", "")
    wire = encoded(
        HI,
        said(Text("Well.")),
        said(one),
        said(two),
        user(Text("wait"), ToolResult("call_2", (Text("b"),))),
        user(ToolResult("call.1|fc", (Text("a"),))),
        tools=(TOOL,),
    )["messages"]
    assert [message["role"] for message in wire] == ["user", "assistant", "user"]
    calls = [block for block in wire[1]["content"] if block["type"] == "tool_use"]
    assert [block["type"] for block in wire[2]["content"]] == ["tool_result", "tool_result", "text"]
    assert [block["tool_use_id"] for block in wire[2]["content"][:2]] == [call["id"] for call in calls]
    assert calls[0]["id"].startswith("call_1_fc_")
    assert [call["input"] for call in calls] == [{"a": 1}, {}]


def test_repeated_ids_become_distinct() -> None:
    call, result = ToolCall("call_0", "get", "{}"), ToolResult("call_0", (Text("x"),))
    wire = encoded(HI, said(call), user(result), said(call), user(result), tools=(TOOL,))["messages"]
    assert wire[1]["content"][0]["id"] != wire[3]["content"][0]["id"]
    assert wire[4]["content"][0]["tool_use_id"] == wire[3]["content"][0]["id"]


def test_orphans_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="t1"):
        encoded(HI, said(ToolCall("t1", "get")), tools=(TOOL,))


def test_arguments_that_are_no_object_are_kept() -> None:
    wire = encoded(HI, said(ToolCall("t", "get", "[1")), user(ToolResult("t")), tools=(TOOL,))["messages"]
    assert wire[1]["content"][0]["input"] == {"_raw_arguments": "[1"}
    assert wire[2]["content"] == [{"type": "tool_result", "tool_use_id": "t"}]


def test_a_failed_result_holds_text_alone() -> None:
    result = ToolResult("t", (Text("bad"), Image(data="QQ==", media_type="image/jpg")), is_error=True)
    wire = encoded(HI, said(ToolCall("t", "get")), user(result), tools=(TOOL,))["messages"][2]["content"]
    assert wire[0] == {"type": "tool_result", "tool_use_id": "t", "content": "bad", "is_error": True}
    assert [block["type"] for block in wire] == ["tool_result", "text", "image"]
    assert wire[2]["source"] == {"type": "base64", "media_type": "image/jpeg", "data": "QQ=="}


def test_system_leads_or_becomes_the_users() -> None:
    wire = encoded(
        Message("system", (Text("a"),)),
        Message("developer", (Text("b", cache=True),)),
        HI,
        Message("system", (Text("c"),)),
    )
    mark = {"type": "ephemeral"}
    assert wire["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": mark}]
    assert wire["messages"] == [{"role": "user", "content": [*HI_WIRE["content"], {"type": "text", "text": "c"}]}]


def test_somebody_speaks_first() -> None:
    assert encoded(Message("system", (Text("a"),)))["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]}
    ]
    wire = encoded(said(Text("Welcome!")), HI)["messages"]
    assert [message["role"] for message in wire] == ["user", "assistant", "user"]


def test_empty_text_is_left_out() -> None:
    wire = encoded(user(Text(""), Text("x")), said(Text(" ")), HI)["messages"]
    assert wire == [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "Hi"}]}]


def test_a_prefill_has_no_trailing_space() -> None:
    assert encoded(HI, said(Text("It is ")))["messages"][-1]["content"] == [{"type": "text", "text": "It is"}]


def test_only_home_made_proofs_are_sent_and_they_come_first() -> None:
    mine = Reasoning("hm", "sig", "messages")
    redacted = Reasoning("", "data", "messages", redacted=True)
    foreign = Reasoning("x", "enc", "responses", "rs_1")
    turn = said(Text("So."), foreign, mine, redacted, Reasoning("bare"), ToolCall("t", "get"))
    messages = (HI, turn, user(ToolResult("t")))
    wire = encoded(*messages, tools=(TOOL,))["messages"][1]["content"]
    assert [block["type"] for block in wire] == ["thinking", "redacted_thinking", "text", "tool_use"]
    assert wire[0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert lost(*messages, tools=(TOOL,)) == ["messages[].reasoning"]
    bare = encoded(*messages, tools=(TOOL,), refused=frozenset({"proof"}))["messages"][1]["content"]
    assert [block["type"] for block in bare] == ["text", "tool_use"]
    assert encoded(HI, said(mine), HI)["messages"] == [{"role": "user", "content": HI_WIRE["content"] * 2}]


def test_a_pdf_is_a_document() -> None:
    block = encoded(user(File(data="JVBE", name="a.pdf", context="mine", citations=True)))["messages"][0]["content"][0]
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
    told = {"title": "a.pdf", "context": "mine", "citations": {"enabled": True}}
    assert block == {"type": "document", "source": source, **told}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (File(data=base64.b64encode("é".encode()).decode(), media_type="text/markdown", name="a.md"), "a.md\n\né"),
        (File(text="x", title="a.pdf", context="mine"), "a.pdf\nmine\n\nx"),
        (File(parts=(Text("x"),), title="a.pdf"), "a.pdf\n\nx"),
        (File(text="", title="a.pdf"), "a.pdf"),
    ],
)
def test_any_other_document_is_text(file: File, text: str) -> None:
    """Contract §8.11: upstream takes PDF alone."""
    losses = Losses()
    body = encode_request(Request(model="m", messages=(user(replace(file, cache=True)),)), SONNET, losses)
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": f"Document: {text}", "cache_control": {"type": "ephemeral"}}
    ]
    assert [loss.path for loss in losses] == ["messages[].content[].document"]


@pytest.mark.parametrize(
    "part",
    [
        File(file_id="f"),
        File(url="https://x"),
        Image(file_id="f"),
        Audio("QQ==", "wav"),
        File(data="QQ==", media_type="application/zip"),
    ],
)
def test_what_messages_cannot_say_is_refused(part: Part) -> None:
    with pytest.raises(UnsupportedFeatureError):
        encoded(user(part))


def test_opaque_parts_go_home_only() -> None:
    block = {"type": "shiny"}
    assert encoded(user(Opaque("messages", block)))["messages"][0]["content"] == [block]
    assert lost(user(Opaque("chat", {}), Text("x"))) == ["messages[].content[]"]


def test_at_most_four_cache_marks() -> None:
    wire = encoded(
        Message("system", (Text("a", cache=True), Text("b", cache=True))),
        user(Text("c", cache=True)),
        said(Text("d", cache=True)),
        user(Text("e", cache=True)),
        tools=(dataclasses.replace(TOOL, cache=True),),
    )
    assert [("cache_control" in block) for block in wire["system"]] == [False, True]
    assert "cache_control" in wire["tools"][0]
    assert ["cache_control" in message["content"][0] for message in wire["messages"]] == [False, True, True]


def test_tools_in_upstreams_terms() -> None:
    tools = (
        Tool("bare"),
        Tool("a.b", schema={"$schema": "x", "type": "object"}, strict=True),
        Tool(
            "patch", "Patches.", kind="custom", format={"type": "grammar", "syntax": "lark", "definition": "start: A"}
        ),
        Tool("exec", schema=SCHEMA, namespace="functions"),
        Tool("web_search", kind="hosted"),
        Tool("union", schema={"anyOf": [SCHEMA, {"properties": {"b": {}}}], "properties": {"c": {}}}),
    )
    wire = encoded(tools=tools)["tools"]
    assert [tool["name"] for tool in wire][::2] == ["bare", "patch", "union"]
    assert wire[0] == {"name": "bare", "input_schema": {"type": "object", "properties": {}}}
    assert wire[1]["input_schema"] == {"type": "object", "properties": {}}
    assert "start: A" in wire[2]["description"]
    assert wire[3]["name"] == "functions__exec"
    assert wire[4]["input_schema"]["properties"].keys() == {"a", "b", "c"}
    assert "required" not in wire[4]["input_schema"]
    assert set(lost(tools=tools)) == {"tools[].strict", "tools[].web_search"}


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("named", ToolRef("get")), None, {"type": "tool", "name": "get"}),
        (ToolChoice("allowed", allowed=(ToolRef("get"),)), None, {"type": "auto"}),
        (ToolChoice("allowed", allowed=(ToolRef("get"),), is_required=True), None, {"type": "any"}),
    ],
)
def test_tool_choice(choice: Any, parallel: Any, expected: Any) -> None:
    wire = encoded(tools=(TOOL, Tool("other")), tool_choice=choice, parallel_tool_calls=parallel)
    assert wire.get("tool_choice") == expected
    assert len(wire["tools"]) == (1 if choice and choice.mode == "allowed" else 2)


def test_forced_tools_that_are_not_there() -> None:
    hosted = Tool("web_search", kind="hosted")
    for choice in (ToolChoice("named", ToolRef("web_search", "hosted")), ToolChoice("required")):
        with pytest.raises(UnsupportedFeatureError) as caught:
            encoded(tools=(hosted,), tool_choice=choice)
        assert caught.value.param == "tool_choice"
    assert "tool_choice" not in encoded(tools=(hosted,), tool_choice=ToolChoice("auto"))


@pytest.mark.parametrize(
    ("limits", "wanted", "stream", "expected"),
    [
        (SONNET, 100, True, 100),
        (SONNET, 64_000, True, 32_000),
        (SONNET, None, False, 16_000),
        (SONNET, 20_000, False, 16_000),
        (ModelLimits(), None, False, 4096),
        (ModelLimits(), 9000, False, 9000),
    ],
)
def test_max_tokens(limits: ModelLimits, wanted: int | None, stream: bool, expected: int) -> None:
    assert encoded(limits=limits, max_output_tokens=wanted, stream=stream)["max_tokens"] == expected


ADAPTIVE = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("limits", "config", "thinking", "effort"),
    [
        (SONNET, ReasoningConfig("high"), ADAPTIVE, "high"),
        (SONNET, ReasoningConfig("minimal"), ADAPTIVE, "low"),
        (SONNET, ReasoningConfig(None, 2000, "enabled"), {"type": "enabled", "budget_tokens": 2000}, None),
        (SONNET, ReasoningConfig("none"), {"type": "disabled"}, None),
        (OLDER, ReasoningConfig("medium"), {"type": "enabled", "budget_tokens": 4000}, None),
        (OLDER, ReasoningConfig("minimal"), {"type": "enabled", "budget_tokens": 1024}, None),
        (NEWEST, ReasoningConfig(None, 7000, "enabled"), ADAPTIVE, "high"),
        (ModelLimits(), ReasoningConfig("high"), None, None),
        (SONNET, None, None, None),
    ],
)
def test_reasoning(limits: ModelLimits, config: Any, thinking: Any, effort: Any) -> None:
    wire = encoded(limits=limits, reasoning=config, max_output_tokens=8000)
    assert wire.get("thinking") == thinking
    assert wire.get("output_config", {}).get("effort") == effort


def test_reasoning_that_was_refused_before() -> None:
    config = ReasoningConfig("high")
    assert encoded(reasoning=config, refused=frozenset({"output_config.effort"}))["thinking"] == ADAPTIVE
    assert "output_config" not in encoded(reasoning=config, refused=frozenset({"output_config.effort"}))
    assert encoded(reasoning=config, refused=frozenset({"thinking.adaptive"}))["thinking"]["type"] == "enabled"
    assert "thinking" not in encoded(reasoning=config, refused=frozenset({"thinking"}))


def test_no_room_to_think() -> None:
    assert "thinking" not in encoded(limits=OLDER, reasoning=ReasoningConfig("high"), max_output_tokens=1000)


def test_a_forced_tool_and_an_unsigned_round_forbid_thinking() -> None:
    forced: dict[str, Any] = {
        "tools": (TOOL,),
        "tool_choice": ToolChoice("required"),
        "reasoning": ReasoningConfig("high"),
    }
    assert "thinking" not in encoded(**forced)
    round_ = (HI, said(ToolCall("t", "get")), user(ToolResult("t")))
    asked: dict[str, Any] = {"tools": (TOOL,), "reasoning": ReasoningConfig("high"), "limits": OLDER}
    assert "thinking" not in encoded(*round_, **asked)
    assert "thinking" in encoded(*round_, said(Text("x")), HI, **asked)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 1.7}, {"temperature": 1}),
        ({"temperature": 0.2, "top_p": 0.9, "top_k": 3}, {"temperature": 0.2, "top_k": 3}),
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"temperature": 0.2, "top_p": 0.97, "reasoning": ReasoningConfig("low")}, {"top_p": 0.97}),
        ({"top_p": 0.5, "top_k": 3, "reasoning": ReasoningConfig("low")}, {}),
        ({"stop": ("END", "\n")}, {"stop_sequences": ["END"]}),
    ],
)
def test_sampling(fields: Any, expected: Any) -> None:
    wire = encoded(**fields)
    assert {k: wire[k] for k in ("temperature", "top_p", "top_k", "stop_sequences") if k in wire} == expected


def test_structured_output_where_the_model_has_it() -> None:
    wanted = OutputFormat("json_schema", "answer", SCHEMA, strict=True)
    wire = encoded(output_format=wanted)
    schema = {**SCHEMA, "additionalProperties": False}
    assert wire["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert betas.headers_for(wire) == {"anthropic-beta": betas.STRUCTURED_OUTPUTS}


def test_structured_output_as_a_tool_elsewhere() -> None:
    wanted = OutputFormat("json_schema", "answer", SCHEMA)
    wire = encoded(limits=OLDER, output_format=wanted, reasoning=ReasoningConfig("high"))
    assert wire["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    assert wire["tools"][0]["input_schema"] == SCHEMA
    assert "thinking" not in wire
    beside = encoded(limits=OLDER, output_format=wanted, tools=(TOOL,))
    assert beside["tool_choice"] == {"type": "any"}
    assert [tool["name"] for tool in beside["tools"]] == ["get", ANSWER_TOOL]
    listed = OutputFormat(
        "json_schema", "answer", {"type": "array", "items": {"$ref": "#/$defs/a"}, "$defs": {"a": {}}}
    )
    schema = encoded(limits=OLDER, output_format=listed)["tools"][0]
    assert schema["name"] == ANSWER_VALUE_TOOL
    assert schema["input_schema"]["$defs"] == {"a": {}}


def test_any_json_object_is_asked_for_in_words() -> None:
    wire = encoded(output_format=OutputFormat("json_object"))
    assert "JSON object" in wire["system"][-1]["text"]


def test_advice_is_dropped_and_recorded() -> None:
    fields: dict[str, Any] = {
        "verbosity": "low",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "store": True,
        "prompt_cache_key": "k",
        "extra": {"chat": {"seed": 7}, "messages": {"speed": "fast", "brand_new": 1}},
    }
    assert set(lost(**fields)) == {
        "verbosity",
        "metadata",
        "service_tier",
        "store",
        "prompt_cache_key",
        "seed",
        "speed",
    }
    assert encoded(**fields)["brand_new"] == 1
    assert "brand_new" not in encoded(**fields, refused=frozenset({"brand_new"}))


def test_the_user_is_told() -> None:
    assert encoded(user="u")["metadata"] == {"user_id": "u"}
    assert encoded(safety_identifier="s")["metadata"] == {"user_id": "s"}


def test_the_request_is_not_changed() -> None:
    block = {"type": "tool_reference", "tool_name": "a", "cache_control": {"type": "ephemeral"}}
    marks = [Opaque("messages", block)] * 6
    encoded(user(*marks))
    assert "cache_control" in block


@pytest.mark.parametrize("odd", [1, 0.5, "a", ["a"], {"a": 1}, [{"a": 1}], [[]], True])
def test_a_union_of_malformed_members_is_flattened_to_what_makes_sense(odd: Any) -> None:
    member = {"properties": {"b": {}}, "required": ["b"]}
    for key in ("anyOf", "oneOf", "allOf"):
        for schema in (
            {key: odd},
            {key: [odd, {"properties": odd, "required": odd}, member]},
            {key: [member], "properties": odd, "required": odd},
        ):
            clean, says_less = tool_schema(schema)
            assert says_less
            assert clean["type"] == "object"
            assert isinstance(clean["properties"], dict)
            assert all(isinstance(name, str) for name in clean.get("required", []))


@pytest.mark.parametrize("data", ["a", "aGVsbG8\u0301", "//79", "\ud800"])
def test_a_text_document_that_cannot_be_read_is_the_clients_mistake(data: str) -> None:
    part = File(data=data, media_type="text/plain")
    with pytest.raises(UnsupportedFeatureError):
        encode_request(Request(model="m", messages=(Message("user", (part,)),)), SONNET, Losses())
