"""Rules of the mapping: which of them fits a call; how they are changed; what was before, and how it comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import StoreError
from app.store import ModelMapping, Store
from app.store.mapping_history import MOST_CHANGES
from app.store.rules import Choice, Rule, first_fitting
from tests.support.clock import Clock

INITIAL = {"gpt-4o-mini": "gpt-4.1"}


@pytest.fixture
def mapping(store: Store) -> ModelMapping:
    return ModelMapping(store, INITIAL, clock=Clock(1_800_000_000.0))


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("claude-*-haiku-*", "claude-3-5-haiku-20241022", True),
        ("claude-*-haiku-*", "claude-haiku-4.5", False),
        ("*haiku*", "claude-haiku-4.5", True),
        ("*", "anything", True),
        ("gpt-?", "gpt-5", True),
        ("gpt-?", "gpt-5.4", False),
        ("gpt-[45]*", "gpt-4.1", True),
        ("GPT-5*", "gpt-5-mini", True),
        ("gpt-5*", "GPT-5-Mini", True),
        ("claude-opus-4.6[1m]", "claude-opus-4.6[1m]", True),
        ("exact", "exactly", False),
        ("*" * 200, "a" * 256, True),
        ("*a" * 100 + "b", "a" * 256, False),
        ("[", "[", True),
    ],
)
def test_patterns(pattern: str, name: str, fits: bool) -> None:
    assert Rule(pattern, ("m",)).fits(name, None, None) is fits


@pytest.mark.parametrize(
    ("rule", "key", "purpose", "fits"),
    [
        (Rule("*", ("m",), keys=("ci",)), "ci", None, True),
        (Rule("*", ("m",), keys=("ci-*", "bot")), "ci-7", "turn", True),
        (Rule("*", ("m",), keys=("ci",)), "other", None, False),
        (Rule("*", ("m",), keys=("*",)), None, None, False),
        (Rule("*", ("m",), purposes=("title", "summary")), None, "summary", True),
        (Rule("*", ("m",), purposes=("title",)), None, "turn", False),
        (Rule("*", ("m",), purposes=("title",)), None, None, False),
        (Rule("*", ("m",), keys=("a",), purposes=("title",)), "a", "title", True),
        (Rule("*", ("m",), keys=("a",), purposes=("title",)), "a", "turn", False),
    ],
)
def test_keys_and_purposes(rule: Rule, key: str | None, purpose: str | None, fits: bool) -> None:
    assert rule.fits("x", key, purpose) is fits


def test_the_first_that_fits_counts() -> None:
    rules = [Rule("a*", ("first",), purposes=("title",)), Rule("a*", ("second", "third"), fall_back=True)]
    assert first_fitting(rules, "ab", None, "title") == Choice(("first",), rule=1)
    assert first_fitting(rules, "ab", None, "turn") == Choice(("second", "third"), rule=2, falls_back=True)
    assert first_fitting(rules, "b", None, "title") is None


def test_rules_go_before_the_table_and_the_table_before_the_name(mapping: ModelMapping) -> None:
    assert mapping.choose("gpt-4o-mini") == Choice(("gpt-4.1",), is_mapped=True)
    assert mapping.choose("other") == Choice(("other",))
    mapping.change_rules(lambda _: [Rule("gpt-4o*", ("gpt-5-mini",), keys=("ci",))], what="test")
    assert mapping.choose("gpt-4o-mini", key="ci") == Choice(("gpt-5-mini",), rule=1)
    assert mapping.choose("gpt-4o-mini", key="me") == Choice(("gpt-4.1",), is_mapped=True)
    assert mapping.resolve("gpt-4o-mini") == "gpt-4.1"


def test_rules_are_there_for_all_who_share_the_store(mapping: ModelMapping, store: Store) -> None:
    rule = Rule("*", ("a", "b"), ("k",), ("title",), True, "note ü")
    mapping.change_rules(lambda rules: [*rules, rule], what="added")
    other = ModelMapping(store, {})
    assert other.rules() == (rule,)
    other.change_rules(lambda rules: [*rules, Rule("x", ("y",))], what="added")
    assert len(mapping.rules()) == 2
    mapping.replace_rules([])
    assert other.rules() == ()
    assert store.scan("model_rules") == {}


def test_a_change_that_raises_changes_nothing(mapping: ModelMapping) -> None:
    mapping.change_rules(lambda _: [Rule("x", ("y",))], what="added")
    with pytest.raises(ZeroDivisionError):
        mapping.change_rules(lambda rules: rules[: 1 // 0], what="broken", by="me")
    assert (mapping.rules(), mapping.history()) == ((Rule("x", ("y",)),), [])


def test_each_change_is_remembered_and_can_be_undone(mapping: ModelMapping) -> None:
    mapping.set("a", "b", by="me")
    mapping.change_rules(lambda _: [Rule("x", ("y",))], what="rule added", by="you")
    mapping.remove("a", by="me")
    mapping.remove("nobody", by="me")
    history = mapping.history()
    assert [(one.number, one.by, one.what) for one in history] == [
        (3, "me", "a deleted"),
        (2, "you", "rule added"),
        (1, "me", "a → b"),
    ]
    assert history[0].at == 1_800_000_000.0
    undone = mapping.undo(by="me")
    assert undone is not None
    assert undone.number == 3
    assert mapping.all() == {**INITIAL, "a": "b"}
    assert mapping.undo(by="me") is not None, "an undo can be undone"
    assert mapping.all() == INITIAL
    assert mapping.undo(1, by="me") is not None
    assert (mapping.all(), mapping.rules()) == (INITIAL, ())
    assert mapping.undo(99, by="me") is None
    assert [one.number for one in mapping.history()] == [6, 5, 4, 3, 2, 1]


def test_undoing_the_first_change_lets_the_settings_count_again(mapping: ModelMapping, store: Store) -> None:
    mapping.set("a", "b", by="me")
    mapping.undo(by="me")
    assert ModelMapping(store, {"new": "settings"}).all() == {"new": "settings"}


def test_a_reset_can_be_undone(mapping: ModelMapping) -> None:
    mapping.set("a", "b", by="me")
    mapping.reset(by="me")
    mapping.reset(by="me")
    assert len(mapping.history()) == 2, "a reset of nothing is no change"
    mapping.undo(by="me")
    assert mapping.all() == {**INITIAL, "a": "b"}


def test_the_past_is_bounded_in_number_and_size(mapping: ModelMapping, store: Store) -> None:
    for number in range(MOST_CHANGES + 10):
        mapping.set("a", str(number), by="me")
    assert [one.number for one in mapping.history()] == list(range(MOST_CHANGES + 10, 10, -1))
    for number in range(20):
        mapping.set(f"{number} " + "x" * 200, "y" * 50_000, by="me")
    assert len(store.get("model_mapping_history") or "") < 3_000_000
    assert mapping.undo(by="me") is not None


@pytest.mark.parametrize("raw", ["", "{", "5", '{"a": 1}', "[5]", '[{"match": 5, "to": ["x"]}]', '[{"match": "x"}]'])
def test_damaged_rules_are_an_error_until_they_are_set_anew(mapping: ModelMapping, store: Store, raw: str) -> None:
    store.put("model_rules", raw)
    with pytest.raises(StoreError, match="rules"):
        mapping.choose("x")
    with pytest.raises(StoreError, match="rules"):
        mapping.change_rules(lambda rules: rules, what="no", by="me")
    mapping.replace_rules([Rule("x", ("y",))], by="me")
    assert mapping.choose("x").rule == 1


@pytest.mark.parametrize("raw", ["", "{", "5", "[5]", '[{"number": 1}]', json.dumps([{"number": 1, "rules": [7]}])])
def test_a_damaged_past_is_forgotten(mapping: ModelMapping, store: Store, raw: Any) -> None:
    store.put("model_mapping_history", raw)
    assert mapping.history() == []
    assert mapping.undo(by="me") is None
    mapping.set("a", "b", by="me")
    assert len(mapping.history()) == 1
