"""Where the bridge keeps what it knows: the folder, its modes, and the store."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from app.doctor.finding import Finding, note, ok, problem
from app.errors import Sentence, StoreError
from app.store import Store

_LITTLE_SPACE_BYTES = 50 * 1024 * 1024


def check_folder(folder: Path) -> Iterator[Finding]:
    """DATA_DIR: there, ours, writable, closed to others."""
    where = folder.absolute()
    if not where.exists():
        parent = next(path for path in where.parents if path.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            yield ok(
                "DATA_DIR",
                Sentence("%(where)s does not exist yet; it is made when something is to be kept.", where=where),
            )
        else:
            yield problem(
                "DATA_DIR",
                Sentence(
                    "%(where)s does not exist, and cannot be made: %(parent)s is not writable for this user.",
                    where=where,
                    parent=parent,
                ),
                Sentence("Set DATA_DIR to a folder of this user, or run doctor as the user that runs the service."),
            )
        return
    if not where.is_dir():
        yield problem(
            "DATA_DIR",
            Sentence("%(where)s is a file, not a folder.", where=where),
            Sentence("Move it away, or set another DATA_DIR."),
        )
        return
    owner_differs = os.name == "posix" and where.stat().st_uid != os.geteuid()
    if not os.access(where, os.R_OK | os.W_OK | os.X_OK):
        yield problem(
            "DATA_DIR",
            Sentence("%(folder)s is not writable for this user, and belongs to another one.", folder=where)
            if owner_differs
            else Sentence("%(folder)s is not writable for this user.", folder=where),
            Sentence(
                "Run doctor as the user that runs the service; if this is that user: chown and chmod 700 the folder."
            ),
        )
        return
    yield from _modes(where)
    if owner_differs:
        yield note(
            "DATA_DIR",
            Sentence("%(where)s belongs to another user.", where=where),
            Sentence("Run doctor as the user that runs the service, to be sure."),
        )
    free = shutil.disk_usage(where).free
    if free < _LITTLE_SPACE_BYTES:
        yield problem(
            Sentence("disk"),
            Sentence("%(free)s MiB are left where %(where)s is.", free=free // 1024**2, where=where),
            Sentence("Make room: SQLite needs some."),
        )
    else:
        yield ok("DATA_DIR", Sentence("%(where)s, writable", where=where))


def _modes(folder: Path) -> Iterator[Finding]:
    if os.name != "posix":
        return
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        yield note(
            Sentence("folder mode"),
            Sentence("Other users of this machine can enter %(folder)s.", folder=folder),
            Sentence("Close it:\n    chmod 700 %(folder)s", folder=folder),
        )
    for name in ("hosts.json", "state.db", "bridge.db"):
        file = folder / name
        if not file.exists():
            continue
        if not os.access(file, os.R_OK | os.W_OK):
            yield problem(
                name,
                Sentence("%(file)s is not readable and writable for this user.", file=file),
                Sentence("Run doctor as the user that runs the service; if this is that user, chown the file to it."),
            )
        elif stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield problem(
                name,
                Sentence("Other users of this machine can read %(file)s, a secret.", file=file),
                Sentence("Close it:\n    chmod 600 %(file)s", file=file),
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
        advice = Sentence("Requests answer 503 until this is mended.")
        if redis:
            advice = Sentence("Is Redis running, and REDIS_URL right?")
        yield problem(Sentence("store"), error.message, advice)
        return
    if there:
        yield ok(Sentence("store"), Sentence("%(name)s takes and returns what it is given", name=name))
    else:
        yield problem(
            Sentence("store"),
            Sentence("%(name)s lost a value that was just written.", name=name),
            Sentence("Is its memory or disk full?"),
        )
