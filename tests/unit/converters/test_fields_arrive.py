"""A request field that a table calls mapped changes what upstream gets, or is named as left out, at every upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.registry import CLIENTS
from app.converters.wire.body_paths import without
from app.errors import GatewayError
from tests.support.exchanges import MODELS, PIXEL, PROTOCOLS, exchange_between
from tests.support.rows import rows

Json = dict[str, Any]

FUNCTION = {"type": "object", "properties": {"a": {"type": "string"}}}
CHAT_TOOL = {"type": "function", "function": {"name": "t", "description": "d", "parameters": FUNCTION, "strict": True}}
TOOL = {"name": "t", "description": "d", "input_schema": FUNCTION}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
JSON_FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "a"}}


def said(**more: Any) -> Json:
    """A chat turn that is about to go on, with more in the assistant's message."""
    user = {"role": "user", "content": "hi"}
    return {"messages": [user, {"role": "assistant", "content": "a", **more}, user]}


def parts(*content: Json) -> Json:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, *content]}]}


CALLED = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "t", "input": {"a": "b"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "r"}]},
]

# A body with the field in it; what it is compared with is the same body without the field.
SAMPLES: dict[str, dict[str, Json]] = {
    "chat": {
        "tools": {"tools": [CHAT_TOOL]},
        "tool_choice": {"tools": [CHAT_TOOL], "tool_choice": "required"},
        "parallel_tool_calls": {"tools": [CHAT_TOOL], "parallel_tool_calls": False},
        "functions": {"functions": [CHAT_TOOL["function"]]},
        "function_call": {"functions": [CHAT_TOOL["function"]], "function_call": {"name": "t"}},
        "max_completion_tokens": {"max_completion_tokens": 77},
        "max_tokens": {"max_tokens": 77},
        "temperature": {"temperature": 0.3},
        "top_p": {"top_p": 0.3},
        "top_k": {"top_k": 3},
        "stop": {"stop": ["x"]},
        "reasoning_effort": {"reasoning_effort": "low"},
        "thinking_budget": {"thinking_budget": 2048},
        "thinking": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        "response_format": {"response_format": JSON_FORMAT},
        "verbosity": {"verbosity": "low"},
        "logprobs": {"logprobs": True},
        "top_logprobs": {"top_logprobs": 2},
        "user": {"user": "u"},
        "safety_identifier": {"safety_identifier": "s"},
        "metadata": {"metadata": {"a": "b"}},
        "prompt_cache_key": {"prompt_cache_key": "k"},
        "prompt_cache_retention": {"prompt_cache_retention": "24h"},
        "service_tier": {"service_tier": "flex"},
        "store": {"store": True},
        "messages[].name": {"messages": [{"role": "user", "content": "hi", "name": "bob"}]},
        "messages[].copilot_cache_control": {
            "messages": [{"role": "user", "content": "hi", "copilot_cache_control": {"type": "ephemeral"}}]
        },
        "messages[].cache_control": {
            "messages": [{"role": "user", "content": "hi", "cache_control": {"type": "ephemeral"}}]
        },
        "messages[].reasoning_content": said(reasoning_content="thought"),
        "messages[].reasoning_text": said(reasoning_text="thought"),
        "messages[].reasoning_opaque": said(reasoning_opaque="proof"),
        "messages[].cot_summary": said(cot_summary="thought"),
        "messages[].cot_id": said(cot_id="id"),
        "messages[].refusal": said(refusal="no"),
        "messages[].function_call": {
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": None, "function_call": {"name": "t", "arguments": "{}"}},
                {"role": "function", "name": "t", "content": "r"},
            ],
            "functions": [CHAT_TOOL["function"]],
        },
        "messages[].content[].text": parts(),
        "messages[].content[].image_url": parts({"type": "image_url", "image_url": {"url": PIXEL}}),
        "messages[].content[].file": parts({"type": "file", "file": {"filename": "a.pdf", "file_data": "QQ=="}}),
        "messages[].content[].input_audio": parts(
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}
        ),
        "messages[].content[].tool_use": {},
        "messages[].content[].tool_result": {},
        "messages[].content[].thinking": {},
        "messages[].content[].source": parts(
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL.split(",")[1]}}
        ),
        "tools[].input_schema": {"tools": [TOOL]},
        "tools[].name": {"tools": [{"type": "function", "name": "t", "parameters": FUNCTION}]},
        "tools[].function.strict": {"tools": [CHAT_TOOL]},
        "tools[].custom.format": {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "t",
                        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "a"}},
                        "description": "d",
                    },
                }
            ]
        },
    },
    "messages": {
        "system": {"system": "Be brief."},
        "stop_sequences": {"stop_sequences": ["x"]},
        "temperature": {"temperature": 0.3},
        "top_p": {"top_p": 0.3},
        "top_k": {"top_k": 3},
        "tools": {"tools": [TOOL]},
        "tool_choice": {"tools": [TOOL], "tool_choice": {"type": "any"}},
        "tool_choice.disable_parallel_tool_use": {
            "tools": [TOOL],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        },
        "thinking": {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 9000},
        "thinking.budget_tokens": {"thinking": {"type": "enabled", "budget_tokens": 8000}, "max_tokens": 9000},
        "thinking.display": {
            "thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
            "max_tokens": 9000,
        },
        "output_config": {"output_config": {"effort": "low"}},
        "output_config.effort": {"output_config": {"effort": "low"}},
        "output_config.format": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        "output_format": {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        "metadata": {"metadata": {"user_id": "u"}},
        "service_tier": {"service_tier": "auto"},
        "cache_control": {"cache_control": {"type": "ephemeral"}},
        "tools.type": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "tools.name": {"tools": [TOOL]},
        "tools.description": {"tools": [TOOL]},
        "tools.input_schema": {"tools": [TOOL]},
        "tools.strict": {"tools": [TOOL | {"input_schema": SCHEMA, "strict": True}]},
        "tools.cache_control": {"tools": [TOOL | {"cache_control": {"type": "ephemeral"}}]},
    },
    "responses": {
        "instructions": {"instructions": "Be brief."},
        "tools": {"tools": [{"type": "function", "name": "t", "parameters": FUNCTION}]},
        "tool_choice": {
            "tools": [{"type": "function", "name": "t", "parameters": FUNCTION}],
            "tool_choice": "required",
        },
        "parallel_tool_calls": {
            "tools": [{"type": "function", "name": "t", "parameters": FUNCTION}],
            "parallel_tool_calls": False,
        },
        "max_output_tokens": {"max_output_tokens": 77},
        "temperature": {"temperature": 0.3},
        "top_p": {"top_p": 0.3},
        "reasoning": {"reasoning": {"effort": "low"}},
        "reasoning.effort": {"reasoning": {"effort": "low"}},
        "reasoning.summary": {"reasoning": {"effort": "low", "summary": "detailed"}},
        "reasoning.generate_summary": {"reasoning": {"effort": "low", "generate_summary": "detailed"}},
        "text": {"text": {"verbosity": "low"}},
        "text.format": {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        "text.verbosity": {"text": {"verbosity": "low"}},
        "user": {"user": "u"},
        "safety_identifier": {"safety_identifier": "s"},
        "metadata": {"metadata": {"a": "b"}},
        "prompt_cache_key": {"prompt_cache_key": "k"},
        "prompt_cache_retention": {"prompt_cache_retention": "24h"},
        "service_tier": {"service_tier": "flex"},
        "store": {"store": True},
    },
}
UNIONS: dict[str, Json] = {
    "messages[].content[].tool_use": {"messages": CALLED, "tools": [CHAT_TOOL]},
    "messages[].content[].tool_result": {"messages": CALLED, "tools": [CHAT_TOOL]},
    "messages[].content[].thinking": {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""}]},
            {"role": "user", "content": "hi"},
        ]
    },
}
WITHOUT_EFFECT = {
    "chat": {"model", "messages", "input", "stream", "stream_options", "stream_options.include_usage"},
    "messages": {"model", "messages", "max_tokens", "stream"},
    "responses": {"model", "input", "stream"},
}
"""Fields without which there is no request, and those that say how the answer is to be told."""

