"""Conversations in the words of each dialect, faults included: what stands in a script is written as it stands.

And, the other way, what an upstream is told, in one form for all.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Container
from typing import Any, Final

from app.converters.neutral.tools import arguments_object
from app.converters.neutral.vocabulary import Refusal, Text, ToolCall, ToolResult
from app.converters.registry import CLIENTS

Json = dict[str, Any]
Turn = tuple[Any, ...]

MISSING: Final = object()
"""A field that is not there at all."""


_FILLER: Final = "."
"""What the user says to Claude before an assistant that begins."""


class Unsayable(Exception):
    """The dialect has no place for such a thing."""


def user(content: Any) -> Turn:
    """content: a string, a list of texts, null or MISSING; the same for all others."""
    return "user", content


def assistant(content: Any) -> Turn:
    return "assistant", content


def told(content: Any, role: str = "system") -> Turn:
    """Instructions."""
    return role, content


def call(call_id: Any, name: Any = "look", arguments: Any = "{}", beside: Any = MISSING) -> Turn:
    """arguments: JSON text, null or MISSING. beside: what the model says before it, in the same turn."""
    return "call", call_id, name, arguments, beside


def result(call_id: Any, content: Any = "seen") -> Turn:
    return "result", call_id, content


def body(client: str, *turns: Turn, tools: Any = ("look",), **fields: Any) -> Json:
    """A request. tools: names; their schemas hold nothing. Raises: Unsayable."""
    write = {"chat": _chat, "messages": _messages, "responses": _responses}[client]
    said = [item for turn in turns for item in write(turn)]
    offered = {"tools": [tool(client, name) for name in tools]} if tools else {}
    limit = {"max_tokens": 99} if client == "messages" else {}
    return {"model": "m", **limit, "input" if client == "responses" else "messages": said, **offered, **fields}


def tool(client: str, name: Any, **more: Any) -> Json:
    schema = {"type": "object", "properties": {}}
    if client == "messages":
        return _there({"name": name, "input_schema": schema, **more})
    function = _there({"name": name, "parameters": schema, **more})
    return {"type": "function", **function} if client == "responses" else {"type": "function", "function": function}


def _there(given: Json) -> Json:
    return {key: value for key, value in given.items() if value is not MISSING}


def _content(content: Any, kind: str) -> Any:
    if not isinstance(content, list):
        return content
    return [one if isinstance(one, dict) else _there({"type": kind, "text": one}) for one in content]


def _chat(turn: Turn) -> list[Json]:
    match turn:
        case ("call", call_id, name, arguments, beside):
            function = _there({"name": name, "arguments": arguments})
            made = _there({"id": call_id, "type": "function", "function": function})
            said = None if beside is MISSING else _content(beside, "text")
            return [{"role": "assistant", "content": said, "tool_calls": [made]}]
        case ("result", call_id, content):
            return [_there({"role": "tool", "tool_call_id": call_id, "content": _content(content, "text")})]
        case (role, content):
            return [_there({"role": role, "content": _content(content, "text")})]
    raise AssertionError(turn)


def _messages(turn: Turn) -> list[Json]:
    match turn:
        case ("call", call_id, name, arguments, beside):
            given = arguments
            if isinstance(arguments, str):
                given = arguments_object(arguments)
                if given is None:
                    raise Unsayable
            before = _content([beside] if isinstance(beside, str) else beside, "text")
            block = _there({"type": "tool_use", "id": call_id, "name": name, "input": given})
            return [{"role": "assistant", "content": [*(before if isinstance(before, list) else []), block]}]
        case ("result", call_id, content):
            block = _there({"type": "tool_result", "tool_use_id": call_id, "content": _content(content, "text")})
            return [{"role": "user", "content": [block]}]
        case (role, content):
            return [_there({"role": role, "content": _content(content, "text")})]
    raise AssertionError(turn)


def _responses(turn: Turn) -> list[Json]:
    match turn:
        case ("call", call_id, name, arguments, beside):
            item = _there({"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments})
            return [*([] if beside is MISSING else _responses(("assistant", beside))), item]
        case ("result", call_id, content):
            output = _content(content, "input_text")
            return [_there({"type": "function_call_output", "call_id": call_id, "output": output})]
        case (role, content):
            kind = "output_text" if role == "assistant" else "input_text"
            return [_there({"type": "message", "role": role, "content": _content(content, kind)})]
    raise AssertionError(turn)


# ── what an upstream is told ────────────────────────────────────────────────────────────────────────────────────────


def meaning(upstream: str, sent: Json, *, instructions: Container[str] = ()) -> list[Any]:
    """What is said to the model, whatever the protocol: roles with their texts, and with calls and what came of them.

    What one role says in a row is one turn, its texts first, and a result belongs to its call wherever it stands. Texts
    that are `instructions` count as such wherever, and in whose name, they stand. What only fills a place that must not
    be empty says nothing.
    """
    request = CLIENTS[upstream].decode_request(sent)
    system: list[str] = []
    turns: list[tuple[str, list[str], list[Any]]] = []
    open_calls: dict[str, deque[list[Any]]] = {}
    for message in request.messages:
        texts: list[str] = []
        others: list[Any] = []
        for part in message.parts:
            if isinstance(part, Text | Refusal):
                is_system = message.role in ("system", "developer") or part.text in instructions
                (system if is_system else texts).append(part.text)
            elif isinstance(part, ToolCall):
                value = arguments_object(part.arguments)
                others.append(["call", part.name, json.dumps(part.arguments if value is None else value)])
                open_calls.setdefault(part.call_id, deque()).append(others[-1])
            elif isinstance(part, ToolResult):
                said = "".join(one.text for one in part.parts if isinstance(one, Text))
                open_calls[part.call_id].popleft().append(said)
            else:
                others.append(type(part).__name__)
        texts = [text for text in texts if text.strip() and text != _FILLER]
        if texts or others:
            if not turns or turns[-1][0] != message.role:
                turns.append((message.role, [], []))
            turns[-1][1].extend(texts)
            turns[-1][2].extend(others)
    return [("system", [text for text in system if text.strip()]), *turns]
