"""A client's files for one run of it: in a temporary folder, so that none of the person's own is touched."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from app.clients.files.write import place_of, plan
from app.clients.record import ConfigFile, Once


@contextlib.contextmanager
def prepared(
    once: Once, files: Sequence[ConfigFile], home: Path, moved: Mapping[str, Path]
) -> Iterator[Mapping[str, str]]:
    """The variables to start the program with, for as long as it runs. moved: folder below home → where it is instead.

    What a person's own file says besides stays in force. Raises: MergeError if it cannot be understood.
    """
    with tempfile.TemporaryDirectory(prefix="copilot-bridge-once-") as name:
        folder = Path(name)
        variables = dict(once.variables)
        for variable, path in once.named.items():
            target = folder / PurePosixPath(path).name
            _make(target, next(file for file in files if file.path == path), home, moved)
            variables[variable] = str(target)
        if once.moved is not None:
            variable, below = once.moved
            top = folder / "home"
            mine = [file for file in files if file.path.startswith(below + "/")]
            for file in mine:
                _make(top / file.path.removeprefix(below + "/"), file, home, moved)
            others = [name.removeprefix(below + "/") for file in mine for name in file.instead]
            _lead_to(place_of(below, home, moved), top, others)
            variables[variable] = str(top)
        yield variables


def _make(target: Path, file: ConfigFile, home: Path, moved: Mapping[str, Path]) -> None:
    (change,) = plan([file], home, moved, elsewhere=True)
    content = change.after if change.after is not None else change.before
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content or b"")


def _lead_to(own: Path, folder: Path, besides: Sequence[str]) -> None:
    """Make links to all that is in the person's own folder, but for what stands here, and for some paths in it."""
    for entry in sorted(own.iterdir()) if own.is_dir() else []:
        here = folder / entry.name
        if here.is_dir():
            inside = entry.name + "/"
            _lead_to(entry, here, [path.removeprefix(inside) for path in besides if path.startswith(inside)])
        elif not here.exists() and entry.name not in besides:
            here.symlink_to(entry.absolute())
