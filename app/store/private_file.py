"""Files that hold secrets: written whole or not at all, readable by their owner alone."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path, content: bytes) -> Iterator[None]:
    """Write `content` beside `path`, mode 0600, and put it in its place if the block ends well.

    The folder is made if it is missing, for its owner alone. A reader sees the old file or the new one.
    Raises: OSError, before the block when it cannot be written, after it when it cannot take its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkstemp makes the file with mode 0600.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, mode 0600. Raises: OSError."""
    with replacing(path, content):
        pass
