from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.sqlite import SqliteStore
from app.upstream.refusals import Refusals


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals(tmp_path: Path, clock: Clock) -> Iterator[Refusals]:
    store = SqliteStore(tmp_path / "state.db", clock=clock)
    yield Refusals(store)
    store.close()


def test_what_was_refused_is_known_for_that_model_and_endpoint_only(refusals: Refusals) -> None:
    refusals.learn("a", "/responses", "temperature")
    refusals.learn("a", "/responses", "user")
    assert refusals.known("a", "/responses") == {"temperature", "user"}
    assert refusals.known("a", "/v1/messages") == refusals.known("b", "/responses") == frozenset()


def test_it_is_forgotten_after_a_day(refusals: Refusals, clock: Clock) -> None:
    refusals.learn("a", "/responses", "temperature")
    clock.now += 23 * 3600
    refusals.learn("a", "/responses", "user")
    assert refusals.known("a", "/responses") == {"temperature", "user"}
    clock.now += 2 * 3600
    assert refusals.known("a", "/responses") == frozenset()


def test_what_comes_from_outside_is_bounded(refusals: Refusals) -> None:
    for number in range(200):
        refusals.learn("a", "/responses", f"field_{number}")
    assert len(refusals.known("a", "/responses")) <= 51
