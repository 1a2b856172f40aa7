"""What the mapping would do with a call, in numbers and in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from app.dry_run import dry_run
from app.routing import Model
from app.store import ModelMapping
from app.store.rules import Rule
from app.store.sqlite import SqliteStore

PRICES = {"billing": {"token_prices": {"default": {"input_price": 25, "output_price": 200}}}}
ENTRIES: list[dict[str, Any]] = [
    {"id": "gpt-5-mini", **PRICES},
    {"id": "claude-opus-4.6", "billing": {"multiplier": 3}},
    {"id": "gpt-4.1"},
    {"id": "blocked", "policy": {"state": "disabled"}},
]
MODELS = [model for entry in ENTRIES if (model := Model.parse(entry)) is not None]


@pytest.fixture
def mapping(tmp_path: Any) -> Any:
    store = SqliteStore(tmp_path / "state.db")
    mapping = ModelMapping(store, {"gpt-4o": "claude-opus-4.6", "old": "retired"})
    mapping.replace_rules(
        [
            Rule("*", ("gpt-5-mini",), keys=("ci",), purposes=("title",)),
            Rule("claude-*-haiku-*", ("blocked", "unknown", "gpt-4.1", "gpt-5-mini"), fall_back=True),
            Rule("lost-*", ("nowhere",)),
        ]
    )
    yield mapping
    store.close()


@pytest.mark.parametrize(
    ("model", "key", "purpose", "said"),
    [
        (
            "x",
            "ci",
            "title",
            "A client with key ci that asks for x for a call of purpose title gets gpt-5-mini, by rule 1, at 25 "
            "credits per million tokens in and 200 out.",
        ),
        (
            "claude-3-haiku-2024",
            None,
            None,
            "A client that asks for claude-3-haiku-2024 gets gpt-4.1, by rule 2, at a price that is not known. Where "
            "that is limited or overloaded: gpt-5-mini. The account does not have unknown.",
        ),
        (
            "gpt-4o",
            "me",
            None,
            "A client with key me that asks for gpt-4o gets claude-opus-4.6, by the table of names, at 3 premium "
            "requests per request.",
        ),
        (
            "GPT-5-Mini",
            None,
            "turn",
            "A client that asks for GPT-5-Mini for a call of purpose turn gets gpt-5-mini, because nothing maps it, at "
            "25 credits per million tokens in and 200 out.",
        ),
        (
            "old",
            None,
            None,
            "A client that asks for old gets retired, by the table of names, at a price that is not known. The account "
            "does not have retired: the call would be refused.",
        ),
        (
            "lost-1",
            None,
            None,
            "A client that asks for lost-1 gets nowhere, by rule 3, at a price that is not known. The account does not "
            "have nowhere.",
        ),
    ],
)
def test_what_is_said(mapping: ModelMapping, model: str, key: str | None, purpose: str | None, said: str) -> None:
    assert dry_run(mapping, MODELS, model, key=key, purpose=purpose).said == said


def test_what_is_told(mapping: ModelMapping) -> None:
    told = dry_run(mapping, MODELS, "claude-3-haiku-2024", key=None, purpose=None).told()
    assert told.pop("said")
    assert told == {
        "model": "claude-3-haiku-2024",
        "key": None,
        "purpose": None,
        "served": "gpt-4.1",
        "then": ("gpt-5-mini",),
        "rule": 2,
        "is_mapped": False,
        "is_known": True,
        "missing": ("unknown",),
        "prices": None,
        "multiplier": None,
    }


def test_without_a_model_list_nothing_is_said_of_the_account(mapping: ModelMapping) -> None:
    told = dry_run(mapping, None, "claude-3-haiku-2024", key=None, purpose=None)
    assert (told.served, told.is_known, told.missing, told.prices) == ("blocked", None, (), None)
    assert dry_run(mapping, MODELS, "auto", key=None, purpose=None).is_known is True
