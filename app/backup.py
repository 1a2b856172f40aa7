"""A backup: everything that the state is, in one file, and back again.

It is taken and put back through the store and the database, and never by copying their files, so it is whole while the
service runs, fits SQLite, Redis and PostgreSQL alike, and no write-ahead log of former days can come over what was
restored.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from app.database import Database, contents
from app.database.contents import Contents
from app.errors import DatabaseError, Sentence, StoreError
from app.store import Entry, Store
from app.store.private_file import replacing

FORMAT = "copilot-bridge backup"
VERSION = 2
_WITHOUT_DATABASE = 1
"""The format of before there was a database. It is written where there is none, so that older programs can read it."""
_ENCRYPTS = "account-tokens.key"
KEPT_FILES = ("hosts.json", _ENCRYPTS)
"""The files of DATA_DIR that are state, beside the store's own. A file that is not named here is in no backup."""

_SQLITE_FILES = tuple(name + end for name in ("state.db", "bridge.db") for end in ("", "-wal", "-shm"))
_SQLITE_HEAD = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Backup:
    """The state at one moment. `made_at`: epoch seconds. files: name → content; entries: as of `made_at`.

    database: None if there was none.
    """

    made_at: float
    files: Mapping[str, str] = field(repr=False)
    entries: tuple[Entry, ...]
    database: Contents | None = None


def take(
    store: Store, data_dir: Path, database: Database | None = None, *, clock: Callable[[], float] = time.time
) -> Backup:
    """Read the state; nothing at all of what there is none of. Raises: StoreError."""
    files: dict[str, str] = {}
    for name in KEPT_FILES:
        try:
            files[name] = (data_dir / name).read_text("utf-8")
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise StoreError(
                Sentence("Cannot read %(file)s: %(why)s.", file=data_dir / name, why=_why(error))
            ) from error
    return Backup(clock(), files, tuple(store.dump()), contents.take(database) if database is not None else None)


def left_out(data_dir: Path) -> list[str]:
    """What lies in the folder and is not ours to keep, by name."""
    with contextlib.suppress(OSError):
        return sorted({one.name for one in data_dir.iterdir()} - {*KEPT_FILES, *_SQLITE_FILES})
    return []


def restore(
    backup: Backup,
    store: Store,
    data_dir: Path,
    database: Database | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> None:
    """Make the state what it was then, less what has run out since; all of it or nothing. A backup from before there
    was a database leaves that as it is.

    Raises: StoreError; everything is as it was before.
    """
    age_s = max(0.0, clock() - backup.made_at)
    entries = [
        entry if entry.ttl_s is None else Entry(entry.key, entry.value, entry.ttl_s - age_s) for entry in backup.entries
    ]
    former = store.dump()
    is_loaded = False
    try:
        with contextlib.ExitStack() as written:
            for name, content in backup.files.items():
                written.enter_context(replacing(data_dir / name, content.encode()))
            if database is not None and backup.database is not None:
                contents.fill(written.enter_context(database.write()), backup.database)
            store.load(entries)
            is_loaded = True
        # The key stays: what it encrypted may have stayed as well, and is of no use without it.
        for name in set(KEPT_FILES) - {_ENCRYPTS} - set(backup.files):
            (data_dir / name).unlink(missing_ok=True)
    except DatabaseError:
        if is_loaded:
            store.load(former)
        raise
    except OSError as error:
        store.load(former)
        raise StoreError(
            Sentence(
                "Cannot write to %(folder)s: %(why)s. Nothing was restored. Check DATA_DIR.",
                folder=data_dir,
                why=_why(error),
            )
        ) from error


def to_bytes(backup: Backup) -> bytes:
    """One JSON object: ``{"format", "version", "made_at", "checksum", "state"}``.

    state: ``{"files": {name: text}, "entries": [[key, value, ttl_s], …]}`` and, if there is one, ``"database":
    {"revision", "tables": [[name, [[column, …], [[value, …], …]]], …]}``; the checksum is the SHA-256 of it, with
    its keys sorted.
    """
    state: dict[str, Any] = {
        "files": dict(backup.files),
        "entries": [[entry.key, entry.value, entry.ttl_s] for entry in backup.entries],
    }
    if backup.database is not None:
        # As a list, because their order counts.
        state["database"] = {"revision": backup.database.revision, "tables": list(backup.database.tables.items())}
    document = {
        "format": FORMAT,
        "version": VERSION if backup.database is not None else _WITHOUT_DATABASE,
        "made_at": datetime.fromtimestamp(backup.made_at, UTC).isoformat(),
        "checksum": _checksum(state),
        "state": state,
    }
    return orjson.dumps(document) + b"\n"


def from_bytes(content: bytes) -> Backup:
    """Read a backup whole, or not at all. Raises: StoreError that says what is wrong with it."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise StoreError(_no_backup(content))
    version = document.get("version")
    if version not in (_WITHOUT_DATABASE, VERSION):
        raise StoreError(
            Sentence(
                "This backup has format version %(version)s; this program knows version %(known)s. Restore it with the "
                "version of copilot-bridge that made it, or a newer one.",
                version=repr(version),
                known=VERSION,
            )
        )
    state = document.get("state")
    if not isinstance(state, dict) or document.get("checksum") != _checksum(state):
        raise StoreError(Sentence("This backup is damaged: its checksum does not fit. Use another one."))
    try:
        return _read(document["made_at"], state)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(Sentence("This backup is damaged: it lacks what belongs to it. Use another one.")) from error


def _read(made_at: str, state: dict[str, Any]) -> Backup:
    """Raises: KeyError, TypeError, ValueError for what no backup of ours looks like."""
    files = {str(name): str(text) for name, text in state["files"].items()}
    if unknown := sorted(set(files) - set(KEPT_FILES)):
        raise ValueError(f"unknown files: {unknown}")
    entries = tuple(
        Entry(str(key), str(value), None if ttl_s is None else float(ttl_s)) for key, value, ttl_s in state["entries"]
    )
    kept = state.get("database")
    database = Contents.of(kept["revision"], dict(kept["tables"])) if kept is not None else None
    return Backup(datetime.fromisoformat(made_at).timestamp(), files, entries, database)


def _checksum(state: Mapping[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(orjson.dumps(state, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _no_backup(content: bytes) -> Sentence:
    if not content.strip():
        return Sentence("This file is empty: it is no backup.")
    if content.startswith(b'{"format":"' + FORMAT.encode()):
        return Sentence("This backup is damaged: it was cut off, or changed. Use another one.")
    if content.startswith(_SQLITE_HEAD):
        return Sentence(
            "This is an SQLite file and no backup that this command makes. To go back to it: stop the bridge, remove "
            "state.db-wal and state.db-shm from DATA_DIR, and only then put this file in the place of state.db."
        )
    return Sentence("This is no backup of copilot-bridge.")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
