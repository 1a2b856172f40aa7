"""api.github.com: token exchange, user info, endpoint discovery (contract §2, §3, §11.3, §13.3)."""

import hashlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import apps
from .accounts import Account, Quota
from .server import Exchange, Request

if TYPE_CHECKING:
    from .state import World

_DOCS = "https://docs.github.com/rest"
_JSON = "application/json; charset=utf-8"


def handle(world: "World", request: Request, exchange: Exchange) -> None:
    if world.config["require_user_agent"] and not request.header("user-agent"):
        return exchange.reply(
            403,
            [("content-type", "text/html")],
            b"\r\nRequest forbidden by administrative rules. Please make sure your request has a "
            b"User-Agent header.\r\n",
        )
    route = (request.method, request.path)
    if apps.is_mint(request):
        return apps.mint(world, request, exchange)
    if route == ("GET", "/copilot_internal/v2/token"):
        return _exchange(world, request, exchange)
    if route == ("GET", "/copilot_internal/user"):
        return _user(world, request, exchange)
    if route == ("POST", "/graphql"):
        return _graphql(world, request, exchange)
    return _standard(exchange, 404, "Not Found")


def _standard(
    exchange: Exchange, status: int, message: str, docs: str = _DOCS, headers: list[tuple[str, str]] | None = None
) -> None:
    """GitHub's own error shape, the StandardErrorEnvelope of contract §2.6."""
    exchange.reply_json(status, {"message": message, "documentation_url": docs, "status": str(status)}, _JSON, headers)


def _account(world: "World", request: Request) -> Account | None:
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    if scheme.lower() not in ("token", "bearer"):
        return None
    account = world.accounts.get(token.strip())
    return None if account is None or account.kind == "revoked" or apps.has_ended(world, account) else account


