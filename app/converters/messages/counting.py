"""What of a request counts, for models whose upstream cannot count tokens (contract §8.9)."""

from __future__ import annotations

from app.converters import json_bytes
from app.converters.ir import File, Image, Part, Reasoning, Refusal, Request, Text, Tool, ToolCall, ToolResult
from app.errors import UpstreamProtocolError


def read_count(content: bytes) -> int:
    """Upstream's answer to ``count_tokens``: ``{"input_tokens": 42}``. Raises: UpstreamProtocolError."""
    try:
        counted = json_bytes.loads(content)["input_tokens"]
    except (ValueError, KeyError, TypeError):
        counted = None
    if type(counted) is not int:
        raise UpstreamProtocolError("GitHub Copilot's token count is no number. Try again.")
    return counted


def countable(request: Request) -> list[str | Image]:
    """All text that the model would read, and all images, in their order. Nothing of what only steers it."""
    found: list[str | Image] = []
    for tool in request.tools:
        found += _of_tool(tool)
    for message in request.messages:
        for part in message.parts:
            found += _of_part(part)
    if request.output_format is not None and request.output_format.schema:
        found.append(json_bytes.dumps(request.output_format.schema).decode())
    return [one for one in found if one]


def _of_tool(tool: Tool) -> list[str | Image]:
    if tool.kind == "hosted":
        return []  # dropped on the way
    schema = json_bytes.dumps(tool.schema).decode() if tool.schema else ""
    return [tool.name, tool.description or "", schema]


def _of_part(part: Part) -> list[str | Image]:
    match part:
        case Text() | Refusal() | Reasoning():
            return [part.text]
        case Image():
            return [part]
        case ToolCall():
            return [part.name, part.arguments]
        case ToolResult():
            return [one for inner in part.parts for one in _of_part(inner)]
        case File():
            texts = [part.title or "", part.context or "", part.text or ""]
            return [*texts, *(one for inner in part.parts for one in _of_part(inner))]
    return []
