"""A brake on guessing keys: whoever shows wrong ones too often is told to wait.

A right key is let in all the same, for behind one address there may be an office. So the brake does not make guessing
impossible (the length of a key does that); it makes whoever heeds it wait, and costs all others a connection a guess.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import time
from collections.abc import Callable
from typing import Final

MOST_FAILURES: Final = 30
WINDOW_S: Final = 60.0
_SLOTS: Final = 4096


class Brake:
    """Counts wrong keys by address, within windows of `WINDOW_S`. One for each process.

    Its memory is the same however many addresses there are: two that fall into one slot share a count, which at worst
    has a wrong key answered in another way. Which ones do nobody can work out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._salt = secrets.token_bytes(16)
        self._counts = [0] * _SLOTS
        self._begins = [0.0] * _SLOTS

    def note_failure(self, address: str | None) -> int | None:
        """A wrong key has come from there. Seconds to wait, at least 1, if there were too many; else None."""
        slot, now = self._slot(address), self._clock()
        if now - self._begins[slot] >= WINDOW_S:
            self._begins[slot], self._counts[slot] = now, 0
        self._counts[slot] += 1
        if self._counts[slot] <= MOST_FAILURES:
            return None
        return max(1, round(self._begins[slot] + WINDOW_S - now))

    def _slot(self, address: str | None) -> int:
        name = _network(address or "").encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.blake2b(name, key=self._salt, digest_size=4).digest()) % _SLOTS


def _network(address: str) -> str:
    """An IPv6 address counts by its /64, of which everybody has 2^64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or int(found) >> 64)
    return str(found)
