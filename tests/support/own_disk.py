"""A small disk that can be filled or made read-only: a folder in memory, which only this process and those that it
starts can see. That takes root, and a kernel that lets it make mounts."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_CLONE_NEWNS = 0x00020000


@contextlib.contextmanager
def mounted(folder: Path, *, size: str = "4m") -> Iterator[Path]:
    """Skips the test where no mounts can be made."""
    if not _have_mounts_of_our_own():
        pytest.skip("no mounts can be made here (that takes root): a full and a read-only disk are NOT tested")
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        _run("umount", "--lazy", folder)


@functools.cache
def _have_mounts_of_our_own() -> bool:
    """What is mounted from now on is seen by nobody else, and gone with this process."""
    try:
        if ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0:
            return False
        _run("mount", "--make-rprivate", "/")
    except (AttributeError, OSError, subprocess.CalledProcessError):
        return False
    return True


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """For what is opened from now on: a file that is open for writing keeps its disk writable."""
    _run("mount", "--bind", folder, folder)
    _run("mount", "-o", "remount,bind,ro", folder)
    try:
        yield
    finally:
        _run("umount", "--lazy", folder)
