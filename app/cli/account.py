"""``login`` and ``logout``: the bridge's own sign-in to GitHub."""

from __future__ import annotations

import time

from flask.cli import with_appcontext

from app.cli.actor import actor
from app.cli.command import command
from app.cli.words import failure, say
from app.errors import GatewayError, Sentence
from app.gateway import current_gateway
from app.logs import audit

_NAMES = {"environment": "GH_COPILOT_TOKEN", "app": "GITHUB_APP_ID"}


@command()
@with_appcontext
def login() -> None:
    """Sign in to GitHub from the terminal."""
    gateway = current_gateway()
    try:
        sign_in = gateway.sign_in.begin(actor=actor(), anew=True, poll=False)
        minutes = max(1, round((sign_in.expires_at - time.time()) / 60))
        say(
            Sentence(
                "Open %(address)s and enter the code %(code)s (valid %(minutes)s minutes).",
                address=sign_in.verification_uri,
                code=sign_in.user_code,
                minutes=minutes,
            )
        )
        say(Sentence("Waiting …"))
        ended = gateway.sign_in.wait(sign_in)
    except GatewayError as error:
        raise failure(error) from error
    if ended.state != "done":
        raise failure(ended.message or Sentence("The sign-in did not complete."))
    say(Sentence("Signed in as %(user)s.", user=ended.user) if ended.user else Sentence("Signed in."))
    if (token := gateway.github_tokens.current()) is not None and token.is_configured:
        say(Sentence("Note: %(name)s is set and goes before this sign-in.", name=_NAMES[token.source]))


@command()
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
        raise failure(error) from error
    say(Sentence("Signed out.") if removed else Sentence("There was no sign-in of the bridge's own."))
    if (token := gateway.github_tokens.current()) is not None:
        say(
            Sentence(
                "Note: %(what)s is still there and is used now. To revoke access: %(address)s",
                what=_NAMES.get(token.source, Sentence("an editor's sign-in")),
                address="https://github.com/settings/apps/authorizations",
            )
        )
