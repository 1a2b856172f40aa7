"""Mutated requests against the whole app, in process: the only thing that is not real is what upstream answers.

Every case follows from the seed and its number alone, so one that failed can be run again by itself::

    python -m tests.support.fuzzing 12345 [seed]
"""

from __future__ import annotations

import copy
import io
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flask import Flask
from flask.testing import FlaskClient
from requests.structures import CaseInsensitiveDict

from app import create_app
from app.logs import LineFormatter
from app.settings import Settings
from app.upstream.headers import Call
from tests.support.grammar import read
from tests.support.secrets import API_KEY
from tests.support.streams import Pieces

SEED: Final = 20260201
FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
ENDPOINTS: Final = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
PATHS: Final = {"/chat/completions": "chat", "/v1/messages": "messages", "/responses": "responses"}
COUNT: Final = "/v1/messages/count_tokens"
PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c636060606000000005"
    "0001a5f645400000000049454e44ae426082"
)


def _model(name: str, vendor: str, path: str, limits: dict[str, Any], **supports: Any) -> dict[str, Any]:
    capabilities = {"type": "chat", "family": name, "limits": limits, "supports": supports}
    return {"id": name, "vendor": vendor, "supported_endpoints": [path], "capabilities": capabilities}


_ROOM: Final = {"max_output_tokens": 16_000, "max_prompt_tokens": 128_000}
_EFFORTS: Final = ["low", "medium", "high"]
CATALOGUE: Final = [
    _model("gpt-4.1", "Azure OpenAI", "/chat/completions", _ROOM, vision=True, parallel_tool_calls=True),
    _model("o-chat", "OpenAI", "/chat/completions", _ROOM, reasoning_effort=_EFFORTS, structured_outputs=True),
    _model("claude-chat", "Anthropic", "/chat/completions", _ROOM, min_thinking_budget=1024, max_thinking_budget=8000),
    _model("gemini-chat", "Google", "/chat/completions", {}, max_thinking_budget=32_000, tool_calls=False),
    _model("claude-sonnet-4.5", "Anthropic", "/v1/messages", _ROOM, min_thinking_budget=1024, max_thinking_budget=9000),
    _model(
        "claude-opus-4.8",
        "Anthropic",
        "/v1/messages",
        {**_ROOM, "max_non_streaming_output_tokens": 8000},
        adaptive_thinking=True,
        structured_outputs=True,
        reasoning_effort=_EFFORTS,
    ),
    _model("gpt-5.2", "OpenAI", "/responses", _ROOM, reasoning_effort=["none", *_EFFORTS, "xhigh"]),
    _model("gpt-4o-responses", "Azure OpenAI", "/responses", {}, parallel_tool_calls=True),
]
BY_PROTOCOL: Final = {
    name: [model["id"] for model in CATALOGUE if model["supported_endpoints"] == [path]] for path, name in PATHS.items()
}

# ── what is mutated ─────────────────────────────────────────────────────────────────────────────────────────────────

