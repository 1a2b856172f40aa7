"""The catalogues are complete, compiled, and fit the words they translate."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo

from app import errors
from scripts import translations

PLACEHOLDER = re.compile(r"%\(\w+\)s|%%|\{\w+\}|</?\w+[^>]*>")
# What a translator leaves as it is: names, settings, addresses, what a machine says.
LATIN_ALONE = {"{time} min", "%(words)s (%(percent)s%%)"}


@pytest.fixture(params=translations.catalogues(), ids=lambda file: file.parts[-3])
def file(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def words(catalogue: Catalog) -> dict[str, str]:
    """What each is in the other language; singular and plural both."""
    found: dict[str, str] = {}
    for message in catalogue:
        if message.id:
            english, other = (
                (it,) if isinstance(it, str) else tuple(it) for it in (message.id, message.string or ("",))
            )
            found |= {it: other[min(at, len(other) - 1)] for at, it in enumerate(english)}
    return found


def test_there_is_a_chinese_catalogue() -> None:
    assert [file.parts[-3] for file in translations.catalogues()] == ["zh_Hans"]


def test_every_word_of_the_code_is_translated(file: Path) -> None:
    assert translations.untranslated(translations.updated(file)) == [], "run `make translations` and fill them in"


def test_the_catalogue_holds_nothing_that_the_code_does_not_say(file: Path) -> None:
    assert words(translations.read(file)).keys() == words(translations.extracted()).keys(), "run `make translations`"


def test_the_compiled_catalogue_is_the_same(file: Path) -> None:
    with file.with_suffix(".mo").open("rb") as stream:
        assert words(read_mo(stream)) == words(translations.read(file)), "run `make translations`"


def test_values_arrive_in_the_translation(file: Path) -> None:
    for english, other in words(translations.read(file)).items():
        assert sorted(PLACEHOLDER.findall(english)) == sorted(PLACEHOLDER.findall(other)), english


def test_chinese_is_chinese(file: Path) -> None:
    for english, other in words(translations.read(file)).items():
        assert re.search(r"[\u4e00-\u9fff]", other) or english in LATIN_ALONE, english


def test_a_new_word_is_found_and_reported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = translations.extracted()
    known.add("A word that nobody has translated.")
    monkeypatch.setattr(translations, "extracted", lambda: known)
    assert translations.untranslated(translations.updated(file)) == ["A word that nobody has translated."]


# Where errors come from that a page may show. What only clients of the API meet stays English.
PAGES_MEET = (
    "auth/*.py", "store/*.py", "outbound.py", "upstream/catalog.py", "clients/models.py", "blueprints/_access.py",
    "blueprints/admin.py", "blueprints/auth.py", "blueprints/health.py", "blueprints/setup.py", "blueprints/usage.py",
)  # fmt: skip
ERRORS = {name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)}


@pytest.mark.parametrize("pattern", PAGES_MEET)
def test_an_error_that_a_page_may_show_is_a_sentence(pattern: str) -> None:
    files = sorted(translations.APP.glob(pattern))
    assert files
    for file in files:
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ERRORS and call.args:
                plain = isinstance(call.args[0], ast.Constant | ast.JoinedStr)
                assert not plain, f"{file.name}:{call.lineno}: write Sentence(…), so that a page can translate it"


def test_a_sentence_is_its_english_text_and_survives_storing() -> None:
    inner = errors.Sentence("port %(port)s", port=80)
    sentence = errors.Sentence("%(host)s refused: %(why)s, 100%%", host="a.test", why=inner)
    assert sentence == "a.test refused: port 80, 100%"
    restored = errors.Sentence.unpacked(json.loads(json.dumps(sentence.packed())))
    assert restored == sentence
    assert isinstance(restored, errors.Sentence)
    assert isinstance(restored.values["why"], errors.Sentence)
    assert errors.Sentence.unpacked("as older versions stored it") == "as older versions stored it"
