"""What a request may go without, and what of it may be remembered for everybody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.codec import UpstreamRequest
from app.converters.removable import LONGEST_NAME, can_be_remembered, can_go, is_rememberable
from tests.support.rows import rows

TOOL = {"name": "t", "input_schema": {"type": "object", "$schema": "x"}, "strict": True}
BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "name": "a", "content": [{"type": "text", "text": "hi", "mood": 1}]}],
    "input": [{"type": "message", "content": "x", "phase": "y"}],
    "tools": [TOOL],
    "text": {"format": {"type": "json_schema", "schema": {}}, "verbosity": "low"},
    "reasoning": {"effort": "low"},
    "output_config": {"effort": "low", "format": {}},
    "thinking": {"type": "enabled"},
    "temperature": 1,
    "top_p": 1,
    "seed": 1,
    "max_tokens": 1,
    "n": 1,
    "response_format": {"type": "json_object"},
    "metadata": {"user_id": "u", "plan": "p"},
}
EXTRA = "{}: Extra inputs are not permitted"


def sent(**more: Any) -> UpstreamRequest:
    return UpstreamRequest(json.dumps(BODY | more).encode(), headers={"anthropic-beta": "b-1"})


def told(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


@pytest.mark.parametrize(
    "name",
    [
        "seed",
        "reasoning.effort",
        "messages[].name",
        "messages[].content[].mood",
        "messages.content.text.mood",
        "tools.custom.strict",
        "tools[].strict",
        "tools.custom.input_schema.$schema",
        "input[].phase",
        "text.verbosity",
        "response_format",
        "max_tokens",
        "thinking.adaptive",
        "beta:b-1",
    ],
)
def test_a_request_may_go_without_what_means_little_and_is_there(name: str) -> None:
    assert can_go(name, sent())


@rows()
@pytest.mark.parametrize(
    "name",
    [
        "messages",
        "messages.content",
        "messages[].content",
        "messages[].role",
        "messages.content.text",
        "tools",
        "tools.input_schema",
        "tools.name",
        "tools[].type",
        "tools.input_schema.properties",
        "input",
        "input[].content",
        "input.content",
        "text.format",
        "text.format.schema",
        "model",
        "system",
        "instructions",
        "stream",
        "",
        "[]",
        "..",
        ".".join(["messages"] * 1000),
    ],
)
def test_a_request_never_goes_without_what_it_is_made_of(name: str) -> None:
    assert not can_go(name, sent())


@pytest.mark.parametrize("name", ["frequency_penalty", "reasoning.context", "messages[].weight", "plan", "user_id"])
def test_what_the_request_does_not_have_cannot_go(name: str) -> None:
    assert not can_go(name, sent())


def test_a_beta_can_go_only_if_one_was_sent() -> None:
    assert not can_go("beta:b-1", UpstreamRequest(sent().body))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seed", EXTRA.format("seed")),
        ("temperature", "Unsupported parameter: 'temperature' is not supported with this model."),
        ("metadata.plan", EXTRA.format("metadata.plan")),
        ("output_config.effort", "This model does not support the effort parameter."),
        ("thinking.adaptive", "adaptive thinking is not supported on this model"),
        ("top_p", "Unsupported value: 'top_p' does not support 0.2. Only the default (1) value is supported."),
        ("beta:b-1", "unsupported beta header(s): b-1"),
        ("seed", "Unrecognized request argument supplied: seed"),
    ],
)
def test_a_field_that_the_model_does_not_take_is_remembered(name: str, message: str) -> None:
    assert can_be_remembered(name, sent(), told(message))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("temperature", "`temperature` may only be set to 1 when thinking is enabled."),
        ("top_p", "`temperature` and `top_p` cannot both be specified for this model."),
        ("reasoning.effort", "Unsupported value: 'minimal' is not supported with the 'gpt-5.5' model."),
        ("output_config.effort", "output_config.effort: Input should be 'medium'"),
        ("seed", "Invalid value for 'seed': 'x' is not supported"),
        ("temperature", "'temperature' is not supported together with thinking"),
    ],
)
def test_one_clients_bad_value_is_nothing_to_remember(name: str, message: str) -> None:
    assert not can_be_remembered(name, sent(), told(message))


NEVER = (
    "model messages input tools text max_tokens n response_format messages.content messages[].name tools.custom.strict "
    "text.verbosity output_config.format max_completion_tokens max_output_tokens tool_choice stream "
    "stream_options.include_usage"
)


@pytest.mark.parametrize("name", NEVER.split())
def test_conversation_tools_and_form_of_the_answer_are_never_remembered(name: str) -> None:
    assert not is_rememberable(name)
    assert not can_be_remembered(name, sent(), told(EXTRA.format(name)))


@pytest.mark.parametrize(
    "name",
    ["a" * (LONGEST_NAME + 1), "a b", "x.", ".x", "a..b", "0", "a\n", "ä", "beta:", "beta:a b", "beta:" + "b" * 200],
)
def test_only_plain_and_short_names_are_remembered(name: str) -> None:
    assert not is_rememberable(name)


@pytest.mark.parametrize(
    "key", ["metadata.plan", "x seed", "seed ", "messages.0.content", "unsupported parameter: 'seed'", ""]
)
def test_a_request_with_invented_fields_teaches_nothing(key: str) -> None:
    assert not can_be_remembered("seed", sent(**{key: 1}), told(EXTRA.format("seed")))
    assert not can_be_remembered("metadata.plan", sent(**{key: 1}), told(EXTRA.format("metadata.plan")))


def test_words_that_the_request_itself_holds_may_be_a_quotation() -> None:
    quoted = "Unsupported parameter: 'temperature'"
    refusal = told(f"temperature: got '{quoted}'")
    assert can_be_remembered("temperature", sent(), refusal)
    assert not can_be_remembered("temperature", sent(temperature=quoted), refusal)


def test_a_body_that_is_no_object_has_nothing() -> None:
    for raw in (b"", b"[1]", b"{"):
        assert not can_go("seed", UpstreamRequest(raw))
        assert not can_be_remembered("seed", UpstreamRequest(raw), told(EXTRA.format("seed")))


@pytest.mark.parametrize(
    "shape",
    [
        lambda words: {"error": {"message": words}},
        lambda words: {"error": {"message": words, "type": "invalid_request_error", "param": "seed", "code": ""}},
        lambda words: {"error": {"message": words, "type": "invalid_request_error", "code": "invalid_request_body"}},
        lambda words: {"type": "error", "error": {"type": "invalid_request_error", "message": words}},
        lambda words: {"message": words},
        lambda words: {"error": {"message": json.dumps({"error": {"message": words, "type": "invalid_request"}})}},
    ],
)
def test_what_stands_around_the_words_does_not_keep_them_from_being_remembered(shape: Any) -> None:
    """Both vendors call every refusal an invalid request."""
    for words, is_kept in ((EXTRA.format("seed"), True), ("Invalid 'seed': must be a number", False)):
        assert can_be_remembered("seed", sent(), json.dumps(shape(words)).encode()) is is_kept


def test_a_code_may_say_it_alone() -> None:
    told_by_code = {"error": {"message": "Bad request.", "code": "unsupported_parameter", "param": "seed"}}
    assert can_be_remembered("seed", sent(), json.dumps(told_by_code).encode())
