"""One recogniser for all upstreams: the wordings of vendors and of Copilot, each at all three endpoints.

Wordings are those of the wire contract (docs/reference), of public reports, and of the libraries that gateways are made
of: a name in them stands for what the request has.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.converters import refusal
from app.converters.codec import UpstreamRequest
from app.converters.neutral.amended import ANOTHER_WAY, amended
from app.converters.neutral.losses import Losses
from app.converters.refusal import Repair, repairs
from app.converters.removable import can_be_remembered
from app.converters.wire import refusal_words
from app.converters.wire.error_body import LONGEST_WORDS
from tests.support.exchanges import PROTOCOLS, exchange_between
from tests.support.rows import rows

SAMPLING = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 1, "metadata": {"plan": "p"}, "service_tier": "auto"}
SIDES: dict[str, dict[str, Any]] = {
    "chat": {
        "model": "m",
        "messages": [
            {"role": "user", "name": "bob", "content": [{"type": "text", "text": "hi", "citations": []}]},
            {"role": "assistant", "content": "a", "reasoning_opaque": "p"},
        ],
        "tools": [{"type": "function", "function": {"name": "t", "parameters": {}, "strict": True}}],
        "tool_choice": "required",
        "parallel_tool_calls": True,
        "reasoning_effort": "high",
        "verbosity": "low",
        "max_tokens": 100,
        "stop": ["x"],
        "logprobs": True,
        "response_format": {"type": "json_object"},
        "n": 2,
        "modalities": ["text", "audio"],
        **SAMPLING,
    },
    "messages": {
        "model": "m",
        "messages": [
            {"role": "user", "name": "bob", "content": [{"type": "text", "text": "hi", "citations": []}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "p"}]},
        ],
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "scope": "global"}}],
        "tools": [{"name": "t", "input_schema": {}, "strict": True, "defer_loading": True}],
        "tool_choice": {"type": "any"},
        "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "updates"},
        "output_config": {"effort": "high", "format": {"type": "json_schema"}},
        "max_tokens": 2000,
        "stop_sequences": ["x"],
        "context_management": {"edits": []},
        **SAMPLING,
    },
    "responses": {
        "model": "m",
        "input": [
            {"role": "user", "name": "bob", "content": [{"type": "input_text", "text": "hi", "citations": []}]},
            {"type": "reasoning", "encrypted_content": "p"},
        ],
        "tools": [{"type": "function", "name": "t", "parameters": {}, "strict": True, "defer_loading": True}],
        "tool_choice": "required",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "high", "summary": "concise"},
        "text": {"verbosity": "low", "format": {"type": "text"}},
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 100,
        "truncation": "auto",
        **SAMPLING,
    },
}
EFFORT = {"chat": "reasoning_effort", "messages": "output_config.effort", "responses": "reasoning.effort"}
TURNS = {"chat": "messages", "messages": "messages", "responses": "input"}
STRICT = {"chat": "tools[].function.strict", "messages": "tools[].strict", "responses": "tools[].strict"}
EASED = {
    "chat": 'tool_choice="auto"',
    "messages": 'tool_choice={"type":"auto"}',
    "responses": 'tool_choice="auto"',
}
VERBOSITY = {"chat": "verbosity", "messages": None, "responses": "text.verbosity"}
ONLY_MESSAGES: dict[str, str | None] = {"chat": None, "responses": None}

DISPLAY = ONLY_MESSAGES | {"messages": 'thinking.display="summarized"'}
GONE = ONLY_MESSAGES | {"messages": "thinking.display"}

Names = str | None | dict[str, Any]

# Words, and the name for the repeat: the same for all, or by endpoint. {effort} and {turns} are the endpoint's own.
LASTING: tuple[tuple[str, Names], ...] = (
    # OpenAI, and Copilot in its words
    ("Unsupported parameter: 'temperature' is not supported with this model.", "temperature"),
    ("Unsupported parameter: 'temperature'", "temperature"),
    ("Unsupported parameter(s): `temperature`, `top_p`", "temperature"),
    ("Unsupported parameters: seed and top_k", "seed"),
    ("Unsupported parameter: temperature.", "temperature"),
    ("Unknown parameter: 'seed'.", "seed"),
    ("Unknown parameter: 'metadata.plan'.", "metadata.plan"),
    ("Unrecognized request argument supplied: seed", "seed"),
    ("Unrecognized request arguments supplied: seed, top_k", "seed"),
    ("Unrecognized request argument supplied: nobody, seed", "seed"),
    ("Unexpected parameter: top_k", "top_k"),
    ("Invalid request parameter: 'seed'", "seed"),
    ("Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.",
     "temperature"),
    ("service_tier is not supported", "service_tier"),
    ("'service_tier' is not supported with this model", "service_tier"),
    ("The parameter `service_tier` is not supported for this model.", "service_tier"),
    ("The 'temperature' parameter is not supported with reasoning models.", "temperature"),
    ("temperature parameter is not supported on this endpoint", "temperature"),
    ("This model does not support temperature.", "temperature"),
    ("this model does not support the `top_k` parameter", "top_k"),
    ("The model doesn't support the 'seed' field", "seed"),
    ("Parameter 'seed' is not allowed", "seed"),
    ("Parameter not supported: seed", "seed"),
    ("Argument not supported on this model: seed", "seed"),
    ("The following parameters are not supported by this model: temperature, top_p", "temperature"),
    ("This model does not support the following parameters: temperature, top_p", "temperature"),
    ("Sampling parameters (temperature, top_p, top_k) are not supported for this model.", "temperature"),
    ("temperature: this parameter is not supported by model m", "temperature"),
    ("This model does not support reasoning.", EFFORT | {"responses": "reasoning"}),
    ("Reasoning is not supported by this model", EFFORT | {"responses": "reasoning"}),
    ("Use of 'seed' is not supported", "seed"),
    ("Setting 'top_p' is not supported with this model", "top_p"),
    ("'top_k' cannot be used with this model", "top_k"),
    ("`top_k` has been removed", "top_k"),
    ("`top_k` is no longer supported", "top_k"),
    ("Remove the parameter 'seed' and try again", "seed"),
    # Anthropic, Bedrock
    ("`temperature` is deprecated for this model.", "temperature"),
    ("`temperature` is not configurable for reasoning models.", "temperature"),
    ("The parameter top_p isn't supported by this model.", "top_p"),
    ("top_p is incompatible with this model", "top_p"),
    ("metadata: property not supported", "metadata"),
    ("seed is not applicable here", "seed"),
    ("temperature: Extra inputs are not permitted", "temperature"),
    ("metadata.plan: Extra inputs are not permitted", "metadata.plan"),
    ("tools.0.custom.strict: Extra inputs are not permitted", STRICT | {"chat": None}),
    ("tools[0].function.strict: Extra inputs are not permitted", STRICT),
    ("tools.0.defer_loading: Extra inputs are not permitted",
     {"chat": None, "messages": "tools[].defer_loading", "responses": "tools[].defer_loading"}),
    ("{turns}.0.name: Extra inputs are not permitted",
     {"chat": "messages[].name", "messages": "messages[].name", "responses": None}),
    ("{turns}.0.content.0.text.citations: Extra inputs are not permitted",
     {"chat": "messages[].content[].citations", "messages": "messages[].content[].citations",
      "responses": "input[].content[].citations"}),
    ("{turns}[0].content[0].citations: unknown field",
     {"chat": "messages[].content[].citations", "messages": "messages[].content[].citations",
      "responses": "input[].content[].citations"}),
    ("system.0.cache_control.ephemeral.scope: Extra inputs are not permitted",
     ONLY_MESSAGES | {"messages": "system[].cache_control.scope"}),
    ("context_management: Extra inputs are not permitted", ONLY_MESSAGES | {"messages": "context_management"}),
    ("This model does not support the effort parameter.", EFFORT),
    ('"thinking.type.disabled" is not supported for this model. Thinking defaults to adaptive mode when not specified; '
     'use "thinking.type.enabled" with "budget_tokens" for extended thinking.',
     ONLY_MESSAGES | {"messages": "thinking.disabled"}),
    ('"thinking.type.disabled" is not supported for this model.', ONLY_MESSAGES | {"messages": "thinking.disabled"}),
    ("Thinking is always on for this model and cannot be disabled",
     ONLY_MESSAGES | {"messages": "thinking.disabled"}),
    ("Extended thinking cannot be turned off for claude-x", ONLY_MESSAGES | {"messages": "thinking.disabled"}),
    ("Extended thinking is required for this model", ONLY_MESSAGES | {"messages": "thinking.disabled"}),
    ("thinking.budget_tokens: Extra inputs are not permitted", ONLY_MESSAGES | {"messages": "thinking.enabled"}),
    ("thinking.budget_tokens is not supported for this model; use output_config.effort",
     ONLY_MESSAGES | {"messages": "thinking.enabled"}),
    ("This model does not support extended thinking", ONLY_MESSAGES | {"messages": "thinking"}),
    ("adaptive thinking is not supported on this model", ONLY_MESSAGES | {"messages": "thinking.adaptive"}),
    ('"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config".',
     ONLY_MESSAGES | {"messages": "thinking.enabled"}),
    ("thinking: Input tag 'enabled' found using 'type' does not match any of the expected tags: 'adaptive', 'disabled'",
     ONLY_MESSAGES | {"messages": "thinking.enabled"}),
    ("thinking: Input tag 'adaptive' found using 'type' does not match any of the expected tags: 'enabled', 'disabled'",
     ONLY_MESSAGES | {"messages": "thinking.adaptive"}),
    ("This model does not support output format", ONLY_MESSAGES | {"messages": "output_config.format"}),
    ("unsupported beta header(s): b-1", "beta:b-1"),
    ("Unknown beta: b-1", "beta:b-1"),
    ("Unsupported beta feature 'b-1'", "beta:b-1"),
    ("anthropic-beta: b-1 is not supported", "beta:b-1"),
    ("beta feature 'b-1' is not available", "beta:b-1"),
    ("The beta header b-1 is not recognised", "beta:b-1"),
    ("unsupported beta header(s): b-1, b-2", "beta:b-1,b-2"),
    ("Unexpected value(s) `b-1` for the `anthropic-beta` header.", "beta:b-1"),
    ("invalid beta flag", "beta:b-1,b-2"),
    # gateways and what they are made of: pydantic, zod, serde, Go, protobuf, JSON Schema, LiteLLM, Java
    ("seed: extra fields not permitted", "seed"),
    ("body.seed: Extra inputs are not permitted", "seed"),
    ("Unrecognized key(s) in object: 'seed'", "seed"),
    ('Unrecognized key: "seed"', "seed"),
    ("unknown field `seed`, expected one of `model`, `input`", "seed"),
    ('json: unknown field "seed"', "seed"),
    ("Invalid JSON payload received. Unknown name \"seed\": Cannot find field.", "seed"),
    ("Additional properties are not allowed ('seed' was unexpected)", "seed"),
    ("Additional properties are not allowed: seed", "seed"),
    ('Unrecognized field "seed" (class Request), not marked as ignorable', "seed"),
    ("create() got an unexpected keyword argument 'seed'", "seed"),
    ("m does not support parameters: ['temperature', 'top_p'], for model=m", "temperature"),
    ("[400] Unexpected property 'seed' in the request", "seed"),
    ("Property 'seed' is not defined and the schema does not allow additional properties", "seed"),
    # Copilot's code for efforts
    ('{effort} "high" was provided, but model claude-x does not support reasoning effort', EFFORT),
)  # fmt: skip
PASSING: tuple[tuple[str, Names], ...] = (
    # one value
    ('{effort} "high" is not supported by model claude-x; supported values: [medium]',
     {side: f'{path}="medium"' for side, path in EFFORT.items()}),
    ('{effort} "high" is not supported by model x; supported values: [low medium]',
     {side: f'{path}="medium"' for side, path in EFFORT.items()}),
    ("Unsupported value: 'high' is not supported with the 'gpt-5.5' model. Supported values are: 'none', 'low', and "
     "'xhigh'.", {side: f'{path}="xhigh"' for side, path in EFFORT.items()}),
    ("Invalid value: 'high'. Supported values are: 'low' and 'medium'.",
     {side: f'{path}="medium"' for side, path in EFFORT.items()}),
    ("invalid value high for {effort}, allowed: [low, medium]",
     {side: f'{path}="medium"' for side, path in EFFORT.items()}),
    ("{effort}: Input should be 'low' or 'medium'", {side: f'{path}="medium"' for side, path in EFFORT.items()}),
    ("Invalid enum value. Expected 'low' | 'medium', received 'high'",
     {side: f'{path}="medium"' for side, path in EFFORT.items()}),
    ("{effort}: 'high' is not a valid effort for this model. Valid efforts: low, medium",
     {side: f'{path}="medium"' for side, path in EFFORT.items()}),
    ("Unsupported reasoning effort 'high' for model m (supported: low, medium)",
     {side: f'{path}="medium"' for side, path in EFFORT.items()}),
    ("The model m only supports reasoning effort medium", {side: f'{path}="medium"' for side, path in EFFORT.items()}),
    ("Unsupported value: 'high' is not supported with the 'gpt-5.5' model.", EFFORT),
    ("invalid temperature: only 1 is allowed for this model", "temperature"),
    ("Only temperature=1 is supported by this model", "temperature"),
    ("`temperature` must be 1 for this model.", "temperature"),
    ("Custom temperature values are not supported with this model", "temperature"),
    ("tool_choice.type: Input should be 'auto' or 'none'", ONLY_MESSAGES | {"messages": EASED["messages"]}),
    ("thinking.type: Input should be 'adaptive' or 'disabled'", ONLY_MESSAGES | {"messages": "thinking.enabled"}),
    ("response_format of type 'json_schema' is not supported with this model",
     {"chat": "response_format", "messages": None, "responses": None}),
    ("output_config: Extra inputs are not permitted", ONLY_MESSAGES | {"messages": "output_config.format"}),
    ("Unsupported value: 'low' is not supported with the 'gpt-5-codex' model. Supported values are: 'medium'.",
     {"chat": 'verbosity="medium"', "messages": None, "responses": 'text.verbosity="medium"'}),
    ("Unsupported value: 'concise' is not supported with the 'gpt-5' model. Supported values are: 'detailed'.",
     {"chat": None, "messages": None, "responses": 'reasoning.summary="detailed"'}),
    ("Invalid value for 'tool_choice': 'required' is not supported with this model", EASED),
    ("tool_choice `required` is not supported", EASED),
    # a word that a field does not take: pydantic, OpenAI, JSON Schema, serde, zod, Java, Go, protobuf
    ("thinking.display: Input should be 'summarized' or 'omitted'", DISPLAY),
    ("thinking.adaptive.display: Input should be 'summarized' or 'omitted'", DISPLAY),
    ("thinking.enabled.display: Input should be 'summarized' or 'omitted'", DISPLAY),
    ("Input should be 'summarized' or 'omitted'", DISPLAY),
    ("1 validation error for Request\nthinking.display\n  Input should be 'summarized' or 'omitted' "
     "[type=literal_error, input_value='updates', input_type=str]", DISPLAY),
    ("thinking.display: unexpected value; permitted: 'summarized', 'omitted' (type=value_error.const; given=updates)",
     DISPLAY),
    ("service_tier: Input should be 'default', 'flex' or 'priority'", 'service_tier="default"'),
    ("service_tier: Input should be 'standard_only' or 'priority'", 'service_tier="standard_only"'),
    ("service_tier must be one of 'default', 'flex'", 'service_tier="default"'),
    ("service_tier must be one of: default, flex", 'service_tier="default"'),
    ("'service_tier' must be one of [default flex]", 'service_tier="default"'),
    ("Invalid value for service_tier: must be one of default, flex", 'service_tier="default"'),
    ("Invalid value for 'service_tier': expected one of 'default', 'flex'", 'service_tier="default"'),
    ('invalid value "auto" for service_tier: must be one of [default flex]', 'service_tier="default"'),
    ('invalid service_tier "auto": must be one of default, flex', 'service_tier="default"'),
    ("service_tier: invalid value 'auto', expected one of: default, flex", 'service_tier="default"'),
    ("Invalid value: 'auto'. Supported values are: 'default', 'flex', and 'priority'.",
     {"chat": 'service_tier="default"', "messages": 'service_tier="default"', "responses": 'truncation="default"'}),
    ("'updates' is not one of ['summarized', 'omitted'] - 'thinking.display'", DISPLAY),
    ("thinking.display: unknown variant `updates`, expected `summarized` or `omitted`", DISPLAY),
    ("thinking.display: unknown variant `updates`, expected one of `summarized`, `omitted`", DISPLAY),
    ("Invalid enum value. Expected 'summarized' | 'omitted', received 'updates'", DISPLAY),
    ('Cannot deserialize value of type `Display` from String "updates": not one of the values accepted for Enum '
     "class: [summarized, omitted]", DISPLAY),
    ("Key: 'Request.Thinking.Display' Error:Field validation for 'Display' failed on the 'oneof' tag", GONE),
    ("json: cannot unmarshal string into Go struct field Request.thinking.display of type api.Display", GONE),
    ("Invalid value at 'thinking.display' (type.googleapis.com/api.Display), \"updates\"", GONE),
    ("text.verbosity must be one of: medium, high",
     {"chat": 'verbosity="medium"', "messages": None, "responses": 'text.verbosity="medium"'}),
    ("reasoning.summary: Input should be 'auto' or 'detailed'",
     ONLY_MESSAGES | {"messages": None, "responses": 'reasoning.summary="auto"'}),
    ("Input should be 'auto', 'detailed'",
     ONLY_MESSAGES | {"messages": None, "responses": 'reasoning.summary="auto"'}),
    # a combination
    ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", "top_p"),
    ("Only one of temperature and top_p may be set", "top_p"),
    ("temperature and top_p are mutually exclusive", "top_p"),
    ("`temperature` may only be set to 1 when thinking is enabled.", "temperature"),
    ("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.", "top_p"),
    ("`top_k` must be unset when thinking is enabled.", "top_k"),
    ("'temperature' is not supported together with thinking", "temperature"),
    ("Function tools with reasoning_effort are not supported for m in /v1/chat/completions. Please use /v1/responses.",
     EFFORT),
    ("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata"),
    ("Thinking may not be enabled when tool_choice forces tool use.", ONLY_MESSAGES | {"messages": "thinking"}),
    # the conversation
    ("{turns}.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`. When `thinking` is "
     "enabled, a final `assistant` message must start with a thinking block.",
     ONLY_MESSAGES | {"messages": "thinking"}),
    ("{turns}.1.content.0: Invalid `signature` in `thinking` block", "proof"),
    ("{turns}.1.content.0: Invalid `data` in `redacted_thinking` block", "proof"),
    ("{turns}.1.content.0.thinking: each thinking block must contain thinking", "proof"),
    ("{turns}.1.content.0: `thinking` or `redacted_thinking` blocks in the last assistant message cannot be modified.",
     "proof"),
    ("The encrypted content gAAA could not be verified.", "proof"),
    ("Encrypted content item_id did not match the target item id", "proof"),
    ("Invalid 'input[1].encrypted_content'", "proof"),
    ("thinking block signature verification failed", "proof"),
    ("{turns}.1.content.0: thinking blocks must have a signature", "proof"),
    ("Encrypted content could not be decrypted or parsed", "proof"),
    ("reasoning_opaque was not issued by this model", "proof"),
    ("Corrupted thought signature.", "proof"),
    ("Thought signature is not valid.", "proof"),
    ("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", "proof"),
)  # fmt: skip
UNKNOWN = (
    "The requested model is not supported.",
    "model is not supported",
    "messages is not supported",
    "tools is not supported",
    "This model does not support tools.",
    "This model does not support image input.",
    "external image URLs are not supported",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "messages: text content blocks must be non-empty",
    "tools.0.input_schema: Extra inputs are not permitted",
    "messages.0.content: Extra inputs are not permitted",
    "input[0].content: Extra inputs are not permitted",
    "Unknown parameter: 'frequency_penalty'.",
    "nobody.temperature_of_it: Extra inputs are not permitted",
    "x-temperature is not supported",
    "stream is not supported",
    "The use of the web search tool is not supported.",
    "messages.0.role: Input should be 'user' or 'assistant'",
    "input[0].role: Input should be 'user' or 'assistant'",
    "model: Input should be 'a' or 'b'",
    "tools.0.type: Input should be 'function'",
    "thinking.type: Input should be 'disabled'",
    "metadata.plan: Input should be a valid dictionary",
    "text.format.type must be one of: json_schema, json_object",
    "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation",
    "Unsupported parameter: 'n' is not supported with this model.",
    "modalities is not supported with this model",
    "Unknown beta: nobodys-2025",
    "Input should be 'a' or 'b'",
    "nobody: Input should be 'a' or 'b'",
    "tool_use ids were found without tool_result blocks",
    "Something else went wrong",
    "",
)

each_side = pytest.mark.parametrize("side", SIDES)


def sent(side: str) -> UpstreamRequest:
    return UpstreamRequest(json.dumps(SIDES[side]).encode(), headers={"anthropic-beta": "b-1,b-2"})


def told(message: str, code: str = "", param: str = "") -> bytes:
    more = {name: value for name, value in (("code", code), ("param", param)) if value}
    return json.dumps({"error": {"message": message, **more}}).encode()


def first(side: str, content: bytes, status: int = 400) -> Repair | None:
    return next(repairs(status, content, sent(side)), None)


def expected(names: Names, side: str) -> Any:
    return names[side] if isinstance(names, dict) else names


def in_words(words: str, side: str) -> str:
    return words.replace("{effort}", EFFORT[side]).replace("{turns}", TURNS[side])


def test_there_are_many_wordings() -> None:
    assert len({words for words, _ in LASTING + PASSING}) >= 60


@rows("side")
@each_side
@pytest.mark.parametrize(("words", "names"), LASTING)
def test_what_a_model_does_not_take_is_named(side: str, words: str, names: Names) -> None:
    name = expected(names, side)
    for content in bodies(in_words(words, side)):
        assert first(side, content) == (Repair(name) if name else None)


@rows("side")
@each_side
@pytest.mark.parametrize(("words", "names"), PASSING)
def test_what_this_request_alone_cannot_have_is_named_and_does_not_last(side: str, words: str, names: Names) -> None:
    name = expected(names, side)
    for content in bodies(in_words(words, side)):
        found = first(side, content)
        assert (found.name if found else None) == name
        assert found is None or not found.lasts


def bodies(words: str) -> list[bytes]:
    """The shapes in which endpoints and what stands before them wrap the same words."""
    error = {"type": "invalid_request_error", "message": words}
    return [
        told(words),
        json.dumps({"type": "error", "error": error}).encode(),
        json.dumps({"message": words}).encode(),
        json.dumps({"error": {"message": json.dumps({"error": error})}}).encode(),
        words.encode(),
    ]


@rows("side")
@each_side
@pytest.mark.parametrize("words", UNKNOWN)
def test_what_nobody_understands_or_what_is_essential_is_left_alone(side: str, words: str) -> None:
    for content in bodies(words):
        assert first(side, content) is None


@each_side
@pytest.mark.parametrize(
    "code", ["unsupported_parameter", "unknown_parameter", "unsupported_value", "invalid_parameter"]
)
def test_code_and_param_say_it_without_words(side: str, code: str) -> None:
    assert first(side, told("Bad request.", code, "seed")) == Repair("seed")
    assert first(side, told("Bad request.", code, "model")) is None
    assert first(side, told("Bad request.", "invalid_request_body", "seed")) is None
    assert first(side, told("This is not supported.", "invalid_request_body", "seed")) == Repair("seed")


@each_side
def test_the_code_for_efforts_needs_no_known_words(side: str) -> None:
    found = first(side, told("Try medium.", "invalid_reasoning_effort"))
    assert found is not None
    assert found.name == EFFORT[side]


RECORDED: tuple[tuple[str, str, dict[str, str], Any, str | None], ...] = (
    # endpoint, words, what stands beside them, more of the body, name
    ("chat", "Unrecognized request argument supplied: logit_bias", {}, {"logit_bias": {}}, "logit_bias"),
    ("chat", "Unknown parameter: 'prompt_cache_retention'.", {}, {"prompt_cache_retention": "1h"},
     "prompt_cache_retention"),
    ("chat", "store is not supported", {}, {"store": True}, "store"),
    ("chat", "messages[12].copilot_cache_control: Extra inputs are not permitted", {},
     {"messages": [{"role": "user", "copilot_cache_control": {}}]}, "messages[].copilot_cache_control"),
    ("chat", "messages[1]: reasoning_opaque was not issued by this model. Function call is missing", {}, {}, "proof"),
    ("chat", "prompt token count of 9 exceeds the limit of 8", {}, {}, None),
    ("chat", "Invalid value for 'tools': expected an array with maximum length 128", {}, {}, None),
    ("chat", "messages must be a non-empty array", {}, {}, None),
    ("chat", "Must be positive.", {"param": "seed"}, {}, None),
    ("messages", "tools.0.custom.input_schema.$schema: Extra inputs are not permitted", {},
     {"tools": [{"name": "t", "input_schema": {"$schema": "x"}}]}, "tools[].input_schema.$schema"),
    ("messages", "unsupported beta header(s): context-1m-2025-08-07, b-1", {}, {}, "beta:context-1m-2025-08-07,b-1"),
    ("messages", "max_tokens: Field required", {}, {}, None),
    ("messages", "This model does not support assistant message prefill.", {}, {}, None),
    ("responses", "service_tier is not supported", {"code": "unsupported_value", "param": "service_tier"}, {},
     "service_tier"),
    ("responses", "context_management is not supported", {"param": "context_management"}, {"context_management": []},
     "context_management"),
    ("responses", "Unknown parameter: 'reasoning.context'.", {"param": "reasoning.context"},
     {"reasoning": {"context": "x"}}, "reasoning.context"),
    ("responses", "Unknown parameter: 'input[3].phase'.", {}, {"input": [{"phase": "x", "content": "y"}]},
     "input[].phase"),
    ("responses", "Bad", {"code": "invalid_encrypted_content"}, {}, "proof"),
    ("responses", "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content item_id did "
     "not match the target item id.", {"code": "invalid_request_body"}, {}, "proof"),
    ("responses", "Encrypted content is not supported with this model.", {"param": "include"}, {}, "include"),
    ("responses", "Unsupported value: 'low' is not supported.", {"param": "text.verbosity"}, {}, "text.verbosity"),
    ("responses", "previous_response_id is not supported", {}, {"previous_response_id": "r"}, None),
    ("responses", "Unknown parameter: 'input[0]'.", {}, {}, None),
    ("responses", "Invalid value: 'custom'.", {"param": "tools[0].type"}, {}, None),
    ("responses", "Invalid value: 'x'.", {"param": "metadata.plan"}, {}, None),
    ("responses", "No tool output found for function call call_1.", {"param": "input"}, {}, None),
)  # fmt: skip


@rows("side")
@pytest.mark.parametrize(("side", "words", "beside", "more", "name"), RECORDED)
def test_what_was_recorded_of_one_endpoint(
    side: str, words: str, beside: dict[str, str], more: dict[str, Any], name: str | None
) -> None:
    request = UpstreamRequest(json.dumps(SIDES[side] | more).encode(), headers={"anthropic-beta": "b-1"})
    found = next(repairs(400, told(words, **beside), request), None)
    assert (found.name if found else None) == name


@each_side
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_only_a_refused_request_is_repaired(side: str, status: int) -> None:
    assert first(side, told("Unknown parameter: 'seed'."), status) is None
    assert first(side, told("Unknown parameter: 'seed'."), 422) == Repair("seed")


@pytest.mark.parametrize(
    ("content", "lasts"),
    [
        (told("Internal server error"), False),
        (b'{"error": {}}', False),
        (b"", False),
        (told("Tools of type 'custom' are not supported with this model."), True),
        (told("Invalid value: 'custom'.", param="tools[0].type"), True),
    ],
)
def test_a_failure_is_held_against_free_text_tools_only_if_it_names_them(content: bytes, lasts: bool) -> None:
    body = {"model": "m", "input": "hi", "tools": [{"type": "custom", "name": "patch"}]}
    request = UpstreamRequest(json.dumps(body).encode())
    assert list(repairs(500, content, request)) == [Repair("type:custom", lasts=lasts)]


@each_side
def test_a_page_and_nonsense_name_nothing(side: str) -> None:
    for content in (b"", b"[1]", b"null", b"\xff", b"<html>seed is not supported</html>", b'{"error":{"message":7}}'):
        assert first(side, content) is None


@each_side
def test_a_limit_gets_its_other_name_where_there_is_one(side: str) -> None:
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    found = first(side, told(words, "unsupported_parameter", "max_tokens"))
    if side == "responses":
        assert found is None
        return
    assert found is not None
    body = amended(SIDES[side], frozenset({found.name}), Losses())
    assert body["max_completion_tokens"] == SIDES[side]["max_tokens"]
    assert "max_tokens" not in body


@rows("side")
@each_side
@pytest.mark.parametrize(("words", "names"), LASTING + PASSING)
def test_every_repair_changes_what_is_sent_and_names_it(side: str, words: str, names: Names) -> None:
    name = expected(names, side)
    if name is None or name in ANOTHER_WAY or name.startswith("beta:"):
        return
    losses = Losses()
    body = amended(SIDES[side], frozenset({name}), losses)
    assert body != SIDES[side]
    assert losses.names() == [name.partition("=")[0]]
    for essential in ("model", "messages", "input"):
        assert len(body.get(essential, "")) == len(SIDES[side].get(essential, ""))


@rows()
@pytest.mark.parametrize("pattern", [row.text for row in refusal_words.WORDINGS], ids=lambda one: one[:40])
def test_no_pattern_repeats_without_bound(pattern: str) -> None:
    """What it searches is bounded too, so that no refusal, whoever's words it quotes, holds up a worker."""
    unbounded = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", pattern)
    assert not re.search(r"[*+](?!\?<)", unbounded.replace("}+", "}"))
    assert ",}" not in unbounded


