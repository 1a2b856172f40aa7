"""A database, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.database import Database

Open = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str | None]:
    """DATA_DIR and DATABASE_URL."""
    return tmp_path / "data", request.getfixturevalue("postgres_url") if request.param == "postgresql" else None


@pytest.fixture
def open_database(place: tuple[Path, str | None]) -> Iterator[Open]:
    opened: list[Database] = []

    def open_one() -> Database:
        data_dir, url = place
        opened.append(Database.at(data_dir=data_dir, url=url, answer_s=60))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def database(open_database: Open) -> Database:
    return open_database()
