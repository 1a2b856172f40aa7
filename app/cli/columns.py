"""Text in columns of the terminal, where a Chinese character takes two."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from functools import cache
from typing import Final

_WIDE: Final = (
    r"\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6"
)
_OPENING, _CLOSING = "\uff08「『《〈【“‘", "\uff0c。\uff1b\uff1a、\uff01\uff1f\uff09」』》〉】”’…"


@cache
def _piece() -> re.Pattern[str]:
    """What a line may be broken between: words, and wide characters one by one; but no line begins with a mark that
    closes, and none ends with one that opens. Made when it is wanted, for each worker imports this module."""
    return re.compile(
        rf"\s+|[{_OPENING}]*(?:[^\s{_WIDE}]+|(?![{_OPENING}{_CLOSING}])[{_WIDE}])[{_CLOSING}]*|[{_OPENING}{_CLOSING}]+"
    )


def width(text: str) -> int:
    """Columns that a text takes."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def padded(text: str, columns: int) -> str:
    """With spaces behind it, to fill so many columns."""
    return text + " " * (columns - width(text))


def wrapped(text: str, columns: int) -> list[str]:
    """In lines of so many columns; a word that is longer has a line of its own."""
    if width(text) == len(text):
        return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)
    lines, line = [], ""
    for piece in _piece().findall(text):
        if line and width(line + piece.rstrip()) > columns:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line else lines
