"""The model catalogue and its endpoints: list, entry, policy, auto mode (contract §4, §13.5)."""

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import billing
from .server import Exchange, Request

if TYPE_CHECKING:
    from .accounts import Account
    from .capi import Caller
    from .state import World

_HERE = Path(__file__).parent


def load() -> list[dict[str, Any]]:
    """The entries of contract §4.2, the rest of the table of contract §4.4 with its duplicates, and two odd ones."""
    entries = []
    for name in ("catalogue.json", "catalogue_extra.json"):
        entries += json.loads((_HERE / name).read_text("utf-8"))["data"]
    return entries


def change(models: list[dict[str, Any]], changes: dict[str, Any]) -> None:
    """Apply ``add``, ``remove`` and ``patch`` (a null in a patch deletes the key)."""
    removed = set(changes.get("remove") or [])
    models[:] = [entry for entry in models if entry["id"] not in removed]
    models.extend(copy.deepcopy(changes.get("add") or []))
    for model_id, patch in (changes.get("patch") or {}).items():
        for entry in models:
            if entry["id"] == model_id:
                _merge(entry, patch)


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)


def find(models: list[dict[str, Any]], model_id: Any) -> dict[str, Any] | None:
    return next((entry for entry in models if entry.get("id") == model_id), None)


def endpoints(entry: dict[str, Any]) -> list[str]:
    """Contract §4.3: an absent list means the natural endpoint of the type."""
    if "supported_endpoints" in entry:
        return list(entry["supported_endpoints"])
    kind = entry.get("capabilities", {}).get("type")
    return {"chat": ["/chat/completions"], "embeddings": ["/embeddings"]}.get(kind, [])


def allowed(entry: dict[str, Any], account: "Account") -> bool:
    plans = entry.get("billing", {}).get("restricted_to")
    return plans is None or account.plan in plans


def released(world: "World", entry: dict[str, Any], integration: str | None) -> bool:
    return entry["id"] not in world.config["integration_hidden"].get(integration or "", [])


def multiplier(entry: dict[str, Any]) -> float:
    return float(entry.get("billing", {}).get("multiplier", 0))


def handle(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    """``/models``, ``/models/{id}``, ``/models/{id}/policy``, ``/models/session``, ``/models/session/intent``."""
    path, method = request.path, request.method
    if path == "/models" and method == "GET":
        shown = [
            entry
            for entry in world.models
            if released(world, entry, caller.integration)
            and (world.config["list_restricted"] or allowed(entry, caller.account))
        ]
        if caller.direct and not caller.api_version and world.config["legacy_catalogue"]:
            shown = billing.legacy(shown)
        editor, plugin = request.header("editor-version"), request.header("editor-plugin-version")
        shown = billing.shown(shown, caller, editor, plugin)
        exchange.reply_json(200, {"data": shown, "object": "list"})
    elif path == "/models/session" and method == "POST" and caller.settings["auto_session"]:
        _session(world, exchange, caller)
    elif path == "/models/session/intent" and method == "POST":
        _intent(request, exchange)
    elif path.endswith("/policy") and method == "POST":
        _policy(world, request, exchange, caller, path.removeprefix("/models/").removesuffix("/policy"))
    elif method == "GET" and (entry := find(world.models, path.removeprefix("/models/"))):
        exchange.reply_json(200, entry)
    else:
        caller.fail(exchange, 404 if method == "GET" else 405, {"message": "model not found", "code": "not_found"})


def _policy(world: "World", request: Request, exchange: Exchange, caller: "Caller", model_id: str) -> None:
    """Contract §4.6; an organisation's decision cannot be overridden by its members."""
    entry = find(world.models, model_id)
    if entry is None:
        caller.fail(exchange, 404, {"message": "model not found", "code": "not_found"})
    elif caller.account.plan in ("business", "enterprise"):
        caller.fail(exchange, 403, "forbidden: model policies are managed by your organization")
    elif request.fields.get("state") not in ("enabled", "disabled"):
        caller.fail(exchange, 400, {"message": "invalid policy state", "code": "invalid_request_body"})
    else:
        for same in world.models:
            if same["id"] == model_id:
                same.setdefault("policy", {"terms": ""})["state"] = request.fields["state"]
        exchange.reply_json(200, {"state": request.fields["state"]})


def _session(world: "World", exchange: Exchange, caller: "Caller") -> None:
    """Contract §4.7: auto mode. The discount counts for calls that carry the session token."""
    preferred = ["gpt-5-mini", "claude-haiku-4.5", "gpt-5.3-codex", "claude-sonnet-4.5"]
    usable = [name for name in preferred if (entry := find(world.models, name)) and allowed(entry, caller.account)]
    discounts = {name: 0.1 for name in usable if name.startswith("claude")}
    token = f"eyJhbGciOiJFUzI1NiJ9.{world.alnum('session', 40)}.c2lnbmF0dXJl"
    world.sessions[token] = discounts
    exchange.reply_json(
        200,
        {
            "available_models": usable,
            "selected_model": usable[0] if usable else "",
            "session_token": token,
            "expires_at": int(world.now()) + 3600,
            "discounted_costs": discounts,
        },
    )


def _intent(request: Request, exchange: Exchange) -> None:
    """Contract §4.7: the router; long prompts "need reasoning"."""
    count = int(request.fields.get("prompt_char_count") or len(str(request.fields.get("prompt", ""))))
    needs = count > 400
    names = list(request.fields.get("available_models") or [])
    exchange.reply_json(
        200,
        {
            "predicted_label": "needs_reasoning" if needs else "no_reasoning",
            "confidence": 0.93,
            "latency_ms": 41,
            "candidate_models": names[-1:] if needs else names[:1],
            "scores": {"needs_reasoning": 0.93 if needs else 0.07, "no_reasoning": 0.07 if needs else 0.93},
            "sticky_override": False,
        },
    )
