"""Whether prefixes are watched: switched on by the operator for a time, the same in all workers."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.caching.prefix import Prefix
from app.errors import StoreError
from app.store.base import Store
from app.store.record import record, told_by

LONGEST_S: Final = 24 * 3600.0
_FRESH_S: Final = 1.0
_SWITCH: Final = "cache-watch"


@dataclass(frozen=True, slots=True)
class Watched:
    """until: epoch seconds. by: who switched it on. key: of the hashes, gone when it ends."""

    until: float
    by: str
    key: bytes


class CacheWatch:
    """One per process."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._looked_at = -_FRESH_S
        self._known: Watched | None = None

    def start(self, *, for_s: float, by: str) -> Watched:
        """Watch from now on. Raises: StoreError."""
        for_s = min(max(for_s, 1.0), LONGEST_S)
        found = Watched(self._clock() + for_s, by, secrets.token_bytes(16))
        told = json.dumps({"until": found.until, "by": by, "key": found.key.hex()})
        self._store.put(_SWITCH, told, ttl_s=for_s)
        self._known, self._looked_at = found, time.monotonic()
        return found

    def stop(self) -> bool:
        """Whether it was on. Raises: StoreError."""
        self._known, self._looked_at = None, time.monotonic()
        return self._store.delete(_SWITCH)

    def watched(self) -> Watched | None:
        """How it stands. Raises: StoreError."""
        found = _read(self._store.get(_SWITCH))
        self._known, self._looked_at = found, time.monotonic()
        return found if found is not None and found.until > self._clock() else None

    def prefix_of(self, body: Mapping[str, Any]) -> Prefix | None:
        """The prefix of a request, if it is to be watched. Nothing is looked up more than once a second."""
        if time.monotonic() - self._looked_at > _FRESH_S:
            try:
                self.watched()
            except StoreError:
                self._known, self._looked_at = None, time.monotonic()
        known = self._known
        return Prefix(body, known.key) if known is not None and known.until > self._clock() else None


def _read(text: str | None) -> Watched | None:
    try:
        told = told_by(text)
        return record(Watched, told, key=bytes.fromhex(told["key"])) if told else None
    except (ValueError, KeyError, TypeError):
        return None
