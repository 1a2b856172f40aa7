"""A backup holds the database, whichever it is, and can be taken from one kind to the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update

from app import backup as backups
from app.database import Database
from app.database.contents import Contents
from app.database.migrate import upgrade
from app.database.revisions import TABLE, head
from app.database.tables import METADATA, NOTES
from app.errors import StoreError
from app.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with closing(Database.at(data_dir=tmp_path / "one", url=url)) as database:
        yield database


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "one" / "state.db")) as store:
        yield store


def put(database: Database, name: str, value: float) -> None:
    with database.write() as connection:
        connection.execute(insert(NOTES).values(name=name, value=value))


def notes(database: Database) -> dict[str, float]:
    with database.read() as connection:
        return {row.name: row.value for row in connection.execute(select(NOTES))}


def test_what_was_backed_up_comes_back(database: Database, store: SqliteStore, tmp_path: Path) -> None:
    put(database, "a", 1)
    taken = backups.from_bytes(backups.to_bytes(backups.take(store, tmp_path / "one", database)))
    put(database, "b", 2)
    with database.write() as connection:
        connection.execute(update(NOTES).values(value=7))
    backups.restore(taken, store, tmp_path / "one", database)
    assert notes(database) == {"a": 1}
    put(database, "c", 3)


def test_it_moves_to_another_kind_of_database(database: Database, store: SqliteStore, tmp_path: Path) -> None:
    put(database, "a", 1)
    taken = backups.take(store, tmp_path / "one", database)
    with closing(Database.at(data_dir=tmp_path / "two", url=None)) as other:
        backups.restore(taken, store, tmp_path / "two", other)
        assert notes(other) == {"a": 1}


def test_where_there_is_no_database_the_format_is_that_of_before(store: SqliteStore, tmp_path: Path) -> None:
    store.put("a", "b")
    with closing(Database.at(data_dir=tmp_path / "one", url=None)) as database:
        written = backups.to_bytes(backups.take(store, tmp_path / "one", database))
        assert b'"version":1,' in written
        assert not database.exists()
        put(database, "kept", 1)
        backups.restore(backups.from_bytes(written), store, tmp_path / "one", database)
        assert notes(database) == {"kept": 1}


def test_tables_of_before_are_migrated_on_their_way(database: Database, store: SqliteStore, tmp_path: Path) -> None:
    kept = Contents("0001", {"bridge_notes": (["name", "value"], [["old", 4.0]])})
    backups.restore(backups.Backup(0.0, {}, (), kept), store, tmp_path / "one", database)
    assert notes(database) == {"old": 4}
    with database.read() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {TABLE}")).scalar() == head()


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (Contents("9999", {}), "revision 9999"),
        (Contents(head(), {"bridge_notes": (["name", "value"], [["twice", 1.0], ["twice", 2.0]])}), "do not fit"),
        (Contents(head(), {"nothing": (["name"], [["a"]])}), "do not fit"),
    ],
)
def test_a_restore_that_fails_changes_nothing(
    database: Database, store: SqliteStore, tmp_path: Path, kept: Contents, says: str
) -> None:
    put(database, "a", 1)
    store.put("mine", "here")
    with pytest.raises(StoreError, match=says):
        backups.restore(backups.Backup(0.0, {"hosts.json": "{}"}, (), kept), store, tmp_path / "one", database)
    assert notes(database) == {"a": 1}
    assert store.get("mine") == "here"
    assert not (tmp_path / "one" / "hosts.json").exists()


def test_every_table_says_what_a_backup_makes_of_it(database: Database) -> None:
    """Of these types a backup can hold values."""
    plain = {"INTEGER", "BIGINT", "FLOAT", "TEXT", "BOOLEAN", "BLOB"}
    assert {str(column.type) for table in METADATA.tables.values() for column in table.columns} <= plain
    database.prepare()
    with database.write() as connection:
        METADATA.drop_all(connection)
        connection.execute(text(f"DROP TABLE {TABLE}"))
        upgrade(connection)
