"""The store in one SQLite file, shared by all workers of one host."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from app.errors import StoreError
from app.store.base import BUSY_LIMIT_S, Change, wait_a_moment
from app.store.sqlite_file import explain, is_busy, open_file, transaction

T = TypeVar("T")

_GET = "SELECT value, expires_at FROM entries WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO entries (key, value, expires_at) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM entries WHERE key = ?"
# Not LIKE or GLOB: a prefix may hold their wildcards.
_SCAN = (
    "SELECT key, value FROM entries WHERE key >= :prefix AND substr(key, 1, length(:prefix)) = :prefix"
    " AND (expires_at IS NULL OR expires_at > :now) ORDER BY key"
)
_ACQUIRE = (
    "INSERT INTO leases (name, owner, expires_at) VALUES (:name, :owner, :until) ON CONFLICT (name)"
    " DO UPDATE SET owner = :owner, expires_at = :until WHERE owner = :owner OR expires_at <= :now"
)


class SqliteStore:
    """A `Store` in the file `path`; `clock` gives epoch seconds."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path.absolute()
        self._clock = clock
        # Held while SQLite works, never across a sleep: other greenlets find it free, other threads wait briefly.
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        _close_before_fork(self)

    def get(self, key: str) -> str | None:
        row = self._run(lambda db: db.execute(_GET, (key,)).fetchone())
        return row[0] if row is not None and self._is_live(row[1]) else None

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
        return dict(self._run(lambda db: db.execute(_SCAN, row).fetchall()))

    def update(self, key: str, change: Change) -> str | None:
        def work(db: sqlite3.Connection) -> str | None:
            # Expired rows were purged a moment ago, but the clock has moved on since.
            old, expires_at = db.execute(_GET, (key,)).fetchone() or (None, None)
            if not self._is_live(expires_at):
                old, expires_at = None, None
            new = change(old)
            if new is None:
                db.execute(_DELETE, (key,))
            elif new != old:
                db.execute(_PUT, (key, new, expires_at))
            return new

        return self._write(work)

    def acquire(self, name: str, *, owner: str, ttl_s: float) -> bool:
        if ttl_s <= 0:
            raise ValueError("a lease needs a ttl_s above 0")
        now = self._clock()
        row = {"name": name, "owner": owner, "now": now, "until": now + ttl_s}
        return self._write(lambda db: db.execute(_ACQUIRE, row).rowcount) > 0

    def release(self, name: str, *, owner: str) -> None:
        self._write(lambda db: db.execute("DELETE FROM leases WHERE name = ? AND owner = ?", (name, owner)))

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def _is_live(self, expires_at: float | None) -> bool:
        return expires_at is None or expires_at > self._clock()

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
                    if self._connection is None:
                        self._connection = open_file(self.path)
                    return work(self._connection)
            except sqlite3.Error as error:
                give_up_at = give_up_at or time.monotonic() + BUSY_LIMIT_S
                if not is_busy(error) or time.monotonic() > give_up_at:
                    # Start afresh next time: a disk that was full or read-only may be mended by then.
                    self.close()
                    raise StoreError(explain(error, self.path)) from error
            wait_a_moment()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


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
