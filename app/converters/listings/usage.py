"""Plan and quotas of the account, in one shape for every plan (contract §3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

_NAMES = {"premium_interactions": "Premium Interactions", "chat": "Chat", "completions": "Completions"}
_OF_CREDITS = ("credits_used", "overage_count", "overage_entitlement", "quota_reset_at")
_END_OF_TIME = 32_503_680_000  # the year 3000
_FREE_SKU = "free_limited_copilot"


def summarize(raw: dict[str, Any]) -> dict[str, Any]:
    """GitHub's account information → what ``/usage`` answers.

    Shape: ``{"copilot_plan", "quota_reset_date", "chat_enabled", "quotas": {"premium_interactions", "chat",
    "completions"}, "raw"}``. A quota that the plan does not have is ``{"name", "available": false}``; others carry
    entitlement, remaining and used in units, percent_used and percent_remaining in 0–100 (remaining may be negative
    after an overage), and unlimited. Where GitHub tells them, in credits (contract §3.8): ``unit``, ``credits_used``,
    ``overage_count``, ``overage_entitlement`` (the cap on it), ``quota_reset_at`` (unix seconds). ``pool_empty``: the
    pool that the seat draws on is used up, whatever else the snapshot says. ``exhausted``: nothing is left to draw on.
    """
    plan = "free" if raw.get("access_type_sku") == _FREE_SKU else raw.get("copilot_plan") or "unknown"
    return {
        "copilot_plan": plan,
        "quota_reset_date": raw.get("quota_reset_date")
        or str(raw.get("quota_reset_date_utc") or "")[:10]
        or raw.get("limited_user_reset_date")
        or _earliest_reset(raw),
        "chat_enabled": bool(raw.get("chat_enabled", False)),
        "quotas": {key: _quota(name, _snapshot(raw, key)) for key, name in _NAMES.items()},
        "raw": raw,
    }


def _earliest_reset(raw: dict[str, Any]) -> str:
    """The day of the first reset that the snapshots tell; "" without one."""
    snapshots = raw.get("quota_snapshots")
    told = (
        [one.get("quota_reset_at") for one in snapshots.values() if isinstance(one, dict)]
        if isinstance(snapshots, dict)
        else []
    )
    times = [at for at in map(_number, told) if 0 < at < _END_OF_TIME]
    return datetime.fromtimestamp(min(times), UTC).date().isoformat() if times else ""


def _snapshot(raw: dict[str, Any], key: str) -> dict[str, Any] | None:
    snapshots = raw.get("quota_snapshots")
    if isinstance(snapshots, dict) and isinstance(snapshots.get(key), dict):
        found: dict[str, Any] = snapshots[key]
        return found
    # The older free plan counts what remains in one object and what there is in another (contract §3.4).
    remaining, monthly = raw.get("limited_user_quotas"), raw.get("monthly_quotas")
    if isinstance(remaining, dict) and key in remaining:
        total = monthly.get(key) if isinstance(monthly, dict) else None
        return {"remaining": remaining[key], "entitlement": total if total is not None else remaining[key]}
    return None


def _quota(name: str, snapshot: dict[str, Any] | None) -> dict[str, Any]:
    if not snapshot:
        return {"name": name, "available": False}
    has_no_limit = bool(snapshot.get("unlimited")) or snapshot.get("entitlement") == -1
    has_nothing = snapshot.get("has_quota") is False
    if has_nothing and not has_no_limit and not _number(snapshot.get("entitlement")):
        return {"name": name, "available": False}
    unlimited = has_no_limit and not has_nothing
    entitlement = max(0, _number(snapshot.get("entitlement")))  # -1 means unlimited in older bodies
    remaining = _number(snapshot.get("remaining"))
    used = 0 if unlimited else entitlement - remaining
    share_used = 0.0 if unlimited or not entitlement else used / entitlement * 100
    given = snapshot.get("percent_remaining")
    if has_no_limit and has_nothing:
        share_used, given = 100.0, 0
    left = 100.0 if unlimited else _number(given) if given is not None else 100 - share_used
    return {
        "name": name,
        "available": True,
        "entitlement": entitlement,
        "remaining": remaining,
        "used": used,
        "percent_used": round(share_used, 2),
        "percent_remaining": round(left, 2),
        "unlimited": unlimited,
        **({"pool_empty": True} if has_no_limit and has_nothing else {}),
        **({"exhausted": True} if has_nothing else {}),
        **({"unit": "credits"} if snapshot.get("token_based_billing") is True else {}),
        **{word: snapshot[word] for word in _OF_CREDITS if _number(snapshot.get(word))},
    }


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
