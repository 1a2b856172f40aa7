"""What one way forgives the other forgives too, and a rule that both vendors have holds on all nine pairs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.converters.registry import CLIENTS
from app.errors import InvalidRequestError
from tests.support.exchanges import PAIRS, PROTOCOLS, exchange_between, sent
from tests.support.rows import rows

Json = dict[str, Any]
TEXT = {"type": "string"}
A, B = {"a": TEXT}, {"b": TEXT}


def asking(client: str, **fields: Any) -> Json:
    said = {"input": "hi"} if client == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    return {"model": "m", **said, **({"max_tokens": 99} if client == "messages" else {}), **fields}


def tool_of(client: str, schema: Any, **more: Any) -> Json:
    if client == "messages":
        return {"name": "attach", "input_schema": schema, **more}
    function = {"name": "attach", "parameters": schema, **more}
    return {"type": "function", **function} if client == "responses" else {"type": "function", "function": function}


def offered(upstream: str, body: Json) -> Json:
    """The one tool that upstream gets: its name, its schema, whether it is strict."""
    tool = body["tools"][0]
    inner = tool["function"] if upstream == "chat" else tool
    return {
        "name": inner["name"],
        "schema": inner["input_schema" if upstream == "messages" else "parameters"],
        "strict": inner.get("strict") is True,
    }


def chosen(upstream: str, body: Json) -> Any:
    """The choice in one form for all: a mode, or a name in brackets."""
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        inner = choice.get("function", choice)
        choice = [inner["name"]] if "name" in inner else choice["type"]
    return "required" if upstream == "messages" and choice == "any" else choice


# ── schemas ─────────────────────────────────────────────────────────────────────────────────────────────────────────

UNIONS: dict[str, tuple[Json, set[str], set[str]]] = {
    "anyOf": (
        {
            "type": "object",
            "anyOf": [{"properties": A, "required": ["a"]}, {"properties": B, "required": ["b"]}],
        },
        {"a", "b"},
        set(),
    ),
    "oneOf beside properties": (
        {
            "type": "object",
            "properties": {"c": TEXT},
            "required": ["c"],
            "oneOf": [{"properties": A}, {"properties": B}],
        },
        {"a", "b", "c"},
        {"c"},
    ),
    "allOf": ({"allOf": [{"properties": A, "required": ["a"]}, {"properties": B}]}, {"a", "b"}, {"a"}),
    "a union in a union": (
        {"anyOf": [{"oneOf": [{"properties": A}, {"properties": B}]}, {"properties": {"c": TEXT}}]},
        {"a", "b", "c"},
        set(),
    ),
    "members by reference": (
        {
            "anyOf": [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/y"}],
            "$defs": {"x": {"properties": A}, "y": {"properties": B}},
        },
        {"a", "b"},
        set(),
    ),
    "a reference": (
        {"$ref": "#/definitions/x", "definitions": {"x": {"type": "object", "properties": A, "required": ["a"]}}},
        {"a"},
        {"a"},
    ),
    "a reference to itself": ({"$ref": "#"}, set(), set()),
    "a reference elsewhere": ({"$ref": "https://x.test/schema"}, set(), set()),
    "not": ({"type": "object", "properties": A, "not": {"required": ["b"]}}, {"a"}, set()),
    "an enum": ({"type": "object", "properties": A, "enum": [{"a": "1"}]}, {"a"}, set()),
    "no object": ({"anyOf": [TEXT, {"type": "number"}]}, set(), set()),
}


@rows("client", "upstream")
@pytest.mark.parametrize("case", UNIONS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_union_at_the_top_of_a_schema_becomes_an_object(client: str, upstream: str, case: str) -> None:
    schema, properties, required = UNIONS[case]
    tool = offered(upstream, sent(exchange_between(client, upstream, asking(client, tools=[tool_of(client, schema)]))))
    assert tool["schema"]["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf", "enum", "not", "$ref"} & tool["schema"].keys()
    assert set(tool["schema"].get("properties", {})) == properties
    assert set(tool["schema"].get("required", ())) == required
    assert not tool["strict"]


@rows("client", "upstream")
@pytest.mark.parametrize(
    "schema", [{}, {"type": "object"}, {"type": "object", "additionalProperties": False}, {"properties": {}}]
)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_tool_without_parameters_says_so(client: str, upstream: str, schema: Json) -> None:
    found = offered(upstream, sent(exchange_between(client, upstream, asking(client, tools=[tool_of(client, schema)]))))
    assert found["schema"]["type"] == "object"
    if upstream != "messages":
        assert found["schema"]["properties"] == {}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_schema_that_all_take_stays_as_it_is(client: str, upstream: str) -> None:
    schema = {"type": "object", "properties": {"a": {"anyOf": [TEXT, {"type": "null"}]}}, "required": ["a"]}
    found = offered(upstream, sent(exchange_between(client, upstream, asking(client, tools=[tool_of(client, schema)]))))
    assert found["schema"] == schema


# ── tools and the choice of one, in other protocols' words ──────────────────────────────────────────────────────────

OBJECT = {"type": "object", "properties": A}
WORDINGS: dict[str, Json] = {
    "of chat": {"type": "function", "function": {"name": "attach", "parameters": OBJECT}},
    "of responses": {"type": "function", "name": "attach", "parameters": OBJECT},
}
CHOICES: list[tuple[Any, Any]] = [
    ("any", "required"),
    ({"type": "any"}, "required"),
    ({"type": "auto"}, "auto"),
    ({"type": "function", "function": {"name": "attach"}}, ["attach"]),
    ({"type": "function", "name": "attach"}, ["attach"]),
    ({"type": "tool", "name": "attach"}, ["attach"]),
]


@rows("client", "upstream")
@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_tool_may_be_worded_as_another_protocol_does(client: str, upstream: str, wording: str) -> None:
    body = sent(
        exchange_between(
            client, upstream, asking(client, tools=[WORDINGS[wording]]), may_pass=is_passed(client, WORDINGS[wording])
        )
    )
    assert offered(upstream, body) == {"name": "attach", "schema": OBJECT, "strict": False}


@rows("client", "upstream")
@pytest.mark.parametrize(("choice", "meant"), CHOICES)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_choice_may_be_worded_as_another_protocol_does(client: str, upstream: str, choice: Any, meant: Any) -> None:
    asked = asking(client, tools=[tool_of(client, OBJECT)], tool_choice=choice)
    body = sent(exchange_between(client, upstream, asked, may_pass=is_passed(client, asked)))
    assert chosen(upstream, body) == meant


def is_passed(client: str, said: Json) -> bool:
    """Whether the relay would let such a body pass where both sides speak the same."""
    native = CLIENTS[client].native
    body = said if "model" in said else asking(client, tools=[said])
    return native is not None and native.passes(json.dumps(body).encode(), body)


# ── ids of calls ────────────────────────────────────────────────────────────────────────────────────────────────────

IDS = ["functions.Bash:0", "call_a|b+c/d=", "ein Aufruf", "é", "a" * 300, "x" * 64, "call_1"]


def turn(client: str, *ids: str) -> list[Json]:
    if client == "chat":
        calls = [{"id": one, "type": "function", "function": {"name": "t", "arguments": "{}"}} for one in ids]
        results = [{"role": "tool", "tool_call_id": one, "content": f"r{at}"} for at, one in enumerate(ids)]
        return [{"role": "assistant", "tool_calls": calls}, *results]
    if client == "messages":
        uses = [{"type": "tool_use", "id": one, "name": "t", "input": {}} for one in ids]
        told = [{"type": "tool_result", "tool_use_id": one, "content": f"r{at}"} for at, one in enumerate(ids)]
        return [{"role": "assistant", "content": uses}, {"role": "user", "content": told}]
    calls = [{"type": "function_call", "call_id": one, "name": "t", "arguments": "{}"} for one in ids]
    return calls + [{"type": "function_call_output", "call_id": one, "output": f"r{at}"} for at, one in enumerate(ids)]


def ids_in(upstream: str, body: Json) -> tuple[list[str], list[str]]:
    """Of the calls, and of the results, in their order."""
    if upstream == "responses":
        items = [item for item in body["input"] if "call_id" in item]
        return (
            [item["call_id"] for item in items if item["type"] == "function_call"],
            [item["call_id"] for item in items if item["type"] == "function_call_output"],
        )
    if upstream == "chat":
        calls = [call["id"] for one in body["messages"] for call in one.get("tool_calls") or ()]
        return calls, [one["tool_call_id"] for one in body["messages"] if one["role"] == "tool"]
    blocks = [block for one in body["messages"] if isinstance(one["content"], list) for block in one["content"]]
    return (
        [block["id"] for block in blocks if block["type"] == "tool_use"],
        [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"],
    )


def conversation(client: str, turns: list[Json]) -> Json:
    first = {"role": "user", "content": "go"}
    fields = {"tools": [{**tool_of(client, OBJECT)}]}
    return {**asking(client, **fields), ("input" if client == "responses" else "messages"): [first, *turns]}


FITS = {"chat": r".{1,40}", "messages": r"[A-Za-z0-9_-]{1,64}", "responses": r".{1,64}"}


@rows("client", "upstream")
@pytest.mark.parametrize("call_id", IDS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_ids_of_calls_fit_their_upstream_at_both_ends(client: str, upstream: str, call_id: str) -> None:
    body = sent(exchange_between(client, upstream, conversation(client, turn(client, call_id, "other"))))
    calls, results = ids_in(upstream, body)
    assert calls == results
    assert len(set(calls)) == 2
    assert all(re.fullmatch(FITS[upstream], one) for one in calls), calls
    if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", call_id):
        assert calls[0] == call_id


@pytest.mark.parametrize("client", PROTOCOLS)
def test_claude_gets_each_id_once_however_often_it_was_used(client: str) -> None:
    turns = [*turn(client, "call_0"), *turn(client, "call_0", "a.b"), *turn(client, "call_0")]
    calls, results = ids_in("messages", sent(exchange_between(client, "messages", conversation(client, turns))))
    assert calls == results
    assert len(set(calls)) == 4
    shorter, _ = ids_in("messages", sent(exchange_between(client, "messages", conversation(client, turns[:2]))))
    assert calls[: len(shorter)] == shorter


# ── what a chat body leaves unsaid, and what no instruction can be ──────────────────────────────────────────────────


def called(**changes: Any) -> Json:
    function = {"name": "t", "arguments": "{}"}
    call = {"id": "c1", "type": "function", "function": function, **changes}
    turns: list[Json] = [
        {"role": "assistant", "tool_calls": [{key: value for key, value in call.items() if value is not None}]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ]
    return conversation("chat", turns)


UNSAID: dict[str, Json] = {
    "a call without its type": called(type=None),
    "a call without arguments": called(function={"name": "t"}),
    "a call whose arguments are an object": called(function={"name": "t", "arguments": {"a": 1}}),
    "a tool without its type": asking("chat", tools=[{"function": {"name": "attach", "parameters": OBJECT}}]),
}


@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("case", UNSAID)
def test_what_a_chat_body_leaves_unsaid_is_said_to_every_upstream(upstream: str, case: str) -> None:
    asked = UNSAID[case]
    body = sent(exchange_between("chat", upstream, asked, may_pass=is_passed("chat", asked)))
    assert offered(upstream, body)["name"] == "attach"
    if upstream == "chat":
        calls = [call for one in body["messages"] for call in one.get("tool_calls") or ()]
        assert all(one["type"] == "function" for one in [*calls, *body["tools"]])
        assert all(isinstance(call["function"]["arguments"], str) for call in calls)


@pytest.mark.parametrize("kind", ["web_search_preview", "mcp", "code_interpreter", "image_generation", "retrieval"])
@pytest.mark.parametrize("upstream", ["chat", "messages"])
def test_a_hosted_tool_of_a_chat_request_is_left_out_by_name(upstream: str, kind: str) -> None:
    asked = asking("chat", tools=[tool_of("chat", OBJECT), {"type": kind}])
    prepared = exchange_between("chat", upstream, asked, may_pass=is_passed("chat", asked)).payload()
    body = json.loads(prepared.body)
    assert (offered(upstream, body)["name"], len(body["tools"])) == ("attach", 1)
    assert list(prepared.dropped) == [f"tools[].{kind}"]


@pytest.mark.parametrize("where", ["system", "a message"])
def test_a_picture_among_the_instructions_is_shown_to_claude_by_the_user(where: str) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}}
    told = [{"type": "text", "text": "Be kind."}, picture]
    asked = asking("messages", **({"system": told} if where == "system" else {}))
    if where != "system":
        asked["messages"] = [{"role": "system", "content": told}, *asked["messages"]]
    body = sent(exchange_between("messages", "messages", asked, may_pass=is_passed("messages", asked)))
    assert "image" not in json.dumps(body.get("system", []))
    assert "QQ==" in json.dumps(body["messages"])
    assert "Be kind." in json.dumps(body)


@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("kind", ["bash_20250124", "text_editor_20250728", "memory_20250818", "computer_20250124"])
def test_a_typed_tool_without_a_name_is_refused_by_its_place(upstream: str, kind: str) -> None:
    asked = asking("messages", tools=[{"type": kind}])
    with pytest.raises(InvalidRequestError) as caught:
        exchange_between("messages", upstream, asked, may_pass=is_passed("messages", asked)).payload()
    assert caught.value.param == "tools[0].name"
