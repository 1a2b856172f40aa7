"""The control port: what a test (or a curious person) uses to script and to observe the simulator."""

from typing import TYPE_CHECKING, Any

from . import web
from .faults import PRESETS
from .server import Exchange, Request

if TYPE_CHECKING:
    from .state import World


def handle(world: "World", request: Request, exchange: Exchange) -> None:
    try:
        status, value = _dispatch(world, request)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        status, value = 400, {"error": f"{type(error).__name__}: {error}"}
    exchange.reply_json(status, value)


def _dispatch(world: "World", request: Request) -> tuple[int, Any]:
    name = request.path.strip("/")
    function = _ROUTES.get((request.method, name))
    if function is None:
        return 404, {"error": "unknown control call", "known": [f"{m} /{p}" for m, p in sorted(_ROUTES)]}
    if request.body and not isinstance(request.json, dict):
        raise ValueError("the body must be a JSON object")
    return function(world, request)


def _reset(world: "World", _: Request) -> tuple[int, Any]:
    world.reset()
    return 200, {"ok": True}


def _get_config(world: "World", _: Request) -> tuple[int, Any]:
    return 200, world.config


def _set_config(world: "World", request: Request) -> tuple[int, Any]:
    world.configure(request.fields)
    return 200, world.config


def _requests(world: "World", request: Request) -> tuple[int, Any]:
    query = request.query
    with world.cond:
        found = [
            entry
            for entry in world.requests
            if query.get("path", entry["path"]) == entry["path"] and query.get("host", entry["host"]) == entry["host"]
        ]
        if query.get("clear") in ("1", "true"):
            world.requests.clear()
    return 200, found


def _state(world: "World", _: Request) -> tuple[int, Any]:
    return 200, world.snapshot()


def _bills(world: "World", request: Request) -> tuple[int, Any]:
    with world.cond:
        return 200, dict(world.billed_tokens if request.query.get("of") == "tokens" else world.bills)


def _wait(world: "World", request: Request) -> tuple[int, Any]:
    query = request.query
    reached, state = world.wait_for(
        query["counter"], float(query.get("at_least", 1)), min(float(query.get("timeout", 10)), 120)
    )
    return (200 if reached else 408), state


def _devices(world: "World", _: Request) -> tuple[int, Any]:
    with world.cond:
        return 200, [
            {
                "device_code": one.device_code,
                "user_code": one.user_code,
                "client_id": one.client_id,
                "scope": one.scope,
                "state": one.state,
                "interval": one.interval,
                "polls": len(one.polls),
                "poll_times": [round(moment - one.created, 3) for moment in one.polls],
                "token": one.token,
            }
            for one in world.devices
        ]


def _decide(world: "World", request: Request) -> tuple[int, Any]:
    device = web.decide(world, request.fields["action"], request.fields.get("user_code"))
    if device is None:
        return 404, {"error": "no such device code"}
    return 200, {"user_code": device.user_code, "state": device.state}


def _add_fault(world: "World", request: Request) -> tuple[int, Any]:
    world.faults.add(request.fields)
    return 200, {"pending": len(world.faults.pending)}


def _clear_faults(world: "World", _: Request) -> tuple[int, Any]:
    world.faults.clear()
    return 200, {"pending": 0}


def _list_faults(world: "World", _: Request) -> tuple[int, Any]:
    pending = [
        {"endpoint": one.endpoint, "model": one.model, "host": one.host, "times": one.times}
        for one in world.faults.pending
    ]
    return 200, {"pending": pending, "presets": sorted(PRESETS)}


def _gate(world: "World", request: Request) -> tuple[int, Any]:
    count = request.fields.get("release", 1)
    world.gates.release(request.fields.get("name", "default"), None if count == "all" else int(count))
    return 200, {"gates": world.gates.waiting()}


def _gates(world: "World", _: Request) -> tuple[int, Any]:
    return 200, {"gates": world.gates.waiting()}


def _tokens(world: "World", request: Request) -> tuple[int, Any]:
    action = request.fields["action"]
    with world.cond:
        if action == "invalidate_copilot":
            wanted = request.fields.get("account")
            dead = [one for one in world.tokens.values() if one.alive and wanted in (None, one.account)]
            for one in dead:
                one.alive = False
            return 200, {"invalidated": len(dead)}
        if action == "revoke_github":
            world.add_account(request.fields["token"], {"kind": "revoked"})
            return 200, {"ok": True}
    raise ValueError(f"unknown action: {action}")


def _accounts(world: "World", _: Request) -> tuple[int, Any]:
    with world.cond:
        return 200, {token: account.describe() for token, account in world.accounts.items()}


def _set_account(world: "World", request: Request) -> tuple[int, Any]:
    return 200, world.add_account(request.fields["token"], request.fields).describe()


_ROUTES = {
    ("POST", "reset"): _reset,
    ("GET", "config"): _get_config,
    ("POST", "config"): _set_config,
    ("GET", "requests"): _requests,
    ("GET", "state"): _state,
    ("GET", "bills"): _bills,
    ("GET", "wait"): _wait,
    ("GET", "device"): _devices,
    ("POST", "device"): _decide,
    ("POST", "faults"): _add_fault,
    ("GET", "faults"): _list_faults,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "gate"): _gate,
    ("GET", "gate"): _gates,
    ("POST", "tokens"): _tokens,
    ("GET", "accounts"): _accounts,
    ("POST", "accounts"): _set_account,
}
