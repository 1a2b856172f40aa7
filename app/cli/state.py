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
from app.errors import StoreError
from app.gateway import Gateway, current_gateway
from app.logs import audit
from app.store import Store, open_store
from app.store.private_file import write_private

_STANDARD = "-"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
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
                f"There is nothing to back up in {data_dir}: no sign-in and no state. Run this in the folder and with "
                "the environment of the service."
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
    click.echo(f"Backup written: {_what_is_in(taken)}.", err=True)
    if others:
        click.echo(f"Not in it: {', '.join(others)} in {data_dir}.", err=True)
    click.echo(
        "It holds working credentials: keep it as you keep passwords. Your settings (.env) are not in it.", err=True
    )


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True))
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
    click.echo(f"Restored: {_what_is_in(found)}. A running service uses it from its next request on.")
    if not found.files:
        click.echo("Nobody was signed in when the backup was made, so nobody is now.")


@click.group()
def store() -> None:
    """Move the shared state between SQLite and Redis."""


@store.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--replace", is_flag=True, help="Also if TO holds something already, which is lost then.")
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
                    f"{_shown(target)} holds {there} values already. --replace puts those of {_shown(source)} in their "
                    "place."
                )
            end.load(entries)
    audit("store copied", actor=actor(), source=_shown(source), target=_shown(target), entries=len(entries))
    click.echo(f"Copied {len(entries)} values from {_shown(source)} to {_shown(target)}.")


def _open(gateway: Gateway, place: str, *, must_exist: bool = False) -> Store:
    """A store of its own for a place as the command line names it. Raises: StoreError."""
    settings = gateway.settings
    if place == "redis":
        if settings.redis_url is None:
            raise StoreError("REDIS_URL is not set: set it, or name the address itself.")
        return open_store(data_dir=settings.data_dir, redis_url=settings.redis_url.reveal())
    if urlsplit(place).scheme in ("redis", "rediss", "unix"):
        return open_store(data_dir=settings.data_dir, redis_url=place)
    path = settings.data_dir / "state.db" if place == "sqlite" else Path(place)
    if path.name != "state.db":
        raise StoreError(
            f"{_shown(place)} is no store: say sqlite, redis, the path of a state.db or a redis:// address."
        )
    if must_exist and not path.is_file():
        raise StoreError(f"There is no {path}.")
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
    raise StoreError(f"{file} is there already, and is no backup that could be replaced. Choose another name.")


def _what_is_in(found: backups.Backup) -> str:
    sign_in = "the sign-in and " if found.files else ""
    rows = f" and {found.database.rows} rows of the database" if found.database is not None else ""
    return f"{sign_in}{len(found.entries)} values of the store{rows}"