ELSEWHERE: dict[str, tuple[str, ...]] = {
    # Where upstream knows no stop sequences, the answer is cut here.
    "stop": ("responses",),
    "stop_sequences": ("responses",),
    # Nothing is stored, and the answer says so.
    "store": ("responses",),
    # How much is shown of thoughts; where upstream cannot be asked, they are passed as they come.
    "thinking.display": ("chat", "messages"),
    "reasoning.summary": ("chat", "messages"),
    "reasoning.generate_summary": ("chat", "messages"),
}
"""Fields that hold without upstream, by upstream."""

BASE: dict[str, Json] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "messages": {"model": "m", "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}]},
    "responses": {"model": "m", "input": "hi"},
}

CASES = [
    (client, upstream, model, name)
    for client in PROTOCOLS
    for upstream in PROTOCOLS
    for model in MODELS[upstream]
    for name in SAMPLES[client]
    if upstream not in ELSEWHERE.get(name, ())
]


@pytest.mark.parametrize("client", PROTOCOLS)
def test_every_mapped_field_has_a_sample(client: str) -> None:
    mapped = {name for name, field in CLIENTS[client].fields.items() if field.verdict == "mapped"}
    assert mapped == SAMPLES[client].keys() | (WITHOUT_EFFECT[client] & mapped)


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "model", "name"), CASES)
def test_a_mapped_field_arrives_or_is_named(client: str, upstream: str, model: str, name: str) -> None:
    given = BASE[client] | SAMPLES[client][name]
    lacking = without(given, name)
    if name in UNIONS:
        given, lacking = BASE[client] | UNIONS[name], BASE[client] | said()
    sent, dropped = told(client, upstream, model, given)
    if (sent, dropped) == told(client, upstream, model, lacking):
        # Then all of what it is a part of has been left out, and is named.
        assert dropped - told(client, upstream, model, without(given, name.split(".")[0]))[1]


