"""Usage-based billing: prices by model and API version, what an answer costs, what such accounts are shown.

Contract §4.3, §5.3, §6.3.6, §10.8, §13.5.
"""

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accounts import Account
    from .capi import Caller

Json = dict[str, Any]

BATCH = 1_000_000
_NANO = 10**9
_FIRST_IN_CREDITS = "2026-06-01"
_OLDEST_EDITOR, _OLDEST_PLUGIN = (1, 121), (0, 49)
_USUAL = (250, 25, 312.5, 1500)
#: credits per million tokens: input, cached input, cache write, output (the price list of contract §10.8)
_PRICES: dict[str, tuple[float, float, float, float]] = {
    "gpt-5-mini": (25, 2.5, 0, 200),
    "gpt-5.2": (175, 17.5, 0, 1400),
    "gpt-5.3-codex": (175, 17.5, 0, 1400),
    "gpt-5.4-mini": (75, 7.5, 0, 450),
    "gpt-5.4": (250, 25, 0, 1500),
    "claude-haiku-4.5": (100, 10, 125, 500),
    "claude-sonnet": (300, 30, 375, 1500),
    "claude-opus": (500, 50, 625, 2500),
    "gemini-2.5-pro": (125, 12.5, 0, 1000),
    "gemini-3.1-pro": (200, 20, 0, 1200),
    "text-embedding": (2, 0, 0, 0),
}
_WARNING = {
    "code": "client_version_deprecated",
    "message": "Your billing plan has changed to usage-based billing and model multipliers no longer apply. Please "
    "update your client to the latest version to see the new billing information.",
}


def prices(entry: Json) -> tuple[float, float, float, float]:
    """Those of the longest name that fits; models of the base plan cost nothing."""
    billing = entry.get("billing") or {}
    if billing.get("multiplier") == 0 and not billing.get("is_premium"):
        return 0, 0, 0, 0
    fits = [name for name in _PRICES if str(entry["id"]).startswith(name)]
    return _PRICES[max(fits, key=len)] if fits else _USUAL


def account_of(entry: Json, model: str, tokens: dict[str, int]) -> Json:
    """``copilot_usage`` (contract §6.3.6). tokens: by ``token_type``."""
    rows = zip(("input", "cache_read", "cache_write", "output"), prices(entry), strict=True)
    details: list[Json] = [
        {
            "batch_size": BATCH,
            "cost_per_batch": round(price * _NANO),
            "model": model,
            "token_count": tokens.get(kind, 0),
            "token_type": kind,
        }
        for kind, price in rows
    ]
    total = sum(round(one["cost_per_batch"] * one["token_count"] / BATCH) for one in details)
    return {"token_details": details, "total_nano_aiu": total} if total else {"token_details": [], "total_nano_aiu": 0}


# -- the catalogue ---------------------------------------------------------------------------------------------------


def shown(entries: list[Json], caller: "Caller", editor: str | None, plugin: str | None) -> list[Json]:
    """The entries as this caller's account and versions get them."""
    version = caller.api_version or ""
    in_credits = version >= _FIRST_IN_CREDITS
    is_outdated = not in_credits or _is_older(editor, _OLDEST_EDITOR) or _is_older(plugin, _OLDEST_PLUGIN)
    found = [_entry(entry, caller.account, in_credits) for entry in copy.deepcopy(entries)]
    if caller.account.in_credits and is_outdated:
        for entry in found:
            entry["warning_messages"] = [_WARNING, *entry.get("warning_messages", [])]
    return found


def _entry(entry: Json, account: "Account", in_credits: bool) -> Json:
    billing = entry.get("billing")
    if billing is None or not (account.in_credits or (in_credits and billing.get("is_premium"))):
        return entry
    cost = prices(entry)
    if any(cost):
        billing["token_prices"] = {**_tiers(entry, cost, in_credits), **billing.get("token_prices", {})}
    if account.in_credits:
        billing.pop("multiplier", None)
        billing.pop("is_premium", None)
        entry["model_picker_price_category"] = "low" if cost[0] < 200 else "medium" if cost[0] <= 300 else "high"
    return entry


def _tiers(entry: Json, cost: tuple[float, float, float, float], in_credits: bool) -> Json:
    names = ("input_price", "cache_price", "cache_write_price", "output_price")
    told = {name: price for name, price in zip(names, cost, strict=True) if price}
    if not in_credits:  # the older form, in another unit
        return {"batch_size": BATCH, **{name: round(price * _NANO) for name, price in told.items()}}
    limit = entry["capabilities"].get("limits", {}).get("max_prompt_tokens", 128000)
    return {"batch_size": BATCH, "default": {"context_max": limit, **told}}


def _is_older(told: str | None, least: tuple[int, ...]) -> bool:
    """A client that names no version is not told that it is old."""
    if not told:
        return False
    parts = told.rpartition("/")[2].split("-")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit()) < least


def legacy(entries: list[Json]) -> list[Json]:
    """What a GitHub token that is used directly sees without an API version (contract §2.7)."""
    return [entry for entry in entries if str(entry["id"]).startswith(("gpt-3.5", "gpt-4", "text-embedding"))]
