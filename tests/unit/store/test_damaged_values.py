"""A value that is no text: it is for its reader to judge, and the rest of the store is as good as ever."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from app.store import Store
from tests.support.redis_server import redis_client

if TYPE_CHECKING:
    from tests.unit.store.conftest import Backend

IN_SQLITE = {
    "bytes": "x'7b7d'",
    "no UTF-8": "CAST(x'ff41' AS TEXT)",
    "bytes that are no text": "x'ff00'",
    "a number": "7",
}
TIMES = ("'soon'", "x'01'", "9e999", "4611686018427387904")


def _assert_good(store: Store) -> None:
    """All that can be done with it and with what stands beside it."""
    for _ in range(2):
        assert isinstance(store.get("key"), str)
        assert store.get("other") == "fine"
        assert isinstance(store.scan("")["other"], str)
        assert "fine" in [entry.value for entry in store.dump()]
        assert all(isinstance(entry.key, str) and isinstance(entry.value, str) for entry in store.dump())
        seen: list[object] = []

        def change(old: str | None, seen: list[object] = seen) -> str:
            seen.append(old)
            return "mended"

        assert store.update("key", change) == "mended"
        assert isinstance(seen[-1], str)
    assert store.get("key") == "mended"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", IN_SQLITE)
def test_what_is_no_text_in_sqlite(store: Store, backend: Backend, value: str) -> None:
    store.put("other", "fine")
    with contextlib.closing(sqlite3.connect(backend.data_dir / "state.db", isolation_level=None)) as file:
        file.execute(f"INSERT INTO entries VALUES ('key', NULL, {IN_SQLITE[value]})")
        file.execute("INSERT INTO entries VALUES (x'ff', NULL, 'under a key that is none')")
    _assert_good(store)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("time", TIMES)
def test_a_time_that_is_none_in_sqlite(store: Store, backend: Backend, time: str) -> None:
    store.put("other", "fine")
    with contextlib.closing(sqlite3.connect(backend.data_dir / "state.db", isolation_level=None)) as file:
        file.execute(f"INSERT INTO entries VALUES ('key', {time}, 'value')")
    _assert_good(store)
    assert store.delete("key")


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
def test_what_is_no_text_in_redis(store: Store, backend: Backend) -> None:
    store.put("other", "fine")
    assert backend.redis_url is not None
    with redis_client(backend.redis_url) as client:
        client.set("copilot-bridge:entry:key", b"\xff\xfe")
        client.set(b"copilot-bridge:entry:\xff", "under a key that is none")
    _assert_good(store)


def test_what_is_to_last_for_ever_does_so(store: Store) -> None:
    for ttl_s in (1e15, 1e300, float("inf")):
        store.put("key", "value", ttl_s=ttl_s)
        assert store.get("key") == "value"
        store.delete("key")