_SCHEMA: Final = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
_UNION: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "anyOf": [_SCHEMA, {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}}, "required": ["b"]}],
    "allOf": [{"properties": {"c": {"enum": [1, None]}}, "required": ["c"]}],
    "$defs": {"b": {"type": "array", "items": {"type": "integer"}}},
}
_DATA_URL: Final = "data:image/png;base64,iVBORw0KGgo="
_RICH: Final[dict[str, list[dict[str, Any]]]] = {
    "chat": [
        {
            "model": "m",
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Rules", "cache_control": {"type": "e"}}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Look"},
                        {"type": "image_url", "image_url": {"url": "https://pictures.test/a.png", "detail": "high"}},
                        {"type": "image_url", "image_url": {"url": _DATA_URL}},
                        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "hm",
                    "reasoning_opaque": "gwseal1:messages+2::proof",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":"1"}'}},
                        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
                {"role": "tool", "tool_call_id": "c1", "content": "one"},
                {"role": "assistant", "content": "ok", "refusal": None, "name": "ann"},
                {"role": "user", "content": "go on"},
            ],
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": _SCHEMA, "strict": True}},
                {
                    "type": "custom",
                    "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}},
                },
            ],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            "response_format": {"type": "json_schema", "json_schema": {"name": "r", "schema": _SCHEMA, "strict": True}},
            "stop": ["a", "b"],
            "n": 1,
            "reasoning_effort": "low",
            "max_completion_tokens": 200,
            "temperature": 0.5,
            "metadata": {"k": "v"},
            "stream_options": {"include_usage": True},
            "logit_bias": {"1": 2},
            "verbosity": "low",
        },
        {
            "model": "m",
            "functions": [{"name": "f", "parameters": _SCHEMA}],
            "function_call": {"name": "f"},
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "done"},
            ],
        },
    ],
    "messages": [
        {
            "model": "m",
            "max_tokens": 4000,
            "system": [{"type": "text", "text": "Rules", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "url", "url": "https://pictures.test/a.png"}},
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "D"}},
                        {
                            "type": "search_result",
                            "source": "s",
                            "title": "t",
                            "content": [{"type": "text", "text": "r"}],
                        },
                        {"type": "text", "text": "Look", "citations": [{"type": "char_location", "cited_text": "D"}]},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "gwseal1:responses:rs:proof"},
                        {"type": "redacted_thinking", "data": "abc"},
                        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "1"}},
                        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
                        {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": "bad"},
                        {
                            "type": "tool_result",
                            "tool_use_id": "t1",
                            "content": [
                                {"type": "text", "text": "one"},
                                {
                                    "type": "image",
                                    "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"},
                                },
                            ],
                        },
                    ],
                },
            ],
            "tools": [
                {"name": "f", "description": "d", "input_schema": _SCHEMA, "strict": True},
                {"type": "bash_20250124", "name": "bash"},
                {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
            ],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": False},
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": _SCHEMA}},
            "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
            "metadata": {"user_id": "u"},
            "stop_sequences": ["a"],
            "top_k": 4,
        },
        {
            "model": "m",
            "max_tokens": 400,
            "cache_control": {"type": "ephemeral"},
            "system": "Rules",
            "messages": [
                {"role": "system", "content": "First"},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "h", "input": {"b": [1]}}]},
                {"role": "system", "content": [{"type": "text", "text": "Later"}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "one"}]},
                {"role": "assistant", "content": "So"},
            ],
            "tools": [
                {"name": "h", "input_schema": _UNION, "defer_loading": True, "input_examples": [{"b": []}]},
                {"type": "tool_search_tool_regex_20251119", "name": "tool_search"},
            ],
            "output_format": {"type": "json_schema", "schema": _UNION},
            "thinking": {"type": "adaptive", "display": "omitted"},
            "temperature": 0.5,
            "top_p": 0.9,
        },
    ],
    "responses": [
        {
            "model": "m",
            "instructions": "Rules",
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": "https://pictures.test/a.png"}]},
                {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "reasoning", "summary": [], "encrypted_content": "gwseal1:messages+redacted::proof"},
                {"type": "function_call", "call_id": "c1", "name": "f", "namespace": "n", "arguments": "{}"},
                {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
                {"type": "custom_tool_call_output", "call_id": "c2", "output": "two"},
                {
                    "type": "function_call_output",
                    "call_id": "c1",
                    "output": [
                        {"type": "input_text", "text": "one"},
                        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
                    ],
                },
                {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}},
                {"role": "assistant", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
                {"role": "user", "content": "go on"},
            ],
            "tools": [
                {"type": "function", "name": "f", "parameters": _SCHEMA, "strict": True},
                {"type": "custom", "name": "g", "format": {"type": "text"}},
                {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
                {"type": "web_search"},
            ],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            "text": {"format": {"type": "json_schema", "name": "r", "schema": _SCHEMA}, "verbosity": "low"},
            "reasoning": {"effort": "high", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "metadata": {"k": "v"},
            "max_output_tokens": 500,
            "truncation": "auto",
            "store": False,
        },
        {
            "model": "m",
            "instructions": [{"role": "developer", "content": "Rules"}],
            "input": [
                {"type": "additional_tools", "tools": [{"type": "function", "name": "late", "parameters": _UNION}]},
                "Hi",
                {"type": "compaction", "encrypted_content": "abc"},
                {"type": "function_call", "call_id": "c1", "name": "late", "arguments": ""},
                {"type": "function_call_output", "call_id": "c1", "output": ""},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}], "phase": "commentary"},
                {"type": "tool_search_output", "call_id": "x", "tools": []},
            ],
            "tools": [{"type": "function", "name": "h", "parameters": _UNION}],
            "tool_choice": {"type": "function", "name": "late"},
            "text": {"format": {"type": "json_schema", "name": "r", "schema": _UNION}},
            "user": "u",
            "temperature": 0.5,
            "top_logprobs": 2,
        },
    ],
}


