"""What only the SQLite store must do: keep its file private, name what is wrong with it, never freeze a worker."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.errors import StoreError
from app.store import Entry, open_store, sqlite
from app.store.sqlite import SqliteStore
from tests.support import open_files

if TYPE_CHECKING:
    from tests.unit.store.conftest import Backend


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as store:
        yield store


@contextmanager
def other_connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the file ---


@pytest.fixture
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_no_umask")
def test_directory_and_files_are_private(store: SqliteStore, path: Path) -> None:
    store.put("key", "value")
    assert mode(path.parent) == 0o700
    files = {file.name: oct(mode(file)) for file in path.parent.iterdir()}
    assert files == {"state.db": "0o600", "state.db-wal": "0o600", "state.db-shm": "0o600"}


@pytest.mark.usefixtures("_no_umask")
def test_file_is_private_before_sqlite_opens_it(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    connect = sqlite3.connect

    def spy(*args: object, **kwargs: object) -> sqlite3.Connection:
        modes.append(mode(path))
        return connect(*args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(sqlite3, "connect", spy)
    store.get("key")
    assert modes == [0o600]


def test_files_that_others_could_read_are_closed_to_them(store: SqliteStore, path: Path) -> None:
    store.put("key", "value")
    files = list(path.parent.iterdir())
    for file in files:
        file.chmod(0o644)
    with closing(SqliteStore(path)) as later:
        assert later.get("key") == "value"
        assert [mode(file) for file in files] == [0o600] * 3


def test_existing_directory_keeps_its_mode(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o750)
    store.put("key", "value")
    assert mode(path.parent) == 0o750


def test_opening_touches_nothing_before_first_use(tmp_path: Path) -> None:
    open_store(data_dir=tmp_path / "data", redis_url=None)
    assert list(tmp_path.iterdir()) == []


def pragma(name: str) -> Callable[[sqlite3.Connection], Any]:
    return lambda db: db.execute(f"PRAGMA {name}").fetchone()[0]


def test_file_is_opened_as_intended(store: SqliteStore, path: Path) -> None:
    store.get("key")
    with other_connection(path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    pragmas = ("synchronous", "busy_timeout")
    assert [store._run(pragma(name)) for name in pragmas] == [1, 0]


def test_expired_rows_are_purged_by_the_next_write(path: Path) -> None:
    now = [1000.0]
    with closing(SqliteStore(path, clock=lambda: now[0])) as store:
        store.put("short", "value", ttl_s=5)
        store.put("long", "value", ttl_s=50)
        store.acquire("lease", owner="me", ttl_s=5)
        now[0] += 5
        with other_connection(path) as other:
            assert store.get("short") is None
            assert other.execute("SELECT count(*) FROM entries").fetchone() == (2,)
            store.put("another", "value")
            assert other.execute("SELECT key FROM entries ORDER BY key").fetchall() == [("another",), ("long",)]
            assert other.execute("SELECT count(*) FROM leases").fetchone() == (0,)


def test_lease_of_a_dead_worker_does_not_outlive_it_because_the_clock_was_set_back(path: Path) -> None:
    now = 10_000.0
    store = SqliteStore(path, clock=lambda: now)
    assert store.acquire("lease", owner="dead", ttl_s=20)
    now -= 3600
    assert store.acquire("lease", owner="alive", ttl_s=20)
    assert not store.acquire("lease", owner="another", ttl_s=20)
    store.close()


def test_ttl_that_ends_within_an_update_is_not_inherited(path: Path) -> None:
    # Read once to set the ttl, once by the purge (still alive), then by the update itself (just over).
    ticks = iter([1000.0, 1000.0, 1004.9, 1005.0, 1005.1])
    with closing(SqliteStore(path, clock=lambda: next(ticks))) as store:
        store.put("key", "old", ttl_s=5)
        assert store.update("key", lambda old: f"was {old}") == "was None"
        assert store.get("key") == "was None"


# --- failures ---


def test_file_that_is_no_database_is_named(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database " * 500)
    for _ in range(2):
        with pytest.raises(StoreError, match="is damaged") as caught:
            store.get("key")
        assert str(path) in caught.value.message
        assert "Move the file away" in caught.value.message
    path.unlink()
    assert store.get("key") is None


def test_damaged_database_is_named(store: SqliteStore, path: Path) -> None:
    for number in range(200):
        store.put(f"key{number}", "x" * 1000)
    store.close()
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xa5" * (len(content) - 8192))
    with pytest.raises(StoreError, match="is damaged") as caught:
        store.scan("")
    assert str(path) in caught.value.message


def test_database_of_another_version_is_refused(store: SqliteStore, path: Path) -> None:
    store.put("key", "value")
    with other_connection(path) as other:
        other.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match="version 99"):
        store.get("key")


def test_directory_in_place_of_the_file_is_named(store: SqliteStore, path: Path) -> None:
    path.mkdir(parents=True)
    path.chmod(0o755)
    with pytest.raises(StoreError, match="DATA_DIR") as caught:
        store.get("key")
    assert str(path) in caught.value.message
    assert mode(path) == 0o755


def test_file_in_place_of_the_directory_is_named(store: SqliteStore, path: Path) -> None:
    path.parent.write_text("in the way")
    with pytest.raises(StoreError, match="DATA_DIR") as caught:
        store.put("key", "value")
    assert str(path) in caught.value.message


def test_file_that_cannot_be_opened_is_named(store: SqliteStore, path: Path) -> None:
    """A link to itself, which nobody can open; file modes would not stop root."""
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(path)
    with pytest.raises(StoreError, match="DATA_DIR"):
        store.get("key")


def test_full_disk_is_told_and_forgiven_once_there_is_room(store: SqliteStore) -> None:
    store.put("key", "value")
    # The limit belongs to the connection, which the failure closes: the next one has room.
    store._run(lambda db: db.execute("PRAGMA max_page_count = 1").fetchall())
    with pytest.raises(StoreError, match="disk is full"):
        store.put("key", "x" * 1_000_000)
    assert store.get("key") == "value"
    store.put("key", "x" * 1_000_000)


def test_readonly_disk_is_told(store: SqliteStore) -> None:
    store.put("key", "value")
    store._run(lambda db: db.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreError, match="read-only"):
        store.put("key", "new")
    assert store.get("key") == "value"


# --- waiting for others ---


def test_readers_do_not_wait_for_a_writer(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "wait_a_moment", lambda: pytest.fail("a read waited"))
    store.put("key", "value")
    with other_connection(path) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE entries SET value = 'uncommitted'")
        assert store.get("key") == "value"
        assert store.scan("") == {"key": "value"}


def test_writer_tries_again_until_the_other_is_done(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("key", "value")
    with other_connection(path) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE entries SET value = 'theirs'")
        waits: list[str | None] = []

        def wait() -> None:
            # Readable while the other one waits: the lock of this process is not held across the sleep.
            waits.append(store.get("key"))
            if len(waits) == 3:
                other.execute("COMMIT")

        monkeypatch.setattr(sqlite, "wait_a_moment", wait)
        assert store.update("key", lambda old: f"{old}, then ours") == "theirs, then ours"
    assert waits == ["value"] * 3


def test_writer_gives_up_in_the_end(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_LIMIT_S", 0.0)
    store.put("key", "value")
    with other_connection(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process") as caught:
            store.put("key", "new")
    assert str(path) in caught.value.message
    assert store.get("key") == "value"


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, sqlite3, sys
from pathlib import Path
from app.store import open_store

store = open_store(data_dir=Path(sys.argv[1]), redis_url=None)
store.put("key", "value")
other = sqlite3.connect(Path(sys.argv[1]) / "state.db", isolation_level=None)
other.execute("BEGIN IMMEDIATE")

def tick():
    # Were the waiting writer to hold up the worker, these turns would never come, nor the COMMIT.
    for _ in range(10):
        gevent.sleep(0.001)
    other.execute("COMMIT")
    other.close()

ticker = gevent.spawn(tick)
store.put("key", "written in the end")
assert ticker.dead
print(store.get("key"))
store.close()
"""


