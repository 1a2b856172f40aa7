"""Which part of a prefix changed first, by whom, and what that cost; from hashes that say nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.caching.findings import findings
from app.caching.prefix import Prefix, first_change, parts_of
from app.caching.watch import LONGEST_S, CacheWatch
from app.converters.neutral.prices import Prices, Tier
from app.errors import StoreError
from app.store.sqlite import SqliteStore

KEY = b"k" * 16
WORD = "ghjkmnpq"
BODY: dict[str, Any] = {
    "model": "claude-x",
    "tools": [{"name": "read"}, {"name": "write"}],
    "system": [{"type": "text", "text": "You are"}, {"type": "text", "text": "today"}],
    "messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}],
}


def changed(**fields: Any) -> str | None:
    after = {**BODY, **fields}
    return first_change(parts_of(BODY, KEY), parts_of({n: v for n, v in after.items() if v is not None}, KEY))


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({}, None),
        ({"model": "another"}, None),  # the row has the model
        ({"messages": [*BODY["messages"], {"role": "user", "content": "three"}]}, None),
        ({"messages": BODY["messages"][:1]}, "messages[1]"),
        ({"messages": [{"role": "user", "content": "uno"}, BODY["messages"][1]]}, "messages[0]"),
        ({"tools": [BODY["tools"][0], {"name": "erase"}]}, "tools[1]"),
        ({"tools": [*BODY["tools"], {"name": "erase"}]}, "tools[2]"),
        ({"tools": None}, "tools[0]"),
        ({"system": [BODY["system"][0], {"type": "text", "text": "tomorrow"}]}, "system[1]"),
        ({"system": "You are", "tools": [{"name": "other"}]}, "tools[0]"),  # the first of them
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"thinking": {"type": "enabled"}, "messages": []}, "thinking"),
    ],
)
def test_the_first_part_that_changed_is_named(fields: dict[str, Any], where: str | None) -> None:
    assert changed(**fields) == where


def test_marks_that_only_say_where_to_cache_change_nothing() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    marked = {
        **BODY,
        "tools": [BODY["tools"][0], BODY["tools"][1] | mark],
        "system": [it | mark for it in BODY["system"]],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "one"} | mark]}],
    }
    plain = {**marked, "messages": [{"role": "user", "content": [{"type": "text", "text": "one"}]}]}
    assert parts_of(marked, KEY) == parts_of(plain, KEY)


json_values = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5), st.lists, max_leaves=5)


@given(st.lists(json_values, max_size=6), st.lists(json_values, max_size=6))
def test_growing_at_the_end_is_no_change_and_anything_else_is(one: list[Any], more: list[Any]) -> None:
    before = parts_of({"messages": one}, KEY)
    assert first_change(before, parts_of({"messages": one + more}, KEY)) is None or not one
    if one:
        other = first_change(before, parts_of({"messages": [*one[:-1], [one[-1], "x"], *more]}, KEY))
        assert other == f"messages[{len(one) - 1}]"


@given(json_values)
def test_any_body_has_parts(value: Any) -> None:
    assert isinstance(parts_of({"tools": value, "system": value, "messages": value}, KEY), dict)


def test_hashes_tell_no_text_and_are_bounded() -> None:
    prefix = Prefix({"messages": [{"content": WORD}] * 5000}, KEY)
    prefix.sent(json.dumps({"messages": [{"content": WORD}]}).encode())
    told = json.dumps(prefix.told())
    assert WORD not in told
    assert len(told) < 3000
    assert prefix.client["messages"][:5] != Prefix({"messages": [{"content": WORD}]}, b"o" * 16).client["messages"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"--boundary"])
def test_a_body_that_is_no_object_has_no_parts(content: bytes) -> None:
    prefix = Prefix({}, KEY)
    prefix.sent(content)
    assert prefix.upstream == {}


def row(at: float, cached: int, body: dict[str, Any], upstream: dict[str, Any] | None = None, **more: Any) -> Any:
    parts = {"client": parts_of(body, KEY), "upstream": parts_of(upstream or body, KEY)}
    found = {"ended_at": at, "request_id": f"r-{at}", "conversation": "c", "purpose": "", "key": "", "client": "x"}
    found |= {"model": "m", "served_model": "m", "input_tokens": 9000, "cached_input_tokens": cached, "prefix": parts}
    return found | more


GROWN = {**BODY, "messages": [*BODY["messages"], {"role": "user", "content": "three"}]}
RETOOLED = {**GROWN, "tools": [{"name": "other"}]}
PRICES = Prices(Tier(input=300.0, cached_input=30.0, output=1500.0))


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([row(0, 8000, BODY), row(10, 8500, GROWN)], []),
        ([row(0, 8000, BODY), row(10, 7600, GROWN)], []),  # a block's rounding
        ([row(0, 8000, BODY), row(10, 0, RETOOLED)], [("tools[0]", "client", 8000)]),
        ([row(0, 8000, BODY), row(10, 0, GROWN, RETOOLED)], [("tools[0]", "bridge", 8000)]),
        ([row(0, 8000, BODY), row(10, 1000, GROWN)], [(None, "copilot", 7000)]),
        ([row(0, 8000, BODY), row(1000, 0, GROWN)], [(None, "time", 8000)]),
        ([row(0, 8000, BODY), row(10, 0, GROWN, model="n", served_model="n")], [("model", "client", 8000)]),
        ([row(0, 8000, BODY), row(10, 0, GROWN, served_model="n")], [("model", "bridge", 8000)]),
        ([row(0, 8000, BODY), row(10, 0, RETOOLED, conversation="d")], []),
        ([row(0, 8000, BODY), row(10, 0, RETOOLED, purpose="title")], []),
        ([row(0, 8000, BODY), row(10, 0, RETOOLED, conversation="")], []),
        ([row(0, 8000, BODY), row(10, 0, RETOOLED, prefix=None)], []),
        ([row(0, 8000, BODY), row(10, 0, RETOOLED, input_tokens=None)], []),
        ([row(10, 0, RETOOLED), row(0, 8000, BODY)], [("tools[0]", "client", 8000)]),  # in any order
    ],
)
def test_a_lost_cache_is_found_with_its_cause(rows: list[Any], found: list[tuple[str | None, str, int]]) -> None:
    assert [(it.field, it.by, it.lost) for it in findings(rows, prices=lambda _: PRICES)] == found


def test_what_it_cost_is_the_difference_of_the_prices() -> None:
    [it] = findings([row(0, 10_000, BODY), row(10, 0, RETOOLED)], prices=lambda _: PRICES)
    assert it.cost == pytest.approx(10_000 * 270 / 1_000_000)
    [it] = findings([row(0, 10_000, BODY), row(10, 0, RETOOLED)], prices=lambda _: None)
    assert it.cost is None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "state.db")
    yield opened
    opened.close()


def test_it_is_off_until_switched_on_and_ends_by_itself(store: SqliteStore) -> None:
    now = [1_000_000.0]
    watch = CacheWatch(store, clock=lambda: now[0])
    assert watch.prefix_of(BODY) is None
    watched = watch.start(for_s=10 * LONGEST_S, by="admin")
    assert watched.until == now[0] + LONGEST_S
    assert watch.prefix_of(BODY) is not None
    other = CacheWatch(store, clock=lambda: now[0])
    theirs = other.prefix_of(BODY)
    assert theirs is not None
    assert theirs.client == watch.prefix_of(BODY).client  # workers compare theirs
    now[0] += LONGEST_S + 1
    assert watch.prefix_of(BODY) is None
    assert watch.watched() is None


def test_it_can_be_switched_off(store: SqliteStore) -> None:
    watch = CacheWatch(store)
    watch.start(for_s=60, by="admin")
    assert watch.stop()
    assert not watch.stop()
    assert watch.prefix_of(BODY) is None


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"until": 1}', '{"until": 1e12, "by": "x", "key": "zz"}'])
def test_a_switch_that_cannot_be_read_is_off(store: SqliteStore, torn: str) -> None:
    store.put("cache-watch", torn)
    assert CacheWatch(store).watched() is None


def test_calls_go_on_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch, store: SqliteStore) -> None:
    def away(_: str) -> str:
        raise StoreError("away")

    monkeypatch.setattr(store, "get", away)
    assert CacheWatch(store).prefix_of(BODY) is None
