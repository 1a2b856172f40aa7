"""What a command says, in the language of the terminal: Chinese where the locale is, else English."""

from __future__ import annotations

import gettext
import sys
from functools import cache
from pathlib import Path
from typing import Final

import click

from app.errors import Sentence
from app.settings import terminal_locale

_CATALOGUES: Final = Path(__file__).resolve().parents[1] / "translations"


def say(message: str, *, to_stderr: bool = False) -> None:
    """Print a line."""
    click.echo(in_words(message), err=to_stderr)


def failure(message: str) -> click.ClickException:
    """What ends a command with this line."""
    return click.ClickException(in_words(message))


def in_words(message: str) -> str:
    """A sentence in the language of the terminal; a plain string stays as it is."""
    return _translated(message) if isinstance(message, Sentence) and _is_chinese() else str(message)


def _is_chinese() -> bool:
    """Also whether the terminal can write it."""
    if not terminal_locale().lower().startswith("zh"):
        return False
    try:
        "中文".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _translated(sentence: Sentence) -> str:
    values = {
        name: _translated(value) if isinstance(value, Sentence) else value for name, value in sentence.values.items()
    }
    words = _catalogue().gettext(sentence.template)
    return words % values if values else words


@cache
def _catalogue() -> gettext.NullTranslations:
    return gettext.translation("messages", _CATALOGUES, ["zh_Hans"])