def test_waiting_writer_lets_other_greenlets_run(sqlite_backend: Backend) -> None:
    assert sqlite_backend.run_script(GREENLETS) == "written in the end\n"


def test_a_file_that_was_removed_while_open_is_made_anew(store: SqliteStore, path: Path) -> None:
    """Not written to any more, that is: what a process puts into a removed file is lost to all others."""
    store.put("old", "value")
    path.unlink()
    assert store.get("old") is None
    store.put("key", "value")
    with closing(SqliteStore(path)) as other:
        assert other.get("key") == "value"


def test_whoever_had_the_removed_file_open_does_no_harm_to_the_new_one(store: SqliteStore, path: Path) -> None:
    """The write-ahead log has its name from the file: one closing the old file must not take the new one's away."""
    store.put("key", "old")
    for file in (path, path.with_name("state.db-wal"), path.with_name("state.db-shm")):
        file.unlink()
    with closing(SqliteStore(path)) as new:
        new.put("key", "new")
        store.close()
        new.put("other", "value")
        assert (store.get("key"), store.get("other")) == ("new", "value")
    assert store.get("key") == "new"


@pytest.mark.parametrize("left", ["state.db-wal", "state.db-shm"])
def test_what_a_removed_file_left_beside_it_is_not_replayed(path: Path, left: str) -> None:
    with closing(SqliteStore(path)) as store:
        store.put("key", "old")
        kept = path.with_name(left).read_bytes()
    path.unlink()
    path.with_name(left).write_bytes(kept)
    with closing(SqliteStore(path)) as store:
        assert store.dump() == []
        store.load([Entry("key", "restored")])
    with closing(SqliteStore(path)) as store:
        assert store.get("key") == "restored"


def test_whoever_comes_after_the_end_leaves_nothing_open(store: SqliteStore) -> None:
    store.close()
    store.put("key", "value")
    assert store.get("key") == "value"
    assert open_files.left_open() == []
