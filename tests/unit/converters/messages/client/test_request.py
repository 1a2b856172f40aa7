"""Client → neutral: shapes, paths of complaints, verdicts of the table (conversion rules §2)."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.messages.client.request import decode_request
from app.converters.messages.fields import FIELDS
from app.converters.messages.vocabulary import NO_PROOF
from app.converters.neutral.sealed_signatures import seal
from app.converters.neutral.token_text import countable
from app.converters.neutral.vocabulary import (
    File,
    Image,
    Message,
    Opaque,
    OutputFormat,
    Reasoning,
    ReasoningConfig,
    Text,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
)
from app.errors import InvalidRequestError, UnsupportedFeatureError
from tests.support.rows import rows

HELLO = [{"role": "user", "content": "Hi"}]


def decoded(**fields: Any) -> Any:
    return decode_request({"model": "m", "messages": HELLO, **fields})


def part(block: dict[str, Any], role: str = "user") -> Any:
    return decoded(messages=[{"role": role, "content": [block]}]).messages[0].parts[0]


def test_every_field_of_the_spec_has_a_verdict() -> None:
    from anthropic.types import beta
    from anthropic.types.beta import message_count_tokens_params
    from anthropic.types.beta import message_create_params as params

    known = set(params.MessageCreateParamsBase.__annotations__) | set(
        message_count_tokens_params.MessageCountTokensParams.__annotations__
    )
    assert beta
    assert (known - {"betas"}) <= FIELDS.keys()  # betas: the SDK's name for the header
    tool_fields = {f"tools.{name}" for name in beta.BetaToolParam.__annotations__}
    assert tool_fields <= FIELDS.keys()
    assert {f"output_config.{name}" for name in beta.BetaOutputConfigParam.__annotations__} <= FIELDS.keys()


def test_dropped_and_unknown_fields_ride_in_extra() -> None:
    found = decoded(speed="fast", context_management={"edits": []}, brand_new=1, container=None)
    assert found.extra == {"messages": {"speed": "fast", "context_management": {"edits": []}, "brand_new": 1}}


@pytest.mark.parametrize(
    ("thread", "details"),
    [
        ({"type": "create"}, {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}),
        # The SDKs send the whole conversation then; ignoring it would lose all but the newest message.
        ({"type": "continue", "previous_message_id": "msg_1"}, {"error_code": "thread_not_found"}),
        ("odd", {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}),
    ],
)
def test_thread_is_refused_with_details(thread: Any, details: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        decoded(thread=thread)
    assert caught.value.details == details


@rows()
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [3]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [*HELLO, {"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]},
            "messages[1].content[0].source.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "t", "name": "n"}]}]},
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]},
            "messages[0].content[0]",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": 1}]}
                ]
            },
            "messages[0].content[0].input",
        ),
        ({"system": 3}, "system"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"stop_sequences": ["a", 1]}, "stop_sequences[1]"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "a", "input_schema": []}]}, "tools[0].input_schema"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
        ({"metadata": "me"}, "metadata"),
    ],
)
def test_bad_shapes_are_named_by_their_path(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decoded(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}, Text("x", cache=True)),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
            Image(data="QQ==", media_type="image/png"),
        ),
        ({"type": "image", "source": {"type": "url", "url": "https://x/y"}}, Image(url="https://x/y")),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, Image(file_id="f")),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "title": "t"},
            File(text="x", media_type="text/plain", title="t"),
        ),
        ({"type": "document", "source": {"type": "content", "content": "x"}}, File(parts=(Text("x"),))),
        ({"type": "document", "source": {"type": "url", "url": "https://x"}}, File(url="https://x")),
        (
            {"type": "search_result", "source": "https://x", "title": "t", "content": [{"type": "text", "text": "x"}]},
            File(parts=(Text("x"),), title="t", context="https://x"),
        ),
        ({"type": "tool_result", "tool_use_id": "t"}, ToolResult("t")),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": "x", "is_error": True},
            ToolResult("t", (Text("x"),), is_error=True),
        ),
        ({"type": "shiny", "a": 1}, Opaque("messages", {"type": "shiny", "a": 1})),
    ],
)
def test_blocks_of_a_user(block: dict[str, Any], expected: Any) -> None:
    assert part(block) == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "thinking", "thinking": "x", "signature": "s"}, Reasoning("x", "s", "messages")),
        ({"type": "thinking", "thinking": "x", "signature": ""}, Reasoning("x")),
        ({"type": "thinking", "thinking": "x", "signature": NO_PROOF}, Reasoning("x")),
        (
            {"type": "thinking", "thinking": "x", "signature": seal(Reasoning("", "enc", "responses", "rs:1"))},
            Reasoning("x", "enc", "responses", "rs:1"),
        ),
        ({"type": "redacted_thinking", "data": "d"}, Reasoning("", "d", "messages", redacted=True)),
        ({"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}, ToolCall("t", "n", '{"a":1}')),
        ({"type": "tool_use", "id": "t", "name": "n"}, ToolCall("t", "n", "{}")),
        ({"type": "server_tool_use", "id": "s"}, Opaque("messages", {"type": "server_tool_use", "id": "s"})),
    ],
)
def test_blocks_of_an_assistant(block: dict[str, Any], expected: Any) -> None:
    assert part(block, "assistant") == expected


def test_system_stands_first_and_where_it_stood() -> None:
    found = decoded(system="Be kind.", messages=[*HELLO, {"role": "system", "content": "Now in French."}])
    assert [message.role for message in found.messages] == ["system", "user", "system"]
    assert found.messages[0] == Message("system", (Text("Be kind."),))
    assert decoded(system="").messages == decoded().messages


def test_tools() -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    code = {"type": "code_execution_20250825", "name": "code_execution"}
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    plain = {"name": "a", "input_schema": closed, "strict": True, "defer_loading": True}
    found = decoded(tools=[bash, code, plain], tool_choice={"type": "tool", "name": "code_execution"})
    assert [tool.kind for tool in found.tools] == ["function", "hosted", "function"]
    assert found.tools[1].extra == {"messages": code}
    assert found.tools[2].strict
    assert found.tools[2].extra == {"messages": {"defer_loading": True}}
    assert found.tool_choice == ToolChoice("named", ToolRef("code_execution_20250825", "hosted"))


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required"), False),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "tool", "name": "a"}, ToolChoice("named", ToolRef("a")), None),
    ],
)
def test_tool_choice(choice: Any, expected: ToolChoice, parallel: bool | None) -> None:
    found = decoded(tools=[{"name": "a"}], tool_choice=choice)
    assert found.tool_choice == expected
    assert found.parallel_tool_calls is parallel


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, ReasoningConfig(None, 2000, "enabled")),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"}},
            ReasoningConfig("high", None, "adaptive", display="omitted"),
        ),
        ({"thinking": {"type": "disabled"}}, ReasoningConfig(mode="disabled")),
        ({"output_config": {"effort": "low"}}, ReasoningConfig("low")),
        ({}, None),
    ],
)
def test_thinking(fields: Any, expected: Any) -> None:
    assert decoded(**fields).reasoning == expected


def test_output_format_in_both_spellings() -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    expected = OutputFormat("json_schema", schema={"type": "object"})
    assert decoded(output_config={"format": wanted}).output_format == expected
    assert decoded(output_format=wanted).output_format == expected


def test_a_cache_mark_of_the_request_is_one_of_its_last_part() -> None:
    found = decoded(cache_control={"type": "ephemeral"})
    assert found.messages[-1].parts == (Text("Hi", cache=True),)


def test_metadata() -> None:
    found = decoded(metadata={"user_id": "u", "a": "b"})
    assert (found.user, found.metadata) == ("u", {"a": "b"})


def test_what_counts() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x/y"}}
    found = decoded(
        system="s",
        tools=[{"name": "t", "description": "d", "input_schema": {"type": "object"}}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, image]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "t", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]},
        ],
    )
    assert countable(found) == ["t", "d", '{"type":"object"}', "s", "Hi", Image(url="https://x/y"), "t", '{"a":1}', "r"]


OPEN = {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"type": "string"}}, "required": ["city"]}
CLOSED = {**OPEN, "additionalProperties": False, "required": ["city", "unit"]}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "required": ["city"]}, None),  # Anthropic lets a property be optional, OpenAI does not
        (OPEN, None),
        ({**CLOSED, "properties": {"city": OPEN, "unit": {"type": "string"}}}, None),
        ({**CLOSED, "properties": {"city": {"type": "array", "items": CLOSED}, "unit": {"anyOf": [CLOSED]}}}, True),
        ({"type": "object", "properties": {"type": {"type": "string"}}, "required": 3}, None),
        (None, None),
        ({**CLOSED, "type": ["object", "null"]}, True),
        ({"type": ["object", "null"], "properties": 3}, None),
        # What Anthropic's strict takes and OpenAI's does not.
        ({**CLOSED, "properties": {"city": {"allOf": [{"type": "string"}]}, "unit": {"type": "string"}}}, None),
        ({**CLOSED, "properties": {"city": {"type": "string"}, "unit": {"type": "string", "default": "C"}}}, None),
        # Names of properties and values are no keywords.
        ({**CLOSED, "properties": {"default": {"enum": [{"type": "object"}]}}, "required": ["default"]}, True),
        ({**CLOSED, "properties": {"properties": {"type": "string"}}, "required": ["properties"]}, True),
        ({**CLOSED, "$defs": {"not": OPEN}}, None),
    ],
)
def test_strict_is_passed_on_where_every_upstream_would_take_the_schema(schema: Any, strict: bool | None) -> None:
    tool = {"name": "look", "strict": True, **({"input_schema": schema} if schema else {})}
    request = decode_request(
        {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}
    )
    assert request.tools[0].strict is strict
    assert request.tools[0].extra == ({} if strict else {"messages": {"strict": True}})  # not lost without a word


def test_strict_of_a_tool_in_openais_words_is_read_too() -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": CLOSED, "strict": True}}
    assert decoded(tools=[tool]).tools[0].strict is True
