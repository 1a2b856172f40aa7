"""``POST /mcp``: who may ask, and how strictly (contract §14.2)."""

import json

import pytest

CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "web_search", "arguments": {"query": "x"}},
}
HEADERS = {
    "Authorization": "Bearer ghu_test_individual",
    "Accept": "application/json, text/event-stream",
    "X-MCP-Host": "github-coding-agent",
    "X-MCP-Toolsets": "web_search",
    "X-Initiator": "agent",
}


def ask(wire, body=CALL, host=None, **headers):
    sent = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    sent = {name: value for name, value in sent.items() if value is not None}
    return wire.session.post((host or wire.sim.capi) + "/mcp", json=body, headers=sent)


def test_an_answer_cites_its_pages(wire):
    reply = ask(wire).json()
    assert (reply["jsonrpc"], reply["id"]) == ("2.0", 1)
    told = json.loads(reply["result"]["content"][0]["text"])["text"]
    for note in told["annotations"]:
        assert told["value"][note["start_index"] : note["end_index"]] == note["text"]
        assert note["url_citation"]["url"].startswith("https://")
    assert wire.sim.ledger()["searches"] == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "token ghu_test_individual"}, 401),
        ({"Authorization": "Bearer ghp_test_classic"}, 401),
        ({"Authorization": "Bearer ghu_test_revoked"}, 401),
        ({"Authorization": "Bearer ghu_test_no_copilot"}, 403),
        ({"Accept": "application/json"}, 406),
        ({"X_MCP_Host": None}, 400),
        ({"X_Initiator": None}, 400),
    ],
)
def test_who_asks_otherwise_is_refused(wire, headers, status):
    assert ask(wire, **headers).status_code == status
    assert wire.sim.ledger()["searches"] == 0


def test_neither_an_exchanged_token_nor_the_host_of_a_plan_serves(wire):
    assert ask(wire, Authorization=f"Bearer {wire.token()['token']}").status_code == 401
    assert ask(wire, host=wire.sim.capi_business).status_code == 404


@pytest.mark.parametrize(
    ("mode", "status"), [("absent", 404), ("forbidden", 403), ("quota", 429), ("session", 400), ("error", 200)]
)
def test_modes(wire, mode, status):
    wire.sim.config(mcp=mode)
    answer = ask(wire)
    assert answer.status_code == status
    if mode == "error":
        assert answer.json()["error"]["code"] == -32603


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"method": "tools/guess"}, -32601),
        ({"params": {"name": "other", "arguments": {"query": "x"}}}, -32602),
        ({"params": {"name": "web_search", "arguments": {"query": "x", "count": 3}}}, -32602),
        ({"jsonrpc": "1.0"}, -32600),
    ],
)
def test_errors_of_json_rpc_come_with_status_200(wire, changes, code):
    answer = ask(wire, {**CALL, **changes})
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, code)
    assert ask(wire, X_MCP_Toolsets="repos").json()["error"]["code"] == -32602


def test_a_session_is_begun_by_a_greeting(wire):
    wire.sim.config(mcp="session")
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    greeted = ask(wire, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    session = greeted.headers["mcp-session-id"]
    assert ask(wire, Mcp_Session_Id=session).status_code == 200
    assert ask(wire, Mcp_Session_Id="other").status_code == 404
