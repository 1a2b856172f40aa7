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

PLACEHOLDER = re.compile(r"%\(\w+\)s|%%|\{\w+(?:!r)?\}|</?\w+[^>]*>")
# What a translator leaves as it is: names, settings, addresses, what a machine says.
LATIN_ALONE = {"{time} min", "%(words)s (%(percent)s%%)", "%(file)s: %(why)s.", "%(told)s.", "%(left)s.%(reset)s",
               "%(left)s.%(reset)s %(effect)s", "%(amount)s %(unit)s %(per)s", "'%(path)s' %(what)s.",
               "%(unit)s, %(period)s"}  # fmt: skip
# click puts its English names of types into these, and the plural has other values than the singular.
CLICKS_OWN = re.compile(
    r"\{name\} \{filename!r\}|\{number_type\}|but 1 was given|requires an|not \{choice\}|the format \{|one of: \{poss"
)


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
        if CLICKS_OWN.search(english):
            assert set(PLACEHOLDER.findall(other)) <= {*PLACEHOLDER.findall(english), "{nargs}", "{len}", "{choices}",
                                                       "{formats}", "{possibility}"}, english  # fmt: skip
            continue
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
# And those that a command may tell.
COMMANDS_MEET = (
    "backup.py", "bindings.py", "cli/*.py", "clients/files/*.py", "database/*.py", "keys/registry.py", "schemas/*.py",
    "settings.py",
)  # fmt: skip
SAY = {"echo", "ClickException", "UsageError", "BadParameter", "style", "confirm", "prompt"}
"""What of click's prints as it is given: for codes, numbers and names alone."""
FINDS = {"ok", "note", "problem"}
"""The doctor's."""
NAMES = {"GitHub App"}
SPOKEN = re.compile(r"[A-Za-z’']{2,} [A-Za-z’']{2,}")
ERRORS = {"MergeError"} | {
    name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)
}


@pytest.mark.parametrize("pattern", [*PAGES_MEET, *COMMANDS_MEET])
def test_an_error_that_a_page_may_show_is_a_sentence(pattern: str) -> None:
    files = sorted(translations.APP.glob(pattern))
    assert files
    for file in files:
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ERRORS and call.args:
                plain = isinstance(call.args[0], ast.Constant | ast.JoinedStr)
                assert not plain, f"{file.name}:{call.lineno}: write Sentence(…), so that a page can translate it"


def plain_words(node: ast.AST) -> list[str]:
    """What a call is given in words that nobody can translate."""
    match node:
        case ast.Call(args=inner) | ast.JoinedStr(values=inner):
            pass
        case ast.IfExp(body=body, orelse=orelse):
            if re.search(r"[\u4e00-\u9fff]", ast.unparse(node)):  # by --language
                return []
            inner = [body, orelse]
        case ast.BinOp(left=left, right=right):
            inner = [left, right]
        case ast.Constant(value=str(words)):
            return [words] if SPOKEN.search(words) and words not in NAMES else []
        case _:
            return []
    return [words for one in inner if not isinstance(one, ast.Call) for words in plain_words(one)]


@pytest.mark.parametrize(("folder", "names"), [("cli", SAY), ("doctor", FINDS)])
def test_what_a_command_says_is_a_sentence(folder: str, names: set[str]) -> None:
    for file in sorted((translations.APP / folder).glob("*.py")):
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call):
                name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                assert name not in names or not plain_words(call), f"{file.name}:{call.lineno}: write Sentence(…)"


def test_plain_words_are_seen() -> None:
    for source in ("echo('two words')", "echo(f'{x} has two words')", "ok('x', 'a b' if y else 'two words')"):
        (call,) = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
        assert plain_words(call), source
    (call,) = (node for node in ast.walk(ast.parse("echo(f'{x}: ', 'word')")) if isinstance(node, ast.Call))
    assert plain_words(call) == []


def test_a_sentence_is_its_english_text_and_survives_storing() -> None:
    inner = errors.Sentence("port %(port)s", port=80)
    sentence = errors.Sentence("%(host)s refused: %(why)s, 100%%", host="a.test", why=inner)
    assert sentence == "a.test refused: port 80, 100%"
    restored = errors.Sentence.unpacked(json.loads(json.dumps(sentence.packed())))
    assert restored == sentence
    assert isinstance(restored, errors.Sentence)
    assert isinstance(restored.values["why"], errors.Sentence)
    assert errors.Sentence.unpacked("as older versions stored it") == "as older versions stored it"
