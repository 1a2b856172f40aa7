"""Every content block and item type of the installed SDKs, wherever it may stand, on all nine pairs: it arrives, or
arrives as text, or is refused by name. None vanishes.

The types are read from the SDKs' own parameter types (`tests.support.sdk_samples`), so that a new release brings its
own cases, and each field and each choice that they leave is a row of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from anthropic.types.beta import BetaContentBlockParam, BetaSystemMessageParam
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputItemParam

from app.converters.codec import UpstreamRequest
from app.converters.responses.refusals import FUNCTIONS_ALONE
from app.errors import GatewayError
from tests.support.exchanges import PIXEL, PROTOCOLS, exchange_between
from tests.support.rows import rows
from tests.support.sdk_samples import MARK, members, numbered, samples

Json = dict[str, Any]
ADVICE: dict[str, str] = {
    "thinking": "a thought is heard only by whom it can be proved to",
    "redacted_thinking": "the same",
    "reasoning": "the same",
    "fallback": "a note on which model went on, without words",
    "tool_addition": "settled: the tools that hold at the end",
    "tool_removal": "settled",
    "additional_tools": "settled",
}
"""Types that may go, with nothing said in them that another model could read."""
FIELDS: dict[str, str] = {
    "citations": "where words stand that stand there still",
    "annotations": "the same",
    "logprobs": "numbers to the text that arrives",
    "caller": "which programme of the provider's made a call",
    "fingerprint": "a key of the provider's",
    "stop_reason": "why an adviser ended",
    "encrypted_stdout": "encrypted",
    "encrypted_index": "encrypted",
    "toolset_name": "the key of a set of tools",
    "function_call_output.namespace": "where its tool stands, as the call says",
    "custom_tool_call_output.namespace": "the same",
    "output_schema": "a setting of a tool, which Copilot does not know",
    "authorization": "a secret, which no model is told",
    "headers": "the same",
    "domain_secrets": "the same",
    "skills.source": "a packed folder for a machine of the provider's",
    "shell_call.environment": "the machine of the tool, as its definition says",
    "pending_safety_checks": "asks a client that knows them for a word",
    "acknowledged_safety_checks": "that word",
    "error.type": "the kind of an error whose code and message arrive",
}
"""Fields in which nobody says anything to the model: by name, or by that of what holds them and their own."""

TRACES = "|".join(map(re.escape, (PIXEL.split(",")[1], "JVBERi0xLjQK", "file_1")))
"""Bytes of files, and the name of one."""
PLACE = re.compile(r"(messages|input)\[\d+\]")
"""How the place of something in a client's body begins."""
USER: Json = {"role": "user", "content": "hi"}
USE: Json = {"type": "tool_use", "id": "call_1", "name": "t", "input": {}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "call_1", "content": "done"}


def by_type(union: Any) -> dict[str, list[tuple[str, Json]]]:
    """The values of each type, and what was chosen in them."""
    found: dict[str, list[tuple[str, Json]]] = {}
    for kind in members(union):
        for chosen, value in samples(kind):
            kinds = found.setdefault(str(value.get("type") or value.get("role") or kind.__name__), [])
            kinds.append((f"{kind.__name__} {chosen}" if kinds and not chosen else chosen, value))
    return found


def beside(item: Json) -> Json:
    """An item that only stands there so that the one in question may: without the mark."""
    other: Json = json.loads(json.dumps({**item, "call_id": "call_1"}).replace(MARK, "something else"))
    return other


def messages_cases() -> dict[str, Json]:
    cases: dict[str, list[Json]] = {}
    for kind, given in by_type(BetaContentBlockParam).items():
        for chosen, block in given:
            said = [{"type": "text", "text": "Look."}, block]
            if kind == "tool_result":
                for failed in ("", "failed "):
                    result = {**block, "is_error": True} if failed else block
                    cases[f"{failed}result {kind} {chosen}"] = [
                        USER,
                        {"role": "assistant", "content": [USE]},
                        {"role": "user", "content": [result]},
                    ]
                continue
            after = [{"role": "user", "content": [RESULT]}] if kind == "tool_use" else [USER]
            cases[f"user {kind} {chosen}"] = [{"role": "user", "content": said}]
            cases[f"assistant {kind} {chosen}"] = [USER, {"role": "assistant", "content": said}, *after]
    for chosen, message in samples(BetaSystemMessageParam):
        if message.get("clear_at") != "next_user_message":
            cases[f"first system {chosen}"] = [message, USER]
        cases[f"later system {chosen}"] = [USER, message]
    tool = {"name": "t", "input_schema": {"type": "object", "properties": {}}}
    return {name: {"model": "m", "max_tokens": 99, "tools": [tool], "messages": given} for name, given in cases.items()}


def responses_cases() -> dict[str, Json]:
    cases: dict[str, list[Json]] = {}
    items = by_type(ResponseInputItemParam)
    plain = {kind: given[0][1] for kind, given in items.items()}
    for kind, given in items.items():
        for chosen, item in given:
            around = [USER, item]
            if kind.endswith("_output"):
                if "call_id" not in item:
                    cases[f"lone item {kind} {chosen}"] = around
                stem = kind.removesuffix("_output")
                call = plain.get(stem) or plain.get(f"{stem}_call") or plain["function_call"]
                around = [USER, beside(call), {**item, "call_id": "call_1"}]
            elif f"{kind}_output" in plain:
                around = [USER, {**item, "call_id": "call_1"}, beside(plain[f"{kind}_output"])]
            elif kind == "tool_search_call":
                around = [USER, {**item, "call_id": "call_1"}, beside(plain["tool_search_output"])]
            cases[f"item {kind} {chosen}"] = around
    return {name: {"model": "m", "input": around} for name, around in cases.items()}


