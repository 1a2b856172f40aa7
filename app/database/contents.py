"""Everything in the database as plain values, and back: for backups."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.database.database import Database
from app.database.revisions import head
from app.errors import Sentence, StoreError

T = TypeVar("T")

_AT_ONCE = 500
_BYTES = "base64"


@dataclass(frozen=True, slots=True)
class Contents:
    """revision: the form of the tables. tables: name → names of columns, rows; in an order in which they can be filled.

    A value is text, a number, a truth, None, or bytes as ``{"base64": text}``.
    """

    revision: str
    tables: Mapping[str, tuple[list[str], list[list[Any]]]] = field(repr=False)

    @property
    def rows(self) -> int:
        return sum(len(rows) for _, rows in self.tables.values())

    @classmethod
    def of(cls, revision: object, tables: Any) -> Contents:
        """From JSON. Raises: KeyError, TypeError, ValueError, AttributeError for what is none of ours."""
        read = {}
        for name, (columns, rows) in tables.items():
            names = [str(column) for column in columns]
            if any(len(row) != len(names) for row in rows):
                raise ValueError(f"a row of {name} has more or less than its columns")
            read[str(name)] = names, [list(row) for row in rows]
        return cls(str(revision), read)


def take(database: Database) -> Contents | None:
    """All rows at one moment; None if there is no database. Raises: DatabaseError."""
    if not database.exists():
        return None
    from app.database.tables import METADATA

    tables = {}
    with database.read(snapshot=True) as connection:
        for table in METADATA.sorted_tables:
            if not table.info.get("in_backup", True):
                continue
            rows = [[_plain(value) for value in row] for row in connection.execute(table.select())]
            tables[table.name] = [column.name for column in table.columns], rows
    return Contents(head(), tables)


def put_back(database: Database, contents: Contents) -> None:
    """Make it what it was then; all of it or nothing. Raises: DatabaseError, StoreError."""
    with database.write() as connection:
        fill(connection, contents)


def fill(connection: Any, contents: Contents) -> None:
    """`put_back` within a transaction. The tables are made in their form of then, filled and migrated.

    Calls of keys that are in progress now go on to be known, so that each is booked when it ends. Those that were in
    progress then, and are not any more, count with what was reserved for them: more than they did cost, if anything.
    """
    from sqlalchemy import MetaData, Table, insert, text
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError

    from app.database.create import create_all
    from app.database.migrate import upgrade
    from app.database.revisions import TABLE
    from app.database.tables import METADATA

    if contents.revision > head():
        raise StoreError(
            Sentence(
                "This backup holds a database of revision %(revision)s; this program knows %(known)s. Restore it with "
                "the version of copilot-bridge that made it, or a newer one.",
                revision=contents.revision,
                known=head(),
            )
        )
    in_progress = _calls_in_progress(connection)
    METADATA.drop_all(connection)
    connection.execute(text(f"DROP TABLE {TABLE}"))
    if contents.revision == head():
        create_all(connection)
    else:
        upgrade(connection, contents.revision)
    try:
        for name, (columns, rows) in contents.tables.items():
            table = Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
            for some in _in_pieces(rows):
                values = [dict(zip(columns, map(_native, row), strict=True)) for row in some]
                connection.execute(insert(table), values)
            _go_on_counting(connection, table)
    except (IntegrityError, ValueError, SQLAlchemyError) as error:
        raise StoreError(
            Sentence("This backup is damaged: its database has rows that do not fit. Use another one.")
        ) from error
    if contents.revision != head():
        upgrade(connection)
    _let_go_on(connection, in_progress)


def _calls_in_progress(connection: Any) -> list[dict[str, Any]]:
    """Rows of KEY_CALLS. From now on nobody changes any of them, nor what keys have spent."""
    from app.database.tables import CLIENT_KEYS, KEY_CALLS

    if connection.dialect.name == "postgresql":
        # In the order of those who book calls, so that nobody waits in a circle.
        for table in (CLIENT_KEYS, KEY_CALLS):
            connection.exec_driver_sql(f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE")
    return [dict(row) for row in connection.execute(KEY_CALLS.select()).mappings()]


def _let_go_on(connection: Any, calls: list[dict[str, Any]]) -> None:
    """All other calls are over: the next one of their key books what was reserved for them."""
    from sqlalchemy import select

    from app.database.tables import CLIENT_KEYS, KEY_CALLS

    connection.execute(KEY_CALLS.update().values(alive_until=0.0))
    keys = set(connection.execute(select(CLIENT_KEYS.c.id)).scalars())
    for some in _in_pieces([call for call in calls if call["key_id"] in keys]):
        connection.execute(KEY_CALLS.delete().where(KEY_CALLS.c.id.in_([call["id"] for call in some])))
        connection.execute(KEY_CALLS.insert(), some)


def _go_on_counting(connection: Any, table: Any) -> None:
    """PostgreSQL numbers rows by a sequence, which does not know of rows that came with their numbers."""
    from sqlalchemy import text

    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        if column.type.python_type is not int:
            continue
        named = {"table": table.name, "column": column.name}
        sequence = connection.execute(text("SELECT pg_get_serial_sequence(:table, :column)"), named).scalar()
        if sequence:
            most = f"SELECT setval('{sequence}', coalesce(max({column.name}), 0) + 1, false) FROM {table.name}"  # noqa: S608
            connection.execute(text(most))


def _in_pieces(rows: list[T]) -> Iterator[list[T]]:
    for begin in range(0, len(rows), _AT_ONCE):
        yield rows[begin : begin + _AT_ONCE]


def _plain(value: Any) -> Any:
    return {_BYTES: base64.b64encode(value).decode()} if isinstance(value, bytes | memoryview) else value


def _native(value: Any) -> Any:
    return base64.b64decode(value[_BYTES], validate=True) if isinstance(value, dict) else value
