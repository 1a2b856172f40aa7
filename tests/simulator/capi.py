"""The Copilot API host: who is calling, with which headers, and where to (contract §5, §11.2, §13.1, §13.4)."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from . import apps, auto, billing, catalogue, chat, embeddings, images, mcp, messages, responses
from .accounts import Account, Quota
from .faults import TEXT, Action
from .knobs import Settings
from .rest import reset_date
from .server import Exchange, Headers, Request

if TYPE_CHECKING:
    from .state import World


@dataclass
class Caller:
    """The authenticated side of one CAPI request, and everything its handler needs to answer."""

    account: Account
    direct: bool
    integration: str | None
    api_version: str | None
    by_user: bool
    settings: Settings
    action: Action

    def fail(self, exchange: Exchange, status: int, error: Any, headers: Headers | None = None) -> None:
        fail(exchange, status, error, headers)


def fail(exchange: Exchange, status: int, error: Any, headers: Headers | None = None) -> None:
    """Contract §10.1: errors are text/plain with a trailing newline, JSON or not."""
    if not isinstance(error, str):
        error = json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":"))
    exchange.reply(status, [("content-type", TEXT), *(headers or [])], error.rstrip("\n").encode() + b"\n")


Inference = Callable[["World", Request, Exchange, Caller], None]
#: one module per protocol
#: only where a model lists them (contract §14.1)
IMAGES = ("/v1/images/generations", "/v1/images/edits")
INFERENCE: dict[str, Inference] = {
    "/chat/completions": chat.handle,
    "/responses": responses.handle,
    "/v1/messages": messages.handle,
    "/v1/messages/count_tokens": messages.count_tokens,
    "/embeddings": embeddings.handle,
    **dict.fromkeys(IMAGES, images.handle),
}
#: endpoints that cut their own streams
STREAMING = {"/chat/completions", "/responses", "/v1/messages"}


def handle(world: "World", request: Request, exchange: Exchange, action: Action | None) -> None:
    settings = world.settings()
    if action and action.knobs:
        settings = settings.over(action.knobs)
    if request.path == "/_ping":  # Contract §10.6: no credentials needed
        return exchange.reply(
            settings["ping_status"],
            [("content-type", TEXT)],
            b"OK\n" if settings["ping_status"] == 200 else b"unavailable\n",
        )
    if request.path == mcp.PATH:
        return mcp.handle(world, request, exchange, action or Action())
    if len(request.body) > settings["body_limit_bytes"]:
        too_big = (
            "413 Request Entity Too Large"
            if settings["body_limit_style"] == "text"
            else {"message": "failed to parse request", "code": ""}
        )
        return fail(exchange, 413, too_big)
    known = request.path in INFERENCE or request.path == "/auto" or f"{request.path}/".startswith("/models/")
    if request.path in IMAGES and not any(request.path in catalogue.endpoints(entry) for entry in world.models):
        known = False
    if not known:  # Contract §13.1: no /v1/chat/completions, no images, no /responses/{id}
        return fail(exchange, 404, "404 page not found")
    caller = _authenticate(world, request, exchange, settings, action or Action())
    if caller is None or not _headers_accepted(request, exchange, caller):
        return None
    if request.path == "/auto" and request.method == "POST":
        return auto.handle(world, request, exchange, caller)
    if request.path not in INFERENCE:
        return catalogue.handle(world, request, exchange, caller)
    if auto.session_refused(world, request, exchange, caller):
        return None
    if request.method != "POST":
        return fail(exchange, 405, "405 method not allowed")
    if not isinstance(request.json, dict) and request.path not in IMAGES:
        return fail(exchange, 400, {"message": "failed to parse request", "code": "invalid_request_body"})
    return INFERENCE[request.path](world, request, exchange, caller)


def _authenticate(
    world: "World", request: Request, exchange: Exchange, settings: Settings, action: Action
) -> Caller | None:
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    token = token.strip()
    account, direct = None, False
    if scheme.lower() not in ("bearer", "token") or not token:
        fail(exchange, 401, "unauthorized: missing or malformed Authorization header")
    elif settings["check_scheme"] and scheme.lower() != _scheme(request, token):
        fail(exchange, 400, "bad request: Authorization header is badly formatted")
    elif token.startswith("tid="):
        issued = world.tokens.get(token)
        if issued and issued.alive and time.time() < issued.dies_at:
            account = world.accounts.get(issued.account)
        if account is None or account.kind == "revoked":
            # a token of before a reset looks like any other dead one
            status = settings["dead_token_status"]
            fail(exchange, status, "unauthorized: token expired" if status == 401 else "forbidden")
            account = None
    else:
        account, direct = _direct(world, world.accounts.get(token), exchange), True
    if account is None:
        return None
    wrong_host = request.port != account.host
    if wrong_host and request.port == "capi" and (direct or settings["generic_accepts_business"]):
        wrong_host = False  # Contract §2.7: the generic host works for every plan in direct mode
    if wrong_host:
        fail(exchange, 421, "Misdirected Request")
        return None
    initiator = request.header("x-initiator") or "user"  # Contract §5.4: missing is billed as the user's
    if initiator not in ("user", "agent"):
        fail(exchange, 400, "bad request: invalid initiator")
        return None
    integration = request.header("copilot-integration-id")
    if direct and not integration:
        integration = "copilot-language-server"  # that of the token's own app (contract §2.7)
    return Caller(
        account,
        direct,
        integration,
        request.header("x-github-api-version"),
        initiator != "agent",
        settings,
        action,
    )


def _scheme(request: Request, token: str) -> str:
    """Contract §11.4: the hosts of businesses want GitHub's own scheme with GitHub's tokens."""
    return "token" if request.port == "capi_business" and not token.startswith("tid=") else "bearer"


def _direct(world: "World", account: Account | None, exchange: Exchange) -> Account | None:
    """Contract §2.7: GitHub tokens as Bearer. Tokens of the Copilot app itself must be exchanged."""
    if account is None or account.kind == "revoked" or apps.has_ended(world, account):
        fail(exchange, 401, "unauthorized: Bad credentials")
    elif apps.is_installation(account):
        if refused := apps.refusal(world, account):
            fail(exchange, *refused)
        else:
            return account
    elif account.kind == "pat_nopermission":
        fail(exchange, 401, "unauthorized: Personal Access Token does not have Copilot Requests permission")
    elif account.kind == "direct":
        return account
    elif account.kind in ("no_copilot", "subscription_ended"):
        fail(exchange, 403, "You are not licensed to use Copilot.")
    else:
        fail(
            exchange,
            403,
            {
                "message": "Access to this endpoint is forbidden. Please review our [Terms of Service]"
                "(https://docs.github.com/en/site-policy/github-terms/github-terms-of-service).",
                "code": "forbidden",
            },
        )
    return None


def _version(text: str) -> tuple[int, ...]:
    digits = text.rpartition("/")[2].split("-")[0].split(".")
    return tuple(int(part) for part in digits if part.isdigit())


def _headers_accepted(request: Request, exchange: Exchange, caller: Caller) -> bool:
    """Contract §5.4. Direct mode needs neither an editor version nor an integration id."""
    editor = request.header("editor-version")
    minimum = caller.settings["min_editor_version"]
    accepted = caller.settings["raw_integrations"] if caller.direct else caller.settings["integrations"]
    if not caller.direct and not editor:
        fail(exchange, 400, "bad request: missing Editor-Version header for IDE auth")
    elif minimum and editor and _version(editor) < _version(minimum):
        fail(exchange, 466, f"client not supported: {editor} is older than {minimum}, please update your editor")
    elif request.header("copilot-integration-id") and caller.integration not in accepted:
        fail(exchange, 403, "token not authorized for this integration")
    else:
        return True
    return False


# -- shared by the inference endpoints -----------------------------------------------------------------------------


def resolve_model(
    world: "World", request: Request, exchange: Exchange, caller: Caller, endpoint: str
) -> dict[str, Any] | None:
    """The catalogue entry of the requested model, or an answered error (contract §10.4)."""
    wanted = request.fields.get("model")
    entry = catalogue.find(world.models, wanted)
    if entry is None or not catalogue.allowed(entry, caller.account):
        # 138 bytes with the newline, exactly as captured
        fail(
            exchange,
            400,
            {
                "message": "The requested model is not supported.",
                "code": "model_not_supported",
                "param": "model",
                "type": "invalid_request_error",
            },
        )
    elif not catalogue.released(world, entry, caller.integration):
        fail(
            exchange,
            400,
            {
                "message": f"model {wanted} is not available for Copilot integrator {caller.integration}",
                "code": "model_not_available_for_integrator",
            },
        )
    elif entry.get("policy", {}).get("state", "enabled") != "enabled":
        fail(
            exchange,
            403,
            {
                "message": f"Access to {entry['name']} is not enabled. Enable the model policy at "
                "https://github.com/settings/copilot/features",
                "code": "model_policy_not_enabled",
            },
        )
    elif endpoint not in catalogue.endpoints(entry):
        _wrong_endpoint(request, exchange, caller, endpoint)
    else:
        return entry
    return None


def _wrong_endpoint(request: Request, exchange: Exchange, caller: Caller, endpoint: str) -> None:
    """The three forms of contract §8.1 and §10.4; counting tokens is not found for other vendors (contract §8.9)."""
    if request.path.endswith("/count_tokens"):
        return fail(exchange, 404, "404 page not found")
    variant = caller.settings["unsupported_api_variant"]
    if variant == "no_endpoints":
        return fail(exchange, 400, {"message": "no model endpoints available given user constraints", "code": ""})
    extra = (
        {"code": "unsupported_api_for_model"}
        if variant == "current"
        else {"code": "model_not_supported", "type": "invalid_request_error"}
    )
    message = f'model "{request.fields.get("model")}" is not accessible via the {endpoint} endpoint'
    return fail(exchange, 400, {"message": message, **extra})


def charge(world: "World", request: Request, exchange: Exchange, caller: Caller, entry: dict[str, Any]) -> bool:
    """Refuse with 402 when the quota is gone, else bill it. Follow-ups (``agent``) cost nothing (contract §5.5)."""
    units = catalogue.multiplier(entry)
    discounts = world.sessions.get(request.header("copilot-session-token") or "", {})
    units = round(units * (1 - discounts.get(entry["id"], 0.0)), 4)
    account = caller.account
    with world.cond:
        if caller.by_user and account.free and account.chat.exhausted:
            fail(exchange, 402, {"message": "You have no quota", "code": "free_quota_exceeded"})
            return False
        if not account.in_credits and caller.by_user and not account.free and units and account.premium.exhausted:
            _no_quota(world, exchange, caller, "quota_exceeded")
            return False
        if account.pool == "empty" and any(billing.prices(entry)):
            _no_quota(world, exchange, caller, "additional_spend_limit_reached")
            return False
        world.bill(account, units, caller.by_user)
    return True


def _no_quota(world: "World", exchange: Exchange, caller: Caller, code: str) -> None:
    headers = quota_headers(world, caller) if caller.settings["quota_headers_on_402"] else []
    fail(exchange, 402, {"message": "You have no quota", "code": code}, headers)


def quota_headers(world: "World", caller: Caller) -> Headers:
    """Contract §10.5, in the exact URL-encoded form; usage windows only with an API version and above 50 % used."""
    reset = reset_date(world)
    account = caller.account
    with_total = bool(caller.settings["quota_total"] and (caller.api_version or "") >= "2026-06-01")
    quotas = {"chat": account.chat, "completions": account.completions}
    if not account.free:
        quotas |= {"premium_models": account.premium, "premium_interactions": account.premium}
    headers = [(f"x-quota-snapshot-{name}", _quota_value(quota, reset, with_total)) for name, quota in quotas.items()]
    now = datetime.fromtimestamp(world.now(), UTC).replace(microsecond=0)
    monday = now.replace(hour=0, minute=0, second=0) + timedelta(days=7 - now.weekday())
    for name, used, ends in (
        ("session", caller.settings["usage_session_used"], now + timedelta(hours=5)),
        ("weekly", caller.settings["usage_weekly_used"], monday),
    ):
        if caller.api_version and used > 50:
            value = f"ent=0&rem={round(100.0 - used, 1)}&rst={_stamp(ends)}"
            headers.append((f"x-usage-ratelimit-{name}", value))
    return headers


def _stamp(moment: datetime) -> str:
    return quote(moment.strftime("%Y-%m-%dT%H:%M:%SZ"), safe="")


def _quota_value(quota: Quota, reset: datetime, with_total: bool) -> str:
    entitlement = -1 if quota.unlimited else int(quota.entitlement)
    allowed = "true" if quota.overage_permitted else "false"
    return (
        f"ent={entitlement}&ov={float(quota.overage_count)}&ovPerm={allowed}"
        f"&rem={round(quota.percent, 1)}&rst={_stamp(reset)}"
        + (f"&totRem={-1 if quota.unlimited else round(float(quota.remaining), 1)}" if with_total else "")
    )
