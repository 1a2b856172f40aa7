"""Every reason for which a conversion leaves something out is found in the code, and there in Chinese."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from app.converters.messages.upstream.refusals import Refusal
from app.converters.neutral.field_table import Field
from app.converters.responses.refusals import Rule
from scripts import reasons, translations
from scripts.reasons import NotWrittenOutError, given, in_tables

HERE = ModuleType("here")
vars(HERE).update(WHY="a constant", WHYS={"a": "in a table", "b": "in it as well"}, NUMBER=1)


def found(source: str) -> list[str]:
    return [reason for reason, _ in given(source, HERE)]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('losses.drop("seed", "not known")', ["not known"]),
        ('self._losses.note(f"tools[].{kind}", "as text")', ["as text"]),
        ('target.losses.drop(name, "long "\n "words")', ["long words"]),
        ('lost.drop("seed", "by another name")', ["by another name"]),
        ('losses.drop("seed", "one" if a else "other")', ["one", "other"]),
        ('losses.drop("seed", field.note if field else "unknown")', ["unknown"]),
        ('losses.drop("seed", TABLE["seed"].why)', []),
        ('losses.drop("seed", WHY)', ["a constant"]),
        ('losses.drop("seed", WHYS[name])', ["in a table", "in it as well"]),
        ('losses.drop("seed", Sentence("only %(who)s", who=who))', ["only %(who)s"]),
        ('tell = losses.drop if a else losses.note\ntell("seed", "either way")', ["either way"]),
        ('citing.note(sources); body.pop("seed", "x")', []),
    ],
)
def test_a_reason_is_found_where_it_is_given(source: str, said: list[str]) -> None:
    assert found(source) == said


@pytest.mark.parametrize(
    "source",
    [
        'losses.drop("seed", f"only {who}")',
        'losses.drop("seed", reason)',
        'losses.drop("seed", NUMBER)',
        'losses.drop("seed", "one" if a else reason)',
        'losses.drop("seed", why_of(name))',
        'losses.drop("seed", Sentence(template))',
        'losses.drop("seed", reason="named")',
        'lost.drop("seed", reason="named")',
        'losses.drop("seed")',
        "record = losses.drop",
        "each(losses.note)",
        'tell("seed", reason)',
    ],
)
def test_one_that_no_catalogue_could_hold_is_an_error(source: str) -> None:
    with pytest.raises(NotWrittenOutError, match="here:1"):
        found(source)


def test_tables_tell_what_they_leave_out() -> None:
    module = ModuleType("tables")
    vars(module).update(
        FIELDS={"a": Field("dropped", "one"), "b": Field("mapped", "as it is"), "c": Field("carried", "two")},
        TABLE=(Rule("field", "a", "changed", "three"), Rule("item", "b", "refused", "an error")),
        OTHERS={"a": Refusal("four")},
    )
    assert list(in_tables(module)) == ["one", "two", "three", "four"]


def test_all_reasons_of_the_code_are_read_and_have_their_chinese() -> None:
    every = reasons.reasons()
    known = {"only the %(origin)s protocol has it", "upstream refuses it for this model", "Copilot has no tiers"}
    assert known <= every.keys()
    [file] = translations.catalogues()
    chinese = {str(message.id): str(message.string) for message in translations.read(file)}
    assert [(it, where) for it, where in every.items() if not re.search("[\u4e00-\u9fff]", chinese.get(it, ""))] == []


def test_nobody_else_gives_reasons() -> None:
    """What they say would not be read."""
    users = {file for file in translations.APP.rglob("*.py") if "Losses" in file.read_text("utf-8")}
    assert [file for file in users if not file.is_relative_to(reasons.CONVERTERS)] == []
