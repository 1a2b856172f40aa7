"""Which Pythons ``make pythons`` finds on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.pythons import found, version_of


def interpreter(file: Path, answer: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{answer}\n")
    file.chmod(0o755)
    return file


def test_every_supported_version_once_and_in_order(tmp_path: Path) -> None:
    first = interpreter(tmp_path / "a/python3.12", "echo 3 12 1")
    interpreter(tmp_path / "b/python3.12", "echo 3 12 1")
    newer = interpreter(tmp_path / "b/python3", "echo 3 13 0")
    older = interpreter(tmp_path / "pyenv/3.11.2/bin/python", "echo 3 11 2")
    interpreter(tmp_path / "pyenv/3.9.1/bin/python", "echo 3 9 1")
    interpreter(tmp_path / "pyenv/3.14.0/bin/python", "echo 3 14 0")
    there = found(f"{tmp_path / 'a'}:{tmp_path / 'b'}:", tmp_path / "pyenv")
    assert list(there.items()) == [((3, 11, 2), older), ((3, 12, 1), first), ((3, 13, 0), newer)]


@pytest.mark.parametrize("answer", ["exit 1", "echo; exit 127"])
def test_one_that_makes_no_environments_does_not_count(tmp_path: Path, answer: str) -> None:
    assert version_of(interpreter(tmp_path / "python3", answer)) is None
    assert version_of(tmp_path / "missing") is None
