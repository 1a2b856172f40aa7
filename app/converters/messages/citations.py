"""Sources that a text names: Anthropic's ``citations`` against the neutral annotations."""

from __future__ import annotations

from typing import Any

from app.converters.messages.vocabulary import PROTOCOL
from app.converters.neutral.vocabulary import Annotation

Json = dict[str, Any]


def citations(value: Any) -> tuple[Annotation, ...]:
    """The ``citations`` of a text block."""
    return tuple(citation(one) for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def citation(fields: Json) -> Annotation:
    """One citation. Its wire form is kept; what other protocols can say of it stands beside."""
    url = fields.get("url")
    is_url = isinstance(url, str)
    is_file = isinstance(fields.get("document_index"), int)
    title = fields.get("title") if is_url else fields.get("document_title")
    cited = fields.get("cited_text")
    return Annotation(
        kind="url" if is_url else "file" if is_file else "other",
        url=url if is_url else None,
        title=title if isinstance(title, str) else None,
        cited_text=cited if isinstance(cited, str) else None,
        origin=PROTOCOL,
        value=fields,
    )


def citations_of(annotations: tuple[Annotation, ...]) -> list[Json]:
    """Citations: Anthropic's own as they were, web sources of other protocols in the form of a web search result."""
    found: list[Json] = []
    for note in annotations:
        if note.origin == PROTOCOL and isinstance(note.value, dict):
            found.append(note.value)
        elif note.url:
            found.append(
                {
                    "type": "web_search_result_location",
                    "url": note.url,
                    "title": note.title,
                    "cited_text": note.cited_text or "",
                    "encrypted_index": "",
                }
            )
    return found
