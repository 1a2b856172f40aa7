"""Every content block and item type of the installed SDKs, wherever it may stand, on all nine pairs: it arrives, or
arrives as text, or is refused by name. None vanishes.

The types are read from the SDKs' own parameter types, so that a new release brings its own cases.
"""

from __future__ import annotations

import json
import types
import typing
from typing import Any, NotRequired, Required

import pytest
from anthropic.types.beta import BetaContentBlockParam
from anthropic.types.beta.beta_tool_result_block_param import Content as ResultContent
from openai.types.chat import ChatCompletionContentPartParam
from openai.types.responses import ResponseInputItemParam
from openai.types.responses.response_input_message_content_list_param import ResponseInputContentParam

from app.converters.codec import UpstreamRequest
from app.errors import GatewayError
from tests.support.exchanges import PIXEL, PROTOCOLS, exchange_between
from tests.support.rows import rows

Json = dict[str, Any]
MARK = "pears-7f3a"
PDF = "data:application/pdf;base64,JVBERi0xLjQK"
# What stands where only certain words or forms make sense.
KNOWN: Json = {
    "role": "user",
    "media_type": "image/png",
    "call_id": "call_1",
    "tool_use_id": "call_1",
    "id": "call_1",
    "name": "t",
    "signature": "c2ln",
    "encrypted_content": "ZW5j",
    "status": "completed",
    "image_url": PIXEL,
    "file_data": PDF,
    "arguments": json.dumps({"q": MARK}),
    "url": PIXEL,
    "data": PIXEL.split(",")[1],
    "file_id": "file_1",
    "approval_request_id": "call_1",
    "execution": "client",
}
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


def is_typeddict(kind: Any) -> bool:
    """The SDKs' TypedDict is that of typing_extensions, which `typing` does not know as one."""
    return isinstance(kind, type) and hasattr(kind, "__required_keys__")


def sample(kind: Any, name: str = "", depth: int = 0) -> Any:
    """A value of an SDK's parameter type: required fields, and every text with the mark."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Required, NotRequired, typing.Annotated):
        return sample(arguments[0], name, depth)
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        choices = [one for one in arguments if one is not type(None)]
        plain = next((one for one in choices if one is str), None)
        return sample(plain or choices[0], name, depth)
    if is_typeddict(kind):
        return struct(kind, depth)
    if kind is str:
        return KNOWN.get(name, MARK)
    if kind is bool:
        return False
    if kind in (int, float):
        return 1
    if isinstance(origin, type) and not issubclass(origin, dict) and arguments and origin is not dict:
        inner = sample(arguments[0], name, depth + 1)
        return [inner] if depth < 6 else []
    return {"q": MARK}


def struct(kind: Any, depth: int = 0) -> Json:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        name: sample(hint, name, depth + 1)
        for name, hint in hints.items()
        if is_required(hint, name, kind) or name in ("type", "output", "content", "text")
    }


def is_required(hint: Any, name: str, kind: Any) -> bool:
    """The SDKs' annotations are strings, in which a TypedDict itself does not see the word."""
    origin = typing.get_origin(hint)
    return origin is Required or (origin is not NotRequired and name in kind.__required_keys__)


def members(union: Any) -> list[Any]:
    """The parameter types that a union holds, those inside it too."""
    if is_typeddict(union):
        return [union]
    return [member for argument in typing.get_args(union) for member in members(argument)]


def samples(union: Any) -> dict[str, Json]:
    """One value for each `type`."""
    found: dict[str, Json] = {}
    for kind in members(union):
        value = struct(kind)
        found.setdefault(str(value.get("type") or kind.__name__), value)
    return found


USER: Json = {"role": "user", "content": "hi"}
USE: Json = {"type": "tool_use", "id": "call_1", "name": "t", "input": {}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "call_1", "content": "done"}
OF_MODEL = ("tool_use", "server_tool_use", "mcp_tool_use", "thinking", "redacted_thinking", "fallback", "compaction")


def beside(item: Json) -> Json:
    """An item that only stands there so that the one in question may: without the mark."""
    other: Json = json.loads(json.dumps({**item, "call_id": "call_1"}).replace(MARK, "something else"))
    return other


