"""The bytes of one call, while recording is on for its key: what the client sent, and each call to Copilot.

A tape is held in memory only until the call has ended; see `app.bundles.recorder`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

MOST_BYTES: Final = 2 * 1024 * 1024
"""Of one call, both sides together. A longer one is not recorded."""

End = Literal["whole", "cut", "silent", "none", "left"]
"""How an answer ended: as HTTP says; broken off; nothing came any more; there was none; the bridge wanted no more."""


@dataclass(slots=True)
class Reel:
    """One call to Copilot. pieces: of its answer, as they came."""

    tape: Tape = field(repr=False)
    path: str
    request: bytes = field(repr=False)
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list, repr=False)
    end: End = "left"

    def add(self, piece: bytes) -> None:
        if piece and self.tape.take(len(piece)):
            self.pieces.append(piece)

    def ended(self, how: End) -> None:
        if self.end == "left":
            self.end = how


@dataclass(slots=True)
class Tape:
    """headers: the client's, by lower-case name."""

    request: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    most: int = MOST_BYTES
    reels: list[Reel] = field(default_factory=list)
    size: int = 0
    is_full: bool = False

    def __post_init__(self) -> None:
        self.take(len(self.request))

    def reel(self, path: str, request: bytes) -> Reel:
        """Begin to record a call to Copilot."""
        reel = Reel(self, path, request if self.take(len(request)) else b"")
        self.reels.append(reel)
        return reel

    def take(self, size: int) -> bool:
        """Whether there is room for so many bytes more. If there is not, nothing of the call is kept."""
        self.size += size
        if self.size > self.most and not self.is_full:
            self.is_full = True
            self.request = b""
            for reel in self.reels:
                reel.request = b""
                reel.pieces.clear()
        return not self.is_full
