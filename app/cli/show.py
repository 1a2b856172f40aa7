"""``settings`` and ``protocols``: what is in effect, and the tables that the docs are made of."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from app.cli.command import command, option
from app.cli.words import say
from app.converters.registry import CLIENTS
from app.errors import Sentence
from app.gateway import current_gateway
from app.settings import rows
from app.terminal import in_words, phrase


@command()
@option("--markdown", is_flag=True, help="As the table of docs/configuration.md (defaults instead of values).")
@with_appcontext
def settings(markdown: bool) -> None:
    """Show the effective settings; secrets are masked."""
    table = rows(current_gateway().settings)
    if markdown:
        click.echo(f"| {' | '.join(map(in_words, _HEADINGS))} |\n| --- | --- | --- |")
        for row in table:
            click.echo(
                f"| `{row.env}` | {f'`{row.default}`' if row.default.strip('–') else '–'} | {phrase(row.help)} |"
            )
        return
    width = max(len(row.env) for row in table)
    for row in table:
        mark = "*" if row.is_set else " "
        click.echo(f"{mark} {row.env:<{width}}  {row.value}")
    say(Sentence("\n* differs from the default"))
    if names := current_gateway().keys.names():
        say(Sentence("The log names the keys of API_KEY, in this order: %(names)s", names=", ".join(names)))


_HEADINGS = (Sentence("Variable"), Sentence("Default"), Sentence("Meaning"))
_VERDICTS = {
    "mapped": (Sentence("Mapped"), Sentence("carried over to every protocol that can say it")),
    "carried": (Sentence("Carried"), Sentence("kept where the model speaks the same protocol")),
    "dropped": (Sentence("Dropped"), Sentence("left out, and named in `x-bridge-dropped`")),
    "refused": (Sentence("Refused"), Sentence("answered with a 400 that names it")),
}


@command()
def protocols() -> None:
    """Show what becomes of every request field.

    The same as the tables of docs/protocols.md.
    """
    for name, codec in CLIENTS.items():
        click.echo(f"## {name}: `POST {codec.prefers}`\n")
        for verdict, (name_shown, meaning) in _VERDICTS.items():
            found = {field: entry.note for field, entry in codec.fields.items() if entry.verdict == verdict}
            if not found:
                continue
            click.echo(f"**{in_words(name_shown)}** – {in_words(meaning)}\n")
            click.echo(f"| {in_words(Sentence('Field'))} | |\n| --- | --- |")
            for field, note in sorted(found.items()):
                click.echo(f"| `{field}` | {phrase(note).replace('|', '&#124;')} |")
            click.echo()
