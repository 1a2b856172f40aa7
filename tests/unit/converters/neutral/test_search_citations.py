"""Which of the found pages a text cites, and where."""

from __future__ import annotations

import pytest

from app.converters.neutral.search_citations import Citations
from app.converters.neutral.vocabulary import Annotation, Text
from app.converters.neutral.web_search import Source

KITES = Source("https://kites.test/red", "Red kites")
WIKI = Source("https://wiki.test/Kite_(bird)", "Kite (bird)")
QUERY = Source("https://news.test/?q=kites&p=2", "News")


def cited(*texts: str) -> list[list[tuple[str | None, str | None]]]:
    """For each text: the address of each citation, and the words that it is of (None: the whole)."""
    citations = Citations()
    citations.note([KITES, WIKI, QUERY])
    found = []
    for text in texts:
        notes = citations.cited(Text(text)).annotations
        found.append(
            [
                (note.url, text[note.start_index : note.end_index] if note.end_index is not None else None)
                for note in notes
            ]
        )
    return found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("See [the page](https://kites.test/red) for more.", "[the page](https://kites.test/red)"),
        ("They fly ([kites.test](https://kites.test/red)).", "[kites.test](https://kites.test/red)"),
        ("They fly: https://kites.test/red.", "https://kites.test/red"),
        ("They fly (https://kites.test/red), high.", "https://kites.test/red"),
        ("<https://kites.test/red>", "https://kites.test/red"),
        ("**https://kites.test/red**", "https://kites.test/red"),
        ("[a](https://kites.test/red/)", "[a](https://kites.test/red/)"),
        ("[a](https://kites.test/red#high)", "[a](https://kites.test/red#high)"),
        ("😀 [a](https://kites.test/red)", "[a](https://kites.test/red)"),
    ],
)
def test_a_page_is_cited_where_it_is_named(text: str, words: str) -> None:
    assert cited(text) == [[(KITES.url, words)]]


def test_brackets_and_questions_in_addresses() -> None:
    text = "[b](https://wiki.test/Kite_(bird)) and https://news.test/?q=kites&p=2!"
    assert cited(text) == [
        [(WIKI.url, "[b](https://wiki.test/Kite_(bird))"), (QUERY.url, "https://news.test/?q=kites&p=2")]
    ]


def test_each_mention_counts() -> None:
    ((one, two),) = cited("[a](https://kites.test/red), [b](https://kites.test/red)")
    assert (one, two) == ((KITES.url, "[a](https://kites.test/red)"), (KITES.url, "[b](https://kites.test/red)"))


def test_pages_that_nothing_names_are_the_sources_of_the_first_text_that_names_none() -> None:
    whole = [(source.url, None) for source in (KITES, WIKI, QUERY)]
    assert cited("They fly.", "Indeed.") == [whole, []]
    assert cited("[a](https://kites.test/red)", "Indeed.") == [
        [(KITES.url, "[a](https://kites.test/red)")],
        [(WIKI.url, None), (QUERY.url, None)],
    ]
    assert cited("", " \n", "Indeed.") == [[], [], whole]


@pytest.mark.parametrize("text", ["See https://other.test/ for more.", "kites.test/red", "ftp://kites.test/red"])
def test_other_pages_are_no_citations(text: str) -> None:
    assert all(words is None for _, words in cited(text)[0])


def test_what_upstream_has_cited_itself_stays() -> None:
    own = Annotation("url", "https://own.test/", "Own", origin="chat", value={"type": "url_citation"})
    citations = Citations()
    assert citations.cited(Text("Hm.", (own,))) == Text("Hm.", (own,))
    citations.note([KITES])
    assert [note.url for note in citations.cited(Text("Hm.", (own,))).annotations] == ["https://own.test/", KITES.url]
