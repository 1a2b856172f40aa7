"""``learned``: what upstream has refused by name and is left out since, to look at and to forget."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from app.cli.actor import actor
from app.cli.command import argument, group, option
from app.cli.words import failure, say
from app.errors import GatewayError, Sentence
from app.gateway import current_gateway
from app.logs import audit


@group()
def learned() -> None:
    """Show or forget what Copilot refused.

    Fields are left out of requests, and remembered for a day per model. Limits are heeded until they end.
    """


@learned.command("list")
@with_appcontext
def list_learned() -> None:
    """Show what is left out of requests, and for which model."""
    try:
        rows = current_gateway().refusals.all()
    except GatewayError as error:
        raise failure(error) from error
    for model, path, names in rows:
        click.echo(f"{model}  {path}  {', '.join(names)}")
    if not rows:
        say(Sentence("Nothing is remembered."))


@learned.command()
@argument("model")
@argument("name", required=False)
@with_appcontext
def forget(model: str, name: str | None) -> None:
    """Forget what was learned about MODEL: one field NAME, or everything. It holds from the next request on."""
    try:
        count = current_gateway().refusals.forget(model, name)
    except GatewayError as error:
        raise failure(error) from error
    if count:
        audit("learned names forgotten", actor=actor(), model=model, name=name, count=count)
    if not count:
        what = Sentence("%(name)s of the model %(model)s", name=repr(name), model=repr(model)) if name else None
        what = what or Sentence("the model %(model)s", model=repr(model))
        raise failure(Sentence("Nothing is remembered about %(what)s. See `learned list`.", what=what))
    say(
        Sentence("Forgotten: 1 name of %(model)s.", model=model)
        if count == 1
        else Sentence("Forgotten: %(count)s names of %(model)s.", count=count, model=model)
    )


@learned.command()
@option("--forget", "forgets", is_flag=True, help="Have the next calls find out whether it is still so.")
@with_appcontext
def limits(forgets: bool) -> None:
    """Show for what Copilot takes no calls, and until when."""
    governor = current_gateway().seats.own.governor
    try:
        for closed in governor.closed():
            say(
                Sentence(
                    "%(what)s: until %(until)s, asked again at %(at)s",
                    what=closed.words,
                    until=closed.told["until"],
                    at=closed.told["asked_again_at"],
                )
            )
        count = governor.forget_limits() if forgets else None
    except GatewayError as error:
        raise failure(error) from error
    if count:
        audit("limits forgotten", actor=actor(), count=count)
        say(Sentence("Forgotten: 1 limit.") if count == 1 else Sentence("Forgotten: %(count)s limits.", count=count))
    elif not governor.closed():
        say(Sentence("No limits are known."))
