"""Puts the five ports together: records each request, lets scripted faults act, then calls the host's handler."""

import base64
import sys
import traceback

from . import capi, control, rest, web, wire
from .faults import Action
from .server import ClientGone, Closed, Exchange, Port, Request, pause
from .state import World, dumps

HOSTS = ("web", "api", "capi", "capi_business")


def serve(world: World, port_base: int = 0) -> list[Port]:
    """Bind and start every port; fills ``world.urls``."""

    def logical(request: Request, exchange: Exchange) -> None:
        _logical(world, request, exchange)

    def operate(request: Request, exchange: Exchange) -> None:
        control.handle(world, request, exchange)

    ports = []
    for offset, name in enumerate((*HOSTS, "control")):
        number = port_base + offset if port_base else 0
        ports.append(Port(name, number, operate if name == "control" else logical, world.now))
    world.urls = {port.name: port.url for port in ports}
    for port in ports:
        port.start()
    return ports


def _logical(world: World, request: Request, exchange: Exchange) -> None:
    exchange.record = world.record(request)
    settings = world.settings()
    exchange.byte_mode = settings["tcp_chunk"] == "byte"
    exchange.base = _base_headers(world, request)
    exchange.keep_alive = exchange.keep_alive and settings["keep_alive"]
    action = world.faults.take(request.port, request.path, request.fields.get("model"))
    try:
        if action and before_headers(world, exchange, action):
            return
        if action and request.path not in capi.STREAMING and (action.cut_events, action.cut_bytes) != (None, None):
            exchange.cut = (action.cut_bytes, action.cut_kind == "reset")
        if request.port == "web":
            web.handle(world, request, exchange)
        elif request.port == "api":
            rest.handle(world, request, exchange)
        else:
            if action and action.knobs.get("tcp_chunk") == "byte":
                exchange.byte_mode = True
            capi.handle(world, request, exchange, action)
    except (ClientGone, Closed):
        raise
    except Exception:
        traceback.print_exc(file=sys.stderr)
        if not exchange.status:
            exchange.keep_alive = False
            exchange.reply_json(500, {"simulator_bug": traceback.format_exc()})


def _base_headers(world: World, request: Request) -> list[tuple[str, str]]:
    """Contract §5.8: what every answer carries (``date`` is added by the server)."""
    groups = world.digest("github-request").hex().upper()
    found = [
        ("x-request-id", request.header("x-request-id") or world.uuid("request")),
        ("x-github-request-id", f"{groups[:4]}:{groups[4:10]}:{groups[10:17]}:{groups[17:24]}:{groups[24:32]}"),
        ("x-github-backend", "Kubernetes"),
        ("x-content-type-options", "nosniff"),
        ("strict-transport-security", "max-age=31536000"),
    ]
    if request.port.startswith("capi"):
        found.append(("x-copilot-service-request-id", world.uuid("service")))
    return found


def before_headers(world: World, exchange: Exchange, action: Action) -> bool:
    """Faults that act before the answer; True when the request is answered."""
    wire.hold_back(world, exchange, action.wait or None)
    if action.reset:
        exchange.break_off(reset=True)
    if action.close:
        exchange.break_off(reset=False)
    if action.status is None:
        return False
    if action.pieces is not None:
        _play(exchange, action, [base64.b64decode(piece) for piece in action.pieces])
        return True
    body = action.body if isinstance(action.body, str) else dumps(action.body).decode() + "\n"
    exchange.reply(action.status, [("content-type", action.content_type), *action.headers.items()], body.encode())
    return True


_SILENCE_S = 3600.0


def _play(exchange: Exchange, action: Action, pieces: list[bytes]) -> None:
    """An answer that somebody has recorded: these pieces, and this end."""
    assert action.status is not None
    exchange.begin(action.status, [("content-type", action.content_type), *action.headers.items()])
    for piece in pieces:
        exchange.write(piece)
    if action.ending == "silent":
        pause(exchange.sock, _SILENCE_S)
    elif action.ending == "cut":
        exchange.break_off(reset=False)
    exchange.end()