def seeds(protocol: str) -> list[dict[str, Any]]:
    """The bodies that mutation begins with."""
    found = [json.loads(path.read_bytes()) for path in sorted((FIXTURES / protocol).glob("*.request.json"))]
    # A seal is among the rich ones; the plain ones are to pass natively.
    return found + rich(protocol) * 3


def rich(protocol: str) -> list[dict[str, Any]]:
    """Bodies that hold, in few lines, nearly all that a protocol can say."""
    return _RICH[protocol]


def _vocabulary() -> tuple[list[str], list[Any]]:
    """All keys and all parts (objects, lists, short strings) of all seeds: what a mutation may put in a wrong place."""
    keys: set[str] = set()
    values: dict[str, Any] = {}
    stack: list[Any] = [body for protocol in ENDPOINTS for body in seeds(protocol)]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            keys.update(value)
            stack += value.values()
        elif isinstance(value, list):
            stack += value
        text = json.dumps(value)
        if len(text) < 400:
            values[text] = value
    # A Responses answer echoes what the client wrote, and the grammar knows these names for upstream's.
    return (
        sorted(key for key in keys if not key.startswith("copilot_")),
        [values[text] for text in sorted(values) if '"copilot_' not in text],
    )


KEYS, VALUES = _vocabulary()
ODD: Final[list[Any]] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    -0.0,
    0.5,
    1e308,
    -1e308,
    2**31,
    2**53,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "0",
    "true",
    "null",
    "auto",
    "none",
    "\ud800",
    "\udfff\ud800",
    "a\ud83d",
    "\x00",
    "\n\n",
    "\r\n: x",
    "\u2028",
    "\u202e",
    "\ufeff",
    "é" * 300,
    "😀" * 70,
    "{}",
    "[]",
    '{"a":',
    "data:",
    "data:image/png;base64,",
    "data:;base64,!!!",
    "data:text/plain;base64,/w==",
    "http://",
    "https://[::1",
    "http://a b/",
    "https://pictures.test/\ud800",
    "gwseal1:",
    "gwseal1:none::",
    "gwseal1:chat::",
    "gwseal1:x:y:gwseal1:chat+9::z",
    "gwseal1:messages+redacted+3:%:p",
    "data: [DONE]\n\n",
    "../../etc",
    "%00",
    "call_" + "x" * 200,
    "a.b c/d",
    [],
    {},
    [[]],
    [{}],
    [None],
    {"": None},
    {"type": None},
    {"type": "text"},
    {"type": []},
    {"type": {}},
    [{"type": "text", "text": None}],
]

# ── mutations ───────────────────────────────────────────────────────────────────────────────────────────────────────

Place = tuple[Any, Any]


def _places(body: Any) -> list[Place]:
    """Every container with every key in it."""
    found: list[Place] = []
    stack = [body]
    while stack:
        value = stack.pop()
        inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        found += [(value, key) for key, _ in inner]
        stack += [one for _, one in inner if isinstance(one, dict | list)]
    return found


def _odd(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(ODD) if rng.random() < 0.6 else rng.choice(VALUES))


def _drop(rng: random.Random, box: Any, key: Any) -> None:
    del box[key]


def _replace(rng: random.Random, box: Any, key: Any) -> None:
    box[key] = _odd(rng)


