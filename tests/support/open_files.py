"""Which SQLite files the tests of a module leave open. Python complains of them, from 3.13 on, in whatever test their
connection is collected; here it is told where they were left, and their folders have the test's name."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

_connect = sqlite3.connect
_opened: list[tuple[Path, sqlite3.Connection]] = []
_left: list[tuple[Path, sqlite3.Connection]] = []
"""Kept, so that no other test hears of them when they are collected."""
_PATIENCE_S = 20.0


def connect(file: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
    """To put in place of `sqlite3.connect`; files of others, coverage's for one, are passed over."""
    connection = _connect(file, *args, **kwargs)
    if Path(file).suffix == ".db":
        _opened.append((Path(file), connection))
    return connection


def left_open() -> list[Path]:
    """The files that are still open, some time after nobody in the background can be at work with them; all are
    forgotten. Not closed: SQLite crashes if that happens to somebody who is."""
    opened, _opened[:] = _opened[:], []
    give_up_at = time.monotonic() + _PATIENCE_S
    while (left := [it for it in opened if _is_open(it[1])]) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    _left.extend(left)
    return [file for file, _ in left]


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError:
        return False
    return True
