from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.store.sqlite import SqliteStore
from app.upstream.refusals import Refusals
from tests.support.clock import Clock

DAY_S = 24 * 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def refusals(tmp_path: Path, clock: Clock) -> Iterator[Refusals]:
    store = SqliteStore(tmp_path / "state.db", clock=clock)
    yield Refusals(store, ttl_s=DAY_S)
    store.close()


def test_what_was_refused_is_known_for_that_model_and_endpoint_only(refusals: Refusals) -> None:
    refusals.learn("a", "/responses", "temperature")
    refusals.learn("a", "/responses", "user")
    assert refusals.known("a", "/responses") == {"temperature", "user"}
    assert refusals.known("a", "/v1/messages") == refusals.known("b", "/responses") == frozenset()


def test_how_long_it_is_kept_is_a_setting(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "state.db", clock=clock)
    refusals = Refusals(store, ttl_s=Settings.from_env({"REFUSALS_TTL_S": "60"}).refusals_ttl_s)
    refusals.learn("a", "/responses", "temperature")
    clock.now += 59
    assert refusals.known("a", "/responses") == {"temperature"}
    clock.now += 2
    assert refusals.known("a", "/responses") == frozenset()
    store.close()


def test_it_is_forgotten_after_its_time(refusals: Refusals, clock: Clock) -> None:
    refusals.learn("a", "/responses", "temperature")
    clock.now += DAY_S - 3600
    refusals.learn("a", "/responses", "user")
    assert refusals.known("a", "/responses") == {"temperature", "user"}
    clock.now += 3601
    assert refusals.known("a", "/responses") == frozenset()


def test_what_comes_from_outside_is_bounded(refusals: Refusals) -> None:
    for number in range(200):
        refusals.learn("a", "/responses", f"field_{number}")
    assert len(refusals.known("a", "/responses")) <= 51


@pytest.mark.parametrize("row", ["{", "{}", '"x"', "7", '[1, null, ["seed"]]', "\x00"])
def test_a_row_that_cannot_be_read_counts_as_absent_and_is_healed(tmp_path: Path, row: str) -> None:
    store = SqliteStore(tmp_path / "state.db")
    store.put("refused:/responses:a", row)
    refusals = Refusals(store, ttl_s=DAY_S)
    assert refusals.known("a", "/responses") == frozenset()
    assert refusals.all() == []
    refusals.learn("a", "/responses", "user")
    assert refusals.known("a", "/responses") == {"user"}
    store.close()


def test_names_that_may_not_be_used_are_passed_over_in_a_row_of_an_older_version(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    store.put("refused:/v1/messages:a", '["messages.content", "seed"]')
    refusals = Refusals(store, ttl_s=DAY_S, is_usable=lambda name: "." not in name)
    assert refusals.known("a", "/v1/messages") == {"seed"}
    assert refusals.all() == [("a", "/v1/messages", ("seed",))]
    store.close()


def test_it_is_listed_and_forgotten_by_name_or_as_a_whole(refusals: Refusals) -> None:
    for model, path, name in [("a", "/responses", "x"), ("a", "/responses", "y"), ("a", "/v1/messages", "x")]:
        refusals.learn(model, path, name)
    refusals.learn("b:1", "/responses", "x")
    assert refusals.all() == [
        ("a", "/responses", ("x", "y")),
        ("a", "/v1/messages", ("x",)),
        ("b:1", "/responses", ("x",)),
    ]
    assert refusals.forget("a", "x") == 2
    assert refusals.all() == [("a", "/responses", ("y",)), ("b:1", "/responses", ("x",))]
    assert refusals.forget("a", "x") == refusals.forget("nobody") == 0
    assert refusals.forget("b:1") == 1
    assert refusals.known("b:1", "/responses") == frozenset()
