"""``database``: look at the database, and migrate it beforehand."""

from __future__ import annotations

from flask.cli import with_appcontext

from app.cli.actor import actor
from app.cli.around import as_owner_of, told
from app.cli.command import group
from app.cli.words import say
from app.errors import Sentence
from app.gateway import current_gateway
from app.logs import audit


@group()
def database() -> None:
    """Migrate the database (DATA_DIR/bridge.db, or DATABASE_URL)."""


@database.command()
@with_appcontext
def migrate() -> None:
    """Make the tables, or bring them to the form of this version.

    The service does the same when it starts. A version before this one does not use the database any more then.
    """
    gateway = current_gateway()
    with told(), as_owner_of(gateway.settings.data_dir):
        gateway.settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        gateway.database.prepare()
        gateway.database.close()
    audit("database migrated", actor=actor(), database=gateway.database.name)
    say(Sentence("The tables of %(database)s are those of this version.", database=gateway.database.name))
