"""Which conversation a request belongs to, by what its client says of it, or by how it began."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

_HEADERS: Final = ("x-claude-code-session-id", "session-id", "x-session-id", "x-session-affinity")
"""In which clients name their conversation (client notes §1–§3)."""
_FIELDS: Final = ("prompt_cache_key", "conversation_id")
_LONGEST: Final = 512
"""Characters of the beginning that count: enough to tell conversations apart, and few to digest."""


def conversation_key(headers: Mapping[str, str], body: Mapping[str, Any]) -> bytes:
    """The same for all requests of a conversation, 16 bytes; empty if nothing tells. Never fails.

    It is a digest, of which words it was made cannot be read; whoever knows them can make it again, so it must not be
    kept as it is.
    headers: the client's, by lower-case name. body: of any dialect.
    """
    told = next((value for name in _HEADERS if (value := headers.get(name))), None)
    if told is None:
        told = next((value for name in _FIELDS if isinstance(value := body.get(name), str) and value), None)
    if told is None:
        told = _first_words(body.get("messages", body.get("input")))
    if not told:
        return b""
    return hashlib.blake2b(told[:_LONGEST].encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _first_words(turns: Any) -> str:
    """What a person said first."""
    if isinstance(turns, str):
        return turns
    if not isinstance(turns, list):
        return ""
    for turn in turns:
        if isinstance(turn, dict) and turn.get("role") == "user":
            return _words(turn.get("content"))
    return ""


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text[:_LONGEST] for text in texts if isinstance(text, str))
