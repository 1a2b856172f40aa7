"""What a refusal of the chat endpoint names, so that one retry without it may succeed (contract §10.3, §10.4)."""

from __future__ import annotations

import json

import pytest

from app.converters.chat import native
from app.converters.chat.refusals import named_refusal, without_refused
from app.converters.limits import Limits
from app.converters.losses import Losses


def refused(message: str, **more: str) -> str | None:
    return named_refusal(400, json.dumps({"error": {"message": message, **more}}).encode())


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Unsupported parameter: 'temperature' is not supported with this model.", "temperature"),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'.",
            "max_tokens",
        ),
        (
            "Unsupported value: 'top_p' does not support 0.2 with this model. Only the default (1) value is supported.",
            "top_p",
        ),
        (
            "Unsupported value: 'minimal' is not supported with the 'gpt-5.5' model. Supported values are: 'low'.",
            "reasoning_effort",
        ),
        ("Unrecognized request argument supplied: logit_bias", "logit_bias"),
        ("Unknown parameter: 'prompt_cache_retention'.", "prompt_cache_retention"),
        ("store is not supported", "store"),
        ("context_management: Extra inputs are not permitted", "context_management"),
        ("messages.3.name: Extra inputs are not permitted", "messages[].name"),
        ("messages[12].copilot_cache_control: Extra inputs are not permitted", "messages[].copilot_cache_control"),
        ("tools.0.function.strict: Extra inputs are not permitted", "tools[].function.strict"),
        ("Invalid value for 'tool_choice': 'required' is not supported", "tool_choice"),
        ("messages.1.content.0: Invalid `signature` in `thinking` block", "proof"),
        ("messages[1]: reasoning_opaque was not issued by this model. Function call is missing", "proof"),
        ("The encrypted content gAAA could not be verified.", "proof"),
        ("The requested model is not supported.", None),
        ("prompt token count of 9 exceeds the limit of 8", None),
        ("messages.1: text content blocks must be non-empty", None),
        ("messages.1.content: Extra inputs are not permitted", None),
        ("Invalid value for 'tools': expected an array with maximum length 128", None),
        ("messages must be a non-empty array", None),
    ],
)
def test_named(message: str, name: str | None) -> None:
    assert refused(message) == name


def test_param_helps_where_the_text_is_vague() -> None:
    assert refused("This field is not supported.", param="seed") == "seed"
    assert refused("The requested model is not supported.", param="model") is None
    assert refused("Must be positive.", param="seed") is None


def test_bodies_of_other_shapes() -> None:
    assert named_refusal(400, b"store is not supported\n") == "store"
    assert named_refusal(400, b'{"message":"thinking: Extra inputs are not permitted"}') == "thinking"
    assert named_refusal(400, b'{"error":"store is not supported"}') == "store"
    inner = json.dumps({"error": {"message": "store is not supported"}})
    assert refused(inner) == "store"
    assert named_refusal(400, b"") is None
    assert named_refusal(400, b"[1]") is None
    assert named_refusal(422, b"store is not supported") is None


def test_exactly_what_is_named_goes() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "name": "a", "tool_calls": [{"x": 1, "y": 2}]}, {"role": "user"}],
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "seed": 1,
        "max_tokens": 5,
    }
    names = frozenset(
        {"seed", "model", "max_tokens", "proof", "messages[].name", "messages[].tool_calls[].x"}
        | {"stream_options.include_obfuscation", "absent", "messages[].absent.deep"}
    )
    losses = Losses()
    assert without_refused(body, names, losses) == {
        "model": "m",
        "messages": [{"role": "user", "tool_calls": [{"y": 2}]}, {"role": "user"}],
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
    }
    assert set(losses.names()) == {
        "seed",
        "messages[].name",
        "messages[].tool_calls[].x",
        "stream_options.include_obfuscation",
    }


def test_natively_too_what_is_named_goes_wherever_it_stands() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x", "mood": "glad"}], "seed": 1, "user": "u"}
    prepared = native.prepare(
        json.dumps(body).encode(),
        body,
        model="m",
        limits=Limits(),
        inlined={},
        headers={},
        refused=frozenset({"messages[].mood", "seed", "messages[].absent"}),
    )
    assert json.loads(prepared.body) == {"model": "m", "messages": [{"role": "user", "content": "x"}], "user": "u"}
    assert set(prepared.dropped) == {"messages[].mood", "seed"}
