"""``POST /auto`` and the session token of auto mode (contract §4.7, §4.9, §13.5)."""

import json
import time
from typing import TYPE_CHECKING

from . import catalogue
from .server import Exchange, Request

if TYPE_CHECKING:
    from .capi import Caller
    from .state import World

_TIERS = {
    "efficiency": "gpt-5-mini",
    "balance": "claude-haiku-4.5",
    "intelligence": "gpt-5.3-codex",
    "fast": "gpt-5-mini",
    # the old names
    "eco": "gpt-5-mini",
    "balanced": "claude-haiku-4.5",
    "max": "gpt-5.3-codex",
}
_SINCE = "2026-08-01"
# What a client is not told of the model (contract §4.9).
_VOLATILE = ("policy", "warning_messages", "info_messages", "billing", "model_picker_enabled", "model_picker_category")


def handle(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    state = caller.settings["auto"]
    if state == "slow":
        time.sleep(caller.settings["auto_delay_s"])
    if state == "absent" or (caller.api_version or "") < _SINCE:
        return exchange.reply(404, [("content-type", "application/json")], b'{"error":"not found"}')
    if state == "unavailable":
        return exchange.reply(503, [("content-type", "application/json")], b'{"error":"service unavailable"}')
    if state == "html":
        return exchange.reply(502, [("content-type", "text/html")], b"<html><title>Bad gateway</title></html>")
    fields = request.fields
    prompt, tier = fields.get("prompt"), fields.get("tier", "balance")
    if not isinstance(prompt, str) or not prompt:
        return caller.fail(exchange, 400, {"message": "prompt is required", "code": "invalid_request_body"})
    if tier not in _TIERS:
        return caller.fail(exchange, 400, {"message": f"unknown tier: {tier}", "code": "invalid_request_body"})
    if "has_image" in fields and fields["has_image"] is not True:
        return caller.fail(exchange, 400, {"message": "has_image is sent only when true", "code": ""})
    wanted = caller.settings["auto_model"] or _TIERS[tier]
    entry = catalogue.find(world.models, wanted)
    if entry is None:
        return caller.fail(exchange, 503, {"message": "no model available", "code": "service_unavailable"})
    token = f"eyJhbGciOiJFUzI1NiJ9.{world.alnum('session', 40)}.c2lnbmF0dXJl"
    lifetime = caller.settings["auto_lifetime_s"]
    world.sessions[token] = {wanted: 0.1}
    world.session_ends[token] = world.now() + lifetime
    answer = {
        "session_token": token,
        "expires_at": int(world.now()) + lifetime,
        "selected_model": {key: value for key, value in entry.items() if key not in _VOLATILE},
        "hydra_scores": {"reasoning": 0.12, "code_gen": 0.3, "debugging": 0.05, "tool_use": 0.41},
        "discounted_costs": {wanted: 0.1},
    }
    return exchange.reply(200, [("content-type", "application/json")], json.dumps(answer).encode())


def session_refused(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> bool:
    """A session token that is over, or nobody's."""
    token = request.header("copilot-session-token")
    if token is None or (token in world.sessions and world.session_ends.get(token, world.now() + 1) > world.now()):
        return False
    caller.fail(exchange, 401, {"message": "session token expired", "code": "session_expired"})
    return True
