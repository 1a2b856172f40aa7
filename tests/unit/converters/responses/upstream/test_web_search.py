"""The search call at ``/responses``: what is asked, and what an answer found."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.neutral.vocabulary import Response
from app.converters.neutral.web_search import Failure, Findings, SearchTool, Source
from app.converters.responses.upstream.response import decode_response
from app.converters.responses.upstream.web_search import findings_of, search_body

ANY = SearchTool("web_search")


def page(url: str, title: str, start: int, end: int) -> dict[str, Any]:
    return {"type": "url_citation", "url": url, "title": title, "start_index": start, "end_index": end}


def searched(text: str = "", *notes: dict[str, Any], calls: int = 1, **action: Any) -> Response:
    item = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q", **action}}
    part = {"type": "output_text", "text": text, "annotations": list(notes)}
    message = {"type": "message", "role": "assistant", "content": [part]}
    return decode_response({"status": "completed", "output": [item] * calls + [message] * bool(text)})


def found(response: Response, tool: SearchTool = ANY) -> Findings:
    outcome = findings_of(response, tool)
    assert isinstance(outcome, Findings)
    return outcome


def cited(text: str, **pages: str) -> Response:
    """A text in which {a}, {b} … stand for links to pages of that name."""
    notes = []
    for name, url in pages.items():
        link = f"([{name}]({url}))"
        start = text.index("{" + name + "}")
        text = text.replace("{" + name + "}", link)
        notes.append(page(url, name, start, start + len(link)))
    return searched(text, *notes)


def test_only_what_upstream_is_known_to_take_is_sent() -> None:
    body = search_body("kites", ANY, model="m")
    assert body.keys() == {"model", "instructions", "input", "tools", "tool_choice", "store", "stream"}
    assert body["tools"] == [{"type": "web_search"}]
    assert body["input"][0]["content"][0]["text"] == "kites"


def test_limits_are_words_of_the_task() -> None:
    plain = search_body("q", ANY, model="m")["instructions"]
    tool = SearchTool("web_search", None, ("a.test", "b.test"), (), {"city": "Kiel", "country": "DE"})
    told = search_body("q", tool, model="m")["instructions"]
    assert told.startswith(plain)
    assert "only pages of these domains: a.test, b.test." in told
    assert "city Kiel, country DE." in told
    assert (
        "no pages of these domains: c.test."
        in search_body("q", SearchTool("s", None, (), ("c.test",)), model="m")["instructions"]
    )


def test_each_page_with_what_was_said_on_it() -> None:
    outcome = found(cited("They fly. {a}\n\nSome are red, {b}. And big.", a="https://a.test/", b="https://b.test/"))
    assert outcome.sources == (
        Source("https://a.test/", "a", "They fly."),
        Source("https://b.test/", "b", "Some are red,\nAnd big."),
    )


def test_a_page_that_is_cited_twice_is_one_result() -> None:
    text = "One. {a} Two. {b}"
    first = cited(text, a="https://a.test/?utm_source=openai", b="https://a.test/")
    assert found(first).sources == (Source("https://a.test/", "a", "One.\nTwo."),)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://a.test/?utm_source=openai", "https://a.test/"),
        ("https://a.test/?x=1&utm_source=chatgpt.com#y", "https://a.test/?x=1#y"),
        ("https://a.test/?utm_source=openai&x=1", "https://a.test/?x=1"),
        ("https://a.test/?utm_source=news", "https://a.test/?utm_source=news"),
    ],
)
def test_marks_in_addresses_go(given: str, expected: str) -> None:
    assert found(searched("x", page(given, "A", 0, 1))).sources[0].url == expected


def test_links_serve_where_there_are_no_annotations() -> None:
    outcome = found(searched("They fly ([A](https://a.test/x_(y)))."))
    assert outcome.sources == (Source("https://a.test/x_(y)", "A", "They fly"),)


def test_sources_of_the_call_serve_too() -> None:
    given = [
        {"type": "url", "url": "https://a.test/x"},
        {"url": "https://b.test/", "title": "B"},
        7,
        {"url": "ftp://c"},
    ]
    outcome = found(searched("They fly.", sources=given))
    assert outcome.sources == (Source("https://a.test/x", "a.test", "They fly."), Source("https://b.test/", "B"))


def test_pages_that_the_client_does_not_want_are_left_out_with_what_they_say() -> None:
    response = cited("They fly. {a} They fall. {b}", a="https://a.test/", b="https://b.test/")
    only = found(response, SearchTool("s", allowed_domains=("b.test",)))
    assert only == Findings((Source("https://b.test/", "b", "They fall."),))
    assert found(response, SearchTool("s", blocked_domains=("b.test",))).sources[0].title == "a"
    assert found(response, SearchTool("s", allowed_domains=("c.test",))) == Findings(())


def test_a_search_without_pages_keeps_its_words() -> None:
    assert found(searched("Nothing was found.")) == Findings((), "Nothing was found.")


def test_a_model_that_did_not_search_found_nothing() -> None:
    assert findings_of(searched("From memory.", calls=0), ANY) == Failure("unavailable")


@pytest.mark.parametrize("place", [(None, None), (-1, 4), (3, 1), (0, 999), ("0", "1")])
def test_odd_places_of_citations(place: Any) -> None:
    outcome = found(searched("They fly.", page("https://a.test/", "A", *place)))
    assert outcome.sources == (Source("https://a.test/", "A", "They fly."),)
