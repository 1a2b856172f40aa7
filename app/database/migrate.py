"""Migrations, by Alembic. Imported when one is due."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from app.database.revisions import MIGRATIONS


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to this revision, within the transaction of the connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
