"""Copilot's own web search, a tool of its MCP endpoint: what it is asked, and what its answers found (contract §14.2).

The result is a written answer with citations, as JSON within the text of an MCP result:
``{"type": "output_text", "text": {"value": "…", "annotations": [{"start_index": …, "url_citation": {…}}]}}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.converters.neutral.search_findings import findings_in
from app.converters.neutral.vocabulary import Annotation, Extra, Text
from app.converters.neutral.web_search import Findings, SearchTool
from app.converters.wire import accounting, json_bytes

TOOL: Final = "web_search"


def arguments(query: str, tool: SearchTool) -> dict[str, Any]:
    """The arguments of a search. It takes one query and nothing else, so the limits of the client's tool are said in
    the words of search engines; the domains are also enforced on what comes back."""
    words = [query]
    if tool.allowed_domains:
        words.append(" OR ".join(f"site:{domain}" for domain in tool.allowed_domains))
    words += [f"-site:{domain}" for domain in tool.blocked_domains]
    if tool.location:
        words.append(f"(near {', '.join(tool.location.values())})")
    return {"query": " ".join(words)}


def findings_of(result: Mapping[str, Any], tool: SearchTool) -> Findings:
    """What the ``result`` of a call found: the pages that its answer cites, with what it says of each."""
    content = result.get("content")
    blocks = content if isinstance(content, list) else []
    given = (block.get("text") for block in blocks if isinstance(block, dict) and block.get("type") == "text")
    texts = [_text(text) for text in given if isinstance(text, str) and text.strip()]
    return findings_in([text for text in texts if text.text], tool)


def cost_of(result: Mapping[str, Any]) -> Extra:
    """What it cost, if Copilot tells: as the ``extra`` of an answer."""
    meta = result.get("_meta")
    return accounting.extra_with(
        accounting.account_in(result) or (accounting.account_in(meta) if isinstance(meta, dict) else None)
    )


def _text(raw: str) -> Text:
    """One written answer; a text that is no such JSON is the answer itself."""
    try:
        told = json_bytes.loads(raw.encode("utf-8", "surrogatepass"))
    except ValueError:
        return Text(raw)
    if not isinstance(told, dict):
        return Text(raw)
    inner = told.get("text")
    holder = inner if isinstance(inner, dict) else told
    value = holder.get("value") if isinstance(inner, dict) else inner
    if not isinstance(value, str):
        return Text(raw)
    notes = holder.get("annotations")
    found = (_annotation(note, value) for note in notes if isinstance(note, dict)) if isinstance(notes, list) else ()
    return Text(value, tuple(note for note in found if note.url))


def _annotation(note: Mapping[str, Any], value: str) -> Annotation:
    nested = note.get("url_citation")
    cited = nested if isinstance(nested, dict) else note
    start, end, mark = note.get("start_index"), note.get("end_index"), note.get("text")
    if type(start) is not int or type(end) is not int or not 0 <= start <= end:
        start = end = None
    if isinstance(mark, str) and mark and (start is None or value[start:end] != mark):
        # Offsets may count in another unit; the mark itself stands in the text.
        at = value.find(mark)
        start, end = (at, at + len(mark)) if at >= 0 else (start, end)
    url, title = cited.get("url"), cited.get("title")
    return Annotation(
        "url",
        url if isinstance(url, str) else None,
        title if isinstance(title, str) else None,
        start_index=start,
        end_index=end,
    )
