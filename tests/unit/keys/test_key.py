"""A key and its limits as values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.keys.admission import duration
from app.keys.key import (
    Budget,
    Key,
    Limits,
    Period,
    Unit,
    digest_of,
    is_key_name,
    looks_like_key,
    moment,
    new_secret,
    told,
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("per", "now", "begins", "ends"),
    [
        ("day", "2026-11-30T23:59:59", "2026-11-30", "2026-12-01"),
        ("day", "2026-12-01T00:00:00", "2026-12-01", "2026-12-02"),
        ("month", "2026-11-30T23:59:59", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31T12:00:00", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T00:00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_periods_begin_and_end_by_utc(per: Period, now: str, begins: str, ends: str) -> None:
    budget = Budget(1, "tokens", per)
    assert (budget.begins(at(now)), budget.ends(at(now))) == (at(begins), at(ends))


def test_a_total_never_ends() -> None:
    budget = Budget(1, "tokens", "total")
    assert (budget.begins(at("2026-11-30")), budget.ends(at("2026-11-30"))) == (0, None)


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (5 * 10**9, "credits", "5"),
        (5 * 10**9 + 1, "credits", "5.000000001"),
        (300_000_000, "credits", "0.3"),
        (330, "premium_requests", "0.33"),
        (7, "tokens", "7"),
        (0, "credits", "0"),
    ],
)
def test_amounts_are_told_exactly(amount: int, unit: Unit, text: str) -> None:
    assert told(amount, unit) == text


def test_a_budget_in_words_and_as_json() -> None:
    assert Budget.of(2.5, "credits", "day").words == "2.5 credits per day"
    assert Budget.of(300, "premium_requests", "total").words == "300 premium requests in total"
    assert Budget.of(2.5, "credits", "day").as_json() == {"amount": 2.5, "unit": "credits", "per": "day"}
    assert Budget.of(3, "tokens", "day").as_json()["amount"] == 3


@pytest.mark.parametrize(
    ("patterns", "model", "admitted"),
    [
        ((), "anything", True),
        (("gpt-*",), "gpt-5.4", True),
        (("GPT-*",), "gpt-5.4", True),
        (("gpt-*",), "claude-opus-4.6", False),
        (("claude-*-haiku-*", "gpt-4.1"), "gpt-4.1", True),
        (("gpt-4.1",), "gpt-4.1-mini", False),
        (("gpt-[45]*",), "gpt-4o", True),
    ],
)
def test_patterns_of_models(patterns: tuple[str, ...], model: str, admitted: bool) -> None:
    assert Limits(models=patterns).admits(model) is admitted


def test_a_secret_is_new_each_time_and_is_recognised() -> None:
    one, other = new_secret(), new_secret()
    assert one != other
    assert looks_like_key(one)
    assert len(digest_of(one)) == 64
    for text in ("", "cb-", "sk-" + one[3:], one + "x", one[:-1], one[:-1] + "é", " " + one):
        assert not looks_like_key(text)


@pytest.mark.parametrize("name", ["alice", "team-a.ci_2", "a@example.com", "9"])
def test_names(name: str) -> None:
    assert is_key_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "é", "a" * 65, "default", "0123abcd", None, 5, ["a"], "a\n"])
def test_no_names(name: object) -> None:
    assert not is_key_name(name)


def test_states() -> None:
    key = Key(id="1", name="a", prefix="cb-", digest="")
    assert key.state(100) == "active"
    assert Key(id="1", name="a", prefix="", digest="", expires_at=100).state(100) == "expired"
    assert Key(id="1", name="a", prefix="", digest="", expires_at=101).state(100) == "active"
    assert Key(id="1", name="a", prefix="", digest="", expires_at=1, revoked_at=5).state(100) == "revoked"


def test_neither_a_key_nor_its_hash_is_in_what_is_shown_of_it() -> None:
    assert "d1gest" not in repr(Key(id="1", name="a", prefix="", digest="d1gest"))


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1s"), (59, "59s"), (60, "1m0s"), (3723, "1h2m3s"), (-5, "0s")])
def test_durations_as_openai_tells_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_moments() -> None:
    assert moment(at("2026-12-01")) == "2026-12-01T00:00:00Z"
