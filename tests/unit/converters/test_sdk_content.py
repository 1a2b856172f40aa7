"""Every content block and item type of the installed SDKs, wherever it may stand, on all nine pairs: it arrives, or
arrives as text, or is refused by name. None vanishes.

The types are read from the SDKs' own parameter types (`tests.support.sdk_samples`), so that a new release brings its own
cases, and each field and each choice that they leave is a row of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types.beta import BetaContentBlockParam, BetaSystemMessageParam
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputItemParam
from openai.types.responses.response_input_message_content_list_param import ResponseInputContentParam

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
    "item compaction": "encrypted, for the model that made it",
    "tool_addition": "settled: the tools that hold at the end",
    "tool_removal": "settled",
    "additional_tools": "settled",
    "program": "a note on the provider's own programme",
}
"""Types that may go, with nothing said in them that another model could read."""
FIELDS: dict[str, str] = {
    "citations": "says where words stand that stand there still",
    "annotations": "the same",
    "logprobs": "numbers to the text that arrives",
    "caller": "which programme of the provider's made a call",
    "stop_reason": "why an adviser ended",
    "encrypted_stdout": "encrypted",
    "toolset_name": "the key of a set of tools",
}
"""Fields in which nobody says anything to the model."""

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
        cases[f"first system {chosen}"] = [message, USER]
        cases[f"later system {chosen}"] = [USER, message]
    tool = {"name": "t", "input_schema": {"type": "object", "properties": {}}}
    return {
        name: {"model": "m", "max_tokens": 99, "tools": [tool], "messages": given} for name, given in cases.items()
    }


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


def words(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """What was said in a value, each as (where, what)."""
    if isinstance(value, str):
        at = value.find(MARK)
        if at >= 0:
            yield path, value[at : at + len(MARK) + 4]
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from words(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from words(inner, f"{path}[]")


def vanished(body: Json, sent: str) -> list[str]:
    """Where that stood of which nothing is sent."""
    lost = [path for path, said in words(body) if said not in sent and FIELDS.keys().isdisjoint(re.findall(r"\w+", path))]
    files = data(body)
    if any(one in sent for one in files | {PIXEL}):
        # An address arrives as what is there.
        return [path for path in lost if not path.endswith("url")]
    return [*lost, "bytes"] if files else lost


def data(value: Any) -> set[str]:
    """The bytes in a value, and the names of those that are elsewhere."""
    if isinstance(value, str):
        return {one for one in (PIXEL.split(",")[1], "JVBERi0xLjQK", "file_1") if one in value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {trace for one in inner for trace in data(one)}


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
    kind = name.split(" ")[1]
    prepared = prepared_or_refused(client, way, body)
    if isinstance(prepared, GatewayError):
        assert prepared.status == 400
        assert prepared.param or kind in prepared.message or "call_1" in prepared.message
        return
    sent = prepared.body.decode()
    if kind in ADVICE or f"item {kind}" in ADVICE:
        return
    if lost := vanished(body, sent):
        pytest.fail(f"{name}: {', '.join(lost)} of {json.dumps(body)[:900]} were sent as {sent[:900]}; {prepared.dropped}")
