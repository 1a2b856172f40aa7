"""All tables at once, where there are none yet: without Alembic, which takes a second to import."""

from __future__ import annotations

from sqlalchemy import Connection, text

from app.database.revisions import TABLE, head
from app.database.tables import METADATA


def create_all(connection: Connection) -> None:
    """Make what all migrations together make, which a test compares."""
    METADATA.create_all(connection)
    connection.execute(text(f"CREATE TABLE {TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text(f"INSERT INTO {TABLE} VALUES (:revision)"), {"revision": head()})  # noqa: S608
