"""A conversation keeps its key through all its turns; nothing that a client sends makes that fail."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.neutral.conversation_key import conversation_key

ASKED = {"role": "user", "content": "What is a monad?"}


def test_later_turns_belong_to_the_same_conversation_in_any_form() -> None:
    first = conversation_key({}, {"messages": [ASKED]})
    longer = [{"role": "system", "content": "x"}, ASKED, {"role": "assistant", "content": "…"}, {"role": "user"}]
    assert len(first) == 16
    assert conversation_key({}, {"messages": longer}) == first
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "a monad?"}]}]
    assert conversation_key({}, {"messages": parts}) == first
    assert conversation_key({}, {"input": "What is a monad?"}) == first
    assert conversation_key({}, {"input": [ASKED]}) == first


def test_others_do_not() -> None:
    assert conversation_key({}, {"input": "A"}) != conversation_key({}, {"input": "B"})


def test_what_a_client_calls_it_goes_first() -> None:
    named = conversation_key({"x-session-id": "s1"}, {"messages": [ASKED]})
    assert named == conversation_key({"x-session-id": "s1"}, {"input": "something else"})
    assert named != conversation_key({"x-session-id": "s2"}, {"messages": [ASKED]})
    cached = conversation_key({}, {"prompt_cache_key": "c", "input": "x"})
    assert cached == conversation_key({}, {"prompt_cache_key": "c", "input": "y"}) != named


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": None},
        {"messages": 7},
        {"messages": {"role": "user"}},
        {"messages": [[], "x", None]},
        {"messages": [{"role": ["user"], "content": "x"}]},
        {"messages": [{"role": "user", "content": {"text": "x"}}]},
        {"messages": [{"role": "user", "content": [7, None, {"text": []}]}]},
        {"prompt_cache_key": ["x"], "input": []},
    ],
)
def test_what_tells_nothing_has_none(body: dict[str, Any]) -> None:
    assert conversation_key({}, body) == b""


def test_half_an_emoji_is_no_failure() -> None:
    assert conversation_key({}, {"input": "\ud83d"})
