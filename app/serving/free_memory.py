"""Memory that nobody uses any more goes back to the system.

glibc keeps what has been freed for the next time, in the middle of its heap without end: a worker that once passed on
two events of 20 MB, or five hundred streams, stayed that large.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final


def _found() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library: musl and macOS give back by themselves
        return None
    return trim


_trim: Final = _found()


def give_back() -> None:
    """Give back what is free: some milliseconds where there is much, less than one where there is not."""
    if _trim is not None:
        _trim(0)
