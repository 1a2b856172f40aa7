"""Embeddings: OpenAI's request and reply around what Copilot offers (contract §9).

Copilot takes lists of strings only, ignores ``encoding_format`` and leaves ``object`` and ``model`` out.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

import orjson

from app.converters import json_bytes
from app.errors import InvalidRequestError, UnsupportedFeatureError, UpstreamProtocolError

DEFAULT_BATCH = 512
"""Texts per upstream call where the catalogue does not say."""


def texts(body: dict[str, Any]) -> list[str]:
    """The texts to embed. Raises: InvalidRequestError, UnsupportedFeatureError for token ids."""
    given = body.get("input")
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not found:
        raise InvalidRequestError("'input' must be a string or a list of strings, and not empty.", param="input")
    if any(isinstance(item, int | list) for item in found):
        raise UnsupportedFeatureError(
            "Copilot embeds text only, not token ids: send 'input' as a string or a list of strings (in LangChain: "
            "check_embedding_ctx_length=False).",
            param="input",
        )
    for number, text in enumerate(found):
        if not isinstance(text, str) or not text:
            raise InvalidRequestError(
                f"'input[{number}]' must be a string that is not empty.", param=f"input[{number}]"
            )
    return found


def wants_base64(body: dict[str, Any]) -> bool:
    """Whether vectors go out as base64. Raises: InvalidRequestError for an unknown format."""
    wanted = body.get("encoding_format") or "float"
    if wanted not in ("float", "base64"):
        raise InvalidRequestError("'encoding_format' must be 'float' or 'base64'.", param="encoding_format")
    return bool(wanted == "base64")


def upstream_bodies(body: dict[str, Any], *, model: str, batch: int) -> Iterator[bytes]:
    """The requests for Copilot: every field as it came, but at most `batch` texts each and no ``encoding_format``."""
    rest = {key: value for key, value in body.items() if key not in ("input", "model", "encoding_format")}
    given = texts(body)
    for start in range(0, len(given), batch):
        yield json_bytes.dumps({**rest, "model": model, "input": given[start : start + batch]})


def merge_replies(replies: list[bytes], *, model: str, as_base64: bool) -> bytes:
    """Copilot's answers, in order → one OpenAI reply.

    Shape:  ``{"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": […]}], "model", "usage"}``;
            base64 is little-endian float32.
    Raises: UpstreamProtocolError when an answer is not what §9.2 says.
    """
    data: list[dict[str, Any]] = []
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    try:
        for reply in map(orjson.loads, replies):
            offset = len(data)
            for position, item in enumerate(reply["data"]):
                vector = item["embedding"]
                index = offset + item.get("index", position)
                data.append(
                    {"object": "embedding", "index": index, "embedding": _packed(vector) if as_base64 else vector}
                )
            for name in usage:
                usage[name] += (reply.get("usage") or {}).get(name) or 0
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, struct.error):
        raise UpstreamProtocolError("Copilot's answer holds no embeddings.") from None
    data.sort(key=lambda item: item["index"])
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
