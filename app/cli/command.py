"""Commands, groups and options whose help, and what click itself says, are in the language of the terminal.

In any language but Chinese all is as click has it. ``scripts/translations.py`` takes the words from here: those of each
command of the tree (`own_words`), and those of the modules of click that speak (`CLICK`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import ModuleType
from typing import Any, Final

import click
import click.core
import click.exceptions
import click.formatting
import click.parser
import click.termui
import click.types

from app.cli.columns import padded, width, wrapped
from app.terminal import catalogue, is_chinese, phrase

CLICK: Final[tuple[ModuleType, ...]] = (
    *(click.core, click.exceptions, click.formatting, click.parser, click.termui, click.types),
)
_SHOWS_HELP: Final = "Show this message and exit."
# FILE, INTEGER RANGE: what stands for a value. One letter is no word.
_PLACEHOLDER: Final = re.compile(r"[A-Z]{2,}(?: [A-Z]{2,})*")
_UNWRAPPED: Final = "\b"
# click asks for these when a type is made, long before it is shown; then they are placeholders.
_NAMES: Final = ("file", "directory", "path")


def placeholders(text: str) -> str:
    """A metavar, or several, in the language of the terminal."""
    return _PLACEHOLDER.sub(lambda found: phrase(found[0]), text)


def _say_click_in_chinese() -> None:
    """click asks ``gettext``, which finds catalogues by the locale's exact name; and it must not mix two languages."""

    def one(words: str, usual: Any) -> str:
        return phrase(words) if is_chinese() and words not in _NAMES else str(usual(words))

    def some(one_of: str, many: str, count: int, usual: Any) -> str:
        return catalogue().ngettext(one_of, many, count) if is_chinese() else str(usual(one_of, many, count))

    for module in CLICK:
        for name, told in (("_", one), ("ngettext", some)):
            if (usual := getattr(module, name, None)) is not None and not isinstance(usual, partial):
                setattr(module, name, partial(told, usual=usual))


class _Formatter(click.HelpFormatter):
    """Chinese has two columns a character and no spaces to break lines at."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        if not is_chinese():
            super().write_usage(prog, args, prefix)
            return
        lead = f"{prefix or phrase('Usage:')}{prog} "
        first, *rest = wrapped(args, self.width - width(lead)) or [""]
        self.write(f"{lead}{first}".rstrip() + "\n")
        self.write("".join(f"{' ' * width(lead)}{line}\n" for line in rest))

    def write_heading(self, heading: str) -> None:
        if not is_chinese():
            super().write_heading(heading)
            return
        self.write(f"{' ' * self.current_indent}{heading}：\n")

    def write_text(self, text: str) -> None:
        if not is_chinese():
            super().write_text(text)
            return
        indent = " " * self.current_indent
        paragraphs = [self._lines(text, self.width - self.current_indent) for text in text.split("\n\n")]
        self.write("\n\n".join("\n".join(indent + line for line in lines) for lines in paragraphs) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        rows = list(rows)
        if not is_chinese():
            super().write_dl(rows, col_max, col_spacing)
            return
        at = min(max(width(first) for first, _ in rows), col_max) + col_spacing
        indent = " " * self.current_indent
        for first, second in rows:
            lines = wrapped(second, max(self.width - at - self.current_indent, 10))
            if width(first) > at - col_spacing:
                lines = ["", *lines]
            for number, line in enumerate(lines or [""]):
                self.write((indent + padded("" if number else first, at) + line).rstrip() + "\n")

    @staticmethod
    def _lines(paragraph: str, columns: int) -> list[str]:
        lines = paragraph.splitlines()
        return lines[1:] if lines[:1] == [_UNWRAPPED] else wrapped(" ".join(lines), columns)


class _Context(click.Context):
    formatter_class = _Formatter


class _Spoken:
    """Something that has a help text."""

    _help: str | None = None

    @property
    def help(self) -> str | None:
        return phrase(inspect.cleandoc(self._help)) if self._help and is_chinese() else self._help

    @help.setter
    def help(self, text: str | None) -> None:
        self._help = text


class Option(_Spoken, click.Option):
    """An option."""

    def make_metavar(self, ctx: click.Context) -> str:
        return placeholders(super().make_metavar(ctx))


class Argument(_Spoken, click.Argument):
    """An argument."""

    def make_metavar(self, ctx: click.Context) -> str:
        return placeholders(super().make_metavar(ctx))


class Command(_Spoken, click.Command):
    """A command."""

    context_class = _Context

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        found = super().get_help_option(ctx)
        if found is not None:
            found.help = phrase(_SHOWS_HELP)  # click made it once, in the language of that moment
        return found

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence, whole: a list of commands has more lines for a long one."""
        text = super().get_short_help_str(max(limit, 200))
        return (self.help or "").split("\n\n")[0].partition("。")[0] if is_chinese() else text

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [placeholders(piece) for piece in super().collect_usage_pieces(ctx)]


class Group(Command, click.Group):
    """Commands under one name."""

    command_class = Command
    group_class = type


def command(**options: Any) -> Callable[[Callable[..., Any]], Command]:
    """As `click.command`."""
    return click.command(cls=Command, **options)


def group(**options: Any) -> Callable[[Callable[..., Any]], Group]:
    """As `click.group`."""
    return click.group(cls=Group, **options)


option = partial(click.option, cls=Option)
argument = partial(click.argument, cls=Argument)


def own_words(command: click.Command) -> Iterator[str]:
    """Everything that the help of a command, and of those below it, has to say; asked for in an English terminal."""
    context = _Context(command)
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    texts = [command.help, *(getattr(param, "help", None) for param in shown), _SHOWS_HELP]
    yield from (inspect.cleandoc(text) for text in texts if text)
    metavars = [*(param.make_metavar(context) for param in shown), *command.collect_usage_pieces(context)]
    yield from (words for text in metavars for words in _PLACEHOLDER.findall(text))
    for below in getattr(command, "commands", {}).values():
        yield from own_words(below)


_say_click_in_chinese()
