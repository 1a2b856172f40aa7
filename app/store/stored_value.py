"""One value of a store, read at every use and parsed when it has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from app.errors import StoreError
from app.store.base import Store

T = TypeVar("T")


class StoredValue(Generic[T]):
    """What stands under one key. parse: raises StoreError for what it cannot read. initial: while nothing is there."""

    def __init__(self, store: Store, key: str, parse: Callable[[str], T], initial: T) -> None:
        self.key = key
        self._store, self._parse, self._initial = store, parse, initial
        # The last stored text and what it says: parsing is the costly part, comparing is not.
        self._parsed: tuple[str, T] | None = None
        self.last = initial
        """What it said when it was read last."""

    def current(self) -> T:
        """What it says now; while the store is away, what it said last."""
        try:
            raw = self._store.get(self.key)
        except StoreError:
            return self.last
        return self.heard(raw)

    def heard(self, raw: str | None) -> T:
        """What it says now, as the store has told. Raises: StoreError."""
        self.last = self.read(raw)
        return self.last

    def read(self, raw: str | None) -> T:
        """What such a text says. Raises: StoreError."""
        if raw is None:
            return self._initial
        parsed = self._parsed
        if parsed is None or parsed[0] != raw:
            self._parsed = parsed = (raw, self._parse(raw))
        return parsed[1]
