"""A store that is away costs one call now and then, not every call, and is back as soon as it is back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import StoreError
from app.store.guarded import GuardedStore
from app.store.sqlite import SqliteStore
from tests.support.clock import Clock


class Moody:
    """A store that fails as told, and counts how often it was asked."""

    def __init__(self, inner: SqliteStore) -> None:
        self.inner = inner
        self.fails: set[str] = set()
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.asked += 1
            if name in self.fails:
                raise StoreError(f"{name} is not possible")
            return getattr(self.inner, name)(*arguments, **options)

        return call


READS, WRITES = {"get", "scan", "dump"}, {"put", "delete", "update", "acquire", "release", "load"}


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[Moody]:
    inner = SqliteStore(tmp_path / "state.db")
    yield Moody(inner)
    inner.close()


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def store(moody: Moody, clock: Clock) -> GuardedStore:
    found: Any = moody
    return GuardedStore(found, away_s=2.0, clock=clock, spawn=lambda work: work())


def test_failure_is_told_again_without_asking_and_heals(store: GuardedStore, moody: Moody, clock: Clock) -> None:
    store.put("key", "value")
    moody.fails = READS | WRITES
    for _ in range(3):
        with pytest.raises(StoreError, match="get is not possible"):
            store.get("key")
    assert moody.asked == 2
    moody.fails = set()
    with pytest.raises(StoreError):
        store.get("key")
    clock.now += 2.0
    assert store.get("key") == store.get("key") == "value"


def test_no_reader_waits_to_find_out_and_one_at_a_time_has_it_found_out(moody: Moody, clock: Clock) -> None:
    behind: list[Callable[[], None]] = []
    inner: Any = moody
    store = GuardedStore(inner, away_s=2.0, clock=clock, spawn=behind.append)
    moody.fails = READS
    for _ in range(3):
        with pytest.raises(StoreError):
            store.get("key")
    assert (moody.asked, behind) == (1, [])
    clock.now += 2.0
    moody.fails = set()
    for _ in range(3):
        with pytest.raises(StoreError):
            store.get("key")
    assert (moody.asked, len(behind)) == (1, 1)
    behind.pop()()
    assert store.get("key") is None


def test_one_writer_at_a_time_finds_out(store: GuardedStore, moody: Moody, clock: Clock) -> None:
    moody.fails = WRITES
    with pytest.raises(StoreError):
        store.put("key", "value")
    clock.now += 2.0
    seen: list[int] = []

    def delete(key: str) -> bool:
        with pytest.raises(StoreError):
            store.put("key", "value")  # what comes meanwhile does not wait with it
        seen.append(moody.asked)
        return True

    moody.delete = delete  # type: ignore[attr-defined]
    assert store.delete("key")
    assert seen == [1]


def test_trouble_is_known_before_anybody_runs_into_it_and_its_end_too(
    store: GuardedStore, moody: Moody, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert store.trouble() is None
    assert moody.asked == 2  # read and written
    moody.fails = {"acquire"}
    assert store.trouble() is None
    assert moody.asked == 2  # not by every caller
    clock.now += 2.0
    assert "acquire is not possible" in str(store.trouble())
    assert store.get("key") is None
    moody.fails = set()
    clock.now += 2.0
    assert store.trouble() is None
    assert [record.message for record in caplog.records] == ["store cannot be written", "store can be written again"]


def test_what_cannot_be_written_can_be_read(store: GuardedStore, moody: Moody) -> None:
    store.put("key", "value")
    moody.fails = WRITES
    for _ in range(2):
        with pytest.raises(StoreError):
            store.put("key", "other")
        assert store.get("key") == "value"


def test_who_made_a_change_sees_it_at_once(moody: Moody, clock: Clock) -> None:
    """The store is back, which a change has found out; no reader goes on with what was before."""
    behind: list[Callable[[], None]] = []
    inner: Any = moody
    store = GuardedStore(inner, away_s=2.0, clock=clock, spawn=behind.append)
    store.put("key", "before")
    moody.fails = READS | WRITES
    with pytest.raises(StoreError):
        store.get("key")
    moody.fails = set()
    clock.now += 2.0
    store.put("key", "after")
    assert (store.get("key"), behind) == ("after", [])


def test_change_that_refuses_what_is_stored_is_no_outage(store: GuardedStore) -> None:
    def refuse(old: str | None) -> str | None:
        raise StoreError("that is no mapping")

    with pytest.raises(StoreError, match="no mapping"):
        store.update("key", refuse)
    assert store.update("key", lambda old: "value") == "value"
