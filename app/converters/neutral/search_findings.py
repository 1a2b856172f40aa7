"""What a search came to, read from a text that cites its pages: whoever has searched and written it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from app.converters.neutral.vocabulary import Annotation, Text
from app.converters.neutral.web_search import Findings, SearchTool, Source

# OpenAI marks the addresses that it cites.
_MARK: Final = re.compile(r"[?&]utm_source=(?:openai|chatgpt\.com)(?=$|[&#])")
_LINK: Final = re.compile(r"\[([^\]\n]{1,300})\]\((https?://[^\s()]+(?:\([^\s()]*\)[^\s()]*)*)\)")


def findings_in(texts: Sequence[Text], tool: SearchTool, *, further: Iterable[tuple[str, str]] = ()) -> Findings:
    """What was found, each page once, in the order of the text. Pages that the tool does not allow are left out.

    further: address and title of pages that were found as well.
    """
    found: dict[str, Source] = {}
    for text in texts:
        for note, said in _cited(text):
            _add(found, note.url or "", note.title or "", said)
    summary = "\n\n".join(text.text.strip() for text in texts)
    is_cited = bool(found)
    for url, title in further:
        _add(found, url, title, "")
    allowed = [source for source in found.values() if tool.allows(source.url)]
    if allowed and not is_cited and len(allowed) == len(found):
        # Nothing says which page told what.
        allowed[0] = Source(allowed[0].url, allowed[0].title, summary)
    is_limited = bool(tool.allowed_domains or tool.blocked_domains)
    return Findings(tuple(allowed), "" if is_limited else summary)


def cites(texts: Sequence[Text]) -> bool:
    """Whether any page is named in them."""
    found: dict[str, Source] = {}
    for text in texts:
        for note, _ in _cited(text):
            _add(found, note.url or "", "", "")
    return bool(found)


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