def _rate_limited(world: "World", exchange: Exchange) -> None:
    reset = str(int(world.now()) + 1800)
    _standard(
        exchange,
        403,
        "API rate limit exceeded for user ID 12345. If you reach out to GitHub Support for help, "
        "please include the request ID.",
        "https://developer.github.com/rest/overview/rate-limits-for-the-rest-api",
        [("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset)],
    )


def _refused(exchange: Exchange, account: Account) -> None:
    """The ErrorEnvelope of contract §2.6; ``{EDITOR}`` is for the client to replace."""
    if account.kind == "subscription_ended":
        details = {
            "message": f"Your Copilot subscription has ended. You are currently logged in as {account.login}.",
            "notification_id": "subscription_ended",
            "title": "Copilot subscription ended",
            "url": "https://github.com/settings/copilot?editor={EDITOR}",
        }
    else:
        details = {
            "message": f"No access to GitHub Copilot found. You are currently logged in as {account.login}.",
            "notification_id": "no_copilot_access",
            "title": "Signup for GitHub Copilot",
            "url": "https://github.com/github-copilot/signup?editor={EDITOR}",
        }
    exchange.reply_json(
        403,
        {
            "can_signup_for_limited": False,
            "error_details": details,
            "message": "Resource not accessible by integration",
        },
        _JSON,
    )


def endpoints(world: "World", account: Account) -> dict[str, str]:
    """``endpoints.api`` points at our own port; the unused siblings keep their public names."""
    plan = "business" if account.host == "capi_business" else "individual"
    return {
        "api": world.urls[account.host],
        "origin-tracker": f"https://origin-tracker.{plan}.githubcopilot.com",
        "proxy": f"https://proxy.{plan}.githubcopilot.com",
        "telemetry": f"https://telemetry.{plan}.githubcopilot.com",
    }


def _exchange(world: "World", request: Request, exchange: Exchange) -> None:
    account = _account(world, request)
    if account is None:
        return _standard(exchange, 401, "Bad credentials")
    if account.kind in ("direct", "pat_nopermission"):
        return _standard(exchange, 404, "Not Found")
    if apps.is_installation(account):
        if world.config["installation_exchange"] is False:
            return _standard(exchange, 404, "Not Found")
        if refused := apps.refusal(world, account):
            return _standard(exchange, *refused)
        if world.config["installation_exchange"] == "empty":
            return exchange.reply_json(200, {"token": "", "expires_at": 0, "refresh_in": 0}, _JSON)
    if account.kind == "rate_limited":
        return _rate_limited(world, exchange)
    if account.kind != "ok" and not apps.is_installation(account):
        return _refused(exchange, account)
    config = world.config
    token, expires = world.mint_copilot_token(account)
    envelope: dict[str, Any] = {"expires_at": expires, "refresh_in": config["refresh_in_s"], "token": token}
    if not config["envelope_minimal"]:
        flags = dict.fromkeys(
            (
                "annotations_enabled",
                "chat_enabled",
                "chat_jetbrains_enabled",
                "code_quote_enabled",
                "code_review_enabled",
                "codesearch",
                "nes_enabled",
                "prompt_8k",
                "xcode",
                "xcode_chat",
            ),
            True,
        )
        flags |= dict.fromkeys(
            (
                "blackbird_clientside_indexing",
                "copilotignore_enabled",
                "snippy_load_test_enabled",
                "vsc_electron_fetcher_v2",
            ),
            False,
        )
        tracking = hashlib.sha256(account.token.encode()).hexdigest()[:32]
        envelope |= {
            **flags,
            "endpoints": endpoints(world, account),
            "enterprise_list": None,
            "individual": account.host == "capi",
            "public_suggestions": "enabled",
            "sku": account.sku,
            "telemetry": "enabled",
            "tracking_id": tracking,
            "limited_user_quotas": None,
            "limited_user_reset_date": None,
        }
        if account.free:
            envelope |= {
                "limited_user_quotas": {
                    "chat": int(account.chat.remaining),
                    "completions": int(account.completions.remaining),
                },
                "limited_user_reset_date": int(reset_date(world).timestamp()),
            }
        if account.host == "capi_business":
            envelope |= {"organization_list": [tracking[::-1]], "organization_login_list": ["acme-inc"]}
        if config["user_notification"]:
            envelope["user_notification"] = config["user_notification"]
    envelope |= config["envelope_extra"]
    return exchange.reply_json(200, dict(sorted(envelope.items())), _JSON)


def reset_date(world: "World") -> datetime:
    """First of next month, by the server's clock."""
    now = datetime.fromtimestamp(world.now(), UTC)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)


def _snapshot(name: str, quota: Quota, newer: bool) -> dict[str, Any]:
    stamp = datetime.fromtimestamp(int(time.time()), UTC).strftime("%Y-%m-%dT%H:%M:%S.123Z")
    entry = {
        "entitlement": 0 if quota.unlimited else int(quota.entitlement),
        "overage_count": quota.overage_count,
        "overage_permitted": quota.overage_permitted,
        "percent_remaining": quota.percent,
        "quota_id": name,
        "quota_remaining": 0.0 if quota.unlimited else float(quota.remaining),
        "remaining": 0 if quota.unlimited else int(quota.remaining // 1),
        "timestamp_utc": stamp,
        "unlimited": quota.unlimited,
    }
    if newer:
        entry |= {
            "has_quota": quota.unlimited or quota.entitlement > 0,
            "overage_entitlement": 0,
            "quota_reset_at": 0,
            "credits_used": 0,
        }
    return entry


def _in_credits(account: Account, reset: datetime) -> dict[str, Any]:
    told: dict[str, Any] = {
        "token_based_billing": True,
        "credits_used": round(account.credits_used, 9),
        "quota_reset_at": int(reset.timestamp()),
    }
    if account.pool is not None:
        told |= {"entitlement": -1, "has_quota": account.pool == "full"}
    return told


def _remove(body: Any, path: list[str]) -> None:
    if isinstance(body, dict) and len(path) > 1:
        _remove(body.get(path[0]), path[1:])
    elif isinstance(body, dict):
        body.pop(path[0], None)


def _user(world: "World", request: Request, exchange: Exchange) -> None:
    account = _account(world, request)
    if account is None:
        return _standard(exchange, 401, "Bad credentials")
    if account.kind == "rate_limited":
        return _rate_limited(world, exchange)
    if account.kind in ("no_copilot", "subscription_ended", "pat_nopermission"):
        return _standard(exchange, 404, "Not Found")
    if apps.is_installation(account):
        return _standard(exchange, 403, "Resource not accessible by integration")
    reset = reset_date(world)
    body: dict[str, Any] = {
        "login": account.login,
        "access_type_sku": account.sku,
        "analytics_tracking_id": hashlib.sha256(account.token.encode()).hexdigest()[:32],
        "assigned_date": "2025-03-14T09:26:53-07:00",
        "can_signup_for_limited": False,
        "chat_enabled": True,
        "copilot_plan": account.copilot_plan,
        "organization_login_list": [],
        "organization_list": [],
    }
    if account.shape == "free_old":  # Contract §3.4: no snapshots, the reset date is a string here
        quotas = {"chat": account.chat, "completions": account.completions}
        body |= {
            "assigned_date": None,
            "limited_user_quotas": {key: int(q.remaining) for key, q in quotas.items()},
            "monthly_quotas": {key: int(q.entitlement) for key, q in quotas.items()},
            "limited_user_subscribed_day": reset.day,
            "limited_user_reset_date": reset.strftime("%Y-%m-%d"),
        }
        return exchange.reply_json(200, body, _JSON)
    newer = account.shape in ("free_new", "usage")
    if newer:  # Contract §3.5
        body = {key: body[key] for key in ("login", "access_type_sku", "copilot_plan", "chat_enabled")}
        body["token_based_billing"] = True
        body["endpoints"] = endpoints(world, account)
    else:
        body |= {
            "copilotignore_enabled": False,
            "is_mcp_enabled": True,
            "restricted_telemetry": False,
            "codex_agent_enabled": False,
            "endpoints": endpoints(world, account),
        }
    if account.shape == "business":
        body |= {
            "organization_login_list": ["acme-inc"],
            "organization_list": [{"login": "acme-inc", "name": "ACME Inc."}],
        }
    body |= {
        "quota_reset_date": reset.strftime("%Y-%m-%d"),
        "quota_reset_date_utc": reset.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "quota_snapshots": {
            "chat": _snapshot("chat", account.chat, newer),
            "completions": _snapshot("completions", account.completions, newer),
            "premium_interactions": _snapshot("premium_interactions", account.premium, newer),
        },
    }
    if account.in_credits:  # Contract §3.8
        body["quota_snapshots"]["premium_interactions"] |= _in_credits(account, reset)
        body |= {"can_upgrade_plan": account.pool is None}
    for path in world.config["user_info_without"]:
        _remove(body, path.split("."))
    return exchange.reply_json(200, body, _JSON)


def _graphql(world: "World", request: Request, exchange: Exchange) -> None:
    """Contract §11.3: the one query anybody sends."""
    account = _account(world, request)
    if account is None:
        return _standard(exchange, 401, "Bad credentials")
    if "copilotEndpoints" not in str(request.fields.get("query", "")):
        return exchange.reply_json(200, {"errors": [{"message": "only copilotEndpoints is simulated"}]})
    return exchange.reply_json(200, {"data": {"viewer": {"copilotEndpoints": {"api": world.urls[account.host]}}}})
