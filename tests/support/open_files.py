"""Which SQLite files the tests of a module leave open. Python complains of them, from 3.13 on, in whatever test their
connection is collected; here it is told where they were left, and their folders have the test's name."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

_connect = sqlite3.connect
_opened: list[tuple[Path, sqlite3.Connection]] = []


def connect(file: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
    """To put in place of `sqlite3.connect`; files of others, coverage's for one, are passed over."""
    connection = _connect(file, *args, **kwargs)
    if Path(file).suffix == ".db":
        _opened.append((Path(file), connection))
    return connection


def close(name: str) -> None:
    """Close what is open of the files of this name."""
    for file, connection in _opened:
        if file.name == name:
            connection.close()


def left_open() -> list[Path]:
    """The files that are still open; they are closed, and all are forgotten."""
    opened, _opened[:] = _opened[:], []
    left = [(file, connection) for file, connection in opened if _is_open(connection)]
    for _, connection in left:
        connection.close()
    return [file for file, _ in left]


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError:
        return False
    return True
