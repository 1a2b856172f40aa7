"""The SQLite file itself: made private, opened, given its tables; and what is wrong with it, in plain words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.descriptors import none_left
from app.errors import Sentence, StoreError
from app.store.base import BUSY_LIMIT_S

_VERSION = 1
# expires_at stands before value, so that a purge need not read through long values.
_TABLES = (
    "CREATE TABLE entries (key TEXT PRIMARY KEY, expires_at REAL, value TEXT NOT NULL)",
    "CREATE TABLE leases (name TEXT PRIMARY KEY, expires_at REAL NOT NULL, owner TEXT NOT NULL)",
    f"PRAGMA user_version = {_VERSION}",
)
# PROTOCOL is SQLite's word for a lost race while opening the write-ahead log.
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})


class OtherVersionError(sqlite3.DatabaseError):
    """Another version of the bridge made the file."""


def open_file(path: Path) -> sqlite3.Connection:
    """Open the state file for this process, making it on first use.

    Shape:  no implicit transactions, no waiting inside SQLite: a lock held by others is an error at once.
    Raises: sqlite3.Error, to be told apart by `is_busy` and put into words by `explain`; StoreError when the file
            cannot even be created.
    """
    make_private(path)
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    # A damaged value is for its reader to judge; one that is no UTF-8 would be an error of whatever is read beside it.
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.execute("PRAGMA synchronous = NORMAL")
        if _read_version(db) == 0:
            with transaction(db):
                # Another worker may have been first, between our look and our lock.
                for statement in _TABLES if _read_version(db) == 0 else ():
                    db.execute(statement)
        if (version := _read_version(db)) != _VERSION:
            raise OtherVersionError(f"its format is version {version}, this program knows version {_VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def make_private(path: Path) -> None:
    """Let nobody else read the tokens in the file, from its first byte on; SQLite gives -wal and -shm the same mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(explain(error, path)) from error
    try:
        # O_EXCL, because closing a descriptor of a file that is in use would drop all of this process's locks on it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            # Some mounted volumes have no modes, or belong to somebody else: that is no reason not to serve.
            with contextlib.suppress(OSError):
                if file.is_file() and file.stat().st_mode & 0o077:
                    file.chmod(0o600)
    except OSError as error:
        raise StoreError(explain(error, path)) from error


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Take the write lock at once, commit at the end, roll back on any exception."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _read_version(db: sqlite3.Connection) -> Any:
    return db.execute("PRAGMA user_version").fetchone()[0]


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another process was in the way, so that the same call may succeed a moment later."""
    return primary_code(error) in _BUSY


def primary_code(error: Exception) -> int:
    # The upper bytes tell variants apart; errors of the Python module itself carry no code.
    code = int(getattr(error, "sqlite_errorcode", 0))
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for the file's -shm, without which it cannot even be read
        return sqlite3.SQLITE_FULL
    return code & 0xFF


def common_cause(code: int, waited_s: float = BUSY_LIMIT_S) -> Sentence | None:
    """What is wrong with a file of SQLite's, whatever is in it, and what to do; None if the code does not tell."""
    match code:
        case sqlite3.SQLITE_FULL:
            return Sentence("cannot grow: the disk is full. Free some space; no restart is needed.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return Sentence(
                "was locked by another process for %(seconds)s s. Look for a program that keeps it open.",
                seconds=format(waited_s, "g"),
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return Sentence(
                "cannot be opened for writing. Check DATA_DIR: its owner, its mode, and whether it is read-only."
            )
        case _:
            return None


def explain(error: Exception, path: Path) -> Sentence:
    """Say which file is at fault, what is wrong with it and what the operator can do."""
    if (own_fault := none_left()) is not None:
        return Sentence("The state file %(path)s cannot be opened. %(why)s", path=path, why=own_fault.message)
    match primary_code(error):
        case code if (cause := common_cause(code)) is not None:
            what = cause
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            what = Sentence(
                "is damaged or is no state file. Move the file away together with its -wal and -shm files; no restart"
                " is needed. Then restore a backup, or repeat the changes to the model mapping."
            )
        case _ if isinstance(error, OtherVersionError):
            what = Sentence(
                "was made by another version of the bridge. Run that version, or move the file away together with its"
                " -wal and -shm files and repeat the changes to the model mapping; no restart is needed."
            )
        case _ if isinstance(error, OSError):
            what = Sentence(
                "cannot be created or opened. Check DATA_DIR: its owner, its mode, and whether it is read-only."
            )
        case _:
            what = Sentence(
                "cannot be used. If it is no state file of the bridge, move the file away together with its -wal and"
                " -shm files; no restart is needed."
            )
    return Sentence("The state file %(path)s %(what)s (%(error)s)", path=path, what=what, error=error)
