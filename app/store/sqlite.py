"""The store in one SQLite file, shared by all workers of one host."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from app.errors import StoreError
from app.store.base import BUSY_LIMIT_S, LONGEST_LEASE_S, Change, Entry, wait_a_moment
from app.store.sqlite_file import explain, is_busy, open_file, transaction

T = TypeVar("T")
FileId = tuple[int, int] | None

_GET = "SELECT value, expires_at FROM entries WHERE key = ?"
_GET_MANY = "SELECT key, value, expires_at FROM entries WHERE key IN (?)"
_PUT = "INSERT OR REPLACE INTO entries (key, value, expires_at) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM entries WHERE key = ?"
# Not LIKE or GLOB: a prefix may hold their wildcards.
_SCAN = (
    "SELECT key, value FROM entries WHERE key >= :prefix AND substr(key, 1, length(:prefix)) = :prefix"
    " AND (expires_at IS NULL OR expires_at > :now) ORDER BY key"
)
_DUMP = "SELECT key, value, expires_at FROM entries WHERE expires_at IS NULL OR expires_at > ? ORDER BY key"
_ACQUIRE = (
    "INSERT INTO leases (name, owner, expires_at) VALUES (:name, :owner, :until) ON CONFLICT (name)"
    " DO UPDATE SET owner = :owner, expires_at = :until"
    " WHERE owner = :owner OR expires_at <= :now OR expires_at > :longest"
)


class SqliteStore:
    """A `Store` in the file `path`; `clock` gives epoch seconds."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path.absolute()
        self._path = str(self.path)  # it is asked for with each call, and a Path takes its time
        self._clock = clock
        # Held while SQLite works, never across a sleep: other greenlets find it free, other threads wait briefly.
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False
        self._file: FileId = None
        _close_before_fork(self)

    def get(self, key: str) -> str | None:
        row = self._run(lambda db: db.execute(_GET, (key,)).fetchone())
        return _text(row[0]) if row is not None and self._is_live(row[1]) else None

    def get_many(self, keys: Sequence[str]) -> list[str | None]:
        several = _GET_MANY.replace("(?)", f"({', '.join('?' * len(keys))})")
        rows = self._run(lambda db: db.execute(several, keys).fetchall())
        found = {_text(key): _text(value) for key, value, until in rows if self._is_live(until)}
        return [found.get(key) for key in keys]

    def put(self, key: str, value: str, *, ttl_s: float | None = None) -> None:
        if ttl_s is not None and ttl_s <= 0:
            self.delete(key)
            return
        row = (key, value, None if ttl_s is None else self._clock() + ttl_s)
        self._write(lambda db: db.execute(_PUT, row))

    def delete(self, key: str) -> bool:
        return self._write(lambda db: db.execute(_DELETE, (key,)).rowcount) > 0

    def scan(self, prefix: str) -> dict[str, str]:
        row = {"prefix": prefix, "now": self._clock()}
        found = self._run(lambda db: db.execute(_SCAN, row).fetchall())
        return {_text(key): _text(value) for key, value in found}

    def dump(self) -> list[Entry]:
        now = self._clock()
        rows = self._run(lambda db: db.execute(_DUMP, (now,)).fetchall())
        return [
            Entry(_text(key), _text(value), until - now if isinstance(until, int | float) else None)
            for key, value, until in rows
        ]

    def load(self, entries: Iterable[Entry]) -> None:
        now = self._clock()
        rows = [
            (entry.key, entry.value, None if entry.ttl_s is None else now + entry.ttl_s)
            for entry in entries
            if entry.ttl_s is None or entry.ttl_s > 0
        ]

        def replace_all(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM entries")
            db.executemany(_PUT, rows)

        self._write(replace_all)

    def update(self, key: str, change: Change) -> str | None:
        def work(db: sqlite3.Connection) -> str | None:
            # Expired rows were purged a moment ago, but the clock has moved on since.
            old, expires_at = db.execute(_GET, (key,)).fetchone() or (None, None)
            if not self._is_live(expires_at):
                old, expires_at = None, None
            new = change(None if old is None else _text(old))
            if new is None:
                db.execute(_DELETE, (key,))
            elif new != old:
                db.execute(_PUT, (key, new, expires_at))
            return new

        return self._write(work)

    def acquire(self, name: str, *, owner: str, ttl_s: float) -> bool:
        if not 0 < ttl_s <= LONGEST_LEASE_S:
            raise ValueError(f"a lease needs a ttl_s above 0, and of {LONGEST_LEASE_S} at most")
        now = self._clock()
        row = {"name": name, "owner": owner, "now": now, "until": now + ttl_s, "longest": now + LONGEST_LEASE_S}
        return self._write(lambda db: db.execute(_ACQUIRE, row).rowcount) > 0

    def release(self, name: str, *, owner: str) -> None:
        self._write(lambda db: db.execute("DELETE FROM leases WHERE name = ? AND owner = ?", (name, owner)))

    def close(self) -> None:
        """Close the connection. Whoever comes later, in the background say, has one for that time only."""
        with self._lock:
            self._is_closed = True
            self._disconnect()

    def _is_live(self, expires_at: object) -> bool:
        # SQLite takes anything anywhere; what is no number it sorts behind all of them, and so do we.
        return not isinstance(expires_at, int | float) or expires_at > self._clock()

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def purge_and_work(db: sqlite3.Connection) -> T:
            with transaction(db):
                now = (self._clock(),)
                db.execute("DELETE FROM entries WHERE expires_at <= ?", now)
                db.execute("DELETE FROM leases WHERE expires_at <= ?", now)
                return work(db)

        return self._run(purge_and_work)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` on this process's connection; while another process is in the way, sleep and try again.

        SQLite's own waiting (``timeout``) stays off: it blocks the thread, and with it every greenlet of the worker.
        """
        give_up_at = 0.0
        while True:
            try:
                with self._lock:
                    try:
                        return work(self._connected())
                    finally:
                        if self._is_closed:
                            self._disconnect()
            except sqlite3.Error as error:
                give_up_at = give_up_at or time.monotonic() + BUSY_LIMIT_S
                if not is_busy(error) or time.monotonic() > give_up_at:
                    # Start afresh next time: a disk that was full or read-only may be mended by then.
                    with self._lock:
                        self._disconnect()
                    raise StoreError(explain(error, self.path)) from error
            wait_a_moment()

    def _connected(self) -> sqlite3.Connection:
        """This process's connection to the file that is at `path` now.

        Whoever removes the file, or puts another in its place, while we run: what is written to the old one would be
        lost, and what is in the new one never seen. SQLite leaves the new one's companions alone when the old one is
        closed, because it looks whether its file has moved.
        """
        if self._connection is not None and _file_id(self._path) != self._file:
            self._disconnect()
        if self._connection is None:
            self._connection = open_file(self.path)
            self._file = _file_id(self._path)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _text(value: object) -> str:
    """A value as text: whoever reads it judges what it says."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _file_id(path: str) -> FileId:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _close_before_fork(store: SqliteStore) -> None:
    """Have no connection open at the moment of any fork; parent and child each reopen on their next call.

    Opening a new connection in the child is not enough. SQLite keeps one table of locks per process, and the child
    inherits it: its new connection counts on file locks that only the parent holds. When the parent then closes, it
    takes itself for the last user and deletes the write-ahead log, and what the child writes afterwards is lost.
    See https://www.sqlite.org/howtocorrupt.html, section 2.6.
    """
    reference = weakref.ref(store)  # The hooks stay for the life of the process; the store need not.

    def before() -> None:
        if (this := reference()) is not None:
            this._lock.acquire()
            this._disconnect()

    def after() -> None:
        if (this := reference()) is not None:
            this._lock.release()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)
