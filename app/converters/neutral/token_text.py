"""What of a request counts as tokens (contract §8.9), and about how many they are.

Counting 50 kB takes 5 ms of a worker that serves many: where it would hold up an answer, an estimate does. `app.tokens`
counts where the number is what was asked for.
"""

from __future__ import annotations

import base64
import contextlib
from typing import TypeAlias

from app.converters.neutral.opaque_text import text_of
from app.converters.neutral.vocabulary import (
    Audio,
    File,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from app.converters.wire import json_bytes

_BYTES_PER_TOKEN = 4  # of UTF-8: about right for English, code and Chinese
_PER_IMAGE = 1_000
# A page of a PDF is about 60 kB and costs Anthropic's models 1,500 to 3,000 tokens, as text and as a picture; at most
# 100 pages are read. Sound is 16 kB and 10 tokens a second.
_BYTES_PER_DOCUMENT_TOKEN = 30
_BYTES_PER_SOUND_TOKEN = 1_600
_LEAST_FOR_A_DOCUMENT = 1_500
_MOST_FOR_A_DOCUMENT = 300_000

Countable: TypeAlias = str | Image | int
"""A text, an image, or the tokens that a document costs by its size."""


def countable(request: Request) -> list[Countable]:
    """All that the model would read, in its order. Nothing of what only steers it."""
    found: list[Countable] = []
    for tool in request.tools:
        found += _of_tool(tool)
    for message in request.messages:
        for part in message.parts:
            found += _of_part(part)
    if request.output_format is not None and request.output_format.schema:
        found.append(json_bytes.dumps(request.output_format.schema).decode())
    return [one for one in found if one]


def estimate(text: str) -> int:
    """Tokens of a text, about."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def estimate_input(request: Request) -> int:
    """Tokens of all that the model would read, about."""
    return sum(map(_estimate, countable(request)))


def _estimate(item: Countable) -> int:
    if isinstance(item, Image):
        return _PER_IMAGE
    return item if isinstance(item, int) else estimate(item)


def _of_bytes(document: File | Audio) -> int:
    """Tokens of a document or a recording whose content is bytes, about: by its size. One elsewhere: of a few pages."""
    if document.data is None:
        return _LEAST_FOR_A_DOCUMENT
    size = len(document.data) * 3 // 4
    per_token = _BYTES_PER_SOUND_TOKEN if isinstance(document, Audio) else _BYTES_PER_DOCUMENT_TOKEN
    return min(_MOST_FOR_A_DOCUMENT, size // per_token + 1)


def _of_tool(tool: Tool) -> list[Countable]:
    if tool.kind == "hosted":
        return []  # dropped on the way
    schema = json_bytes.dumps(tool.schema).decode() if tool.schema else ""
    return [tool.name, tool.description or "", schema]


def _of_part(part: Part) -> list[Countable]:
    match part:
        case Text() | Refusal() | Reasoning():
            return [part.text]
        case Image():
            return [part]
        case Audio():
            return [part.transcript, _of_bytes(part)] if part.data else [part.transcript]
        case ToolCall():
            return [part.name, part.arguments]
        case ToolResult():
            return [one for inner in part.parts for one in _of_part(inner)]
        case File():
            texts: list[Countable] = [part.title or "", part.context or "", part.text or ""]
            texts += [one for inner in part.parts for one in _of_part(inner)]
            if part.data is not None and (part.media_type or "").startswith("text/"):
                with contextlib.suppress(ValueError):
                    return [*texts, base64.b64decode(part.data + "==").decode("utf-8", "replace")]
            return [*texts, _of_bytes(part)] if part.data or part.url or part.file_id else texts
        case Opaque():
            return [text_of(part.value)]
    return []
