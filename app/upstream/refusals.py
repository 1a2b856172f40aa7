"""What upstream refused by name, remembered per model and endpoint, so that it is left out from the start next time.

Kept in the store for a day: upstream changes, and what it refused last month it may take now.
"""

from __future__ import annotations

import orjson

from app.store.base import Store

_KEEP_S = 24 * 3600.0
_MOST = 50


class Refusals:
    """Names of fields and betas, by model and upstream path."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def known(self, model: str, path: str) -> frozenset[str]:
        text = self._store.get(_key(model, path))
        return frozenset(orjson.loads(text)) if text else frozenset()

    def learn(self, model: str, path: str, name: str) -> None:
        def add(text: str | None) -> str:
            names = orjson.loads(text) if text else []
            # Bounded: the names come from outside.
            return orjson.dumps(sorted({*names[:_MOST], name})).decode()

        key = _key(model, path)
        if self._store.get(key) is None:
            self._store.put(key, "[]", ttl_s=_KEEP_S)  # an update keeps the ttl that is there
        self._store.update(key, add)


def _key(model: str, path: str) -> str:
    return f"refused:{path}:{model}"
