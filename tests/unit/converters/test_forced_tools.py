"""A forced call of a tool that the model is not offered is refused here, by the tool's name, before Copilot does."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.registry import CLIENTS
from app.errors import UnsupportedFeatureError
from tests.support.exchanges import PROTOCOLS, exchange_between, sent
from tests.support.rows import rows

Json = dict[str, Any]

SCHEMA: Json = {"type": "object", "properties": {}}
USER: Json = {"role": "user", "content": "hi"}
REMOVED: Json = {
    "role": "system",
    "content": [{"type": "tool_removal", "tool": {"type": "tool_reference", "name": "gone"}}],
}


def tool(client: str, name: str) -> Json:
    if client == "messages":
        return {"name": name, "input_schema": SCHEMA}
    function = {"name": name, "parameters": SCHEMA}
    return {"type": "function", **function} if client == "responses" else {"type": "function", "function": function}


def choice(client: str, name: str) -> Json:
    if client == "messages":
        return {"type": "tool", "name": name}
    return (
        {"type": "function", "name": name}
        if client == "responses"
        else {"type": "function", "function": {"name": name}}
    )


def request(client: str, tools: list[Json], forced: str, *more: Json) -> Json:
    said = {"input": [USER, *more]} if client == "responses" else {"messages": [USER, *more]}
    most = {"max_tokens": 99} if client == "messages" else {}
    return {"model": "m", **said, **most, "tools": tools, "tool_choice": choice(client, forced)}


HOSTED: dict[str, Json] = {
    "chat": {"type": "web_search"},
    "responses": {"type": "image_generation"},
}
BODIES: dict[tuple[str, str], tuple[Json, str]] = {
    **{(client, "not offered"): (request(client, [tool(client, "t")], "gone"), "gone") for client in PROTOCOLS},
    **{
        (client, "hosted, by its type"): (request(client, [tool(client, "t"), one], one["type"]), one["type"])
        for client, one in HOSTED.items()
    },
    ("messages", "removed by the conversation"): (
        request("messages", [tool("messages", "t"), tool("messages", "gone")], "gone", REMOVED),
        "gone",
    ),
    ("messages", "the only one, removed"): (request("messages", [tool("messages", "gone")], "gone", REMOVED), "gone"),
}
NATIVELY: set[tuple[str, str]] = {("messages", "removed by the conversation"), ("messages", "the only one, removed")}
"""Where the bridge takes the tool away itself, though both sides speak the same protocol."""


@rows("client", "upstream")
@pytest.mark.parametrize(
    ("client", "upstream", "case"),
    [(client, upstream, case) for client, case in BODIES for upstream in PROTOCOLS],
)
def test_a_forced_tool_that_is_not_there_is_refused_by_name(client: str, upstream: str, case: str) -> None:
    body, name = BODIES[client, case]
    for may_pass in [False, *([True] if client == upstream and (client, case) in NATIVELY else [])]:
        with pytest.raises(UnsupportedFeatureError) as caught:
            exchange_between(client, upstream, body, may_pass=may_pass).payload()
        error = caught.value
        assert (error.status, error.param) == (400, "tool_choice")
        assert name in error.message
        told = CLIENTS[client].encode_error(error, "r")["error"]
        assert (told["type"], told["message"]) == ("invalid_request_error", error.message)


@pytest.mark.parametrize("client", PROTOCOLS)
@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_a_forced_tool_that_is_there_is_sent(client: str, upstream: str) -> None:
    body = request(client, [tool(client, "t"), tool(client, "u")], "t")
    assert sent(exchange_between(client, upstream, body))["tool_choice"] == choice(upstream, "t")
