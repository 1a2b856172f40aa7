"""A native request, ready for upstream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a protocol's ``prepare`` makes of a client's request.

    dropped: names of the fields that were left out. headers: extra ones for upstream, e.g. ``anthropic-beta``.
    restore: what the mender needs to give things back to the client: custom tools, namespaces. Opaque to all others.
    """

    body: bytes
    dropped: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    restore: Any = None
