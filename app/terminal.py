"""What a command says, in the language of the terminal: Chinese where the locale is, else English."""

from __future__ import annotations

import gettext
import re
import sys
from functools import cache
from pathlib import Path
from typing import Final

from app.errors import Sentence, sentence_of
from app.settings import terminal_locale

# Between sentences that were joined: a Chinese mark has its space in itself.
_SPACED: Final = re.compile(r"(?<=[，。；：！？）]) +")
_CATALOGUES: Final = Path(__file__).parent / "translations"


_OF_THE_SYSTEM: Final = (
    *(Sentence("No such file or directory"), Sentence("Permission denied"), Sentence("Operation not permitted")),
    *(Sentence("Is a directory"), Sentence("Not a directory"), Sentence("File exists"), Sentence("Input/output error")),
    *(Sentence("No space left on device"), Sentence("Read-only file system"), Sentence("Too many open files")),
    *(Sentence("Address already in use"), Sentence("Cannot assign requested address"), Sentence("Connection refused")),
    *(Sentence("Network is unreachable"), Sentence("No route to host"), Sentence("Connection timed out")),
)
"""What errors of the system are called: as values of sentences, these are translated too."""


def is_chinese() -> bool:
    """Also whether the terminal can write it."""
    if not terminal_locale().lower().startswith("zh"):
        return False
    try:
        "中文".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def in_words(message: object) -> str:
    """A sentence in the language of the terminal; a plain string stays as it is, an exception is what it holds."""
    if isinstance(message, Exception):
        message = sentence_of(message)
    return _translated(message) if isinstance(message, Sentence) and is_chinese() else str(message)


def phrase(words: str) -> str:
    """Words that have no values, as the catalogue has them; as they are if it does not."""
    return catalogue().gettext(words) if words and is_chinese() else words


def _translated(sentence: Sentence) -> str:
    values = {
        name: _translated(value)
        if isinstance(value, Sentence)
        else catalogue().gettext(value)
        if value in _OF_THE_SYSTEM
        else value
        for name, value in sentence.values.items()
    }
    words = catalogue().gettext(sentence.template) if sentence.template else ""
    return _SPACED.sub("", words % values) if values else words


@cache
def catalogue() -> gettext.NullTranslations:
    """The Chinese one."""
    return gettext.translation("messages", _CATALOGUES, ["zh_Hans"])
