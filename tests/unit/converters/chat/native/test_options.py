"""Options of native chat requests within what the model takes (client notes §0.8)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.chat.native.options import normalize_options
from app.converters.chat.native.request import prepare
from app.converters.codec import NativeRequest
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits

GPT = ModelLimits(model="gpt-4.1", vendor="OpenAI", max_output_tokens=16384)
GPT5 = ModelLimits(model="gpt-5", vendor="OpenAI", max_output_tokens=64000, reasoning_effort=("low", "medium", "high"))
THINKS = ModelLimits(model="claude", vendor="Anthropic", max_thinking_budget=32000)
UNKNOWN = ModelLimits(model="new")


@pytest.mark.parametrize(
    ("limits", "given", "expected", "dropped"),
    [
        (GPT, {"max_tokens": 64000}, {"max_tokens": 16384}, []),
        (GPT, {"max_completion_tokens": 64000}, {"max_completion_tokens": 16384}, []),
        (GPT, {"max_tokens": 1}, {"max_tokens": 1}, []),
        (GPT, {"max_tokens": -1}, {"max_tokens": -1}, []),  # for upstream to say
        (GPT, {"max_tokens": True}, {"max_tokens": True}, []),
        (GPT, {"reasoning_effort": "high"}, {}, ["reasoning_effort"]),
        (GPT5, {"reasoning_effort": "high"}, {"reasoning_effort": "high"}, []),
        (THINKS, {"reasoning_effort": "high"}, {"reasoning_effort": "high"}, []),  # lists none; upstream may know
        (GPT5, {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}, []),
        (GPT5, {"reasoning_effort": "xhigh"}, {"reasoning_effort": "high"}, []),
        (GPT5, {"reasoning_effort": "odd"}, {"reasoning_effort": "odd"}, []),
        (GPT5, {"reasoning_effort": None}, {"reasoning_effort": None}, []),
        (
            UNKNOWN,
            {"reasoning_effort": "high", "max_tokens": 10**9},
            {"reasoning_effort": "high", "max_tokens": 10**9},
            [],
        ),
        (GPT, {"stream_options": {"include_usage": True}}, {}, ["stream_options"]),
        (GPT, {"functions": []}, {}, ["functions"]),
        (GPT, {"functions": [], "function_call": "auto"}, {}, ["functions", "function_call"]),
        (GPT, {"stop": []}, {}, ["stop"]),
        (GPT, {"stop": ""}, {}, ["stop"]),
        (GPT, {"stop": ["", "x"]}, {"stop": ["x"]}, []),
        (GPT, {"stop": ["\n"]}, {"stop": ["\n"]}, []),
        (
            GPT,
            {"stream_options": {"include_usage": True}, "stream": True},
            {"stream_options": {"include_usage": True}, "stream": True},
            [],
        ),
    ],
)
def test_options_within_what_the_model_takes(
    limits: ModelLimits, given: dict[str, Any], expected: dict[str, Any], dropped: list[str]
) -> None:
    body = {"messages": [], **given}
    losses = Losses()
    normalized = normalize_options(body, limits, losses)
    assert normalized == {"messages": [], **expected}
    assert losses.names() == dropped
    assert (normalized is body) is (given == expected)


def test_all_else_keeps_its_place_and_its_digits() -> None:
    raw = b'{"seed":12345678901234567890123,"max_tokens":64000,"model":"a","messages":[]}'
    prepared = prepare(
        NativeRequest(
            raw=raw, body=json.loads(raw), model="gpt-4.1", limits=GPT, inlined={}, headers={}, refused=frozenset()
        )
    )
    assert prepared.body == raw.replace(b"64000", b"16384").replace(b'"a"', b'"gpt-4.1"')


def test_what_was_left_out_is_named() -> None:
    body = {"model": "gpt-4.1", "messages": [], "store": True, "reasoning_effort": "low"}
    prepared = prepare(
        NativeRequest(
            raw=json.dumps(body).encode(),
            body=body,
            model="gpt-4.1",
            limits=GPT,
            inlined={},
            headers={},
            refused=frozenset(),
        )
    )
    assert json.loads(prepared.body) == {"model": "gpt-4.1", "messages": []}
    assert prepared.dropped == ("reasoning_effort", "store")
    assert body["reasoning_effort"] == "low"
