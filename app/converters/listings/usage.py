"""Plan and quotas of the account, in one shape for every plan (contract §3)."""

from __future__ import annotations

from typing import Any

_NAMES = {"premium_interactions": "Premium Interactions", "chat": "Chat", "completions": "Completions"}
_FREE_SKU = "free_limited_copilot"


def summarize(raw: dict[str, Any]) -> dict[str, Any]:
    """GitHub's account information → what ``/usage`` answers.

    Shape: ``{"copilot_plan", "quota_reset_date", "chat_enabled", "quotas": {"premium_interactions", "chat",
    "completions"}, "raw"}``. A quota that the plan does not have is ``{"name", "available": false}``; others carry
    entitlement, remaining and used in units, percent_used and percent_remaining in 0–100 (remaining may be negative
    after an overage), and unlimited.
    """
    plan = "free" if raw.get("access_type_sku") == _FREE_SKU else raw.get("copilot_plan") or "unknown"
    return {
        "copilot_plan": plan,
        "quota_reset_date": raw.get("quota_reset_date") or raw.get("limited_user_reset_date") or "",
        "chat_enabled": bool(raw.get("chat_enabled", False)),
        "quotas": {key: _quota(name, _snapshot(raw, key)) for key, name in _NAMES.items()},
        "raw": raw,
    }


def _snapshot(raw: dict[str, Any], key: str) -> dict[str, Any] | None:
    snapshots = raw.get("quota_snapshots")
    if isinstance(snapshots, dict) and isinstance(snapshots.get(key), dict):
        found: dict[str, Any] = snapshots[key]
        return found
    # The older free plan counts what remains in one object and what there is in another (§3.4).
    remaining, monthly = raw.get("limited_user_quotas"), raw.get("monthly_quotas")
    if isinstance(remaining, dict) and key in remaining:
        total = monthly.get(key) if isinstance(monthly, dict) else None
        return {"remaining": remaining[key], "entitlement": total if total is not None else remaining[key]}
    return None


def _quota(name: str, snapshot: dict[str, Any] | None) -> dict[str, Any]:
    if not snapshot or snapshot.get("has_quota") is False:
        return {"name": name, "available": False}
    unlimited = bool(snapshot.get("unlimited"))
    entitlement = max(0, _number(snapshot.get("entitlement")))  # -1 means unlimited in older bodies
    remaining = _number(snapshot.get("remaining"))
    used = 0 if unlimited else entitlement - remaining
    share_used = 0.0 if unlimited or not entitlement else used / entitlement * 100
    given = snapshot.get("percent_remaining")
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
    }


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
