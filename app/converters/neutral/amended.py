"""A body without what upstream refuses, and with what it takes instead: the one place where refusals are acted on.

Names are those of `app.converters.refusal`: ``tools[].strict`` is left out, ``reasoning.effort="low"`` gets that value,
``max_tokens>max_completion_tokens`` gets the other name. Names that stand for another way to ask are the encoders'.
"""

from __future__ import annotations

import json
from typing import Any, Final

from app.converters.neutral.losses import Losses
from app.converters.wire import body_paths, json_bytes
from app.converters.wire.refusal_words import BETA, PROOF, TYPE

EARLIER_PROOFS: Final = "proof:earlier"
"""Proofs of the turns before: a tool round may be refused without those of its own (Gemini, contract §6.6)."""
ANOTHER_WAY: Final = frozenset(
    {PROOF, EARLIER_PROOFS, "thinking.enabled", "thinking.adaptive", "thinking.disabled", "output_config.format"}
    | {"response_format"}
)
"""Names that stand for another way to ask, not for a field to leave out."""
_WHY: Final = "upstream refuses it for this model"


def amended(body: dict[str, Any], names: frozenset[str], losses: Losses) -> dict[str, Any]:
    """The body with all of these repairs that are plain paths, each recorded; the same object if none applies."""
    for name in sorted(names):
        if name in ANOTHER_WAY or name.startswith((BETA, TYPE)):
            continue
        path, has_value, value = name.partition("=")
        old, is_renamed, new = name.partition(">")
        if is_renamed and not has_value:
            body = {(new if key == old else key): item for key, item in body.items()} if old in body else body
            continue
        changed = body_paths.with_value(body, path, json.loads(value)) if has_value else body_paths.without(body, path)
        if changed is not body:
            losses.drop(path, _WHY)
            body = changed
    return body


def amended_bytes(body: bytes, names: frozenset[str], losses: Losses) -> bytes:
    """The same for a body that is written already; the same bytes if nothing applies."""
    if names <= ANOTHER_WAY:
        return body
    given = json_bytes.loads_exact(body)
    changed = amended(given, names, losses)
    return body if changed is given else json_bytes.dumps(changed)
