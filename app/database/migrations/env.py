"""Run by Alembic for `app.database.migrate.upgrade`: on the connection that it was given, in its transaction."""

from __future__ import annotations

from alembic import context

from app.database.revisions import TABLE
from app.database.tables import METADATA


def run() -> None:
    """All revisions that are asked for: all of them or none."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=METADATA, version_table=TABLE)
    context.run_migrations()


if context.config is not None:
    run()
