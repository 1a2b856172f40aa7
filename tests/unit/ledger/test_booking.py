"""What is kept of a call, and what it says it cost."""

from __future__ import annotations

from typing import Any

import pytest

from app.ledger.booking import Booking, booking_of, outcome_of
from app.ledger.sums import by_day
from app.reply import Ended, Record

NANO = 10**9
PRICED = {"billing": {"token_prices": {"default": {"input_price": 250, "cache_price": 25, "output_price": 1500}}}}
BY_REQUEST = {"billing": {"multiplier": 0.33, "is_premium": True}}


def ended(status: int = 200, **facts: Any) -> Ended:
    record = Record(
        "r-1", protocol="chat", upstream="chat", model="gpt-x", served_model="gpt-x", initiator="user", sent="answered"
    )
    for name, value in facts.items():
        setattr(record, name, value)
    return Ended(record, "POST", "/v1/chat/completions", status, "127.0.0.1", "claude-cli", 1_796_000_000.0, 1500)


def booked(status: int = 200, **facts: Any) -> Booking:
    return booking_of(ended(status, **facts), account="octocat", secret=b"secret")


USAGE = {"input_tokens": 1000, "cached_input_tokens": 400, "output_tokens": 10, "total_tokens": 1010}


@pytest.mark.parametrize(
    ("facts", "nano", "is_estimated"),
    [
        ({"nano_credits": 70_721_925_000, "entry": PRICED, "usage": USAGE}, 70_721_925_000, False),
        ({"nano_credits": 0, "entry": PRICED, "usage": USAGE}, 0, False),
        ({"nano_credits": 5, "is_partial": True}, 5, True),
        ({"entry": PRICED, "usage": USAGE}, 600 * 250_000 + 400 * 25_000 + 10 * 1_500_000, True),
        ({"entry": {"id": "gpt-5-mini"}, "usage": USAGE}, 600 * 25_000 + 400 * 2_500 + 10 * 200_000, True),
        ({"entry": {"id": "gpt-5-mini"}, "usage": USAGE, "nano_credits": 7}, 7, False),
        ({"entry": {"id": "gpt-5-mini", **BY_REQUEST}, "usage": USAGE}, None, False),
        ({"entry": {"id": "gpt-9"}, "usage": USAGE}, None, False),
        ({"entry": PRICED, "usage": None}, None, False),
        ({"entry": None, "usage": USAGE}, None, False),
        ({"entry": PRICED, "usage": {}, "sent": "asked"}, None, False),
        ({"entry": PRICED, "sent": "refused"}, 0, False),
        ({"entry": PRICED, "sent": "no"}, 0, False),
        ({"nano_credits": 10**23}, None, False),
    ],
)
def test_cost(facts: dict[str, Any], nano: int | None, is_estimated: bool) -> None:
    found = booked(**facts)
    assert (found.nano_credits, found.is_estimated) == (nano, is_estimated)


@pytest.mark.parametrize(
    ("facts", "milli"),
    [
        ({"entry": BY_REQUEST}, 330),
        ({"entry": BY_REQUEST, "initiator": "agent"}, 0),
        ({"entry": BY_REQUEST, "sent": "refused"}, 0),
        ({"entry": PRICED}, None),
        ({"entry": None}, None),
    ],
)
def test_premium_requests(facts: dict[str, Any], milli: int | None) -> None:
    assert booked(**facts).premium_milli == milli


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (None, 200, "finished"),
        ("model_not_found", 404, "refused"),
        ("upstream_error", 200, "cut"),
        ("client_gone", 200, "client_gone"),
        ("client_gone", 499, "client_gone"),
        ("restarting", 200, "stopped"),
        ("restarting", 503, "stopped"),
    ],
)
def test_outcome(error: str | None, status: int, expected: str) -> None:
    assert outcome_of(error, status) == expected


def test_texts_of_others_are_what_any_database_holds() -> None:
    found = booked(model="a\0b\ud800" + "x" * 500, error="e\n" * 100, key="schlüssel-鍵")
    assert found.model.startswith("a?b?xx")
    assert len(found.model) == 100
    assert len(found.error) == 60
    assert found.key == "schlüssel-鍵"


def test_a_name_that_is_no_models_stands_for_no_model() -> None:
    assert booked(served_model="made-up", entry=None).served_model == ""


def test_a_conversation_is_told_apart_and_cannot_be_guessed() -> None:
    one, other = booked(conversation=b"1" * 16), booked(conversation=b"2" * 16)
    elsewhere = booking_of(ended(conversation=b"1" * 16), account="octocat", secret=b"another")
    assert len({one.conversation, other.conversation, elsewhere.conversation}) == 3
    assert booked(conversation=b"1" * 16).conversation == one.conversation
    assert booked().conversation == ""


def test_the_sums_of_a_day_are_those_of_its_calls() -> None:
    calls = [
        booked(nano_credits=3, usage=USAGE, first_byte_ms=40),
        booked(entry=PRICED, usage=USAGE),
        booked(status=404, sent="refused", error="model_not_found"),
        booked(sent="asked", error="client_gone"),
    ]
    days = by_day(calls)
    sums = {name: sum(one[name] for one in days.values()) for name in next(iter(days.values()))}
    assert {day[0] for day in days} == {"2026-11-30"}
    assert sums["calls"] == 4
    assert sums["failed_calls"] == 1
    assert sums["exact_nano"] == 3
    assert sums["estimated_nano"] == 175_000_000
    assert sums["calls_of_unknown_cost"] == 1
    assert (sums["input_tokens"], sums["first_bytes"], sums["first_byte_ms"]) == (2000, 1, 40)