def _retype(rng: random.Random, box: Any, key: Any) -> None:
    value = box[key]
    forms: list[Callable[[], Any]] = [
        lambda: [value],
        lambda: {"type": value},
        lambda: json.dumps(value) if _is_short(value) else None,
        lambda: {str(value)[:50]: value},
        lambda: list(value) if isinstance(value, dict | str) and len(value) < 200 else [value, value],
        lambda: not value,
        lambda: len(value) if isinstance(value, dict | list | str) else str(value),
        lambda: float(value) if isinstance(value, int) and abs(value) < 2**53 else None,
    ]
    box[key] = rng.choice(forms)()


def _is_short(value: Any) -> bool:
    return not isinstance(value, str) or len(value) < 1000


def _duplicate(rng: random.Random, box: Any, key: Any) -> None:
    if isinstance(box, list):
        count = rng.choice((1, 1, 1, 2, 20, 200))
        box[key:key] = [copy.deepcopy(box[key]) for _ in range(count)]
    else:
        box[rng.choice(KEYS)] = copy.deepcopy(box[key])


def _swap(rng: random.Random, box: Any, key: Any) -> None:
    other = rng.choice(list(box)) if isinstance(box, dict) else rng.randrange(len(box))
    box[key], box[other] = box[other], box[key]


def _shuffle(rng: random.Random, box: Any, key: Any) -> None:
    if isinstance(box, list):
        rng.shuffle(box)
    else:
        items = list(box.items())
        rng.shuffle(items)
        box.clear()
        box.update(items)


def _add(rng: random.Random, box: Any, key: Any) -> None:
    if isinstance(box, dict):
        box[rng.choice(KEYS) if rng.random() < 0.9 else rng.choice(["", "\ud800", "é" * 99, "__proto__"])] = _odd(rng)
    else:
        box.insert(rng.randrange(len(box) + 1), _odd(rng))


_WRAPPERS: Final = (
    ("[", "]"),
    ('{"content":[', "]}"),
    ('{"type":"object","properties":{"a":', "}}"),
    ('{"type":"tool_result","tool_use_id":"t1","content":[', "]}"),
    ('{"type":"document","source":{"type":"content","content":[', "]}}"),
    ('{"type":"namespace","name":"n","tools":[', "]}"),
    ('{"type":"function_call_output","call_id":"c1","output":[', "]}"),
)
_HOLE: Final = "<the nested one>"


def _nested(body: dict[str, Any], rng: random.Random) -> str:
    """The body as text, with something in it wrapped very often; as text, for no recursion could write it."""
    box, key = rng.choice(_places(body))
    inner = json.dumps(box[key])
    box[key] = _HOLE
    before, after = rng.choice(_WRAPPERS)
    depth = rng.choice((2, 5, 30, 100, 130, 260, 330, 500, 1_000, 1_500))
    return json.dumps(body).replace(json.dumps(_HOLE), before * depth + inner + after * depth)


def _huge(rng: random.Random, box: Any, key: Any) -> None:
    box[key] = rng.choice(
        (
            lambda: "x" * 100_000,
            lambda: "\ud83d" * 5_000,
            lambda: '{"a":' * 3_000,
            lambda: "gwseal1:chat+1::" * 500,
            lambda: '\\"' * 20_000,
            lambda: [{}] * 1_000,
            lambda: {str(n): n for n in range(1_000)},
            lambda: int("9" * 4_000),
        )
    )()


def _unicode(rng: random.Random, box: Any, key: Any) -> None:
    odd = rng.choice(
        ("\ud800", "\udc00", "\x00", "\x7f", "\u2028", "😀", "\ufffe", "\r", "\n\ndata: x\n\n", "\u0301", "\udbff")
    )
    value = box[key]
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        box[key] = value[:at] + odd + value[at:]
    elif isinstance(box, dict) and isinstance(key, str):
        box[key + odd] = box.pop(key)


def _number(rng: random.Random, box: Any, key: Any) -> None:
    box[key] = rng.choice((True, False, -1, 0, 1.0, 1.5, 1e300, 2**70, float("nan"), "1", 10**30, 16, 1024))


def _type(rng: random.Random, box: Any, key: Any) -> None:
    """The wrong member of a union."""
    if isinstance(box, dict):
        known = [value for value in VALUES if isinstance(value, str)]
        box[rng.choice(("type", "role", key))] = rng.choice(known)


