"""Client requests → neutral → upstream: every kind of field, item and part, and what is wrong with each."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.converters.codec import NativeRequest
from app.converters.neutral import vocabulary as ir
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.responses.client.request import decode_request
from app.converters.responses.fields import FIELDS
from app.converters.responses.native.request import prepare
from app.converters.responses.upstream.request import encode_request
from app.errors import ClientError, InvalidRequestError, UnsupportedFeatureError
from tests.support.effort import tries
from tests.support.rows import rows
from tests.unit.converters.responses.grammar import FIXTURES, fixture_json

LIMITS = ModelLimits(model="gpt-5.2", max_output_tokens=1000, reasoning_effort=("low", "medium", "high"))
PNG = "data:image/png;base64,AAAA"


def decoded(body: dict[str, Any]) -> ir.Request:
    return decode_request({"model": "m", "input": "x", **body})


def encoded(request: ir.Request, **more: Any) -> tuple[dict[str, Any], Losses]:
    losses = Losses()
    return encode_request(request, more.pop("limits", LIMITS), losses, **more), losses


def test_every_field_of_the_spec_has_a_verdict() -> None:
    from openai.types.responses import response_create_params as spec

    named = set(spec.ResponseCreateParamsBase.__annotations__) | {"stream"}
    top = {name for name in FIELDS if "." not in name}
    assert named - top == set()
    assert top - named == {"client_metadata"}


def test_system_variants() -> None:
    request = decode_request(fixture_json("system_variants.request.json"))
    assert [message.role for message in request.messages] == [
        "system",
        "system",
        "developer",
        "user",
        "assistant",
        "developer",
        "user",
    ]
    assert request.store is True
    assert request.extra["responses"] == {"client_metadata": {"a": "b"}}
    wire, losses = encoded(request)
    assert wire["instructions"] == "You are terse."
    assert wire["store"] is False
    assert losses.names() == ["client_metadata"]


def test_a_turn_is_one_message() -> None:
    items = [
        {"role": "user", "content": "Go"},
        {"type": "reasoning", "summary": [], "encrypted_content": "e"},
        {
            "type": "message",
            "role": "assistant",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "a"}],
        },
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
        {"type": "function_call_output", "call_id": "2", "output": "y"},
    ]
    user, turn, results = decoded({"input": items}).messages
    assert user.role == "user"
    assert [type(part).__name__ for part in turn.parts] == ["Reasoning", "Text", "ToolCall", "ToolCall"]
    assert [part.call_id for part in results.results] == ["1", "2"]


def test_bare_assistant_messages_stay_apart() -> None:
    items = [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert [message.text for message in decoded({"input": items}).messages] == ["a", "b"]


def test_results_of_all_shapes() -> None:
    request = decode_request(fixture_json("tool_results.request.json"))
    wire, _ = encoded(request)
    outputs = [item["output"] for item in wire["input"] if item["type"] == "function_call_output"]
    assert [item["type"] for item in wire["input"]] == [
        "message",
        *["function_call"] * 3,
        *["function_call_output"] * 3,
        "message",
    ]
    assert outputs[0] == "Error: no such city"
    assert [part["type"] for part in outputs[1]] == ["input_text", "input_image"]
    assert outputs[2] == ""


def test_failed_result_says_so_in_its_text() -> None:
    call = ir.ToolCall("c", "f")
    plain = ir.ToolResult("c", (ir.Text("no"),), is_error=True)
    rich = ir.ToolResult("c", (ir.Text("no"), ir.Image.of(PNG)), is_error=True)
    for result, output in ((plain, "Error: no"), (rich, "Error:")):
        request = ir.Request(model="m", messages=(ir.Message("assistant", (call,)), ir.Message("user", (result,))))
        given_output = encoded(request)[0]["input"][1]["output"]
        assert (given_output if isinstance(given_output, str) else given_output[0]["text"]) == output


def test_documents() -> None:
    parts = (
        ir.File(data="AA", media_type="application/pdf", name="a.pdf"),
        ir.File(url="https://a.test/b.pdf"),
        ir.File(text="plain", title="Notes", context="old"),
        ir.File(parts=(ir.Text("inner"),), title="Blocks"),
    )
    wire, _ = encoded(ir.Request(model="m", messages=(ir.Message("user", parts),)))
    assert wire["input"][0]["content"] == [
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
        {"type": "input_file", "file_url": "https://a.test/b.pdf"},
        {"type": "input_text", "text": "Document: Notes\nold"},
        {"type": "input_text", "text": "plain"},
        {"type": "input_text", "text": "Document: Blocks"},
        {"type": "input_text", "text": "inner"},
    ]


@pytest.mark.parametrize("part", [ir.Audio("AA"), ir.Image(file_id="f"), ir.File(file_id="f")])
def test_what_has_no_counterpart_is_refused(part: ir.Part) -> None:
    with pytest.raises(UnsupportedFeatureError):
        encoded(ir.Request(model="m", messages=(ir.Message("user", (part,)),)))


def test_stop_sequences_are_refused() -> None:
    with pytest.raises(UnsupportedFeatureError, match="stop"):
        encoded(ir.Request(model="m", stop=("x",)))


def test_functions_of_other_protocols_are_not_strict() -> None:
    tools = (ir.Tool("a"), ir.Tool("b", schema={"type": "object"}, strict=True), ir.Tool("bad name!"))
    wire, _ = encoded(ir.Request(model="m", tools=tools, tool_choice=ir.ToolChoice("named", ir.ToolRef("bad name!"))))
    assert [tool["strict"] for tool in wire["tools"]] == [False, True, False]
    assert wire["tools"][0]["parameters"] == {"type": "object", "properties": {}}
    assert wire["tool_choice"] == {"type": "function", "name": wire["tools"][2]["name"]}


@pytest.mark.parametrize(
    ("config", "wire"),
    [
        (ir.ReasoningConfig(effort="max"), {"effort": "high"}),
        (ir.ReasoningConfig(mode="disabled"), {"effort": "low"}),
        (ir.ReasoningConfig(mode="adaptive"), {"summary": "auto"}),
        (ir.ReasoningConfig(mode="enabled", budget_tokens=400), {"effort": "medium", "summary": "auto"}),
        (ir.ReasoningConfig(effort="low", summary="detailed"), {"effort": "low", "summary": "detailed"}),
        (ir.ReasoningConfig(mode="adaptive", display="omitted"), None),
    ],
)
def test_reasoning(config: ir.ReasoningConfig, wire: Any) -> None:
    assert encoded(ir.Request(model="m", reasoning=config, max_output_tokens=1000))[0].get("reasoning") == wire


def test_advice_that_cannot_be_carried_is_recorded() -> None:
    request = ir.Request(
        model="gpt-5.2",
        temperature=0.5,
        top_k=3,
        service_tier="flex",
        user="u" * 70,
        metadata={"a": 1},
        extra={"chat": {"seed": 7}, "responses": {"truncation": "auto", "unheard_of": 1}},
    )
    wire, losses = encoded(request, refused=frozenset({"truncation", "proof"}))
    assert losses.names() == [
        "temperature",
        "top_k",
        "user",
        "metadata",
        "service_tier",
        "seed",
        "unheard_of",
        "truncation",
    ]
    assert wire == {"model": "gpt-5.2", "input": [], "store": False, "include": ["reasoning.encrypted_content"]}


def test_tools_of_chat_shape_are_understood() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}
    choice = {"type": "function", "function": {"name": "f"}}
    request = decoded({"tools": [tool], "text": {"format": form}, "tool_choice": choice})
    assert request.tools[0].name == "f"
    assert request.output_format == ir.OutputFormat("json_schema", "n", {}, True)
    assert request.tool_choice == ir.ToolChoice("named", ir.ToolRef("f"))


@rows()
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": 7}, "model"),
        ({"input": 7}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{}]}, "input[0].type"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": 7}]}, "input[0].name"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "custom"}]}]}, "tools[0].tools[0].name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decoded(body)
    assert caught.value.param == param


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.verdict == "refused"])
def test_refused_fields(name: str) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        decoded({name: True})
    assert caught.value.param == name
    assert decoded({name: None}).model == "m"


def test_call_without_result_names_it() -> None:
    items = [{"type": "function_call", "call_id": "call_9", "name": "f", "arguments": "{}"}]
    with pytest.raises(InvalidRequestError, match="call_9"):
        encoded(decoded({"input": items}))


# -- fuzzing: a body is served or refused, never a crash --------------------------------------------------------------

BODIES = [json.loads(path.read_bytes()) for path in sorted(FIXTURES.glob("*.request.json"))]
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from(["message", "function", "user"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "name", "text", "tools", "call_id"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a body with a key in it."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


@settings(max_examples=tries(200), deadline=None)
@given(st.sampled_from(BODIES), st.lists(st.tuples(st.integers(0, 10**6), junk), min_size=1, max_size=3))
def test_mutated_bodies_are_served_or_refused(body: dict[str, Any], changes: list[tuple[int, Any]]) -> None:
    body = json.loads(json.dumps(body))
    for at, value in changes:
        found = places(body)
        container, key = found[at % len(found)]
        container[key] = value
    raw = json.dumps(body).encode()
    for serve in (
        lambda: encoded(decode_request(body)),
        lambda: prepare(
            NativeRequest(raw=raw, body=body, model="m", limits=LIMITS, refused=frozenset({"input[].x", "proof"}))
        ),
    ):
        with contextlib.suppress(ClientError):
            serve()
