"""``backup``, ``restore`` and ``store copy``: the state in a file, and from one store to another."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext

from app import backup as backups
from app.cli.actor import actor
from app.cli.around import as_owner_of, told
from app.cli.command import argument, command, group, option
from app.cli.words import say
from app.errors import Sentence, StoreError
from app.gateway import Gateway, current_gateway
from app.logs import audit
from app.store import Store, open_store
from app.store.private_file import write_private

_STANDARD = "-"


@command()
@argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@with_appcontext
def backup(file: Path) -> None:
    """Write the whole state into FILE.

    FILE gets mode 0600. The service may run meanwhile, or not. An older backup in its place is replaced, any other
    file is not. "-" writes to standard output.
    """
    gateway = current_gateway()
    data_dir = gateway.settings.data_dir
    with told(), as_owner_of(data_dir):
        taken = backups.take(gateway.store, data_dir, gateway.database)
        if not taken.files and not taken.entries and taken.database is None:
            raise StoreError(
                Sentence(
                    "There is nothing to back up in %(folder)s: no sign-in and no state. Run this in the folder and "
                    "with the environment of the service.",
                    folder=data_dir,
                )
            )
        others = backups.left_out(data_dir)
    content = backups.to_bytes(taken)
    with told():
        if str(file) == _STANDARD:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        else:
            _refuse_to_replace(file)
            write_private(file, content)
    audit("backup written", actor=actor(), entries=len(taken.entries), sign_in=bool(taken.files))
    say(Sentence("Backup written: %(what)s.", what=_what_is_in(taken)), to_stderr=True)
    if others:
        say(Sentence("Not in it: %(names)s in %(folder)s.", names=", ".join(others), folder=data_dir), to_stderr=True)
    say(
        Sentence("It holds working credentials: keep it as you keep passwords. Your settings (.env) are not in it."),
        to_stderr=True,
    )


@command()
@argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True))
@with_appcontext
def restore(file: Path) -> None:
    """Make the state what it was when FILE was written. "-" reads standard input.

    What is there now is replaced: sign-in, model mapping, keys and all. A running service goes on with what was
    restored from its next request on; it need not be restarted.
    """
    gateway = current_gateway()
    data_dir = gateway.settings.data_dir
    with told():
        content = sys.stdin.buffer.read() if str(file) == _STANDARD else file.read_bytes()
        found = backups.from_bytes(content)
        with as_owner_of(data_dir):
            backups.restore(found, gateway.store, data_dir, gateway.database)
            gateway.close()
    audit("backup restored", actor=actor(), entries=len(found.entries), sign_in=bool(found.files))
    say(Sentence("Restored: %(what)s. A running service uses it from its next request on.", what=_what_is_in(found)))
    if not found.files:
        say(Sentence("Nobody was signed in when the backup was made, so nobody is now."))


@group()
def store() -> None:
    """Move the shared state between SQLite and Redis."""


@store.command("copy")
@argument("source", metavar="FROM")
@argument("target", metavar="TO")
@option("--replace", is_flag=True, help="Also if TO holds something already, which is lost then.")
@with_appcontext
def copy(source: str, target: str, replace: bool) -> None:
    """Copy the shared state FROM one store TO another, with what is left of each value's life.

    FROM and TO: "sqlite" (DATA_DIR/state.db), "redis" (REDIS_URL), the path of a state.db, or a redis:// address.
    The sign-in is a file in DATA_DIR and stays where it is.
    """
    gateway = current_gateway()
    with told(), as_owner_of(gateway.settings.data_dir):
        begin = _open(gateway, source, must_exist=True)
        end = _open(gateway, target)
        with contextlib.closing(begin), contextlib.closing(end):
            entries = begin.dump()
            there = len(end.dump())
            if there and not replace:
                raise StoreError(
                    Sentence(
                        "%(target)s holds %(count)s values already. --replace puts those of %(source)s in their place.",
                        target=_shown(target),
                        count=there,
                        source=_shown(source),
                    )
                )
            end.load(entries)
    audit("store copied", actor=actor(), source=_shown(source), target=_shown(target), entries=len(entries))
    say(
        Sentence(
            "Copied %(count)s values from %(source)s to %(target)s.",
            count=len(entries),
            source=_shown(source),
            target=_shown(target),
        )
    )


def _open(gateway: Gateway, place: str, *, must_exist: bool = False) -> Store:
    """A store of its own for a place as the command line names it. Raises: StoreError."""
    settings = gateway.settings
    if place == "redis":
        if settings.redis_url is None:
            raise StoreError(Sentence("REDIS_URL is not set: set it, or name the address itself."))
        return open_store(data_dir=settings.data_dir, redis_url=settings.redis_url.reveal())
    if urlsplit(place).scheme in ("redis", "rediss", "unix"):
        return open_store(data_dir=settings.data_dir, redis_url=place)
    path = settings.data_dir / "state.db" if place == "sqlite" else Path(place)
    if path.name != "state.db":
        raise StoreError(
            Sentence(
                "%(place)s is no store: say sqlite, redis, the path of a state.db or a redis:// address.",
                place=_shown(place),
            )
        )
    if must_exist and not path.is_file():
        raise StoreError(Sentence("There is no %(file)s.", file=path))
    return open_store(data_dir=path.parent, redis_url=None)


def _shown(place: str) -> str:
    """A place for people's eyes: an address without user, password and options, which may hold a password too."""
    parts = urlsplit(place)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl() if parts.scheme else place


def _refuse_to_replace(file: Path) -> None:
    """Raises: StoreError if something else than a backup of ours is there, e.g. because the name was mistyped."""
    if not file.exists():
        return
    try:
        if file.is_file():
            backups.from_bytes(file.read_bytes())
            return
    except (StoreError, OSError):
        pass
    raise StoreError(
        Sentence("%(file)s is there already, and is no backup that could be replaced. Choose another name.", file=file)
    )


def _what_is_in(found: backups.Backup) -> Sentence:
    parts = [Sentence("the sign-in")] if found.files else []
    parts.append(Sentence("%(count)s values of the store", count=len(found.entries)))
    if found.database is not None:
        parts.append(Sentence("%(count)s rows of the database", count=found.database.rows))
    whole, *others = parts
    for other in others:
        whole = Sentence("%(one)s and %(other)s", one=whole, other=other)
    return whole
