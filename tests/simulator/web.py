"""The sign-in host: device codes, polling, and the page a person would visit (contract §1, §13.2)."""

import html
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from .server import Exchange, Request

if TYPE_CHECKING:
    from .state import Device, World

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_URI = "https://docs.github.com/developers/apps/authorizing-oauth-apps#error-codes-for-the-device-flow"
_TEXTS = {
    "authorization_pending": "The authorization request is still pending.",
    "slow_down": "Too many requests have been made in the same timeframe.",
    "expired_token": "This 'device_code' has expired.",
    "access_denied": "The authorization request was denied.",
    "incorrect_device_code": "The device_code provided is not valid.",
    "incorrect_client_credentials": "The client_id and/or client_secret passed are incorrect.",
    "unsupported_grant_type": "The grant type is not supported by the authorization server.",
    "device_flow_disabled": "Device Flow must be explicitly enabled for this App.",
}


def handle(world: "World", request: Request, exchange: Exchange) -> None:
    if request.path == "/login/device/code" and request.method == "POST":
        _code(world, request, exchange)
    elif request.path == "/login/oauth/access_token" and request.method == "POST":
        _poll(world, request, exchange)
    elif request.path == "/login/device":
        _page(world, request, exchange)
    else:
        exchange.reply(404, [("content-type", "text/html; charset=utf-8")], b"<h1>Not Found</h1>")


def _fields(request: Request) -> dict[str, Any]:
    """JSON and form bodies are both accepted (contract §1.1)."""
    if "json" in (request.header("content-type") or "") or isinstance(request.json, dict):
        return request.fields
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def _answer(request: Request, exchange: Exchange, value: dict[str, Any], status: int = 200) -> None:
    """JSON when it was asked for, form-encoded text otherwise (contract §1.1)."""
    if "json" in (request.header("accept") or ""):
        exchange.reply_json(status, value)
    else:
        exchange.reply(
            status, [("content-type", "application/x-www-form-urlencoded; charset=utf-8")], urlencode(value).encode()
        )


def _error(request: Request, exchange: Exchange, code: str, **extra: Any) -> None:
    """Polling errors are HTTP 200 (contract §1.4)."""
    _answer(request, exchange, {"error": code, "error_description": _TEXTS[code], "error_uri": _URI, **extra})


def _code(world: "World", request: Request, exchange: Exchange) -> None:
    from .state import Device

    fields = _fields(request)
    client_id = str(fields.get("client_id", ""))
    known = world.config["known_client_ids"]
    if client_id not in known and "*" not in known:
        return _answer(request, exchange, {"error": "Not Found"}, 404)
    if world.config["device_flow_disabled"]:
        return _error(request, exchange, "device_flow_disabled")
    letters = world.alnum("user-code", 8).upper()
    device = Device(
        world.hex("device", 40),
        f"{letters[:4]}-{letters[4:]}",
        client_id,
        str(fields.get("scope", "")),
        time.monotonic(),
        float(world.config["device_expires_in_s"]),
        float(world.config["device_interval_s"]),
    )
    with world.cond:
        world.devices.append(device)
    return _answer(
        request,
        exchange,
        {
            "device_code": device.device_code,
            "user_code": device.user_code,
            "verification_uri": world.config["verification_uri"] or world.urls["web"] + "/login/device",
            "expires_in": world.config["device_expires_in_s"],
            "interval": world.config["device_interval_s"],
        },
    )


def _poll(world: "World", request: Request, exchange: Exchange) -> None:
    fields = _fields(request)
    now = time.monotonic()
    with world.cond:
        if fields.get("grant_type") != GRANT:
            return _error(request, exchange, "unsupported_grant_type")
        device = next((one for one in world.devices if one.device_code == fields.get("device_code")), None)
        if device is None or device.state == "redeemed":
            return _error(request, exchange, "incorrect_device_code")
        if device.client_id != fields.get("client_id"):
            return _error(request, exchange, "incorrect_client_credentials")
        too_early = bool(device.polls) and now - device.polls[-1] < 0.95 * device.interval  # network jitter
        device.polls.append(now)
        if device.state == "expired" or now - device.created > device.expires_in:
            device.state = "expired"
            return _error(request, exchange, "expired_token")
        if device.state == "denied":
            return _error(request, exchange, "access_denied")
        if too_early:
            device.interval += 5  # the increase is permanent for this flow (contract §1.4)
            return _error(request, exchange, "slow_down", interval=int(device.interval))
        after = world.config["device_auto_approve_after_s"]
        if device.state == "pending" and after is not None and now - device.polls[0] >= float(after):
            device.state = "approved"
        if device.state != "approved":
            return _error(request, exchange, "authorization_pending")
        token = world.mint_github_token(device)
    scope = "" if token.startswith("ghu_") else device.scope
    return _answer(request, exchange, {"access_token": token, "token_type": "bearer", "scope": scope})


def decide(world: "World", action: str, user_code: str | None) -> "Device | None":
    """What the person at the page (or a test) does with a code: approve, deny or let it expire."""
    states = {"approve": "approved", "deny": "denied", "expire": "expired"}
    if action not in states:
        raise ValueError(f"unknown action: {action}")
    with world.cond:
        fitting = [one for one in world.devices if user_code in (None, one.user_code)]
        if not fitting:
            return None
        fitting[-1].state = states[action]
        return fitting[-1]


def _page(world: "World", request: Request, exchange: Exchange) -> None:
    """A stand-in for github.com/login/device, good enough for a person or a browser test."""
    message = ""
    if request.method == "POST":
        fields = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        code = fields.get("user_code", "").strip().upper()
        action = "deny" if fields.get("action") == "deny" else "approve"
        device = decide(world, action, code) if code else None
        message = f"Code {code}: {device.state}." if device else "Unknown code."
    body = f"""<!doctype html><meta charset="utf-8"><title>Device activation (simulator)</title>
<h1>Device activation (simulator)</h1><p role="status">{html.escape(message)}</p>
<form method="post"><label>Code <input name="user_code" autofocus autocomplete="off"></label>
<button name="action" value="approve">Authorize</button> <button name="action" value="deny">Cancel</button></form>"""
    exchange.reply(200, [("content-type", "text/html; charset=utf-8")], body.encode())
