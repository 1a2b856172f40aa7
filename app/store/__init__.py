"""The state that all workers (with Redis: all hosts) agree on: tokens, catalogue, sign-ins, model mapping, leases."""

from __future__ import annotations

from pathlib import Path

from app.store.base import Entry, Store
from app.store.mapping import ModelMapping
from app.store.sqlite import SqliteStore

__all__ = ["Entry", "ModelMapping", "Store", "open_store"]


def open_store(*, data_dir: Path, redis_url: str | None) -> Store:
    """Choose the store: Redis if there is an address for it, else ``data_dir/state.db``.

    Connects on first use, not here: a server that forks its workers after this call gives each its own connection.
    Raises: StoreError when the address is malformed or the ``redis`` package is missing.
    """
    if redis_url:
        # Imported only now, because the package is needed only with REDIS_URL.
        from app.store.redis import RedisStore

        return RedisStore(redis_url)
    return SqliteStore(data_dir / "state.db")
