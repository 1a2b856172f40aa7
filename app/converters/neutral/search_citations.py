"""Which found pages a text cites, for dialects that tell of a search by the annotations of what follows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from app.converters.neutral.vocabulary import Annotation, Text
from app.converters.neutral.web_search import Source

_LINK: Final = re.compile(
    r"\[[^\]\n]{1,300}\]\((https?://[^\s()]+(?:\([^\s()]*\)[^\s()]*)*)\)|(https?://[^\s<>\"'`\])]+)"
)
_AFTER: Final = ".,;:!?*_"


class Citations:
    """The pages found for one answer, and which of them it has cited. One per answer.

    A page that a text names, as a link or by its address, is cited where it stands. Pages that nothing has cited yet
    are the sources of the first text after the search that names none.
    """

    def __init__(self) -> None:
        self._found: dict[str, Source] = {}
        self._cited: set[str] = set()

    def note(self, sources: Iterable[Source]) -> None:
        """These were found."""
        for source in sources:
            self._found.setdefault(_key(source.url), source)

    def cited(self, text: Text) -> Text:
        """The text with its annotations."""
        named = [(key, note) for key, note in self._named(text.text) if key in self._found]
        if not named and text.text.strip():
            unnamed = ((key, source) for key, source in self._found.items() if key not in self._cited)
            named = [(key, Annotation("url", source.url, source.title)) for key, source in unnamed]
        self._cited.update(key for key, _ in named)
        return replace(text, annotations=(*text.annotations, *(note for _, note in named))) if named else text

    def _named(self, text: str) -> Iterator[tuple[str, Annotation]]:
        if not self._found:
            return
        for link in _LINK.finditer(text):
            bare = (link[2] or "").rstrip(_AFTER)
            key = _key(link[1] or bare)
            if (source := self._found.get(key)) is not None:
                end = link.start() + len(bare) if bare else link.end()
                yield key, Annotation("url", source.url, source.title, start_index=link.start(), end_index=end)


def _key(url: str) -> str:
    """What two spellings of one address have in common."""
    return url.partition("#")[0].rstrip("/")
