"""What upstream refused by name, remembered per model and endpoint, so that it is left out from the start next time.

Kept in the store for a time (`REFUSALS_TTL_S`): upstream changes, and what it refused last month it may take now. What
may be remembered at all is decided by whoever learns it; a row that cannot be read counts as absent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from app.errors import StoreError
from app.store.base import Store

_MOST = 50
_PREFIX = "refused:"


@dataclass(frozen=True, slots=True)
class Learned:
    """Names that one endpoint refused for a model. ttl_s: how long they are kept yet; None: for good."""

    model: str
    path: str
    names: tuple[str, ...]
    ttl_s: float | None


class Refusals:
    """Names of fields and betas, by model and upstream path.

    ttl_s: how long they are kept, from the first one on.
    is_usable: tells of a stored name whether it may be used; rows of an older version may hold others.
    """

    def __init__(self, store: Store, *, ttl_s: float, is_usable: Callable[[str], bool] = lambda _name: True) -> None:
        self._store = store
        self._ttl_s = ttl_s
        self._is_usable = is_usable
        self._last: dict[str, frozenset[str]] = {}
        self.learned = 0
        """How many names this process has learned."""

    def known(self, model: str, path: str) -> frozenset[str]:
        """While the store is away: what this process knew last."""
        key = _key(model, path)
        try:
            text = self._store.get(key)
        except StoreError:
            return self._last.get(key, frozenset())
        found = frozenset(self._read(text))
        if found or key in self._last:
            self._last[key] = found  # models are few, and only those that refused something are kept
        return found

    def learn(self, model: str, path: str, name: str) -> None:
        def add(text: str | None) -> str:
            # Bounded: the names come from outside.
            return orjson.dumps(sorted({*self._read(text)[:_MOST], name})).decode()

        self.learned += 1
        key = _key(model, path)
        if self._store.get(key) is None:
            self._store.put(key, "[]", ttl_s=self._ttl_s)  # an update keeps the ttl that is there
        self._store.update(key, add)

    def all(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Everything that is remembered: model, upstream path, names."""
        found = []
        for key, text in self._store.scan(_PREFIX).items():
            path, _, model = key.removeprefix(_PREFIX).partition(":")
            if names := self._read(text):
                found.append((model, path, tuple(names)))
        return sorted(found)

    def remembered(self) -> list[Learned]:
        """The same, with what is left of their time. Raises: StoreError."""
        found = []
        for entry in self._store.dump():
            if not entry.key.startswith(_PREFIX):
                continue
            path, _, model = entry.key.removeprefix(_PREFIX).partition(":")
            if names := self._read(entry.value):
                found.append(Learned(model, path, tuple(names), entry.ttl_s))
        return sorted(found, key=lambda row: (row.model, row.path))

    def forget(self, model: str, name: str | None = None) -> int:
        """Forget one name of a model, or all of them, at every endpoint; how many were forgotten."""
        count = 0
        for known_model, path, names in self.all():
            if known_model != model or (name is not None and name not in names):
                continue
            key = _key(model, path)
            if name is None or names == (name,):
                count += len(names)
                self._store.delete(key)
            else:
                count += 1
                self._store.update(key, lambda text: orjson.dumps([n for n in self._read(text) if n != name]).decode())
        return count

    def _read(self, text: str | None) -> list[str]:
        try:
            names = orjson.loads(text) if text else []
        except orjson.JSONDecodeError:
            return []
        if not isinstance(names, list):
            return []
        return [name for name in names if isinstance(name, str) and self._is_usable(name)]


def _key(model: str, path: str) -> str:
    return f"{_PREFIX}{path}:{model}"
