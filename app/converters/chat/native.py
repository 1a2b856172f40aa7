"""The native road of chat, in the form that all protocols share (see ``codec.Codec``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.converters import json_bytes
from app.converters.chat import request, response
from app.converters.chat.mender import StreamMender
from app.converters.chat.refusals import PROOF
from app.converters.codec import Pump
from app.converters.limits import Limits
from app.converters.prepared import Prepared

_OPENAI_VENDORS = ("openai", "azure openai")
_PROOF_FIELDS = frozenset({"reasoning_opaque", "reasoning_text", "cot_id", "cot_summary"})


def prepare(
    raw: bytes,
    body: dict[str, Any],
    *,
    model: str,
    limits: Limits,
    inlined: Mapping[str, str],
    headers: Mapping[str, str],
    refused: frozenset[str],
) -> Prepared:
    """The bytes for upstream, and what had to be left out. `headers` are the client's; chat has no use for them."""
    # A model that is not in the catalogue may be anybody's; nothing is rewritten for it on a guess.
    is_openai = not limits.vendor or limits.vendor.lower() in _OPENAI_VENDORS
    taken_out = [name for name in sorted(refused - {PROOF}) if name in body]
    if taken_out or PROOF in refused:
        body = {name: value for name, value in body.items() if name not in taken_out}
        if PROOF in refused:
            body["messages"] = [_without_proofs(message) for message in body.get("messages", [])]
        raw = json_bytes.dumps(body)
    payload, dropped = request.prepare(raw, body, model=model, is_openai=is_openai, inlined=inlined)
    return Prepared(payload, (*dropped, *taken_out))


def _without_proofs(message: Any) -> Any:
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return message
    return {name: value for name, value in message.items() if name not in _PROOF_FIELDS}


def make_mender(*, model: str, include_usage: bool, choices: int, created: int, fallback_id: str, restore: Any) -> Pump:
    return StreamMender(
        model=model, include_usage=include_usage, choices=choices, created=created, fallback_id=fallback_id
    )


def mend_response(body: bytes, *, model: str, choices: int, created: int, fallback_id: str, restore: Any) -> bytes:
    return response.mend_response(body, model=model, choices=choices, created=created, fallback_id=fallback_id)


def response_to_stream(
    body: bytes,
    *,
    model: str,
    include_usage: bool,
    choices: int,
    created: int,
    fallback_id: str,
    restore: Any,
) -> bytes:
    return response.response_to_stream(
        body,
        model=model,
        include_usage=include_usage,
        choices=choices,
        created=created,
        fallback_id=fallback_id,
    )
