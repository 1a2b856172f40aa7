"""What a command says: `Sentence`s, in the language of the terminal."""

from __future__ import annotations

import click

from app.cli.command import placeholders
from app.terminal import in_words


def say(message: str, *, to_stderr: bool = False) -> None:
    """Print a line."""
    click.echo(in_words(message), err=to_stderr)


def failure(message: object) -> click.ClickException:
    """What ends a command with this line: a sentence, or an error that holds one."""
    return click.ClickException(in_words(message))


def misused(message: str) -> click.UsageError:
    """The same, for options that do not go together."""
    return click.UsageError(in_words(message))


def unusable(message: str, what: str | None = None) -> click.BadParameter:
    """The same, for a value that cannot be used. what: the option or argument, unless click knows it."""
    return click.BadParameter(in_words(message), param_hint=what and placeholders(what))
