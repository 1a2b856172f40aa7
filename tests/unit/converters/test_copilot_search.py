"""What Copilot's own search is asked, and what its answers found (contract §14.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.copilot_search import arguments, cost_of, findings_of
from app.converters.neutral.web_search import Findings, SearchTool, Source, told_of

ANY = SearchTool("web_search")
NEWS, WIKI = "https://news.test/kites", "https://wiki.test/kites"


def note(value: str, mark: str, url: str, title: str = "A page", **changes: Any) -> dict[str, Any]:
    at = value.index(mark)
    told = {"text": mark, "start_index": at, "end_index": at + len(mark), "url_citation": {"title": title, "url": url}}
    return {name: said for name, said in {**told, **changes}.items() if said is not None}


def result(value: str, *notes: Any) -> dict[str, Any]:
    told = {"type": "output_text", "text": {"value": value, "annotations": list(notes)}}
    return {"content": [{"type": "text", "text": json.dumps(told)}]}


SAID = "Kites fly.【1†source】 They need wind.【2†source】"


def test_each_page_has_what_is_said_of_it() -> None:
    found = findings_of(result(SAID, note(SAID, "【1†source】", NEWS), note(SAID, "【2†source】", WIKI, "")), ANY)
    assert found.sources == (Source(NEWS, "A page", "Kites fly."), Source(WIKI, "wiki.test", "They need wind."))
    assert told_of(found) == f"A page\n{NEWS}\nKites fly.\n\nwiki.test\n{WIKI}\nThey need wind."


@pytest.mark.parametrize(
    "changes",
    [
        {"start_index": 1_000, "end_index": 1_010},
        {"start_index": 12, "end_index": 22},
        {"start_index": None},
        {"start_index": "0"},
        {"start_index": 9, "end_index": 3},
    ],
)
def test_offsets_in_another_unit_are_no_matter(changes: dict[str, Any]) -> None:
    notes = note(SAID, "【1†source】", NEWS, **changes), note(SAID, "【2†source】", WIKI, **changes)
    assert [source.text for source in findings_of(result(SAID, *notes), ANY).sources] == [
        "Kites fly.",
        "They need wind.",
    ]


def test_a_page_that_is_cited_twice_is_one() -> None:
    notes = note(SAID, "【1†source】", NEWS), note(SAID, "【2†source】", NEWS)
    assert findings_of(result(SAID, *notes), ANY).sources == (Source(NEWS, "A page", "Kites fly.\nThey need wind."),)


def test_pages_that_the_tool_does_not_allow_are_left_out_and_so_is_the_whole() -> None:
    notes = note(SAID, "【1†source】", NEWS), note(SAID, "【2†source】", WIKI)
    found = findings_of(result(SAID, *notes), SearchTool("web_search", blocked_domains=("news.test",)))
    assert found == Findings((Source(WIKI, "A page", "They need wind."),))


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("Plain words, no JSON.", "Plain words, no JSON."),
        ('{"type": "output_text", "text": "Bare."}', "Bare."),
        ('{"text": {"value": "No notes."}}', "No notes."),
        ('{"text": {"value": "Odd notes.", "annotations": [7, {}, {"url_citation": null}]}}', "Odd notes."),
        ('{"other": 1}', '{"other": 1}'),
        ("[1, 2]", "[1, 2]"),
    ],
)
def test_an_answer_without_citations_is_read_as_a_whole(text: str, summary: str) -> None:
    found = findings_of({"content": [{"type": "text", "text": text}]}, ANY)
    assert found == Findings((), summary)
    assert told_of(found).endswith(summary)


def test_links_in_a_plain_answer_are_pages() -> None:
    found = findings_of({"content": [{"type": "text", "text": f"Kites fly. ([News]({NEWS}))"}]}, ANY)
    assert found.sources == (Source(NEWS, "News", "Kites fly."),)


@pytest.mark.parametrize("content", [None, [], [7], "text", [{"type": "image"}], [{"type": "text", "text": " "}]])
def test_nothing_found_is_said(content: Any) -> None:
    assert told_of(findings_of({"content": content}, ANY)) == "The search named no pages."


@pytest.mark.parametrize(
    ("tool", "query"),
    [
        (ANY, "kites"),
        (SearchTool("w", allowed_domains=("a.test", "b.test/x")), "kites site:a.test OR site:b.test/x"),
        (SearchTool("w", blocked_domains=("a.test", "b.test")), "kites -site:a.test -site:b.test"),
        (SearchTool("w", location={"city": "Kiel", "country": "DE"}), "kites (near Kiel, DE)"),
    ],
)
def test_limits_are_said_in_the_query(tool: SearchTool, query: str) -> None:
    assert arguments("kites", tool) == {"query": query}


def test_what_it_cost_is_read_where_it_may_stand() -> None:
    usage = {"copilot_usage": {"total_nano_aiu": 5}}
    for told in (usage, {"_meta": usage}):
        assert cost_of(told) == {"copilot": usage}
    assert cost_of({"content": []}) == {}
