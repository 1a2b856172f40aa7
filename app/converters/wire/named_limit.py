"""What a refusal of Copilot's says of a limit: for what it holds, and until when (contract §10.4, §10.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import parse_qs

from app.converters.wire.error_body import read_error

Scope = Literal["model", "vendor", "agent", "account"]
"""Of what nothing more is to be sent: calls of this model, of all models of its maker, those that an agent makes
without a turn of the person, or all calls of the account."""

LONGEST_S: Final = 32 * 24 * 3600.0
"""Limits begin anew once a month at the latest. What names more than that names nothing."""

_SCOPES: Final[dict[str, Scope]] = {
    "user_model_rate_limited": "model",
    "model_overloaded": "model",
    "upstream_provider_rate_limit": "vendor",
    "agent_mode_limit_exceeded": "agent",
    "user_global_rate_limited": "account",
    "user_weekly_rate_limited": "account",
    "integration_rate_limited": "account",
    "extension_blocked": "account",
}
_GENERIC: Final = frozenset({"rate_limited", "rate_limit_exceeded"})
_QUOTAS: Final = frozenset(
    {
        "quota_exceeded",
        "free_quota_exceeded",
        "overage_limit_reached",
        "billing_not_configured",
        "additional_spend_limit_reached",
        "session_quota_exceeded",
        "insufficient_quota",
    }
)
_OF_ALL: Final = ("global", "weekly", "5-hour")
"""Words in the key of an exceeded limit that is not a model's."""

_AFTER, _OF_USER = "retry-after", "x-ratelimit-user-retry-after"
_OF_QUOTA: Final = "x-ratelimit-quota-exceeded-retry-after"
_EXCEEDED: Final = "x-ratelimit-exceeded"
_WINDOWS: Final = ("x-usage-ratelimit-weekly", "x-usage-ratelimit-session")
_SECONDS: Final = re.compile(r"\s*(\d{1,12})(?:\.\d{0,9})?\s*")


@dataclass(frozen=True, slots=True)
class NamedLimit:
    """ends_at: epoch seconds, in the future. code: upstream's word for it, "" if it has none. is_quota: it is what the
    plan includes that is used up, which its owner may change at any time."""

    scope: Scope
    ends_at: float
    code: str = ""
    is_quota: bool = False


def named_limit(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> NamedLimit | None:
    """The limit that a refusal names with its time; None if it names none, or a time that makes no sense.

    now: epoch seconds.
    """
    if status not in (400, 402, 403, 429):
        return None
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    if status == 403 and _AFTER not in lower:
        return None
    code = read_error(body).code.partition(":")[0]
    if status == 400 and code not in _SCOPES and code not in _GENERIC:
        return None
    exceeded = lower.get(_EXCEEDED, "").lower()
    is_quota = status == 402 or code in _QUOTAS or exceeded == "quota_exceeded"
    ends_at = _named(lower, (_OF_QUOTA, _AFTER) if is_quota else (_AFTER, _OF_USER), now)
    if ends_at is None and not is_quota:
        ends_at = _end_of_window(lower, now)
    if ends_at is None:
        return None
    return NamedLimit(_scope(status, code, exceeded, is_quota=is_quota), ends_at, code[:60], is_quota)


def _scope(status: int, code: str, exceeded: str, *, is_quota: bool) -> Scope:
    """The narrowest that is sure: what is closed too widely stops calls that would have been answered."""
    if is_quota:
        return "model"  # models that cost nothing go on to work
    if code in _SCOPES:
        return _SCOPES[code]
    is_of_all = status == 403 or any(word in exceeded for word in _OF_ALL)
    return "account" if is_of_all else "model"


def _named(headers: Mapping[str, str], names: tuple[str, ...], now: float) -> float | None:
    """The first sensible time that these headers tell."""
    for name in names:
        found = _time_of(headers.get(name, ""), now)
        if found is not None:
            return found
    return None


def _time_of(value: str, now: float) -> float | None:
    """Seconds, or a date of HTTP."""
    if _SECONDS.fullmatch(value):
        return _sensible(now + float(value), now)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return _moment(date, now)


def _end_of_window(headers: Mapping[str, str], now: float) -> float | None:
    """When a window begins anew in which nothing is left: ``ent=0&rem=0.0&rst=2026-09-14T17%3A05%3A31Z``."""
    for name in _WINDOWS:
        told = parse_qs(headers.get(name, "").replace(";", "&"))
        try:
            if float(told["rem"][0]) <= 0 and (found := _moment(datetime.fromisoformat(told["rst"][0]), now)):
                return found
        except (KeyError, ValueError, OverflowError):
            continue
    return None


def _moment(date: datetime, now: float) -> float | None:
    try:
        return _sensible((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp(), now)
    except (ValueError, OverflowError):
        return None


def _sensible(at: float, now: float) -> float | None:
    return at if now < at <= now + LONGEST_S else None
