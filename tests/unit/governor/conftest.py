"""Two workers on one store, and a clock that only tests move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.store import Store, open_store

Opener = Callable[[], Store]


class Clock:
    now = 1_790_000_000.0  # 2026-09-21

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "redis"])
def open_one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store as often as one likes, as workers do."""
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    with ExitStack() as opened:

        def open_it() -> Store:
            store = open_store(data_dir=tmp_path, redis_url=redis_url)
            opened.callback(store.close)
            return store

        yield open_it
