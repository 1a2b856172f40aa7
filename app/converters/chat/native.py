"""The native road of chat, in the form that all protocols share (see ``codec.Codec``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.converters import json_bytes
from app.converters.chat import request, response
from app.converters.chat.foreign import is_foreign
from app.converters.chat.mender import StreamMender
from app.converters.chat.options import mend_options
from app.converters.chat.refusals import PROOF, without_refused
from app.converters.codec import WITHOUT_EARLIER_PROOFS, Pump, is_unsealed
from app.converters.limits import Limits
from app.converters.losses import Losses
from app.converters.prepared import Prepared
from app.converters.splice import exact

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
    inside, losses = frozenset(name for name in refused if "." in name), Losses()
    if inside:
        body = without_refused(body, inside, losses)
    taken_out = [*losses.names(), *(name for name in sorted(refused - {PROOF}) if name in body)]
    if taken_out or PROOF in refused or WITHOUT_EARLIER_PROOFS in refused:
        body = {name: value for name, value in body.items() if name not in taken_out}
        messages = body.get("messages", [])
        end = len(messages) if PROOF in refused else _turn_start(messages) if WITHOUT_EARLIER_PROOFS in refused else 0
        body["messages"] = [*map(_without_proofs, messages[:end]), *messages[end:]]
        raw = json_bytes.dumps(body)
    mended, without = mend_options(body, limits)
    if mended is not body:
        body, _ = mend_options(exact(raw, body), limits)
        raw = json_bytes.dumps(body)
    payload, dropped = request.prepare(raw, body, model=model, is_openai=is_openai, inlined=inlined)
    return Prepared(payload, (*dropped, *without, *taken_out))


def passes_natively(raw: bytes, body: dict[str, Any]) -> bool:
    """Not so with what other protocols word (`foreign`), nor with free-text tools or a choice among tools: Copilot's
    chat takes none of it, and conversion knows how."""
    return is_unsealed(raw, body) and not is_foreign(body)


def _turn_start(messages: list[Any]) -> int:
    """Where the current turn begins: at the last message of the user."""
    of_user = (at for at, one in enumerate(messages) if isinstance(one, dict) and one.get("role") == "user")
    return max(of_user, default=0)


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
