"""What a request says about itself, whatever its protocol: all that the relay needs to know of a native one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.converters.wire import json_bytes

ProtocolName = Literal["chat", "messages", "responses"]

_LONG: Final = 16 * 1024
_SAMPLES: Final = 64
_SAMPLE_LENGTH: Final = 128
_DEEPEST: Final = 4
"""Where images stand: in a list of parts, in an object of a part; in Messages also one such pair deeper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Read by each protocol's ``traits``, which never fails: a field of the wrong type counts as absent.

    include_usage:   whether a stream shall tell its usage; only chat clients have to ask for it.
    choices:         the n that was asked for, 1 if none was.
    has_images:      an image stands anywhere in the body (contract §5.7).
    initiator:       "agent" for a follow-up of the same interaction, which Copilot does not bill (contract §5.5).
    interaction_key: the same for all tool rounds of one user turn.
    """

    model: str
    stream: bool
    has_images: bool
    initiator: Literal["user", "agent"]
    interaction_key: bytes
    include_usage: bool = True
    choices: int = 1


def interaction_key(at: int, said: Any) -> bytes:
    """Position and digest of what a person said last: tool rounds append after it and leave both as they are.

    said: JSON. Of a very long string, an image say, its length and samples count: a digest of all of it would cost as
    much as parsing it did.
    """
    digest = hashlib.sha256(json_bytes.dumps(_sampled(said, _DEEPEST))).hexdigest()
    return f"{at}:{digest}".encode()


def _sampled(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONG else _samples(value)
    if not depth:
        return value
    if isinstance(value, list):
        return [_sampled(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {name: _sampled(item, depth - 1) for name, item in value.items()}
    return value


def _samples(text: str) -> list[Any]:
    """Its length, its end, and pieces from its beginning on."""
    step = len(text) // _SAMPLES
    pieces = [text[at : at + _SAMPLE_LENGTH] for at in range(0, len(text), step)]
    return [len(text), *pieces, text[-_SAMPLE_LENGTH:]]
