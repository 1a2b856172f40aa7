"""Sources that a text names: OpenAI's ``annotations`` against the neutral ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.converters.neutral.vocabulary import Annotation


def decode_annotations(given: Any) -> tuple[Annotation, ...]:
    """Of a message or delta; what is no list of objects (contract §6.5.11) holds none."""
    return tuple(_decoded(raw) for raw in given if isinstance(raw, dict)) if isinstance(given, list) else ()


def encode_annotations(annotations: Iterable[Annotation], offset: int, length: int) -> list[dict[str, Any]]:
    """Verbatim if chat's own; web pages of other protocols likewise; a passage of a document has no form in chat.

    offset: characters of the message before the text that these belong to. length: of that text, all of which they
    are the source of unless they say otherwise.
    """
    encoded: list[dict[str, Any]] = []
    for annotation in annotations:
        if annotation.origin == "chat":
            encoded.append(annotation.value)
        elif annotation.kind == "url" and annotation.url:
            start = annotation.start_index or 0
            end = length if annotation.end_index is None else annotation.end_index
            citation = {
                "start_index": start + offset,
                "end_index": end + offset,
                "title": annotation.title or annotation.url,
                "url": annotation.url,
            }
            encoded.append({"type": "url_citation", "url_citation": citation})
    return encoded


def _decoded(raw: dict[str, Any]) -> Annotation:
    citation = raw.get("url_citation")
    if not isinstance(citation, dict):
        return Annotation(origin="chat", value=raw)
    start, end = citation.get("start_index"), citation.get("end_index")
    url, title = citation.get("url"), citation.get("title")
    return Annotation(
        "url",
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        start_index=start if isinstance(start, int) else None,
        end_index=end if isinstance(end, int) else None,
        origin="chat",
        value=raw,
    )
