"""How many calls were noted, written and dropped by a worker: kept where they outlive it, however it ends."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SLOTS: Final = 4
_FORM: Final = struct.Struct(f"<{_SLOTS}Q")


class Tally:
    """Four numbers. With a file they are in shared memory: another process reads them after a ``kill -9``.

    Whatever was accepted is either written, or dropped, or still waiting; if its worker is gone, it is lost.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Raises: OSError."""
        self._memory: mmap.mmap | bytearray = bytearray(_FORM.size)
        if path is not None:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.ftruncate(handle, _FORM.size)
                self._memory = mmap.mmap(handle, _FORM.size)
            finally:
                os.close(handle)
        self._numbers = memoryview(self._memory).cast("Q")

    def move_to(self, path: Path) -> None:
        """Keep them in this file from now on. Raises: OSError."""
        other = Tally(path)
        other._numbers[:] = self._numbers
        self._memory, self._numbers = other._memory, other._numbers

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return self._numbers[3]

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        self._numbers[3] = max(0, count)

    @property
    def accepted(self) -> int:
        """Calls that have ended."""
        return self._numbers[0]

    @accepted.setter
    def accepted(self, count: int) -> None:
        self._numbers[0] = count

    @property
    def written(self) -> int:
        """Calls that are in the database."""
        return self._numbers[1]

    @written.setter
    def written(self, count: int) -> None:
        self._numbers[1] = count

    @property
    def dropped(self) -> int:
        """Calls that will never be."""
        return self._numbers[2]

    @dropped.setter
    def dropped(self, count: int) -> None:
        self._numbers[2] = count


@dataclass(frozen=True, slots=True)
class Lost:
    """Of a worker that has ended. dropped: calls that it has given up. killed: calls that had ended and were not
    written yet. in_flight: requests that it was still answering, most of them calls."""

    dropped: int = 0
    killed: int = 0
    in_flight: int = 0


def lost_of(path: Path) -> Lost:
    """By the file of its tally; nothing for a file that is none."""
    try:
        accepted, written, dropped, in_flight = _FORM.unpack(path.read_bytes())
    except (OSError, struct.error):
        return Lost()
    return Lost(dropped, max(0, accepted - written - dropped), in_flight)
