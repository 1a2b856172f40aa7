"""One session of Claude Code is one key for the prompt cache of another vendor's model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.registry import CLIENTS
from tests.support.exchanges import exchange_between, sent

DEVICE = "d" * 64
ONE, OTHER = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
FORMS = {
    "as JSON": lambda session: json.dumps({"device_id": DEVICE, "account_uuid": "", "session_id": session}),
    "as JSON with more": lambda session: json.dumps({"session_id": session, "x": [1]}),
    "as text": lambda session: f"user_{DEVICE}_account__session_{session}",
    "as text with an account": lambda session: f"user_{DEVICE}_account_{ONE}_session_{session}",
}


def key_of(user: Any, upstream: str, text: str = "hi") -> str | None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    found: str | None = sent(exchange_between("messages", upstream, {**body, "metadata": {"user_id": user}})).get(
        "prompt_cache_key"
    )
    return found


@pytest.mark.parametrize("upstream", ["chat", "responses"])
@pytest.mark.parametrize("form", FORMS)
def test_the_key_is_the_sessions_alone(form: str, upstream: str) -> None:
    one, again, other = (
        key_of(FORMS[form](session), upstream, text) for session, text in ((ONE, "a"), (ONE, "b"), (OTHER, "a"))
    )
    assert one
    assert one == again != other
    assert len(one) <= 64
    assert DEVICE[:16] not in one
    assert ONE not in one


def test_all_forms_of_one_session_have_one_key() -> None:
    assert len({key_of(form(ONE), "responses") for form in FORMS.values()}) == 1


@pytest.mark.parametrize(
    "user", ["someone", DEVICE, "{}", "[]", '{"session_id": ""}', '{"session_id": 5}', "a session_", "my session"]
)
def test_without_a_session_there_is_no_key(user: str) -> None:
    assert key_of(user, "responses") is None


def test_no_metadata_is_no_key() -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
    assert CLIENTS["messages"].decode_request(body).prompt_cache_key is None