def messages_cases() -> dict[str, Json]:
    cases: dict[str, Json] = {}
    for kind, block in samples(BetaContentBlockParam).items():
        said = [{"type": "text", "text": "Look."}, block]
        if kind == "tool_result":
            cases[f"user {kind}"] = {
                "messages": [USER, {"role": "assistant", "content": [USE]}, {"role": "user", "content": [block]}]
            }
            continue
        if kind not in OF_MODEL:
            cases[f"user {kind}"] = {"messages": [{"role": "user", "content": said}]}
        after = [{"role": "user", "content": [RESULT]}] if kind == "tool_use" else [USER]
        if kind not in ("image", "document", "search_result", "container_upload", "tool_addition", "tool_removal"):
            cases[f"assistant {kind}"] = {"messages": [USER, {"role": "assistant", "content": said}, *after]}
    for kind, block in samples(ResultContent).items():
        result = {**RESULT, "content": [block]}
        cases[f"result {kind}"] = {
            "messages": [USER, {"role": "assistant", "content": [USE]}, {"role": "user", "content": [result]}]
        }
    tool = {"name": "t", "input_schema": {"type": "object", "properties": {}}}
    return {name: {"model": "m", "max_tokens": 99, "tools": [tool], **body} for name, body in cases.items()}


def responses_cases() -> dict[str, Json]:
    cases: dict[str, list[Json]] = {}
    items = samples(ResponseInputItemParam)
    for kind, item in items.items():
        given = [USER, item]
        if kind.endswith("_output"):
            stem = kind.removesuffix("_output")
            call = items.get(stem) or items.get(f"{stem}_call") or items["function_call"]
            given = [USER, beside(call), {**item, "call_id": "call_1"}]
        elif f"{kind}_output" in items:
            given = [USER, {**item, "call_id": "call_1"}, beside(items[f"{kind}_output"])]
        elif kind == "tool_search_call":
            given = [USER, {**item, "call_id": "call_1"}, beside(items["tool_search_output"])]
        cases[f"item {kind}"] = given
    call = {"type": "function_call", "call_id": "call_1", "name": "t", "arguments": "{}"}
    for kind, part in samples(ResponseInputContentParam).items():
        cases[f"user {kind}"] = [{"role": "user", "content": [part]}]
        cases[f"result {kind}"] = [USER, call, {"type": "function_call_output", "call_id": "call_1", "output": [part]}]
    return {name: {"model": "m", "input": given} for name, given in cases.items()}


def chat_cases() -> dict[str, Json]:
    return {
        f"user {kind}": {"model": "m", "messages": [{"role": "user", "content": [part]}]}
        for kind, part in samples(ChatCompletionContentPartParam).items()
    }


CASES = {"chat": chat_cases(), "messages": messages_cases(), "responses": responses_cases()}
ROWS = [(client, upstream, name) for client in PROTOCOLS for upstream in PROTOCOLS for name in CASES[client]]


def traces(value: Any) -> set[str]:
    """What of a value can be found again upstream: its words, its bytes."""
    if isinstance(value, str):
        return {one for one in (MARK, PIXEL.split(",")[1], "JVBERi0xLjQK", "file_1") if one in value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {trace for one in inner for trace in traces(one)}


def prepared_or_refused(client: str, upstream: str, body: Json) -> UpstreamRequest | GatewayError:
    try:
        return exchange_between(client, upstream, body).payload()
    except GatewayError as error:
        return error


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "name"), ROWS)
def test_nothing_that_was_said_vanishes(client: str, upstream: str, name: str) -> None:
    body = CASES[client][name]
    kind = name.split(" ", 1)[1]
    prepared = prepared_or_refused(client, upstream, body)
    if isinstance(prepared, GatewayError):
        assert prepared.status == 400
        assert prepared.param or kind in prepared.message or "call_1" in prepared.message
        return
    sent = prepared.body.decode()
    wanted = traces(body)
    if not wanted or kind in ADVICE or name in ADVICE or any(trace in sent for trace in wanted):
        return
    pytest.fail(f"{name}: {json.dumps(body)[:600]} was sent as {sent[:600]}; dropped: {prepared.dropped}")


def test_the_sdks_name_their_types() -> None:
    """A guard for this test itself: the introspection finds what it should."""
    assert {"text", "image", "document", "mcp_tool_result"} <= samples(BetaContentBlockParam).keys()
    assert {"message", "function_call", "mcp_call", "shell_call"} <= samples(ResponseInputItemParam).keys()
    assert {"text", "image_url", "input_audio", "file"} <= samples(ChatCompletionContentPartParam).keys()