@each_side
def test_upstreams_text_is_cut_before_it_is_searched(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    monkeypatch.setattr(refusal, "refused_value", lambda text: searched.append(len(text)))
    monkeypatch.setattr(refusal, "is_about_support", lambda text: searched.append(len(text)))
    for words in ("a" * 200_000, "thinking blocks " * 20_000, "'a " * 50_000, "{" * 100_000):
        first(side, told(words, param="x"))
        first(side, words.encode())
    assert searched
    assert max(searched) <= LONGEST_WORDS


SCHEMA: dict[str, Any] = {"type": "object", "properties": {"pears": {"type": "string"}}}
FORMS: dict[str, dict[str, Any]] = {
    "chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
    "messages": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}, "max_tokens": 99},
    "responses": {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
}


@pytest.mark.parametrize("client", PROTOCOLS)
def test_a_form_of_the_answer_that_is_refused_is_asked_for_in_words(client: str) -> None:
    """What upstream will not do is done here: without any word of it the answer would be prose."""
    said = {"input": "hi"} if client == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    exchange = exchange_between(client, "chat", {"model": "m", **said, **FORMS[client]})
    prepared = exchange.payload()
    assert "response_format" in json.loads(prepared.body)
    words = told("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.")
    found = refusal.next_try(exchange, frozenset(), prepared, 400, words)
    assert found is not None
    body = json.loads(found[2].body)
    assert "response_format" not in body
    assert "pears" in json.dumps(body["messages"][0])
    assert not can_be_remembered(found[0].name, prepared, words)


def test_a_model_that_always_thinks_is_not_kept_from_thinking() -> None:
    """That it cannot be switched off is learned as that, not as a model that does not think."""
    found = first("messages", told('"thinking.type.disabled" is not supported for this model.'))
    assert found is not None
    body = {"model": "m", "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}]}
    for thinking, kept in (({"type": "disabled"}, False), ({"type": "adaptive"}, True)):
        exchange = exchange_between("messages", "messages", {**body, "thinking": thinking})
        assert ("thinking" in json.loads(exchange.payload(frozenset({found.name})).body)) is kept