_COMMON: Final = (_drop, _replace, _retype, _duplicate, _swap, _add, _unicode, _number, _type)
_OPERATORS: Final = _COMMON * 12 + (_shuffle,) * 6 + (_huge,)


def mutate(body: dict[str, Any], rng: random.Random) -> None:
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        places = _places(body)
        if not places:
            return
        box, key = rng.choice(places)
        rng.choice(_OPERATORS)(rng, box, key)


def _bytes_of(body: Any, rng: random.Random) -> bytes:
    """The body on the wire; now and then broken as JSON."""
    if rng.random() < 0.05 and body:
        return _nested(body, rng).encode()
    raw = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", rng.choice(("surrogatepass", "replace")))
    kind = rng.random()
    if kind > 0.03:
        return raw
    at = rng.randrange(len(raw) + 1)
    return rng.choice(
        (
            lambda: raw[:at],
            lambda: raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :],
            lambda: b"\xef\xbb\xbf" + raw,
            lambda: raw + raw,
            lambda: b"",
            lambda: b"null",
            lambda: b"[" * 5_000,
            lambda: b'{"model":' + b'{"a":' * 5_000,
            lambda: raw.replace(b"{", b'{"model":"x","messages":1,', 1),
            lambda: raw.decode("utf-8", "replace").encode("utf-16", "surrogatepass"),
        )
    )()


@dataclass(frozen=True)
class Case:
    """One request. endpoint: of the client. number: it and the seed make all of it."""

    number: int
    endpoint: str
    path: str
    raw: bytes
    headers: dict[str, str]
    rng: random.Random


_SEEDS: Final = {protocol: [json.dumps(body) for body in seeds(protocol)] for protocol in ENDPOINTS}


