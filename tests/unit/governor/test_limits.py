"""What Copilot says of limits: read from any refusal, kept for the scope and the time that it names, told to all."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from app.converters.wire.named_limit import NamedLimit, named_limit
from app.errors import StoreError
from app.governor.limits import Asks, Closed, LimitClock, LimitedError, in_words
from app.store import Store
from tests.unit.governor.conftest import Clock, Opener

NOW = Clock.now
DAY = 86_400


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


def read(status: int, code: str = "", **headers: str) -> NamedLimit | None:
    body = orjson.dumps({"error": {"message": "Sorry, …", "code": code}})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return named_limit(status, named, body, now=NOW)


@pytest.mark.parametrize(
    ("code", "headers", "scope"),
    [
        ("user_model_rate_limited", {}, "model"),
        ("model_overloaded", {}, "model"),
        ("rate_limited", {}, "model"),
        ("", {}, "model"),
        ("something_new", {}, "model"),
        ("upstream_provider_rate_limit", {}, "vendor"),
        ("agent_mode_limit_exceeded", {}, "agent"),
        ("user_global_rate_limited", {}, "account"),
        ("user_global_rate_limited:enterprise", {}, "account"),
        ("user_weekly_rate_limited", {}, "account"),
        ("integration_rate_limited", {}, "account"),
        ("extension_blocked", {}, "account"),
        ("rate_limited", {"x_ratelimit_exceeded": "user:global-usage-5-hour-key:1"}, "account"),
        ("", {"x_ratelimit_exceeded": "user:weekly:1"}, "account"),
        ("user_model_rate_limited", {"x_ratelimit_exceeded": "user:global-usage-5-hour-key:1"}, "model"),
    ],
)
def test_the_scope_is_the_narrowest_that_is_sure(code: str, headers: dict[str, str], scope: str) -> None:
    found = read(429, code, retry_after="7", **headers)
    assert found is not None
    assert (found.scope, found.ends_at, found.is_quota) == (scope, NOW + 7, False)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("208800", 208_800),
        (str(32 * DAY), 32 * DAY),
        (format_datetime(at(90), usegmt=True), 90),
        (at(90).strftime("%a, %d %b %Y %H:%M:%S +0000"), 90),
        # What makes no sense names nothing.
        ("", None),
        ("0", None),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        (str(10**12), None),
        ("9" * 400, None),
        (str(32 * DAY + 1), None),
        (format_datetime(at(-90), usegmt=True), None),
        ("Fri, 01 Jan 2100 00:00:00 GMT", None),
        ("Fri, 99 Jan 2026 00:00:00 GMT", None),
        ("Fri, 01 Jan 99999 00:00:00 GMT", None),
        ("\x00", None),
    ],
)
def test_the_time_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    found = read(429, "rate_limited", retry_after=value)
    assert (found.ends_at - NOW if found else None) == seconds


def test_the_first_sensible_time_counts() -> None:
    found = read(429, "rate_limited", retry_after=str(10**12), x_ratelimit_user_retry_after="9")
    assert found is not None
    assert found.ends_at == NOW + 9


def test_a_window_that_is_empty_names_its_end() -> None:
    ends = at(3 * DAY).isoformat().replace("+00:00", "Z").replace(":", "%3A")
    found = read(429, "user_weekly_rate_limited", x_usage_ratelimit_weekly=f"ent=0&rem=0.0&rst={ends}")
    assert found == NamedLimit("account", NOW + 3 * DAY, "user_weekly_rate_limited")
    assert read(429, "user_weekly_rate_limited", x_usage_ratelimit_weekly=f"ent=0&rem=35.3&rst={ends}") is None
    assert read(429, "user_weekly_rate_limited", x_usage_ratelimit_weekly="rem=0&rst=never") is None


@pytest.mark.parametrize(
    ("status", "code", "headers", "scope"),
    [
        (402, "quota_exceeded", {"retry_after": "60"}, "model"),
        (402, "", {"x_ratelimit_quota_exceeded_retry_after": "60"}, "model"),
        (429, "quota_exceeded", {"retry_after": "60"}, "model"),
        (429, "", {"retry_after": "60", "x_ratelimit_exceeded": "quota_exceeded"}, "model"),
    ],
)
def test_a_quota_is_told_as_one(status: int, code: str, headers: dict[str, str], scope: str) -> None:
    found = read(status, code, **headers)
    assert found is not None
    assert (found.scope, found.ends_at, found.is_quota) == (scope, NOW + 60, True)


@pytest.mark.parametrize(
    ("status", "code", "headers", "is_one"),
    [
        (403, "", {"retry_after": "60"}, True),
        (403, "", {}, False),
        (403, "forbidden", {"x_ratelimit_user_retry_after": "60"}, False),
        (400, "rate_limited", {"retry_after": "60"}, True),
        (400, "invalid_request_body", {"retry_after": "60"}, False),
        (429, "rate_limited", {}, False),
        (402, "quota_exceeded", {}, False),
        (500, "", {"retry_after": "60"}, False),
        (503, "", {"retry_after": "60"}, False),
        (200, "rate_limited", {"retry_after": "60"}, False),
    ],
)
def test_which_refusals_are_limits(status: int, code: str, headers: dict[str, str], is_one: bool) -> None:
    assert (read(status, code, **headers) is not None) == is_one


@pytest.mark.parametrize(
    "body", [b"", b"too many requests\n", b"<html></html>", b"\xff\x00", b'{"error": []}', b"[" * 5000]
)
def test_whatever_the_body_is_the_header_counts(body: bytes) -> None:
    assert named_limit(429, {"Retry-After": "7"}, body, now=NOW) == NamedLimit("model", NOW + 7)


# ── kept, and told ──────────────────────────────────────────────────────────────────────────────────────────────────

GPT = Asks("a", "gpt-5", "OpenAI")
MINI = Asks("b", "gpt-5-mini", "OpenAI")
OPUS = Asks("a", "claude-opus", "Anthropic")
AGENTS = Asks("a", "claude-opus", "Anthropic", is_agents=True)
ALL = (GPT, MINI, OPUS, AGENTS)


def clock_on(store: Store, clock: Clock, longest_s: float = 3600.0) -> LimitClock:
    return LimitClock(store, longest_s=longest_s, clock=clock)


def refused(limits: LimitClock, asks: Asks, account: str = "me") -> bool:
    try:
        limits.check(account, asks)
    except LimitedError:
        return True
    return False


@pytest.mark.parametrize(
    ("scope", "closed"),
    [
        ("model", (True, False, False, False)),
        ("vendor", (True, True, False, False)),
        ("agent", (False, False, False, True)),
        ("account", (True, True, True, True)),
    ],
)
def test_what_is_limited_is_closed_until_then_at_all_workers_and_nothing_else(
    open_one: Opener, clock: Clock, scope: Any, closed: tuple[bool, ...]
) -> None:
    one, other = clock_on(open_one(), clock), clock_on(open_one(), clock)
    assert not any(refused(other, asks) for asks in ALL)
    one.note("me", GPT, NamedLimit(scope, NOW + 60, "some_code"))
    assert tuple(refused(one, asks) for asks in ALL) == closed
    clock.now += 0.25  # so soon the others know
    assert tuple(refused(other, asks) for asks in ALL) == closed
    assert not any(refused(other, asks, "another account") for asks in ALL)
    clock.now = NOW + 59.9
    assert tuple(refused(other, asks) for asks in ALL) == closed
    clock.now = NOW + 60
    assert not any(refused(at, asks) for at in (one, other) for asks in ALL)
    assert one.closed("me") == []


def test_everybody_is_told_until_when(open_one: Opener, clock: Clock) -> None:
    limits = clock_on(open_one(), clock)
    limits.note("me", GPT, NamedLimit("model", NOW + 600, "user_model_rate_limited"))
    clock.now += 100.5
    with pytest.raises(LimitedError) as told:
        limits.check("me", GPT)
    error = told.value
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", "500")
    assert "'gpt-5' (user_model_rate_limited) until 2026-09-21T" in error.message
    assert "8 min 20 s from now. Until then the bridge sends none." in error.message
    assert error.own_words == error.message


def test_a_long_limit_is_told_as_it_is_but_asked_about_in_between(open_one: Opener, clock: Clock) -> None:
    limits = clock_on(open_one(), clock, longest_s=3600)
    limits.note("me", GPT, NamedLimit("account", NOW + 5 * DAY, "user_weekly_rate_limited"))
    with pytest.raises(LimitedError, match=r"5 d from now. The bridge asks again in 1 h") as told:
        limits.check("me", GPT)
    assert told.value.retry_after == str(5 * DAY)
    clock.now += 3600
    assert not refused(limits, GPT)


def test_a_quota_may_be_raised_at_any_time(open_one: Opener, clock: Clock) -> None:
    limits = clock_on(open_one(), clock)
    limits.note("me", OPUS, NamedLimit("model", NOW + 5 * DAY, "quota_exceeded", is_quota=True))
    with pytest.raises(LimitedError, match="quota of the GitHub Copilot subscription is spent") as told:
        limits.check("me", OPUS)
    assert told.value.code == "insufficient_quota"
    assert not refused(limits, GPT)
    clock.now += 300
    assert not refused(limits, OPUS)


def test_of_two_limits_the_longer_one_is_told(open_one: Opener, clock: Clock) -> None:
    limits = clock_on(open_one(), clock)
    limits.note("me", GPT, NamedLimit("account", NOW + 50))
    limits.note("me", GPT, NamedLimit("model", NOW + 100))
    limits.note("me", GPT, NamedLimit("model", NOW + 10))  # a later word does not open what an earlier one closed
    assert [(one.scope, one.ends_at - NOW) for one in limits.closed("me")] == [("account", 50), ("model", 100)]
    with pytest.raises(LimitedError) as told:
        limits.check("me", GPT)
    assert told.value.retry_after == "100"


def test_a_vendor_that_nobody_knows_is_the_model(open_one: Opener, clock: Clock) -> None:
    limits = clock_on(open_one(), clock)
    limits.note("me", Asks("a", "odd"), NamedLimit("vendor", NOW + 50))
    assert refused(limits, Asks("a", "odd"))
    assert not refused(limits, Asks("a", "other"))


def test_names_from_outside_do_not_fill_the_store(open_one: Opener, clock: Clock) -> None:
    store = open_one()
    limits = clock_on(store, clock)
    for number in range(205):
        limits.note("me", Asks("a", f"model-{number}"), NamedLimit("model", NOW + 100 + number, "Ä strange code!"))
    assert len(limits.closed("me")) == 200
    assert {one.code for one in limits.closed("me")} == {""}


def test_a_clock_that_is_set_back_closes_nothing_for_long(open_one: Opener, clock: Clock) -> None:
    limits = clock_on(open_one(), clock)
    limits.note("me", GPT, NamedLimit("account", NOW + 60))
    clock.now -= 10 * DAY
    assert not refused(limits, GPT)


@pytest.mark.parametrize("text", ["{", "7", "[7]", '[{"scope": "moon"}]', '[{"scope": "model", "of": 1}]', "null"])
def test_what_cannot_be_read_is_open(open_one: Opener, clock: Clock, text: str) -> None:
    store = open_one()
    store.put("limits:me", text)
    limits = clock_on(store, clock)
    assert not refused(limits, GPT)
    clock.now += 1
    limits.note("me", GPT, NamedLimit("account", clock.now + 60))
    assert refused(limits, GPT)


class Away:
    """A store that is away from some time on."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.is_away = False

    def get(self, key: str) -> str | None:
        if self.is_away:
            raise StoreError("away")
        return self.inner.get(key)

    def update(self, key: str, change: Any) -> str | None:
        if self.is_away:
            raise StoreError("away")
        return self.inner.update(key, change)


