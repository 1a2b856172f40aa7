"""``mapping``: names and rules of the model mapping, what was changed, and what a call would get."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime

import click
from flask.cli import with_appcontext

from app.cli.actor import actor
from app.cli.command import argument, group, option
from app.cli.words import failure, say
from app.dry_run import dry_run
from app.errors import GatewayError, InvalidRequestError, Sentence
from app.gateway import current_gateway
from app.logs import audit
from app.schemas.admin import MAPPING_RULE, MAPPING_TARGET, PURPOSES
from app.schemas.base import check
from app.store import ModelMapping
from app.store.rules import MOST_RULES, Rule
from app.terminal import in_words

Rules = tuple[Rule, ...]


@group()
def mapping() -> None:
    """Show and change which models clients get.

    Rules go first, in their order; then the table of names. A change holds from the next request on.
    """


@mapping.command("show")
@with_appcontext
def show() -> None:
    """Show the rules and the table of names."""
    with _told() as found:
        rules, names = found.rules(), found.all()
    for number, rule in enumerate(rules, 1):
        say(Sentence("rule %(number)s: %(rule)s", number=number, rule=rule.said))
    for source, target in names.items():
        click.echo(f"{source} → {target}")
    if not rules and not names:
        say(Sentence("Nothing is mapped: every name passes as it is."))


@mapping.command("set")
@argument("source")
@argument("target")
@with_appcontext
def set_name(source: str, target: str) -> None:
    """Let calls for the name SOURCE go to the model TARGET."""
    with _told() as found:
        for name in (source, target):
            check(MAPPING_TARGET, {"to": name})
        found.set(source, target, by=actor())
    audit("mapping set", actor=actor(), **{"from": source}, after=target)
    click.echo(f"{source} → {target}")


@mapping.command("delete")
@argument("source")
@with_appcontext
def delete_name(source: str) -> None:
    """Take the name SOURCE out of the table."""
    with _told() as found:
        was_there = found.remove(source, by=actor())
    if not was_there:
        raise failure(Sentence("%(name)s is not in the table. See `mapping show`.", name=repr(source)))
    audit("mapping deleted", actor=actor(), **{"from": source})
    say(Sentence("Deleted: %(name)s.", name=source))


@mapping.command("add")
@argument("match")
@argument("to", nargs=-1, required=True)
@option("--key", "keys", multiple=True, help="Only for calls by this key, by its name or a pattern. Repeatable.")
@option("--purpose", "purposes", multiple=True, type=click.Choice(PURPOSES), help="Only for these. Repeatable.")
@option("--fall-back", is_flag=True, help="Where a model is limited or overloaded, try the next one.")
@option("--note", default="", help="A line of your own.")
@option("--at", type=click.IntRange(1, MOST_RULES), help="Its number; by default it comes last.")
@with_appcontext
def add(
    match: str,
    to: Sequence[str],
    keys: Sequence[str],
    purposes: Sequence[str],
    fall_back: bool,
    note: str,
    at: int | None,
) -> None:
    """Add a rule: calls for names like MATCH go to the first model of TO that the account has.

    MATCH is a name, or a pattern with * and ?.
    """
    told = {"match": match, "to": list(to), "keys": list(keys), "purposes": list(purposes), "fall_back": fall_back}
    with _told() as found:
        check(MAPPING_RULE, {**told, "note": note})
        rule = Rule.of({**told, "note": note})

        def change(rules: Rules) -> Sequence[Rule]:
            if len(rules) >= MOST_RULES:
                raise InvalidRequestError(Sentence("There are %(count)s rules already.", count=MOST_RULES))
            place = len(rules) if at is None else min(at - 1, len(rules))
            return [*rules[:place], rule, *rules[place:]]

        rules = found.change_rules(change, what=Sentence("rule for %(name)s added", name=rule.match), by=actor())
    audit("mapping rules changed", actor=actor(), after=rule.told())
    say(Sentence("rule %(number)s: %(rule)s", number=rules.index(rule) + 1, rule=rule.said))


@mapping.command("remove")
@argument("number", type=click.IntRange(1))
@with_appcontext
def remove(number: int) -> None:
    """Remove the rule of this NUMBER."""

    def change(rules: Rules) -> Sequence[Rule]:
        if number > len(rules):
            raise InvalidRequestError(
                Sentence("There is no rule %(number)s: there are %(count)s.", number=number, count=len(rules))
            )
        return [*rules[: number - 1], *rules[number:]]

    with _told() as found:
        found.change_rules(change, what=Sentence("rule %(number)s deleted", number=number), by=actor())
    audit("mapping rules changed", actor=actor(), deleted=number)
    say(Sentence("Removed: rule %(number)s.", number=number))


@mapping.command("history")
@with_appcontext
def history() -> None:
    """Show the last changes, the newest first."""
    with _told() as found:
        changes = found.history()
    for one in changes:
        at = datetime.fromtimestamp(one.at).astimezone().isoformat(" ", "seconds")
        click.echo(f"{one.number}  {at}  {one.by}  {in_words(one.what)}")
    if not changes:
        say(Sentence("Nothing was changed."))


@mapping.command("undo")
@argument("number", type=click.IntRange(1), required=False)
@with_appcontext
def undo(number: int | None) -> None:
    """Bring back what was before the last change, or before change NUMBER. This can be undone as well."""
    with _told() as found:
        undone = found.undo(number, by=actor())
    if undone is None:
        raise failure(Sentence("There is no such change. See `mapping history`."))
    audit("mapping change undone", actor=actor(), number=undone.number, change=undone.what)
    say(Sentence("Back to what was before change %(number)s (%(what)s).", number=undone.number, what=undone.what))


@mapping.command("dry-run")
@argument("model")
@option("--key", help="The name of the key that the call comes by.")
@option("--purpose", type=click.Choice(PURPOSES), help="What the call is for.")
@with_appcontext
def try_out(model: str, key: str | None, purpose: str | None) -> None:
    """Say what a call for MODEL would get, why, and at what price. Nothing is called."""
    try:
        models = current_gateway().seat_of(key).catalog.models()
    except GatewayError as error:
        say(Sentence("There is no model list: %(why)s", why=error.message), to_stderr=True)
        models = None
    with _told() as found:
        check(MAPPING_TARGET, {"to": model})
        say(dry_run(found, models, model, key=key, purpose=purpose).said)


@contextlib.contextmanager
def _told() -> Iterator[ModelMapping]:
    """The mapping; what goes wrong with it is told as this command's error."""
    try:
        yield current_gateway().mapping
    except GatewayError as error:
        raise failure(error) from error
