"""Every plan variant of contract §3, in one shape."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.listings.usage import summarize


def snapshot(**fields: Any) -> dict[str, Any]:
    return {"entitlement": 300, "remaining": 235, "percent_remaining": 78.34, "unlimited": False, **fields}


def quotas(raw: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = summarize(raw)["quotas"]
    return found


def test_paid_plan_has_the_originals_shape() -> None:
    raw = {
        "copilot_plan": "individual",
        "quota_reset_date": "2026-04-01",
        "chat_enabled": True,
        "quota_snapshots": {
            "premium_interactions": snapshot(),
            "chat": snapshot(entitlement=0, remaining=0, percent_remaining=100.0, unlimited=True),
        },
    }
    assert summarize(raw) == {
        "copilot_plan": "individual",
        "quota_reset_date": "2026-04-01",
        "chat_enabled": True,
        "quotas": {
            "premium_interactions": {
                "name": "Premium Interactions",
                "available": True,
                "entitlement": 300,
                "remaining": 235,
                "used": 65,
                "percent_used": 21.67,
                "percent_remaining": 78.34,
                "unlimited": False,
            },
            "chat": {
                "name": "Chat",
                "available": True,
                "entitlement": 0,
                "remaining": 0,
                "used": 0,
                "percent_used": 0.0,
                "percent_remaining": 100.0,
                "unlimited": True,
            },
            "completions": {"name": "Completions", "available": False},
        },
        "raw": raw,
    }


def test_older_free_plan_counts_what_remains() -> None:
    raw = {
        "copilot_plan": "individual",
        "access_type_sku": "free_limited_copilot",
        "limited_user_quotas": {"chat": 470, "completions": 3900},
        "monthly_quotas": {"chat": 500, "completions": 4000},
        "limited_user_reset_date": "2026-03-17",
    }
    summary = summarize(raw)
    assert (summary["copilot_plan"], summary["quota_reset_date"]) == ("free", "2026-03-17")
    chat = summary["quotas"]["chat"]
    assert (chat["entitlement"], chat["remaining"], chat["used"], chat["percent_used"]) == (500, 470, 30, 6.0)
    assert chat["percent_remaining"] == 94.0
    assert summary["quotas"]["premium_interactions"] == {"name": "Premium Interactions", "available": False}


def test_newer_free_plan_says_what_it_has_not() -> None:
    none = snapshot(has_quota=False, entitlement=0, remaining=0)
    raw = {"quota_snapshots": {"premium_interactions": none, "chat": snapshot(has_quota=True)}}
    assert quotas(raw)["premium_interactions"]["available"] is False
    assert quotas(raw)["chat"]["available"] is True
    assert "exhausted" not in quotas(raw)["chat"]


def test_what_the_plan_includes_and_is_used_up_is_no_missing_part_of_it() -> None:
    used_up = snapshot(has_quota=False, remaining=0, percent_remaining=0.0)
    quota = quotas({"quota_snapshots": {"premium_interactions": used_up}})["premium_interactions"]
    assert (quota["available"], quota["exhausted"], quota["used"]) == (True, True, 300)


def test_the_day_of_the_reset_is_read_wherever_it_stands() -> None:
    raw = {"quota_snapshots": {"chat": snapshot(quota_reset_at=0), "completions": snapshot(quota_reset_at=1796083200)}}
    assert summarize(raw)["quota_reset_date"] == "2026-12-01"
    assert quotas(raw)["completions"]["quota_reset_at"] == 1796083200
    assert summarize({**raw, "quota_reset_date": "2026-11-15"})["quota_reset_date"] == "2026-11-15"
    odd: Any
    for odd in (None, [], {"chat": 7}, {"chat": snapshot(quota_reset_at=10**30)}):
        assert summarize({"quota_snapshots": odd})["quota_reset_date"] == ""


def test_overdrawn_quota_stays_negative() -> None:
    quota = quotas({"quota_snapshots": {"premium_interactions": snapshot(remaining=-1, percent_remaining=-0.333)}})
    assert quota["premium_interactions"]["used"] == 301
    assert quota["premium_interactions"]["percent_remaining"] == -0.33


def test_unlimited_by_minus_one() -> None:
    quota = quotas({"quota_snapshots": {"chat": snapshot(entitlement=-1, remaining=-1, unlimited=True)}})["chat"]
    assert (quota["entitlement"], quota["used"], quota["percent_remaining"]) == (0, 0, 100.0)


SEAT = {
    "entitlement": -1,
    "unlimited": True,
    "has_quota": True,
    "token_based_billing": True,
    "credits_used": 1843.2,
    "overage_entitlement": 0,
    "percent_remaining": 100.0,
    "remaining": 0,
}


@pytest.mark.parametrize(
    ("changes", "unlimited", "is_empty", "percent_remaining"),
    [
        ({}, True, False, 100.0),
        ({"has_quota": False}, False, True, 0.0),
        ({"has_quota": False, "unlimited": False}, False, True, 0.0),
        ({"has_quota": None}, True, False, 100.0),
        ({"unlimited": False}, True, False, 100.0),
        ({"entitlement": 0}, True, False, 100.0),
    ],
)
def test_a_seat_on_a_pool_is_unlimited_only_while_the_pool_is_not_empty(
    changes: dict[str, Any], unlimited: bool, is_empty: bool, percent_remaining: float
) -> None:
    quota = quotas({"quota_snapshots": {"premium_interactions": {**SEAT, **changes}}})["premium_interactions"]
    assert (quota["available"], quota["unlimited"], quota.get("pool_empty", False)) == (True, unlimited, is_empty)
    assert (quota["percent_remaining"], quota["entitlement"]) == (percent_remaining, 0)
    assert (quota["unit"], quota["credits_used"]) == ("credits", 1843.2)
    assert "overage_entitlement" not in quota


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"quota_snapshots": None},
        {"quota_snapshots": {"chat": "x"}},
        {"quota_snapshots": {"chat": {"entitlement": "many", "remaining": None}}},
        {"limited_user_quotas": {"chat": 5}},
    ],
)
def test_drifted_shapes_do_no_harm(raw: dict[str, Any]) -> None:
    assert set(quotas(raw)) == {"premium_interactions", "chat", "completions"}
