"""The model mapping: initial until changed, stored from then on, the same for all workers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from app.errors import StoreError
from app.store import ModelMapping, Store

if TYPE_CHECKING:
    from tests.unit.store.conftest import Backend

INITIAL = {"zeta": "claude", "alpha": "gpt"}


@pytest.fixture
def mapping(store: Store) -> ModelMapping:
    return ModelMapping(store, INITIAL)


def test_mapped_name_is_replaced_and_unmapped_stays(mapping: ModelMapping) -> None:
    assert mapping.resolve("zeta") == "claude"
    assert mapping.resolve("unknown") == "unknown"


def test_resolving_is_one_hop(mapping: ModelMapping) -> None:
    mapping.set("a", "b")
    mapping.set("b", "a")
    assert mapping.resolve("a") == "b"
    assert mapping.resolve("b") == "a"


def test_reading_stores_nothing(mapping: ModelMapping, store: Store) -> None:
    mapping.resolve("zeta")
    assert mapping.all() == INITIAL
    assert mapping.remove("unknown") is False
    assert store.scan("") == {}


def test_unchanged_mapping_follows_a_new_initial_one(mapping: ModelMapping, store: Store) -> None:
    assert mapping.all() == INITIAL
    assert ModelMapping(store, {"new": "default"}).all() == {"new": "default"}


def test_first_change_keeps_the_initial_entries_and_then_the_stored_ones_count(
    mapping: ModelMapping, store: Store
) -> None:
    assert mapping.set("new", "model") == {**INITIAL, "new": "model"}
    assert ModelMapping(store, {"other": "initial"}).all() == {**INITIAL, "new": "model"}
    assert ModelMapping(store, {"other": "initial"}).resolve("other") == "other"


def test_order_is_kept(mapping: ModelMapping) -> None:
    mapping.set("middle", "one")
    mapping.set("zeta", "changed")
    assert list(mapping.all().items()) == [("zeta", "changed"), ("alpha", "gpt"), ("middle", "one")]


def test_remove_takes_out_initial_entries_too(mapping: ModelMapping, store: Store) -> None:
    assert mapping.remove("zeta") is True
    assert mapping.remove("zeta") is False
    assert ModelMapping(store, INITIAL).all() == {"alpha": "gpt"}


def test_emptied_mapping_stays_empty(mapping: ModelMapping, store: Store) -> None:
    for source in INITIAL:
        mapping.remove(source)
    assert ModelMapping(store, INITIAL).all() == {}


def test_reset_brings_the_initial_mapping_back(mapping: ModelMapping, store: Store) -> None:
    mapping.set("new", "model")
    assert mapping.reset() == INITIAL
    assert mapping.all() == INITIAL
    assert store.scan("") == {}


def test_answers_are_copies(mapping: ModelMapping) -> None:
    mapping.all()["zeta"] = "spoilt"
    mapping.reset()["zeta"] = "spoilt"
    assert mapping.all() == INITIAL
    mapping.set("new", "model")["zeta"] = "spoilt"
    mapping.all()["zeta"] = "spoilt"
    assert mapping.resolve("zeta") == "claude"


def test_any_text_can_be_mapped(mapping: ModelMapping) -> None:
    mapping.set("mödel \ud800 \0", "ziel\n")
    assert mapping.resolve("mödel \ud800 \0") == "ziel\n"


def test_other_worker_sees_each_change_on_its_next_request(mapping: ModelMapping, backend: Backend) -> None:
    other = ModelMapping(backend.open(), INITIAL)
    for target in ("one", "two", "three"):
        mapping.set("zeta", target)
        assert other.resolve("zeta") == target
    mapping.remove("zeta")
    assert other.resolve("zeta") == "zeta"
    mapping.reset()
    assert other.resolve("zeta") == "claude"


def test_workers_that_change_different_entries_lose_neither(backend: Backend) -> None:
    def change(number: int) -> None:
        mapping = ModelMapping(backend.open(), INITIAL)
        for entry in range(10):
            mapping.set(f"source{number}-{entry}", "target")

    threads = [threading.Thread(target=change, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ModelMapping(backend.open(), INITIAL).all()) == len(INITIAL) + 60


@pytest.mark.parametrize("raw", ["{torn", "[]", '{"source": 5}', "null"])
def test_spoilt_mapping_is_an_error_until_reset(mapping: ModelMapping, store: Store, raw: str) -> None:
    store.put("model_mapping", raw)
    for call in (mapping.all, lambda: mapping.set("a", "b"), lambda: mapping.remove("a")):
        with pytest.raises(StoreError, match="Reset the mapping"):
            call()
    mapping.reset()
    assert mapping.all() == INITIAL
