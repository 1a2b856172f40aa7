"""What the simulator received, in the words of chat, whatever protocol it came in."""

from __future__ import annotations

from typing import Any

from tests.simulator import neutral
from tests.simulator.client import Simulator

GENERATING = ("/chat/completions", "/responses", "/v1/messages")


def generations(simulator: Simulator) -> list[dict[str, Any]]:
    """The recorded requests that ask a model for something, oldest first."""
    return [request for request in simulator.requests() if request["path"] in GENERATING]


def last_generation(simulator: Simulator) -> dict[str, Any]:
    return generations(simulator)[-1]


def in_chat_terms(request: dict[str, Any]) -> dict[str, Any]:
    """Its body as a chat request would say it."""
    fields: dict[str, Any] = request["json"]
    if request["path"] == "/responses":
        return neutral.from_responses(fields)
    if request["path"] == "/v1/messages":
        return neutral.from_messages(fields)
    return fields


def text_of(content: Any) -> str:
    """The text in the content of a message, in any form."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or [])


def initiators(simulator: Simulator) -> list[str]:
    return [request["header"]["x-initiator"] for request in generations(simulator)]
