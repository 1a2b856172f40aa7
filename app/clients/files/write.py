"""Writing a setup into files: all are planned before any is written, and what was there is kept beside it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.clients.files.merge import MergeError, merge
from app.clients.record import ConfigFile
from app.errors import Sentence

_MAX_BYTES = 8 * 1024 * 1024
_BACKUP = "bak"
_ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done to one file.

    path: as the user knows it; target: where it really is (links followed). before: its bytes, None if there is none.
    after: None if nothing has to change. readable: others on this machine may read it, and it holds the key.
    """

    path: Path
    target: Path
    before: bytes | None
    after: bytes | None
    added: tuple[str, ...]
    changed: tuple[str, ...]
    readable: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What was done. backup: where the former content is; None for a new file or one that needed no change. mark: the
    empty file that says of a new one that it was not there before, so that it can be taken back as well."""

    change: Change
    backup: Path | None
    mark: Path | None


def plan(
    files: Sequence[ConfigFile], home: Path, moved: Mapping[str, Path] | None = None, *, elsewhere: bool = False
) -> list[Change]:
    """What would be written. Touches nothing. moved: folder below home → where it is instead. elsewhere: it is only
    looked at; what comes of it is for another place.

    Raises: MergeError, naming the file and what is wrong with it; its details hold the ``path`` of the file that has
    to be changed ``by_hand``, for the caller to show.
    """
    return [_plan(file, home, moved or {}, elsewhere=elsewhere) for file in files]


def place_of(name: str, home: Path, moved: Mapping[str, Path]) -> Path:
    """Where a path below the home folder really is: the longest moved folder that it lies in counts."""
    for folder in sorted(moved, key=len, reverse=True):
        if name == folder or name.startswith(folder + "/"):
            return moved[folder] / name.removeprefix(folder).removeprefix("/")
    return home / name


def apply(changes: Sequence[Change], *, now: datetime) -> list[Written]:
    """Write what was planned. Each file is replaced in one step; a former content is copied beside it first.

    Raises: MergeError if a file changed since it was planned, or could not be written; then all is as it was before.
    """
    for change in changes:
        if change.after is not None and _now(change) != change.before:
            raise MergeError(
                Sentence(
                    "%(file)s was changed by another program just now. Nothing was written; try again.",
                    file=change.path,
                )
            )
    done: list[Written] = []
    for change in changes:
        try:
            done.append(_write(change, now))
        except OSError as error:
            raise MergeError(Sentence.joined(_unwritten(change.path, error), *_taken_back(done))) from None
    return done


@dataclass(frozen=True, slots=True)
class Undone:
    """path: as the user knows it. backup: what was put back, None if there is none. kept: where the content until now
    is kept. removed: the file was new when it was written, and is gone again."""

    path: Path
    backup: Path | None
    kept: Path | None
    removed: bool = False


def take_back(
    files: Sequence[ConfigFile], home: Path, moved: Mapping[str, Path] | None = None, *, now: datetime
) -> list[Undone]:
    """Put the newest backup of each file in its place; the backup goes, so the next time it is the one before. A file
    that was new is removed.

    Raises: MergeError if a file could not be written; those before it are put back already.
    """
    done = []
    for file in files:
        path = _existing(file, home, moved or {})
        try:
            done.append(_taken_from_backup(path, now))
        except OSError as error:
            raise MergeError(_unwritten(path, error)) from None
    return done


def _taken_from_backup(path: Path, now: datetime) -> Undone:
    target = path.resolve()
    name = re.compile(re.escape(target.name) + rf"\.({_BACKUP}|{_ABSENT})-(\d{{8}}-\d{{6}})(?:-(\d+))?")
    found = [
        # Within one second a file is first new and then changed.
        (match[2], match[1] == _BACKUP, int(match[3] or 0), entry)
        for entry in _entries(target.parent)
        if (match := name.fullmatch(entry.name))
    ]
    if not found:
        return Undone(path, None, None)
    _, is_backup, _, newest = max(found)
    until_now = _read(target)
    kept = _keep(target, until_now, now, "undone") if until_now is not None else None
    if is_backup:
        _replace(target, newest.read_bytes(), instead_of=until_now)
    else:
        target.unlink(missing_ok=True)
    newest.unlink()
    return Undone(path, newest if is_backup else None, kept, removed=not is_backup)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _existing(file: ConfigFile, home: Path, moved: Mapping[str, Path]) -> Path:
    """The first of its names that exists, else its usual one."""
    names = [place_of(name, home, moved) for name in (*file.instead, file.path)]
    return next((place for place in names if place.exists()), names[-1])


def _unwritten(path: Path, error: OSError) -> Sentence:
    return Sentence("%(file)s could not be written: %(why)s.", file=path, why=error.strerror or error)


def _taken_back(done: list[Written]) -> list[Sentence]:
    """Undo what was written, and say how that went. A full disk may refuse this too; the backups are there then."""
    failed = []
    for former in reversed(done):
        try:
            _restore(former)
        except OSError:
            kept = Sentence("it is new")
            if former.backup:
                kept = Sentence("its former content is in %(file)s", file=former.backup)
            failed.append(Sentence("%(file)s could not be put back: %(kept)s.", file=former.change.path, kept=kept))
    return failed or [Sentence("All files are as they were before.")]


def _write(change: Change, now: datetime) -> Written:
    if change.after is None:
        return Written(change, None, None)
    change.target.parent.mkdir(parents=True, exist_ok=True)
    is_new = change.before is None
    kept = _keep(change.target, change.before or b"", now, _ABSENT if is_new else _BACKUP)
    try:
        _replace(change.target, change.after, instead_of=change.before)
    except OSError:
        kept.unlink()
        raise
    return Written(change, None, kept) if is_new else Written(change, kept, None)


def _restore(former: Written) -> None:
    change = former.change
    if change.after is None:
        return
    if change.before is None:
        change.target.unlink(missing_ok=True)
    else:
        _replace(change.target, change.before, instead_of=change.after)
    if former.mark is not None:
        former.mark.unlink(missing_ok=True)


def _plan(file: ConfigFile, home: Path, moved: Mapping[str, Path], *, elsewhere: bool) -> Change:
    path = place_of(file.path, home, moved)
    try:
        path = _existing(file, home, moved)
        target = path.resolve()
        before = _read(target)
        merged = merge(file, before.decode("utf-8") if before is not None else None)
        after = merged.text.encode()
        if after != before and not elsewhere:
            _require_writable(target)
        mode = stat.S_IMODE(target.stat().st_mode) if before is not None else 0o600
    except MergeError as error:
        raise _by_hand(path, error.message, file) from None
    except UnicodeError:
        raise _by_hand(path, Sentence("It is not UTF-8 text."), file) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        what = Sentence("It cannot be reached: %(why)s.", why=getattr(error, "strerror", None) or error)
        raise _by_hand(path, what, file) from None
    return Change(
        path=path,
        target=target,
        before=before,
        after=after if after != before else None,
        added=merged.added,
        changed=merged.changed,
        readable=file.secret and bool(mode & 0o077) and os.name == "posix",
    )


def _require_writable(target: Path) -> None:
    """A file is replaced by a new one, so it is the folder that must let us. One that is read-only is meant to be."""
    if target.exists() and os.name == "posix" and not target.stat().st_mode & 0o222:
        raise MergeError(Sentence("It is read-only."))
    folder = next(parent for parent in target.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise MergeError(Sentence("%(folder)s is no folder that you may write to.", folder=folder))


def _by_hand(path: Path, problem: str, file: ConfigFile) -> MergeError:
    return MergeError(
        Sentence(
            "%(file)s was left alone, and so was everything else. %(problem)s\n"
            "Mend it and run this again, or put the settings in by hand.",
            file=path,
            problem=problem,
        ),
        details={"by_hand": file.path},
    )


def _now(change: Change) -> bytes | None:
    try:
        return _read(change.target)
    except OSError as error:
        what = Sentence("%(file)s cannot be read: %(why)s. Nothing was written.", file=change.path, why=error.strerror)
        raise MergeError(what) from None


def _read(target: Path) -> bytes | None:
    try:
        if not stat.S_ISREG(target.stat().st_mode):  # a pipe would keep us waiting, and cannot be replaced
            raise MergeError(Sentence("It is no ordinary file."))
        with target.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(content) > _MAX_BYTES:
        raise MergeError(Sentence("It is far too large for a settings file."))
    return content


def _keep(target: Path, content: bytes, now: datetime, kind: str) -> Path:
    """A copy beside it, for its owner only or as open as it is, that never takes the place of an older one."""
    stamp = now.strftime("%Y%m%d-%H%M%S")
    for count in range(1000):
        backup = target.with_name(f"{target.name}.{kind}-{stamp}" + (f"-{count}" if count else ""))
        try:
            handle = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(backup, stat.S_IMODE(target.stat().st_mode))
        return backup
    raise FileExistsError(f"{target} has a thousand backups of this second")


def _replace(target: Path, content: bytes, *, instead_of: bytes | None) -> None:
    """In one step, so that nobody ever sees half a file; with the mode and owner that it had, or for its owner only.

    Raises: OSError, also if anything but `instead_of` is there by now: somebody else's change must not be lost.
    """
    former = target.stat() if target.exists() else None
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if former is not None and os.name == "posix":
            with contextlib.suppress(PermissionError):  # root may keep it somebody else's; others cannot
                os.chown(name, former.st_uid, former.st_gid)
        os.chmod(name, stat.S_IMODE(former.st_mode) if former is not None else 0o600)
        if _read(target) != instead_of:
            raise OSError(errno.EBUSY, "another program has just changed it")
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
