"""``POST /embeddings``: deterministic unit vectors from a hash of the text (contract §9, §13.9)."""

import hashlib
import math
import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from . import billing
from .server import Exchange, Request

if TYPE_CHECKING:
    from .capi import Caller
    from .state import World

DEFAULT_DIMENSIONS = 1536
MAX_TOKENS = 8191


@lru_cache(maxsize=2048)
def vector(text: str, dimensions: int) -> tuple[float, ...]:
    """The same text always gives the same direction, on every machine."""
    source = random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))
    raw = [source.gauss(0.0, 1.0) for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in raw))
    return tuple(round(value / length, 9) for value in raw)


def handle(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    from .capi import quota_headers, resolve_model

    entry = resolve_model(world, request, exchange, caller, request.path)
    if entry is None:
        return None
    problem = _problem(request.fields, entry)
    if problem:
        return caller.fail(exchange, 400, {"message": problem, "code": "invalid_request_body"})
    texts = request.fields["input"]
    dimensions = request.fields.get("dimensions") or DEFAULT_DIMENSIONS
    # encoding_format is ignored, top-level object and model are omitted: contract §9.1, §9.2
    data = [
        {"embedding": vector(text, dimensions), "index": index, "object": "embedding"}
        for index, text in enumerate(texts)
    ]
    tokens = sum(_tokens(text) for text in texts)
    account = billing.account_of(entry, str(entry["id"]), {"input": tokens})
    world.book_credits(caller.account, account["total_nano_aiu"], request.header("x-request-id"), tokens)
    accounted = {"copilot_usage": account} if caller.settings["copilot_usage"] != "off" else {}
    return exchange.reply_json(
        200,
        {"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}, **accounted},
        "application/json",
        quota_headers(world, caller),
    )


def _tokens(text: str) -> int:
    return -(-len(text) // 4)


def _problem(fields: dict[str, Any], entry: dict[str, Any]) -> str | None:
    texts = fields.get("input")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return "input must be an array of strings"
    if not texts:
        return "input must not be empty"
    capabilities = entry["capabilities"]
    limit = capabilities.get("limits", {}).get("max_inputs", 256)
    if len(texts) > limit:
        return f"too many inputs: {len(texts)} exceeds the limit of {limit}"
    if any(_tokens(text) > MAX_TOKENS for text in texts):
        return f"input text exceeds the limit of {MAX_TOKENS} tokens"
    dimensions = fields.get("dimensions")
    if dimensions is not None:
        if not capabilities.get("supports", {}).get("dimensions"):
            return "dimensions is not supported for this model"
        if not isinstance(dimensions, int) or isinstance(dimensions, bool) or not 1 <= dimensions <= 1536:
            return "dimensions must be between 1 and 1536"
    return None
