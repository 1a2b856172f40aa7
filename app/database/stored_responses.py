"""Stored answers in the database: sealed, by the key that made them and a handle, each with the one before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.database.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select
    from sqlalchemy import Row as Found

_MOST_AT_ONCE: Final = 500
"""Rows that are removed, or looked up, by one statement: others want to write, too."""


@dataclass(frozen=True, slots=True)
class Row:
    """One stored answer. owner: the key that made it. previous: the handle of the one before. Times: epoch seconds."""

    owner: str
    handle: str
    previous: str | None
    created_at: float
    expires_at: float
    sealed: bytes


class StoredResponseRows:
    """The table ``bridge_stored_responses``. Raises: DatabaseError from every method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, row: Row, *, before: Iterable[str]) -> None:
        """Write one, in place of what had its handle; those `before` it live as long as it does."""
        from sqlalchemy import delete, insert, update

        from app.database.tables import STORED_RESPONSES as T

        handles = list(before)
        with self._database.write() as connection:
            connection.execute(delete(T).where(T.c.owner == row.owner, T.c.handle == row.handle))
            connection.execute(
                insert(T).values(
                    owner=row.owner,
                    handle=row.handle,
                    previous=row.previous,
                    created_at=row.created_at,
                    expires_at=row.expires_at,
                    size=len(row.sealed),
                    sealed=row.sealed,
                )
            )
            for some in _portions(handles):
                is_older = T.c.expires_at < row.expires_at
                connection.execute(
                    update(T)
                    .where(T.c.owner == row.owner, T.c.handle.in_(some), is_older)
                    .values(expires_at=row.expires_at)
                )

    def chain(self, owner: str, handle: str, *, now: float, most_bytes: int) -> list[Row]:
        """One and all before it, newest first, up to where one is missing, or they are more than `most_bytes`."""
        if not self._database.exists():
            return []
        from sqlalchemy import Integer, cast, literal, select

        from app.database.tables import STORED_RESPONSES as T

        is_there = T.c.expires_at > now
        first = (
            select(T.c.handle, T.c.previous, T.c.size.label("total"), literal(0).label("depth"))
            .where(T.c.owner == owner, T.c.handle == handle, is_there)
            .cte("chain", recursive=True)
        )
        one = T.alias("one")
        chain = first.union_all(
            select(one.c.handle, one.c.previous, cast(first.c.total + one.c.size, Integer), first.c.depth + 1)
            .join(first, one.c.handle == first.c.previous)
            .where(one.c.owner == owner, one.c.expires_at > now, first.c.total <= most_bytes)
        )
        found = select(T).join(chain, T.c.handle == chain.c.handle).where(T.c.owner == owner).order_by(chain.c.depth)
        with self._database.read() as connection:
            return _rows(connection, found)

    def find(self, owner: str, handles: Iterable[str], *, now: float) -> list[Row]:
        """Those of these that there are."""
        if not self._database.exists():
            return []
        from sqlalchemy import select

        from app.database.tables import STORED_RESPONSES as T

        rows: list[Row] = []
        with self._database.read() as connection:
            for some in _portions(list(handles)):
                rows += _rows(
                    connection, select(T).where(T.c.owner == owner, T.c.handle.in_(some), T.c.expires_at > now)
                )
        return rows

    def delete(self, owner: str, handle: str, *, now: float) -> bool:
        """Remove one; False if there was none."""
        if not self._database.exists():
            return False
        from sqlalchemy import delete

        from app.database.tables import STORED_RESPONSES as T

        with self._database.write() as connection:
            gone = connection.execute(delete(T).where(T.c.owner == owner, T.c.handle == handle, T.c.expires_at > now))
            return gone.rowcount > 0

    def tidy(self, *, now: float, most_bytes: int) -> int:
        """Remove what has expired and, of the rest, the oldest beyond so many bytes; how many that were."""
        if not self._database.exists():
            return 0
        count = 0
        while gone := self._tidy_some(now, most_bytes):
            count += gone
        return count

    def _tidy_some(self, now: float, most_bytes: int) -> int:
        """A portion of it, in a transaction of its own."""
        from sqlalchemy import delete, func, select

        from app.database.tables import STORED_RESPONSES as T

        with self._database.read() as connection:
            by_age = select(T.c.owner, T.c.handle, T.c.size).order_by(T.c.created_at)
            old = connection.execute(by_age.where(T.c.expires_at <= now).limit(_MOST_AT_ONCE)).all()
            surplus = (connection.execute(select(func.sum(T.c.size))).scalar() or 0) - most_bytes
            if not old and surplus > 0:
                for found in connection.execute(by_age.limit(_MOST_AT_ONCE)):
                    if surplus <= 0:
                        break
                    old, surplus = [*old, found], surplus - found.size
        if not old:
            return 0
        with self._database.write() as connection:
            for owner in {found.owner for found in old}:
                handles = [found.handle for found in old if found.owner == owner]
                connection.execute(delete(T).where(T.c.owner == owner, T.c.handle.in_(handles)))
        return len(old)


def _rows(connection: Connection, statement: Select[Any]) -> list[Row]:
    return [_row(found) for found in connection.execute(statement)]


def _row(found: Found[Any]) -> Row:
    return Row(found.owner, found.handle, found.previous, found.created_at, found.expires_at, bytes(found.sealed))


def _portions(handles: list[str]) -> Iterable[list[str]]:
    return (handles[at : at + _MOST_AT_ONCE] for at in range(0, len(handles), _MOST_AT_ONCE))
