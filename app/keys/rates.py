"""Requests per minute, by the `limits` library: one window of a minute for each key, counted over all workers.

With one worker the counters are in its memory; with several of one host, in the store's SQLite file, through which they
agree; with REDIS_URL, in Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.logs import logger
from app.store import Store

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

WINDOW_S: Final = 60
_PREFIX: Final = "rate:"


@dataclass(frozen=True, slots=True)
class Standing:
    """remaining: how many more may come in this window; None if it cannot be known. resets_at: epoch seconds."""

    limit: int
    remaining: int
    resets_at: float
    is_admitted: bool = True


class RequestRates:
    """Opens nothing, and imports `limits` at the first key that has such a limit."""

    def __init__(
        self, store: Store, *, redis_url: str | None, workers: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._redis_url = redis_url
        self._workers = workers
        self._clock = clock
        self._limiter: FixedWindowRateLimiter | None = None

    def hit(self, key_id: str, per_minute: int) -> Standing:
        """Count a request, and say whether it may go on. Where the counters are away, it may."""
        item = self._item(per_minute)
        try:
            limiter = self._counting()
            is_admitted = limiter.hit(item, key_id)
            stats = limiter.get_window_stats(item, key_id)
        except Exception as error:
            # Redis' own errors as well, of which `limits` knows some. A limit that cannot be counted stops nobody.
            logger.warning("requests are not counted", extra={"fields": {"why": type(error).__name__}})
            return Standing(per_minute, per_minute, self._clock() + WINDOW_S)
        return Standing(per_minute, max(0, stats.remaining) if is_admitted else 0, stats.reset_time, is_admitted)

    def _item(self, per_minute: int) -> RateLimitItem:
        from limits import RateLimitItemPerMinute

        return RateLimitItemPerMinute(per_minute, namespace="copilot-bridge")

    def _counting(self) -> FixedWindowRateLimiter:
        if self._limiter is None:
            from limits.storage import MemoryStorage, storage_from_string
            from limits.strategies import FixedWindowRateLimiter

            storage: Any
            if self._redis_url:
                storage = storage_from_string(self._redis_url)
            elif self._workers == 1:
                storage = MemoryStorage()
            else:
                from app.keys.store_counters import StoreCounters

                storage = StoreCounters(_StoreCounts(self._store, self._clock))
            self._limiter = FixedWindowRateLimiter(storage)
        return self._limiter


class _StoreCounts:
    """Counts within windows, as values of the store: ``<count>:<epoch seconds of the window's end>``."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def add(self, name: str, window_s: int, amount: int) -> int:
        now = self._clock()

        def change(old: str | None) -> str:
            count, ends_at = _read(old, now)
            return f"{count + amount}:{ends_at if count else now + window_s}"

        return _read(self._store.update(_PREFIX + name, change), now)[0]

    def look(self, name: str) -> tuple[int, float]:
        return _read(self._store.get(_PREFIX + name), self._clock())

    def forget(self, name: str) -> None:
        self._store.delete(_PREFIX + name)


def _read(value: str | None, now: float) -> tuple[int, float]:
    """Count and end of a window that has not ended; 0 if there is none."""
    try:
        count, _, ends_at = (value or "").partition(":")
        found = int(count), float(ends_at)
    except ValueError:
        return 0, now
    # One that lies far ahead was begun before a clock was set back.
    return found if now < found[1] <= now + WINDOW_S else (0, now)
