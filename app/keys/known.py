"""All keys in each worker's memory, so that a request costs no look into the database; a change is there in a second.

The database is looked at behind the callers' backs, at most once in `FRESH_S` and only while named keys are shown. Who
finds the copy older than `STALE_S` waits for the look. While the database is away, the copy goes on to count, and
nobody waits; a key that is not in it may have been made since then, so it is neither taken nor called wrong.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from app.errors import DatabaseError, Sentence
from app.keys.key import Binding, Key, digest_of, looks_like_key
from app.keys.registry import KeyRegistry
from app.store.guarded import in_background

FRESH_S: Final = 0.4
STALE_S: Final = 0.9
_UNKNOWN_FRESH_S: Final = 0.1
"""For a key that the copy does not have: it may have just been made, in another worker."""
_LONGEST_WAIT_S: Final = 5.0
_NOTE_USE_EACH_S: Final = 60.0

# Without the cause, which the log has: anybody may show something that looks like a key.
_UNREADABLE: Final = Sentence("The keys cannot be read at the moment. Try again in a few seconds.")


@dataclass(frozen=True, slots=True)
class _Copy:
    version: float
    by_digest: dict[str, Key] = field(repr=False)
    by_id: dict[str, Key] = field(repr=False)


class KnownKeys:
    """clock: seconds from any starting point; now: epoch seconds."""

    def __init__(
        self,
        registry: KeyRegistry,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        spawn: Callable[[Callable[[], None]], None] = in_background,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._now = now
        self._spawn = spawn
        self._copy: _Copy | None = None
        self._is_away = False
        self._looked_at = float("-inf")
        self._looking = threading.Lock()
        self._used_at: dict[str, float] = {}
        self._noted_at = clock()

    def find(self, presented: str) -> Key | None:
        """The key that this is, whatever its state; None if it is none.

        Raises: DatabaseError if that cannot be known.
        """
        if not looks_like_key(presented) or not self._registry.exists():
            return None
        digest = digest_of(presented)
        key = self._find(digest, FRESH_S) or self._find(digest, _UNKNOWN_FRESH_S)
        if key is not None and hmac.compare_digest(key.digest, digest):
            self._used_at[key.id] = self._now()
            return key
        if self._is_away:
            raise DatabaseError(_UNREADABLE)
        return None

    def by_id(self, id: str) -> Key | None:
        """The key of this id, whatever its state. Raises: DatabaseError if that cannot be known."""
        return self._current(FRESH_S).by_id.get(id) if self._registry.exists() else None

    def bound(self) -> dict[str, Binding]:
        """The accounts of keys, by the keys' ids."""
        if not self._registry.exists():
            return {}
        return {key.id: key.binding for key in self._current(FRESH_S).by_digest.values() if key.binding is not None}

    def forget(self) -> None:
        """Look anew at the next chance: this worker has just changed something."""
        self._looked_at = float("-inf")

    def note_use(self, *, at_once: bool = False) -> None:
        """Write down when keys were used last, now and then. The worker calls this."""
        if not self._used_at or (not at_once and self._clock() - self._noted_at < _NOTE_USE_EACH_S):
            return
        self._noted_at = self._clock()
        used, self._used_at = self._used_at, {}
        try:
            self._registry.note_use(used)
        except DatabaseError:
            self._used_at = used | self._used_at

    def _find(self, digest: str, fresh_s: float) -> Key | None:
        return self._current(fresh_s).by_digest.get(digest)

    def _current(self, fresh_s: float) -> _Copy:
        """The copy, no older than `STALE_S` unless the database is away."""
        age = self._clock() - self._looked_at
        if self._copy is not None and age < fresh_s:
            return self._copy
        if self._copy is not None and fresh_s == FRESH_S and (self._is_away or age < STALE_S):
            if self._looking.acquire(blocking=False):
                self._spawn(self._look_and_release)
            return self._copy
        if self._looking.acquire(timeout=_LONGEST_WAIT_S):
            # Somebody else may have looked while we waited.
            if self._copy is None or self._clock() - self._looked_at >= fresh_s:
                self._look_and_release()
            else:
                self._looking.release()
        else:
            self._is_away = True  # whoever looks has been waiting for an answer ever since
        if self._copy is None:
            raise DatabaseError(_UNREADABLE)
        return self._copy

    def _look_and_release(self) -> None:
        try:
            self._look()
        finally:
            self._looking.release()

    def _look(self) -> None:
        began = self._clock()
        try:
            version = self._registry.version()
            if self._copy is None or version != self._copy.version:
                keys = self._registry.all()
                self._copy = _Copy(version, {key.digest: key for key in keys}, {key.id: key for key in keys})
            self._is_away = False
        except DatabaseError:
            self._is_away = True
            if self._copy is None:
                raise DatabaseError(_UNREADABLE) from None
        self._looked_at = began
