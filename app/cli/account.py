"""``login`` and ``logout``: the bridge's own sign-in to GitHub."""

from __future__ import annotations

import time

import click
from flask.cli import with_appcontext

from app.cli.actor import actor
from app.errors import GatewayError
from app.gateway import current_gateway
from app.logs import audit

_NAMES = {"environment": "GH_COPILOT_TOKEN", "app": "GITHUB_APP_ID"}


@click.command()
@with_appcontext
def login() -> None:
    """Sign in to GitHub from the terminal."""
    gateway = current_gateway()
    try:
        sign_in = gateway.sign_in.begin(actor=actor(), anew=True, poll=False)
        minutes = max(1, round((sign_in.expires_at - time.time()) / 60))
        click.echo(f"Open {sign_in.verification_uri} and enter the code {sign_in.user_code} (valid {minutes} minutes).")
        click.echo("Waiting …")
        ended = gateway.sign_in.wait(sign_in)
    except GatewayError as error:
        raise click.ClickException(error.message) from error
    if ended.state != "done":
        raise click.ClickException(ended.message or "The sign-in did not complete.")
    click.echo(f"Signed in{f' as {ended.user}' if ended.user else ''}.")
    if (token := gateway.github_tokens.current()) is not None and token.is_configured:
        click.echo(f"Note: {_NAMES[token.source]} is set and goes before this sign-in.")


@click.command()
@with_appcontext
def logout() -> None:
    """Remove the bridge's own sign-in from this machine."""
    gateway = current_gateway()
    try:
        former = gateway.github_tokens.current()
        removed = gateway.github_tokens.forget()
        gateway.copilot_tokens.forget_all()
        gateway.sign_in.cancel()
        if removed:
            audit("signed out", actor=actor(), before=former and (former.user or former.source))
    except GatewayError as error:
        raise click.ClickException(error.message) from error
    click.echo("Signed out." if removed else "There was no sign-in of the bridge's own.")
    if (token := gateway.github_tokens.current()) is not None:
        where = _NAMES.get(token.source, "an editor's sign-in")
        click.echo(
            f"Note: {where} is still there and is used now. To revoke access: https://github.com/settings/apps/authorizations"
        )