def chat_cases() -> dict[str, Json]:
    cases: dict[str, list[Json]] = {}
    call = {"id": "call_1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    for role, given in by_type(ChatCompletionMessageParam).items():
        for chosen, message in given:
            around = [USER, message, USER]
            if role == "tool":
                around = [USER, called, message]
            elif role == "function":
                around = [USER, {"role": "assistant", "function_call": {"name": "t", "arguments": "{}"}}, message]
            elif "tool_calls" in message:
                around = [USER, message, {"role": "tool", "tool_call_id": "call_1", "content": "done"}]
            elif "function_call" in message:
                around = [USER, message, {"role": "function", "name": "t", "content": "done"}]
            cases[f"message {role} {chosen}"] = around
    return {name: {"model": "m", "messages": around} for name, around in cases.items()}


CASES = {
    client: {name: numbered(body) for name, body in made.items()}
    for client, made in (("chat", chat_cases()), ("messages", messages_cases()), ("responses", responses_cases()))
}
WAYS = (*PROTOCOLS, "converted to its own", "responses of functions alone")
ROWS = [(client, way, name) for client in PROTOCOLS for way in WAYS for name in CASES[client]]


def words(value: Any, held_by: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """What was said in a value, each as (where, what); bytes and the names of files too."""
    if isinstance(value, str):
        for said in re.findall(rf"{MARK}-\d+|{TRACES}", value):
            yield ".".join(held_by), said
    elif isinstance(value, dict) and value.get("type") not in ADVICE:
        holder = str(value.get("type") or (held_by or ("",))[-1])
        for key, inner in value.items():
            names = {key, f"{holder}.{key}", f"{(held_by or ('',))[-1]}.{key}"}
            if FIELDS.keys().isdisjoint(names):
                yield from words(inner, (*held_by, key))
    elif isinstance(value, list):
        for inner in value:
            yield from words(inner, held_by)


def vanished(body: Json, sent: str) -> list[str]:
    """Where that stood of which nothing is sent."""
    lost = [(path, said) for path, said in words(body) if said not in sent]
    # An address arrives as what is there, and of several forms of one file one is enough.
    has_file = re.search(TRACES, sent) is not None
    return [path for path, said in lost if not (has_file and (path.endswith("url") or re.match(TRACES, said)))]


def hollow(body: Json) -> list[Json]:
    """The messages, items and results of an upstream's body that say nothing."""
    stack = [*body.get("messages", ()), *(body["input"] if isinstance(body.get("input"), list) else ())]
    found = []
    for one in stack:
        content = one.get("content", one.get("output"))
        says = {"tool_calls", "refusal", "reasoning_text", "function_call"} & one.keys()
        if ("content" in one or "output" in one) and not content and not says:
            found.append(one)
        if isinstance(content, list):
            stack += [part for part in content if isinstance(part, dict) and part.get("type") == "tool_result"]
            found += [part for part in content if part.get("type") == "text" and not part.get("text")]
    return found


def prepared_or_refused(client: str, way: str, body: Json) -> UpstreamRequest | GatewayError:
    upstream = client if way == "converted to its own" else way.split()[0]
    refused = FUNCTIONS_ALONE.refused if way == "responses of functions alone" else frozenset[str]()
    try:
        return exchange_between(client, upstream, body, may_pass=way != "converted to its own").payload(refused)
    except GatewayError as error:
        return error


@rows("client", "way")
@pytest.mark.parametrize(("client", "way", "name"), ROWS)
def test_nothing_that_was_said_vanishes(client: str, way: str, name: str) -> None:
    body = CASES[client][name]
    prepared = prepared_or_refused(client, way, body)
    if isinstance(prepared, GatewayError):
        assert prepared.status == 400
        assert PLACE.match(str(prepared.param)) or "call_1" in prepared.message, prepared.param
        return
    sent = prepared.body.decode()
    lost = vanished(body, sent)
    told = f"of {json.dumps(body)[:900]} sent as {sent[:900]}; dropped: {prepared.dropped}"
    assert not lost, f"{', '.join(lost)} {told}"
    assert not hollow(json.loads(sent)) or hollow(body), f"a hollow message {told}"


def test_the_values_are_the_same_whatever_was_imported_before() -> None:
    """`typing` gives the members of an equal union in the order in which it has seen them first."""
    assert samples(bool | float | str) == samples(str | float | bool)
    assert [chosen for chosen, _ in samples(Literal["a", "b"] | None)] == ["", "b"]


def test_the_sdks_name_their_types() -> None:
    """A guard for this test itself: the introspection finds what it should, and the choices inside it."""
    assert {"text", "image", "document", "mcp_tool_result"} <= by_type(BetaContentBlockParam).keys()
    assert {"message", "function_call", "mcp_call", "shell_call"} <= by_type(ResponseInputItemParam).keys()
    assert {"developer", "system", "user", "assistant", "tool", "function"} == by_type(
        ChatCompletionMessageParam
    ).keys()
    assert {"item tool_search_output tools=FileSearchTool", "item message content=ResponseInputImage.file_id"} <= CASES[
        "responses"
    ].keys()
    assert "message assistant tool_calls" in CASES["chat"]
    kinds = {
        block.get("type") for _, block in by_type(BetaContentBlockParam)["tool_result"] for block in content_of(block)
    }
    assert {"text", "image", "document", "search_result", "tool_reference", "browser_state"} <= kinds


def content_of(block: Json) -> list[Json]:
    content = block["content"]
    return content if isinstance(content, list) else []
