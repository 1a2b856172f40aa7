"""Embeddings: OpenAI's request and reply around what Copilot offers (contract §9).

Copilot takes lists of strings only, ignores ``encoding_format`` and leaves ``object`` and ``model`` out.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

import orjson

from app.converters.neutral.outcome import counts
from app.converters.neutral.vocabulary import Usage
from app.converters.wire import json_bytes
from app.converters.wire.accounting import MARK, account_in, both, nano_of
from app.errors import InvalidRequestError, UnsupportedFeatureError, UpstreamProtocolError

DEFAULT_BATCH = 512
MOST_INPUTS = 2048
"""OpenAI takes as many in one request."""
MOST_CALLS = 32
"""One request may make so many calls to Copilot, where a model takes few texts at a time."""
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
    """The requests for Copilot: every field as it came, but at most `batch` texts each and no ``encoding_format``.

    Raises: InvalidRequestError before the first of them, if there are more texts than one request may have.
    """
    rest = {key: value for key, value in body.items() if key not in ("input", "model", "encoding_format")}
    given = texts(body)
    most = min(MOST_INPUTS, MOST_CALLS * batch)
    if len(given) > most:
        raise InvalidRequestError(
            f"'input' has {len(given)} texts; one request takes at most {most}. Send them in several.", param="input"
        )
    for start in range(0, len(given), batch):
        yield json_bytes.dumps({**rest, "model": model, "input": given[start : start + batch]})


def token_counts(replies: list[bytes]) -> dict[str, int] | None:
    """The tokens of answers that `merge_replies` took, for the log (see `outcome.counts`)."""
    told = [_object(reply).get("usage") for reply in replies]
    known = [
        usage["prompt_tokens"]
        for usage in told
        if isinstance(usage, dict) and isinstance(usage.get("prompt_tokens"), int)
    ]
    return counts(Usage(input_tokens=sum(known))) if known else None


def nano_spent(replies: list[bytes]) -> int | None:
    """What such answers cost together, in nano-credits; None if none of them tells."""
    account = None
    for reply in replies:
        account = both(account, account_in(_object(reply)) if MARK in reply else None)
    return nano_of(account)


def _object(reply: bytes) -> dict[str, Any]:
    """What an answer holds, empty if it is no object: it may be looked at before it is known to be one."""
    try:
        told = orjson.loads(reply)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def merge_replies(replies: list[bytes], *, model: str, as_base64: bool) -> bytes:
    """Copilot's answers, in order → one OpenAI reply.

    Shape:  ``{"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": […]}], "model", "usage"}``;
            base64 is little-endian float32.
    Raises: UpstreamProtocolError when an answer is not what contract §9.2 says.
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
