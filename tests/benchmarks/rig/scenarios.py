"""What is measured: the loads, and the bodies they send."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.rig.answers import CHAT_MODEL, MESSAGES_MODEL, RESPONSES_MODEL

SECONDS = 0.8
"""How long one burst of load lasts."""
ENDS = {"chat": "[DONE]", "messages": "message_stop", "responses": "response.completed"}
_SYSTEM = "You are a coding assistant. " * 12
_QUESTION = "Write a haiku about gateways. " * 8
_TEXT = 'The quick brown fox "jumps" over the lazy dog; naïve café, line\nbreaks and tabs\t. '


@dataclass(frozen=True)
class Load:
    """One row of the table.

    unit: what the CPU time is divided by. events: of a stream; 0 for a whole answer. per_s: how fast they come, for
    each stream; 0 for as fast as they go. once: each connection asks once, within so many seconds.
    """

    key: str
    title: str
    unit: str
    door: str
    body: bytes
    connections: int = 32
    events: int = 0
    per_s: float = 0
    once: float = 0
    tls: bool = False
    converted: bool = False
    quick: bool = True


def chat(stream: bool, **more: Any) -> bytes:
    turns = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _QUESTION}]
    return _body({"model": CHAT_MODEL, "max_tokens": 1024, "stream": stream, "messages": turns} | more)


def messages(model: str = CHAT_MODEL) -> bytes:
    turns = [{"role": "user", "content": _QUESTION}]
    return _body({"model": model, "max_tokens": 1024, "stream": True, "system": _SYSTEM, "messages": turns})


def responses(model: str = RESPONSES_MODEL) -> bytes:
    turns = [{"role": "user", "content": _QUESTION}]
    return _body({"model": model, "stream": True, "instructions": _SYSTEM, "input": turns})


def conversation(size: int, model: str = CHAT_MODEL) -> bytes:
    """Turns of person, model and tool, of so many bytes in all."""
    turns: list[dict[str, Any]] = [{"role": "system", "content": _SYSTEM}]
    written, number = 0, 0
    while written < size:
        number += 1
        function = {"name": f"tool_{number % 20}", "arguments": json.dumps({"path": f"src/{number}.py", "why": _TEXT})}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        round_: list[dict[str, Any]] = [
            {"role": "user", "content": _TEXT * 60},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": _TEXT * 120},
        ]
        turns += round_
        written += len(_body(round_))
    parameters = {"type": "object", "properties": {"path": {"type": "string"}, "why": {"type": "string"}}}
    about = "Reads a file from the workspace and returns its text. " * 3
    tools = [
        {"type": "function", "function": {"name": f"tool_{n}", "description": about, "parameters": parameters}}
        for n in range(20)
    ]
    return _body({"model": model, "messages": turns, "tools": tools})


def image(size: int) -> bytes:
    data = base64.b64encode(random.Random(5).randbytes(size * 3 // 4)).decode()
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data}}
    turns = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
    return _body({"model": CHAT_MODEL, "messages": turns})


def _body(content: Any) -> bytes:
    return json.dumps(content).encode()


_MIB = 1 << 20
LOADS = (
    Load("whole", "whole answer", "request", "chat", chat(False)),
    Load("short", "stream of 3 events", "stream", "chat", chat(True), events=3),
    Load("chat", "chat stream, native", "event", "chat", chat(True), events=300),
    Load("from_chat", "Messages from chat", "event", "messages", messages(), events=300, converted=True),
    Load("responses", "Responses, native", "event", "responses", responses(), events=300),
    Load("messages", "Messages, native", "event", "messages", messages(MESSAGES_MODEL), events=300),
    Load("mib", "conversation of 1 MiB", "request", "chat", conversation(_MIB), connections=1),
    Load("image", "image of 5 MiB", "request", "chat", image(5 * _MIB), connections=1),
    Load("paced200", "200 streams of 40 events/s", "event", "chat", chat(True), 200, 80, 40, 0.5),
    Load("paced1000", "1,000 streams of 40 events/s", "event", "chat", chat(True), 1000, 240, 40, 1.0, quick=False),
    Load("tls20", "stream of 20 events over TLS", "stream", "chat", chat(True), events=20, tls=True),
    Load("tls20one", "the same, one at a time", "stream", "chat", chat(True), 1, 20, tls=True),
    Load("tlswhole", "whole answer over TLS", "request", "chat", chat(False), tls=True),
)