def test_without_the_store_a_worker_goes_by_what_it_knows(open_one: Opener, clock: Clock) -> None:
    store = Away(open_one())
    limits = clock_on(store, clock)  # type: ignore[arg-type]
    limits.note("me", GPT, NamedLimit("model", NOW + 60))
    store.is_away = True
    limits.note("me", OPUS, NamedLimit("model", NOW + 60))
    clock.now += 1
    assert refused(limits, GPT)
    assert refused(limits, OPUS)
    assert not refused(limits, MINI)


def test_forgetting_opens_all(open_one: Opener, clock: Clock) -> None:
    store = open_one()
    one, other = clock_on(store, clock), clock_on(open_one(), clock)
    one.note("me", GPT, NamedLimit("account", NOW + 60))
    assert refused(other, GPT)
    assert one.forget("me") == 1
    clock.now += 0.25
    assert not refused(one, GPT)
    assert not refused(other, GPT)


def test_a_call_costs_one_look_into_the_store_a_quarter_of_a_second(open_one: Opener, clock: Clock) -> None:
    looks = []

    class Counted(Away):
        def get(self, key: str) -> str | None:
            looks.append(key)
            return super().get(key)

    limits = clock_on(Counted(open_one()), clock)  # type: ignore[arg-type]
    for _ in range(100):
        with suppress(LimitedError):
            limits.check("me", GPT)
    assert looks == ["limits:me"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (3661, "1 h 1 min"), (5 * DAY + 7300, "5 d 2 h")],
)
def test_times_in_words(seconds: int, words: str) -> None:
    assert in_words(seconds) == words


def test_closed_says_what(clock: Clock) -> None:
    assert {Closed(scope, "x", 1, 1).words for scope in ("model", "vendor", "agent", "account")} == {
        "calls of the model 'x'",
        "calls of all models of x",
        "calls of agents",
        "all calls of this account",
    }
