"""Versions of the bridge that were, run as they were: from the history, with the libraries of today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bridge import ROOT, Bridge

RELEASED = "41d5e8c"
"""Version 0.1.0."""
BEFORE_THE_DATABASE = "008de94"
"""The last commit before there was a database; people who follow the main branch had it."""


def checked_out(commit: str, folder: Path) -> Path:
    """The tree of this commit, in a folder of its own. Skips the test where the history is not there."""
    made = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"the history does not go back to {commit}: going back to that version is NOT tested")
    tree = folder / commit
    tree.mkdir()
    subprocess.run(["tar", "-x", "-C", str(tree)], input=made.stdout, check=True)
    return tree


class OldBridge(Bridge):
    """`Bridge`, of the version in this tree."""

    def __init__(self, tree: Path, env: dict[str, str], data_dir: Path) -> None:
        super().__init__({**env, "PYTHONPATH": str(tree)}, data_dir)
        self.command = [sys.executable, "-m", "gunicorn", "-c", str(tree / "gunicorn.conf.py"), "wsgi:app"]
