"""Copilot's MCP endpoint, which searches the web: ``POST /mcp`` at the generic host (contract §14.2).

The stricter reading throughout: GitHub's own tokens as Bearer and no others, both media types in ``Accept``, the host
and the toolset named. With the knob ``mcp: session`` it wants to be greeted first, as the protocol allows.
"""

import json
from typing import TYPE_CHECKING, Any

from . import apps, prompts, responses_search, wire
from .accounts import Account
from .faults import TEXT, Action
from .server import Exchange, Request
from .state import dumps

if TYPE_CHECKING:
    from .state import World

Json = dict[str, Any]

PATH = "/mcp"
_TOOLSET = "web_search"
_PERSONAL = ("gho_", "ghu_", "ghs_", "github_pat_")


def handle(world: "World", request: Request, exchange: Exchange, action: Action) -> None:
    settings = world.settings()
    mode = action.knobs.get("mcp", settings["mcp"])
    if request.port != "capi" or mode == "absent":
        return _refuse(exchange, 404, "404 page not found")
    if request.method != "POST":
        return _refuse(exchange, 405, "405 method not allowed")
    account = _account(world, request, exchange)
    if account is None:
        return None
    if mode == "forbidden":
        return _refuse(exchange, 403, "forbidden: MCP servers are disabled by your organization")
    if mode == "quota":
        return _refuse(exchange, 429, "too many requests", [("retry-after", "60")])
    if problem := _headers(request):
        return _refuse(exchange, *problem)
    return _rpc(world, request, exchange, account, mode)


def _account(world: "World", request: Request, exchange: Exchange) -> Account | None:
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    token = token.strip()
    account = world.accounts.get(token) if token.startswith(_PERSONAL) else None
    if scheme != "Bearer" or account is None or account.kind == "revoked" or apps.has_ended(world, account):
        _refuse(exchange, 401, "unauthorized: Bad credentials")
    elif account.kind in ("no_copilot", "subscription_ended", "pat_nopermission", "installation_without"):
        _refuse(exchange, 403, "forbidden")
    else:
        return account
    return None


def _headers(request: Request) -> tuple[int, str] | None:
    accepted = {kind.partition(";")[0].strip() for kind in (request.header("accept") or "").split(",")}
    if not {"application/json", "text/event-stream"} <= accepted:
        return 406, "Not Acceptable: client must accept both application/json and text/event-stream"
    if (request.header("content-type") or "").partition(";")[0] != "application/json":
        return 415, "Content-Type must be 'application/json'"
    if request.header("x-mcp-host") != "github-coding-agent":
        return 400, "bad request: missing X-MCP-Host"
    if request.header("x-initiator") not in ("user", "agent"):
        return 400, "bad request: invalid initiator"
    return None


def _rpc(world: "World", request: Request, exchange: Exchange, account: Account, mode: str) -> None:
    call = request.fields
    if call.get("jsonrpc") != "2.0" or not isinstance(call.get("method"), str):
        return _error(exchange, mode, call, -32600, "Invalid Request")
    method = call["method"]
    session = request.header("mcp-session-id")
    if method == "initialize":
        if not {"protocolVersion", "capabilities", "clientInfo"} <= set(call.get("params") or {}):
            return _error(exchange, mode, call, -32602, "Invalid params")
        world.mcp_sessions.add(made := world.uuid("mcp-session"))
        result = {
            "protocolVersion": call["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "github-mcp-server", "version": "simulated"},
        }
        return _answer(exchange, mode, call, result, [("mcp-session-id", made)])
    if session is not None and session not in world.mcp_sessions:
        return _refuse(exchange, 404, "session not found")
    if mode == "session" and session is None:
        return _refuse(exchange, 400, "Bad Request: Mcp-Session-Id header is required")
    if "id" not in call:
        return exchange.reply(202, [], b"")
    if method == "tools/list":
        return _answer(exchange, mode, call, {"tools": [{"name": _TOOLSET, "inputSchema": _SCHEMA}]})
    if method != "tools/call":
        return _error(exchange, mode, call, -32601, f"Method not found: {method}")
    return _search(world, request, exchange, account, mode)


_SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


def _search(world: "World", request: Request, exchange: Exchange, account: Account, mode: str) -> None:
    call = request.fields
    params = call.get("params") or {}
    toolsets = (request.header("x-mcp-toolsets") or "").split(",")
    if params.get("name") != _TOOLSET or _TOOLSET not in toolsets:
        return _error(exchange, mode, call, -32602, f"unknown tool '{params.get('name')}'")
    given = params.get("arguments")
    if not isinstance(given, dict) or set(given) != {"query"} or not isinstance(given["query"], str):
        return _error(exchange, mode, call, -32602, "invalid arguments: query is required, and nothing else")
    directives = prompts.parse(given["query"])
    wire.hold_back(world, exchange, directives.gate, directives.silence)
    if mode == "error":
        return _error(exchange, mode, call, -32603, "internal error")
    if mode == "failed":
        failed = {"content": [{"type": "text", "text": "search failed: provider not reachable"}], "isError": True}
        return _answer(exchange, mode, call, failed)
    said = directives.say
    if said is None:
        said = responses_search.found(prompts.query([{"role": "user", "content": given["query"]}]))
    world.book_search(account)
    return _answer(exchange, mode, call, {"content": [{"type": "text", "text": json.dumps(written(said))}]})


def written(text: str) -> Json:
    """An answer with citations: each link of the text stands there as a mark, and is told beside it."""
    value, position = "", 0
    notes: list[Json] = []
    for link in responses_search.LINK.finditer(text):
        value += text[position : link.start()]
        mark = f"【{len(notes) + 1}†source】"
        cited = {"title": link[1], "url": link[2]}
        notes.append(
            {"text": mark, "start_index": len(value), "end_index": len(value) + len(mark), "url_citation": cited}
        )
        value += mark
        position = link.end()
    return {"type": "output_text", "text": {"value": value + text[position:], "annotations": notes}}


def _answer(
    exchange: Exchange, mode: str, call: Json, result: Json, headers: list[tuple[str, str]] | None = None
) -> None:
    _send(exchange, mode, {"jsonrpc": "2.0", "id": call.get("id"), "result": result}, headers or [])


def _error(exchange: Exchange, mode: str, call: Json, code: int, message: str) -> None:
    """With status 200, as contract §14.2 has it."""
    _send(exchange, mode, {"jsonrpc": "2.0", "id": call.get("id"), "error": {"code": code, "message": message}}, [])


def _send(exchange: Exchange, mode: str, reply: Json, headers: list[tuple[str, str]]) -> None:
    if mode != "sse":
        exchange.reply(200, [("content-type", "application/json"), *headers], dumps(reply))
        return
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 0.5}}
    exchange.begin(200, [("content-type", "text/event-stream"), *headers])
    exchange.write(b": connected\n\n")
    for frame in (note, reply):
        exchange.write(b"event: message\ndata: " + dumps(frame) + b"\n\n")
    exchange.end()


def _refuse(exchange: Exchange, status: int, said: str, headers: list[tuple[str, str]] | None = None) -> None:
    exchange.reply(status, [("content-type", TEXT), *(headers or [])], said.encode() + b"\n")
