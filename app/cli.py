"""Commands for the operator: ``flask --app wsgi settings | protocols | login | logout``."""

from __future__ import annotations

import time

import click
from flask import Flask
from flask.cli import with_appcontext

from app.converters.registry import CODECS
from app.errors import GatewayError
from app.gateway import current_gateway
from app.settings import rows


def register_commands(app: Flask) -> None:
    for command in (settings, protocols, login, logout):
        app.cli.add_command(command)


@click.command()
@click.option("--markdown", is_flag=True, help="As the table of docs/configuration.md (defaults instead of values).")
@with_appcontext
def settings(markdown: bool) -> None:
    """Show the effective settings; secrets are masked."""
    table = rows(current_gateway().settings)
    if markdown:
        click.echo("| Variable | Default | Meaning |\n| --- | --- | --- |")
        for row in table:
            click.echo(f"| `{row.env}` | {row.default if row.default == '–' else f'`{row.default}`'} | {row.help} |")
        return
    width = max(len(row.env) for row in table)
    for row in table:
        mark = " " if row.value == row.default else "*"
        click.echo(f"{mark} {row.env:<{width}}  {row.value}")
    click.echo("\n* differs from the default")


_VERDICTS = {
    "mapped": "carried over to every protocol that can say it",
    "carried": "kept where the model speaks the same protocol",
    "dropped": "left out, and named in `x-bridge-dropped`",
    "refused": "answered with a 400 that names it",
}


@click.command()
def protocols() -> None:
    """Show what becomes of every request field, as the tables of docs/protocols.md."""
    for name, codec in CODECS.items():
        click.echo(f"## {name}: `POST {codec.upstream_path}`\n")
        for verdict, meaning in _VERDICTS.items():
            found = {field: entry.note for field, entry in codec.fields.items() if entry.verdict == verdict}
            if not found:
                continue
            click.echo(f"**{verdict.capitalize()}** – {meaning}\n\n| Field | |\n| --- | --- |")
            for field, note in sorted(found.items()):
                click.echo(f"| `{field}` | {note.replace('|', '&#124;')} |")
            click.echo()


@click.command()
@with_appcontext
def login() -> None:
    """Sign in to GitHub from the terminal."""
    gateway = current_gateway()
    try:
        sign_in = gateway.sign_in.begin(anew=True, poll=False)
        minutes = max(1, round((sign_in.expires_at - time.time()) / 60))
        click.echo(f"Open {sign_in.verification_uri} and enter the code {sign_in.user_code} (valid {minutes} minutes).")
        click.echo("Waiting …")
        ended = gateway.sign_in.wait(sign_in)
    except GatewayError as error:
        raise click.ClickException(error.message) from error
    if ended.state != "done":
        raise click.ClickException(ended.message or "The sign-in did not complete.")
    click.echo(f"Signed in{f' as {ended.user}' if ended.user else ''}.")
    if (token := gateway.github_tokens.current()) is not None and token.source == "environment":
        click.echo("Note: GH_COPILOT_TOKEN is set and goes before this sign-in.")


@click.command()
@with_appcontext
def logout() -> None:
    """Remove the bridge's own sign-in from this machine."""
    gateway = current_gateway()
    try:
        removed = gateway.github_tokens.forget()
        gateway.copilot_tokens.forget_all()
        gateway.sign_in.cancel()
    except GatewayError as error:
        raise click.ClickException(error.message) from error
    click.echo("Signed out." if removed else "There was no sign-in of the bridge's own.")
    if (token := gateway.github_tokens.current()) is not None:
        where = "GH_COPILOT_TOKEN" if token.source == "environment" else "an editor's sign-in"
        click.echo(
            f"Note: {where} is still there and is used now. To revoke access: https://github.com/settings/apps/authorizations"
        )