def make_case(number: int, seed: int = SEED) -> Case:
    rng = random.Random(f"{seed}:{number}")
    endpoint = tuple(ENDPOINTS)[number % 3]
    body = json.loads(rng.choice(_SEEDS[endpoint]))
    body["stream"] = rng.random() < 0.4
    body["model"] = rng.choice(BY_PROTOCOL[tuple(PATHS.values())[number // 3 % 3]])
    model = body["model"]
    mutate(body, rng)
    if rng.random() < 0.9:
        body["model"] = model
    path = ENDPOINTS[endpoint]
    if endpoint == "messages" and rng.random() < 0.1:
        path = COUNT
    headers = {"Authorization": f"Bearer {API_KEY}"}
    if rng.random() < 0.2:
        headers["anthropic-beta"] = rng.choice(("context-management-2025-06-27", "x,,y", "é", ",", "a" * 300))
    return Case(number, endpoint, path, _bytes_of(body, rng), headers, rng)


# ── upstream ────────────────────────────────────────────────────────────────────────────────────────────────────────

_REFUSALS: Final = [
    b'{"error":{"message":"tools.0.custom.strict: Extra inputs are not permitted","type":"invalid_request_error"}}',
    b'{"type":"error","error":{"type":"invalid_request_error","message":"Invalid `signature` in `thinking` block"}}',
    b'{"error":{"message":"Unsupported parameter: \'temperature\'","param":"temperature"}}',
    b'{"error":{"message":"unsupported beta header(s): x","code":"invalid_request_body"}}',
    b'{"error":{"message":"encrypted content could not be verified","code":"invalid_encrypted_content"}}',
    b'{"error":{"message":"prompt token count of 9 exceeds the limit of 8","code":"model_max_prompt_tokens_exceeded"}}',
    b'{"error":{"message":"Unsupported value: \'messages\'","param":"messages"}}',
    b"Bad Request",
    b"",
]


_NO_WHOLE_STREAMS: Final = {"error.stream.sse", "reasoning_azure.stream.sse"}
"""One fails, the other is an excerpt that ends for calls that it does not have."""


class _Answer:
    """Stands in for ``UpstreamAnswer``."""

    hint = ""

    def __init__(self, status: int, content: bytes, kind: str, rng: random.Random) -> None:
        self.status, self._content, self.content_type, self._rng = status, content, kind, rng
        self.headers = CaseInsensitiveDict({"Content-Type": kind, "x-github-request-id": "1"})

    def read(self) -> bytes:
        return self._content

    def iter_bytes(self, *, silence_s: float) -> Pieces:
        return Pieces(self._in_pieces())

    def _in_pieces(self) -> Iterator[bytes]:
        source = io.BytesIO(self._content)
        most = self._rng.choice((300, 3_000, 100_000))
        while piece := source.read(self._rng.randint(1, most)):
            yield piece
            if self._rng.random() < 0.01:
                yield b""

    def finish(self, *_more: Any) -> None:
        pass

    def close(self) -> None:
        pass


class Upstream:
    """Answers whatever it is sent, as the protocol of the path has it, and looks at what it was sent."""

    def __init__(self) -> None:
        self.rng = random.Random(0)
        self.complaints: list[str] = []
        self.paths: list[str] = []
        self._whole = {
            name: [path.read_bytes() for path in sorted((FIXTURES / name).glob("*.response.json"))]
            for name in ENDPOINTS
        }
        self._streams = {
            name: [
                path.read_bytes()
                for path in sorted((FIXTURES / name).glob("*.stream.sse"))
                if path.name not in _NO_WHOLE_STREAMS
            ]
            for name in ENDPOINTS
        }
        self._whole["chat"] = [content for content in self._whole["chat"] if b'"choices"' in content]

    def send(self, call: Call, _on_repeat: object = None) -> _Answer:
        if call.path == "/models":
            return _Answer(200, json.dumps({"data": CATALOGUE}).encode(), "application/json", self.rng)
        self.paths.append(call.path)
        self._look(call)
        if self.rng.random() < 0.04:
            status = self.rng.choice((400, 400, 400, 404, 413, 422, 429))
            return _Answer(status, self.rng.choice(_REFUSALS), "application/json", self.rng)
        if call.path.endswith("/count_tokens"):
            return _Answer(200, b'{"input_tokens":5}', "application/json", self.rng)
        protocol = PATHS[call.path]
        if call.stream and self.rng.random() < 0.95:
            return _Answer(200, self.rng.choice(self._streams[protocol]), "text/event-stream", self.rng)
        return _Answer(200, self.rng.choice(self._whole[protocol]), "application/json", self.rng)

    def _look(self, call: Call) -> None:
        try:
            body = json.loads(call.body or b"", parse_constant=_no_constant)
        except RecursionError:
            return  # deeper than the standard library reads, and so was the client's
        except ValueError as error:
            self.complaints.append(f"sent upstream what is no JSON: {error!r}: {(call.body or b'')[:300]!r}")
            return
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            self.complaints.append(f"sent upstream what is no request: {(call.body or b'')[:300]!r}")
        for name, value in call.extra_headers.items():
            if not (value.isascii() and value.isprintable()):
                self.complaints.append(f"sent upstream the header {name}: {value!r}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class _Refusals:
    """What was learnt in one case is forgotten with it, or no case could be run alone."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def known(self, model: str, path: str) -> frozenset[str]:
        return frozenset(self.names)

    def learn(self, model: str, path: str, name: str) -> None:
        self.names.add(name)


class _Log(logging.Handler):
    """Formats every line, as the service does, and keeps the bad ones."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.setFormatter(LineFormatter(as_json=True))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            line.encode("utf-8", "backslashreplace")  # as stderr does
        except Exception as error:
            self.bad.append(f"a log line that cannot be written: {error!r}")
            return
        if record.levelno >= logging.ERROR or record.exc_info:
            self.bad.append(line)


# ── the checks ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Report:
    """What came of many cases. statuses: by endpoint and status. exchanges: 2xx, by client, upstream and form."""

    bodies: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    exchanges: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.bodies += other.bodies
        self.statuses += other.statuses
        self.exchanges += other.exchanges
        self.failures += other.failures


class Fuzzer:
    """The app, with upstream in our hands."""

    def __init__(self, folder: Path) -> None:
        self.app = _make_app(folder)
        self.upstream, self.refusals, self.log = Upstream(), _Refusals(), _Log()
        gateway = self.app.extensions["gateway"]
        for service in (gateway.relay, gateway.catalog):
            service._client = self.upstream
        gateway.relay._refusals = self.refusals
        gateway.relay._auto = None  # it would ask GitHub, who is not here
        gateway.relay._images._hop = lambda target, deadline: PIXEL
        self.client: FlaskClient = self.app.test_client()
        for name in ("copilot_bridge", ""):
            logging.getLogger(name).addHandler(self.log)
        logging.getLogger("copilot_bridge").setLevel(logging.INFO)
        logging.getLogger("copilot_bridge").propagate = False

    def run(self, case: Case, report: Report) -> None:
        self.upstream.rng, self.upstream.complaints, self.upstream.paths = case.rng, [], []
        self.refusals.names.clear()
        self.log.bad.clear()
        response = self.client.post(
            case.path, data=case.raw, headers={**case.headers, "Content-Type": "application/json"}
        )
        content = response.get_data()
        response.close()
        report.bodies += 1
        report.statuses[case.endpoint, response.status_code] += 1
        problems = [*self.upstream.complaints, *self.log.bad]
        try:
            if response.status_code == 200:
                form = "stream" if response.mimetype == "text/event-stream" else "whole"
                if case.path == COUNT:
                    form = "count"
                    assert isinstance(json.loads(content)["input_tokens"], int)
                elif form == "stream":
                    assert read(case.endpoint, content).is_finished, "the stream ended in an error"
                else:
                    _check_whole(case.endpoint, content)
                upstream = PATHS.get(self.upstream.paths[-1], "count") if self.upstream.paths else "here"
                report.exchanges[case.endpoint, upstream, form] += 1
            else:
                assert 400 <= response.status_code < 500, f"status {response.status_code}"
                _check_error(case.endpoint, content, response.status_code)
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}; status {response.status_code}: {content[-300:]!r}")
        if problems:
            report.failures.append(f"case {case.number} {case.path}: {problems[0]}\n  {case.raw[:600]!r}")


def _make_app(folder: Path) -> Flask:
    return create_app(
        Settings.from_env(
            {
                "API_KEY": API_KEY,
                "DATA_DIR": str(folder / "data"),
                "LEDGER_QUEUE": "1000000",  # nobody writes it here
                "COPILOT_CONFIG_DIR": str(folder / "no-editor"),
                "GH_COPILOT_TOKEN": "ghu_test_fuzz",
                "GITHUB_BASE_URL": "https://github.test",
                "GITHUB_API_BASE_URL": "https://api.github.test",
                "COPILOT_API_BASE_URL": "https://copilot.test",
            }
        )
    )


def _check_error(endpoint: str, content: bytes, status: int) -> None:
    body = json.loads(content)
    error = body["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    if endpoint == "messages":
        assert body.keys() == {"type", "error", "request_id"}, body.keys()
        assert body["type"] == "error"
        assert error.keys() <= {"type", "message", "details"}, error.keys()
        return
    assert body.keys() == {"error"}, body.keys()
    assert error.keys() == {"message", "type", "param", "code"}, error.keys()
    assert error["param"] is None or isinstance(error["param"], str)
    assert error["code"] is None or isinstance(error["code"], str)


def _check_whole(endpoint: str, content: bytes) -> None:
    body = json.loads(content, parse_constant=_no_constant)
    if endpoint == "chat":
        assert body["object"] == "chat.completion"
        assert body["choices"][0]["message"]["role"] == "assistant"
        assert body["choices"][0]["finish_reason"]
    elif endpoint == "messages":
        assert body["type"] == "message"
        assert body["stop_reason"]
        assert isinstance(body["content"], list)
    else:
        assert body["object"] == "response"
        assert body["status"] in ("completed", "incomplete")
        assert isinstance(body["output"], list)


def fuzz(first: int, last: int, seed: int = SEED) -> Report:
    """Run these cases. For a process of its own: the app keeps threads and handlers."""
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder))
        for number in range(first, last):
            fuzzer.run(make_case(number, seed), report)
        fuzzer.app.extensions["gateway"].close()
    return report


if __name__ == "__main__":
    case_number, *more = map(int, sys.argv[1:])
    case = make_case(case_number, *more)
    print(case.path, case.raw.decode("utf-8", "replace"))
    found = fuzz(case_number, case_number + 1, *more)
    print(*found.failures, found.statuses, sep="\n")
