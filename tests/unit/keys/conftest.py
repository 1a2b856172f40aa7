"""A database of either kind, and the parts of named keys on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.database import Database
from app.keys.registry import KeyRegistry
from app.keys.spending import Spending
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(1_790_000_000.0)  # 2026-09-21


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    # So long that it never counts as away on a busy machine: then calls would go on uncounted.
    with closing(Database.at(data_dir=tmp_path, url=url, answer_s=60)) as database:
        yield database


@pytest.fixture
def registry(database: Database, clock: Clock) -> KeyRegistry:
    return KeyRegistry(database, clock=clock)


@pytest.fixture
def spending(database: Database, clock: Clock) -> Spending:
    return Spending(database, clock=clock)
