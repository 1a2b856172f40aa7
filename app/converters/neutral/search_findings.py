"""A web search by a model that has it at ``/responses``: the request for it, and what the answer found.

Contract §7.4, §7.5.6: upstream runs ``web_search`` itself and tells ``web_search_call`` items; the sources stand as
``url_citation`` annotations of the text. Only fields that upstream is known to take are sent, so the limits of the
client's tool (domains, place) are words of the instructions; the domains are also enforced on what comes back.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

from app.converters.ir import Annotation, Opaque, Response, Text
from app.converters.responses.parts_decoder import ORIGIN
from app.converters.websearch import Failure, Findings, SearchTool, Source

_TASK: Final = (
    "You are a search engine for another model. Search the web for the user's query, then report what the pages say: "
    "facts, numbers, names and dates, as exactly as the pages give them, in short paragraphs. Cite the page of every "
    "statement. Add nothing from memory and do not address the user. If the search finds nothing, say only that."
)
# OpenAI marks the addresses that it cites.
_MARK: Final = re.compile(r"[?&]utm_source=(?:openai|chatgpt\.com)(?=$|[&#])")
_LINK: Final = re.compile(r"\[([^\]\n]{1,300})\]\((https?://[^\s()]+(?:\([^\s()]*\)[^\s()]*)*)\)")


def search_body(query: str, tool: SearchTool, *, model: str) -> dict[str, Any]:
    """The body of the search call. It is streamed, so that a client that leaves ends the search."""
    return {
        "model": model,
        "instructions": "\n".join([_TASK, *_limits(tool)]),
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": query}]}],
        "tools": [{"type": "web_search"}],
        "tool_choice": "required",
        "store": False,
        "stream": True,
    }


def _limits(tool: SearchTool) -> list[str]:
    told = []
    if tool.allowed_domains:
        told.append(f"Use only pages of these domains: {', '.join(tool.allowed_domains)}.")
    if tool.blocked_domains:
        told.append(f"Use no pages of these domains: {', '.join(tool.blocked_domains)}.")
    if tool.location:
        place = ", ".join(f"{name} {value}" for name, value in tool.location.items())
        told.append(f"Where the place matters, the user is here: {place}.")
    return told


def findings_of(response: Response, tool: SearchTool) -> Findings | Failure:
    """What was found, each page once, in the order of the text. Pages that the tool does not allow are left out.

    Failure "unavailable": the model has not searched at all.
    """
    found: dict[str, Source] = {}
    texts = [part for part in response.parts if isinstance(part, Text) and part.text]
    for text in texts:
        for note, said in _cited(text):
            _add(found, note.url or "", note.title or "", said)
    calls = [part.value for part in response.parts if isinstance(part, Opaque) and _is_call(part)]
    if not calls and not found:
        return Failure("unavailable")
    summary = "\n\n".join(text.text.strip() for text in texts)
    is_cited = bool(found)
    for url, title in (pair for call in calls for pair in _sources(call)):
        _add(found, url, title, "")
    allowed = [source for source in found.values() if tool.allows(source.url)]
    if allowed and not is_cited and len(allowed) == len(found):
        # Nothing says which page told what.
        allowed[0] = Source(allowed[0].url, allowed[0].title, summary)
    is_limited = bool(tool.allowed_domains or tool.blocked_domains)
    return Findings(tuple(allowed), "" if is_limited else summary)


def _add(found: dict[str, Source], url: str, title: str, said: str) -> None:
    url = _plain(url)
    if not url.startswith(("https://", "http://")):
        return
    known = found.get(url)
    if known is None:
        found[url] = Source(url, title.strip() or _host(url), said)
    elif said:
        found[url] = Source(url, known.title, f"{known.text}\n{said}".strip())


def _plain(url: str) -> str:
    plain = _MARK.sub("", url.strip())
    return plain.replace("&", "?", 1) if "?" not in plain and "&" in plain else plain


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _cited(text: Text) -> list[tuple[Annotation, str]]:
    """Each citation with what was said since the one before; words after the last belong to the last."""
    notes = [note for note in text.annotations if note.kind == "url" and note.url]
    if not notes:
        # A model, or a proxy, that gives no annotations still writes links.
        notes = [
            Annotation("url", link[2], link[1], start_index=link.start(), end_index=link.end())
            for link in _LINK.finditer(text.text)
        ]
    placed = sorted(notes, key=lambda note: note.start_index or 0)
    cited: list[tuple[Annotation, str]] = []
    at = 0
    for note in placed:
        start, end = note.start_index, note.end_index
        if start is None or end is None or not 0 <= start <= end <= len(text.text):
            start = end = at
        cited.append((note, _statement(text.text[at:start])))
        at = max(at, end)
    rest = _statement(text.text[at:])
    if cited and rest:
        note, said = cited[-1]
        cited[-1] = (note, f"{said}\n{rest}".strip())
    return cited


def _statement(text: str) -> str:
    """The words without the brackets of a link that stood beside them."""
    text = text.strip()
    while text.startswith((")", "]", ".", ",", ";")):
        text = text[1:].lstrip()
    return text.rstrip("([ \n\t")


def _is_call(part: Opaque) -> bool:
    return part.origin == ORIGIN and isinstance(part.value, dict) and part.value.get("type") == "web_search_call"


def _sources(call: dict[str, Any]) -> list[tuple[str, str]]:
    """``action.sources``, which upstream may add."""
    action = call.get("action")
    given = action.get("sources") if isinstance(action, dict) else None
    sources = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    return [(str(one.get("url") or ""), str(one.get("title") or "")) for one in sources]
