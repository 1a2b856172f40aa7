"""A native chat request, ready for upstream."""

from __future__ import annotations

from typing import Any

from app.converters.chat.anthropic_forms import is_foreign
from app.converters.chat.native.body import prepare as body_of
from app.converters.chat.native.options import normalize_options
from app.converters.chat.native.well_formed import is_well_formed
from app.converters.codec import NativeRequest, UpstreamRequest, is_unsealed
from app.converters.neutral.amended import EARLIER_PROOFS, amended_bytes
from app.converters.neutral.losses import Losses
from app.converters.wire import json_bytes
from app.converters.wire.refusal_words import PROOF
from app.converters.wire.replace_model import exact

_PROOF_FIELDS = frozenset({"reasoning_opaque", "reasoning_text", "cot_id", "cot_summary"})


def prepare(request: NativeRequest) -> UpstreamRequest:
    """The bytes for upstream, and what had to be left out."""
    raw, body, limits, refused = request.raw, request.body, request.limits, request.refused
    losses = Losses()
    if PROOF in refused or EARLIER_PROOFS in refused:
        messages = body.get("messages", [])
        end = len(messages) if PROOF in refused else _turn_start(messages)
        body = {**body, "messages": [*map(_without_proofs, messages[:end]), *messages[end:]]}
        raw = json_bytes.dumps(body)
    if normalize_options(body, limits, Losses()) is not body:
        body = normalize_options(exact(raw, body), limits, losses)
        raw = json_bytes.dumps(body)
    payload = body_of(
        raw, body, model=request.model, is_openai=limits.is_openai, losses=losses, inlined=request.inlined
    )
    payload = amended_bytes(payload, refused, losses)
    return UpstreamRequest(payload, tuple(losses))


def passes(raw: bytes, body: dict[str, Any]) -> bool:
    """Not so with what other protocols word (`anthropic_forms`), nor with free-text tools or a choice among tools:
    Copilot's chat takes none of it, and conversion knows how. Nor with faults that it would refuse (`well_formed`)."""
    return is_unsealed(raw, body) and not is_foreign(body) and is_well_formed(body)


def _turn_start(messages: list[Any]) -> int:
    """Where the current turn begins: at the last message of the user."""
    of_user = (at for at, one in enumerate(messages) if isinstance(one, dict) and one.get("role") == "user")
    return max(of_user, default=0)


def _without_proofs(message: Any) -> Any:
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return message
    return {name: value for name, value in message.items() if name not in _PROOF_FIELDS}
