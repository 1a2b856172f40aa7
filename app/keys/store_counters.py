"""The store as a storage of the `limits` library. Imported when it is used, as the library is."""

from __future__ import annotations

from typing import Protocol

from limits.storage import Storage

from app.errors import StoreError


class Counts(Protocol):
    """Counts within windows, shared by all workers."""

    def add(self, name: str, window_s: int, amount: int) -> int: ...
    def look(self, name: str) -> tuple[int, float]: ...
    def forget(self, name: str) -> None: ...


class StoreCounters(Storage):
    """For fixed windows."""

    STORAGE_SCHEME = None

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self._counts = counts

    @property
    def base_exceptions(self) -> type[Exception]:
        return StoreError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return self._counts.add(key, expiry, amount)

    def get(self, key: str) -> int:
        return self._counts.look(key)[0]

    def get_expiry(self, key: str) -> float:
        return self._counts.look(key)[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        raise NotImplementedError

    def clear(self, key: str) -> None:
        self._counts.forget(key)
