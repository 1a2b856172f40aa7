"""What the catalogue tells of a model decides, by one rule for all endpoints and for both ways."""

from __future__ import annotations

import pytest

from app.converters.neutral.model_limits import ModelLimits
from app.routing import Model
from tests.support.exchanges import exchange_between, sent


@pytest.mark.parametrize(
    ("vendor", "name", "is_openai"),
    [
        ("OpenAI", "gpt-4.1", True),
        ("openai", "x", True),
        ("Azure OpenAI", "x", True),
        ("Azure OpenAI Service", "gpt-5", True),
        ("Anthropic", "gpt-like", False),
        ("Google", "gemini", False),
        ("", "gpt-9", True),
        ("", "o3-mini", True),
        ("", "codex-1", True),
        ("", "claude-9", False),
        ("", "foo", False),
    ],
)
def test_whose_model_it_is(vendor: str, name: str, is_openai: bool) -> None:
    assert ModelLimits.of({"id": name, "vendor": vendor}).is_openai is is_openai
    assert Model(id=name, vendor=vendor, raw={}).is_openai is is_openai
    role = "developer" if is_openai else "system"
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    body = {"model": name, "messages": messages}
    limits = ModelLimits.of({"id": name, "vendor": vendor})
    for may_pass in (True, False):
        exchange = exchange_between("chat", "chat", body, limits=limits, may_pass=may_pass)
        assert sent(exchange)["messages"][0]["role"] == role


@pytest.mark.parametrize(
    ("entry", "reasons"),
    [
        ({"id": "gpt-4.1"}, False),
        ({"id": "gpt-5"}, True),
        ({"id": "gpt-10-mini"}, True),
        ({"id": "o4-mini"}, True),
        ({"id": "codex-mini"}, True),
        ({"id": "x", "capabilities": {"family": "gpt-5"}}, True),
        ({"id": "x", "capabilities": {"supports": {"reasoning_effort": ["low"]}}}, True),
        ({"id": "claude-sonnet-4.5"}, False),
        ({}, False),
    ],
)
def test_whether_it_reasons(entry: dict[str, object], reasons: bool) -> None:
    assert ModelLimits.of(entry).reasons() is reasons
    assert ModelLimits().reasons("gpt-5")