OPTIONAL = SCHEMA | {"required": []}
UNION = {"anyOf": [SCHEMA, SCHEMA | {"properties": {"b": {"type": "string"}}, "required": ["b"]}]}
TO_ALL = [(upstream, model) for upstream in PROTOCOLS for model in MODELS[upstream]]


@pytest.mark.parametrize(("upstream", "model"), TO_ALL)
@pytest.mark.parametrize("schema", [OPTIONAL, UNION], ids=["optional", "union"])
def test_a_strict_of_anthropic_that_openai_would_refuse_is_left_out_and_named(
    upstream: str, model: str, schema: Json
) -> None:
    tool = {"name": "t", "input_schema": schema, "strict": True}
    sent, dropped = told("messages", upstream, model, BASE["messages"] | {"tools": [tool]})
    assert "tools[].strict" in dropped
    assert '"strict": true' not in json.dumps(sent)


@pytest.mark.parametrize(("upstream", "model"), TO_ALL)
@pytest.mark.parametrize("client", ["chat", "responses"])
def test_strict_of_a_schema_that_had_to_be_flattened_is_left_out_and_named(
    client: str, upstream: str, model: str
) -> None:
    function = {"name": "t", "description": "d", "parameters": UNION, "strict": True}
    tool = {"type": "function", **function} if client == "responses" else {"type": "function", "function": function}
    sent, dropped = told(client, upstream, model, BASE[client] | {"tools": [tool]})
    assert any(name.endswith("strict") for name in dropped)
    assert '"strict": true' not in json.dumps(sent)


def told(client: str, upstream: str, model: str, body: Json) -> tuple[Any, frozenset[str]]:
    """What upstream gets and what is named as left out; or the error, with the path that it names."""
    try:
        prepared = exchange_between(client, upstream, body, model=model).payload()
    except GatewayError as error:
        return error.message, frozenset([error.param or "nobody"])
    return json.loads(prepared.body), frozenset(prepared.dropped)
