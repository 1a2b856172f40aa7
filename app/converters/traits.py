"""What a request says about itself, whatever its protocol: all that the relay needs to know of a native one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProtocolName = Literal["chat", "messages", "responses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Read by each protocol's ``traits``, which never fails: a field of the wrong type counts as absent.

    include_usage:   whether a stream shall tell its usage; only chat clients have to ask for it.
    choices:         the n that was asked for, 1 if none was.
    has_images:      an image stands anywhere in the body (contract §5.7).
    initiator:       "agent" for a follow-up of the same interaction, which Copilot does not bill (§5.5).
    interaction_key: the same for all tool rounds of one user turn.
    """

    model: str
    stream: bool
    has_images: bool
    initiator: Literal["user", "agent"]
    interaction_key: bytes
    include_usage: bool = True
    choices: int = 1
