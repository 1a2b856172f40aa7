"""Where the bridge keeps what it knows: the folder, its modes, and the store."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from app.doctor.finding import Finding, note, ok, problem
from app.errors import StoreError
from app.store import Store

_LITTLE_SPACE_BYTES = 50 * 1024 * 1024


def check_folder(folder: Path) -> Iterator[Finding]:
    """DATA_DIR: there, ours, writable, closed to others."""
    where = folder.absolute()
    if not where.exists():
        parent = next(path for path in where.parents if path.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            yield ok("DATA_DIR", f"{where} does not exist yet; it is made when something is to be kept.")
        else:
            yield problem(
                "DATA_DIR",
                f"{where} does not exist, and cannot be made: {parent} is not writable for this user.",
                "Set DATA_DIR to a folder of this user, or run doctor as the user that runs the service.",
            )
        return
    if not where.is_dir():
        yield problem("DATA_DIR", f"{where} is a file, not a folder.", "Move it away, or set another DATA_DIR.")
        return
    owner_differs = os.name == "posix" and where.stat().st_uid != os.geteuid()
    if not os.access(where, os.R_OK | os.W_OK | os.X_OK):
        yield problem(
            "DATA_DIR",
            f"{where} is not writable for this user" + (", and belongs to another one." if owner_differs else "."),
            "Run doctor as the user that runs the service; if this is that user: chown and chmod 700 the folder.",
        )
        return
    yield from _modes(where)
    if owner_differs:
        yield note(
            "DATA_DIR", f"{where} belongs to another user.", "Run doctor as the user that runs the service, to be sure."
        )
    free = shutil.disk_usage(where).free
    if free < _LITTLE_SPACE_BYTES:
        yield problem("disk", f"{free // 1024**2} MiB are left where {where} is.", "Make room: SQLite needs some.")
    else:
        yield ok("DATA_DIR", f"{where}, writable")


def _modes(folder: Path) -> Iterator[Finding]:
    if os.name != "posix":
        return
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        yield note(
            "folder mode", f"Other users of this machine can enter {folder}.", f"Close it:\n    chmod 700 {folder}"
        )
    for name in ("hosts.json", "state.db", "bridge.db"):
        file = folder / name
        if not file.exists():
            continue
        if not os.access(file, os.R_OK | os.W_OK):
            yield problem(
                name,
                f"{file} is not readable and writable for this user.",
                "Run doctor as the user that runs the service; if this is that user, chown the file to it.",
            )
        elif stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield problem(
                name, f"Other users of this machine can read {file}, a secret.", f"Close it:\n    chmod 600 {file}"
            )


def check_store(store: Store, *, redis: bool) -> Iterator[Finding]:
    """Write, read and delete one value."""
    key = f"doctor:{uuid.uuid4().hex}"
    name = "Redis" if redis else "SQLite"
    try:
        store.put(key, "1", ttl_s=60)
        there = store.get(key) == "1"
        store.delete(key)
    except StoreError as error:
        advice = "Is Redis running, and REDIS_URL right?" if redis else "Requests answer 503 until this is mended."
        yield problem("store", error.message, advice)
        return
    if there:
        yield ok("store", f"{name} takes and returns what it is given")
    else:
        yield problem("store", f"{name} lost a value that was just written.", "Is its memory or disk full?")
