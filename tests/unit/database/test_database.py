"""The database, on SQLite and on a real PostgreSQL: transactions, tables, migrations, and what ails it."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.database import Database
from app.database.database import FILE_NAME
from app.database.places import PostgresPlace, SqlitePlace
from app.database.revisions import TABLE, head
from app.database.tables import DAYS, GROUPED_DAYS, METADATA, NOTES
from app.errors import DatabaseError
from app.ledger.sums import NAMES
from tests.support import open_files, own_disk
from tests.support.clock import Clock
from tests.unit.database.conftest import Open

ROOT = Path(__file__).parents[3]


def put(database: Database, name: str, value: float) -> None:
    with database.write() as connection:
        connection.execute(insert(NOTES).values(name=name, value=value))


def notes(database: Database) -> dict[str, float]:
    with database.read() as connection:
        return {row.name: row.value for row in connection.execute(select(NOTES))}


def test_what_is_written_is_there_for_others(open_database: Open) -> None:
    put(open_database(), "a", 1)
    assert notes(open_database()) == {"a": 1}


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(insert(NOTES).values(name="a", value=1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert notes(database) == {}


def test_an_error_of_a_statement_is_no_trouble_of_the_database(database: Database) -> None:
    put(database, "a", 1)
    with pytest.raises(IntegrityError):
        put(database, "a", 2)
    assert notes(database) == {"a": 1}
    put(database, "b", 2)


def test_threads_that_count_lose_nothing(database: Database) -> None:
    put(database, "n", 0)

    def count() -> None:
        for _ in range(10):
            with database.write() as connection:
                mine = NOTES.c.name == "n"
                value = connection.execute(select(NOTES.c.value).where(mine).with_for_update()).scalar_one()
                connection.execute(update(NOTES).where(mine).values(value=value + 1))

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes(database) == {"n": 50}


COUNT = """
import sys
from gevent import monkey
monkey.patch_all()
from pathlib import Path
from sqlalchemy import select, update
import gevent
from app.database import Database
from app.database.tables import NOTES

database = Database.at(data_dir=Path(sys.argv[1]), url=sys.argv[2] or None)

def count():
    with database.write() as connection:
        mine = NOTES.c.name == "n"
        value = connection.execute(select(NOTES.c.value).where(mine).with_for_update()).scalar_one()
        connection.execute(update(NOTES).where(mine).values(value=value + 1))

gevent.joinall([gevent.spawn(count) for _ in range(20)], raise_error=True)
print(database.read_slowly(lambda connection: connection.execute(select(NOTES.c.name)).scalar()))
database.close()
"""


def test_workers_with_greenlets_lose_nothing(database: Database, place: tuple[Path, str | None]) -> None:
    put(database, "n", 0)
    command = [sys.executable, "-W", "error", "-c", COUNT, str(place[0]), place[1] or ""]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    workers = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [worker.communicate(timeout=60)[0] for worker in workers] == ["n\n"] * 2
    assert notes(database) == {"n": 40}


def test_many_that_come_first_at_the_same_time_make_the_tables_once(open_database: Open) -> None:
    databases = [open_database() for _ in range(3)]
    threads = [threading.Thread(target=database.prepare) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [notes(database) for database in databases] == [{}] * 3


def test_migrations_make_what_is_made_at_once(database: Database) -> None:
    """Of the tables as they are made where there are none, Alembic finds nothing to change in what it made itself."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from app.database.migrate import upgrade

    database.prepare()
    with database.write() as connection:
        METADATA.drop_all(connection)
        connection.execute(text(f"DROP TABLE {TABLE}"))
        upgrade(connection)
        context = MigrationContext.configure(connection, opts={"version_table": TABLE})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == head()


def test_a_database_of_before_is_migrated(open_database: Open) -> None:
    before = open_database()
    before.prepare()
    with before.write() as connection:
        from app.database.migrate import upgrade

        METADATA.drop_all(connection)
        connection.execute(text(f"DROP TABLE {TABLE}"))
        upgrade(connection, "0001")
        connection.execute(insert(NOTES).values(name="kept", value=1))
    after = open_database()
    assert notes(after) == {"kept": 1}
    with after.read() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {TABLE}")).scalar() == head()


def test_sums_by_one_word_are_made_of_what_was_booked_before(open_database: Open) -> None:
    before = open_database()
    before.prepare()
    with before.write() as connection:
        from app.database.migrate import upgrade

        METADATA.drop_all(connection)
        connection.execute(text(f"DROP TABLE {TABLE}"))
        upgrade(connection, "0004")
        counted = dict.fromkeys(NAMES, 0)
        for key, model, calls in (("k1", "m1", 1), ("k1", "m2", 20), ("k2", "m2", 300)):
            words = {"day": "2026-11-30", "key": key, "account": "a", "client": "c", "model": model}
            connection.execute(insert(DAYS).values(**words | counted | {"calls": calls}))
    with open_database().read() as connection:
        read = select(GROUPED_DAYS.c.word, GROUPED_DAYS.c.name, GROUPED_DAYS.c.calls)
        assert {(row[0], row[1]): row[2] for row in connection.execute(read)} == {
            ("", ""): 321, ("account", "a"): 321, ("client", "c"): 321,
            ("key", "k1"): 21, ("key", "k2"): 300, ("model", "m1"): 1, ("model", "m2"): 320,
        }  # fmt: skip


def test_a_database_of_a_newer_bridge_is_left_alone(open_database: Open) -> None:
    newer = open_database()
    newer.prepare()
    with newer.write() as connection:
        connection.execute(text(f"UPDATE {TABLE} SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer version"):
        open_database().prepare()


def test_what_takes_long_is_read_apart(database: Database) -> None:
    put(database, "a", 1)
    assert database.read_slowly(lambda connection: connection.execute(select(NOTES.c.value)).scalar()) == 1


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / FILE_NAME


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def on_disk(file: Path, clock: Clock) -> Iterator[Database]:
    database = Database(SqlitePlace(file), clock=clock, spawn=lambda work: work())
    yield database
    database.close()


def test_there_is_no_file_before_it_is_needed(on_disk: Database, file: Path) -> None:
    assert not on_disk.exists()
    assert on_disk.trouble() is None
    assert not file.exists()


def test_the_file_is_private(on_disk: Database, file: Path) -> None:
    put(on_disk, "a", 1)
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in file.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert set(modes) == {"bridge.db", "bridge.db-wal", "bridge.db-shm"}


def test_a_damaged_file_is_told_once_and_heals(
    on_disk: Database, file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "copilot_bridge")
    file.parent.mkdir()
    file.write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(DatabaseError, match="is damaged or is no database"):
            put(on_disk, "a", 1)
    assert on_disk.trouble() is not None
    file.unlink()
    with pytest.raises(DatabaseError, match="is damaged"):  # it is left alone for a moment
        put(on_disk, "a", 1)
    clock.now += 3
    put(on_disk, "a", 1)
    assert on_disk.trouble() is None
    events = [record.getMessage() for record in caplog.records]
    assert events == [
        "database cannot be written",
        "database cannot be used",  # which was found out behind the back of whoever asked next
        "database tables are ready",
        "database can be used again",
        "database can be written again",
    ]


def test_a_locked_file_is_waited_for_and_then_told(on_disk: Database, file: Path, clock: Clock) -> None:
    put(on_disk, "a", 1)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match="was locked by another process"):
        put(on_disk, "b", 1)
    assert notes(on_disk) == {"a": 1}
    other.execute("COMMIT")
    other.close()
    clock.now += 3
    put(on_disk, "b", 1)


def test_how_long_it_is_waited_for_can_be_set(place: tuple[Path, str | None]) -> None:
    """A file that others lock, or a server that takes its time."""
    data_dir, url = place
    is_slow = text("SELECT 1" if url is None else "SELECT pg_sleep(1)")
    says = "for 0.25 s" if url is None else "does not answer"
    with (
        contextlib.closing(Database.at(data_dir=data_dir, url=url)) as patient,
        contextlib.closing(Database.at(data_dir=data_dir, url=url, answer_s=0.25)) as impatient,
        patient.write() as connection,
    ):
        connection.execute(is_slow)
        with pytest.raises(DatabaseError, match=says), impatient.write() as other:
            other.execute(is_slow)


def test_a_file_that_is_replaced_is_noticed(on_disk: Database, file: Path) -> None:
    put(on_disk, "a", 1)
    for found in list(file.parent.iterdir()):
        found.unlink()
    assert notes(on_disk) == {}
    put(on_disk, "b", 1)
    assert notes(on_disk) == {"b": 1}


def test_a_fork_has_no_connection(on_disk: Database) -> None:
    put(on_disk, "a", 1)
    child = os.fork()
    if child == 0:
        put(on_disk, "b", 2)
        on_disk.close()
        os._exit(0)
    os.waitpid(child, 0)
    put(on_disk, "c", 3)
    assert notes(on_disk) == {"a": 1, "b": 2, "c": 3}


def test_nothing_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    """Not for a database that is as it has to be, either."""
    script = (
        "import sys; from pathlib import Path; from app.database.database import Database\n"
        "database = Database.at(data_dir=Path(sys.argv[1]), url=None)\n"
        "database.trouble(); database.prepare() if database.exists() else None\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'pg8000') if name in sys.modules])"
    )
    for _ in range(2):
        command = [sys.executable, "-c", script, str(tmp_path)]
        assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
        Database.at(data_dir=tmp_path, url=None).prepare()


# ── closing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def close(database: Database) -> None:
    database.close()


def fork(_: Database) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def replace_the_file(database: Database) -> None:
    """Which is noticed by whoever comes next."""
    for found in list(Path(database.name).parent.iterdir()):
        found.unlink()
    assert notes(database) == {}


@pytest.mark.parametrize("interruption", [close, fork, replace_the_file])
def test_a_connection_that_is_in_use_meanwhile_is_closed_after_it(
    on_disk: Database, interruption: Callable[[Database], None]
) -> None:
    put(on_disk, "a", 1)
    with on_disk.read() as connection:
        interruption(on_disk)
        assert connection.execute(select(NOTES.c.name)).scalar() == "a"
    on_disk.close()
    assert open_files.left_open() == []


def test_many_that_come_first_leave_nothing_open(on_disk: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them finds no engine there, and makes one."""
    on_disk.prepare()
    together = threading.Barrier(3)
    make_engine = SqlitePlace.make_engine

    def make_it_together(place: SqlitePlace) -> Any:
        together.wait(60)
        return make_engine(place)

    monkeypatch.setattr(SqlitePlace, "make_engine", make_it_together)
    threads = [threading.Thread(target=notes, args=(on_disk,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    on_disk.close()
    assert open_files.left_open() == []


def test_whoever_comes_after_the_end_leaves_nothing_open(on_disk: Database) -> None:
    on_disk.close()
    put(on_disk, "a", 1)
    assert notes(on_disk) == {"a": 1}
    with pytest.raises(IntegrityError):
        put(on_disk, "a", 2)
    assert open_files.left_open() == []


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:secret@db.example.com/bridge", "postgresql://db.example.com:5432/bridge"),
        ("postgres://me:sec%2Fret@127.0.0.1:6543/b?sslmode=require", "postgresql://127.0.0.1:6543/b"),
    ],
)
def test_a_server_is_named_without_its_password(url: str, name: str) -> None:
    assert PostgresPlace(url).name == name


@pytest.mark.parametrize("there", ["nobody", "wrong password"])
def test_a_server_that_is_away_is_told(there: str, postgres_url: str) -> None:
    url = "postgresql://b:p@127.0.0.1:9/b" if there == "nobody" else postgres_url.replace("hunter3-hunter3", "wrong")
    database = Database.at(data_dir=Path("/nonexistent"), url=url)
    with pytest.raises(DatabaseError, match=r"cannot be reached|does not let us in") as caught:
        put(database, "a", 1)
    assert "hunter3" not in str(caught.value)
    database.close()


@pytest.mark.parametrize("how", ["in order", "the server ended it", "the server was silent"])
def test_the_end_of_a_connection_is_the_end_of_its_descriptor(how: str, postgres_url: str) -> None:
    """At once, and not when garbage is collected."""
    engine, other = (PostgresPlace(postgres_url).make_engine(answer_s) for answer_s in (0.2, 10.0))
    gc.disable()
    try:
        with engine.connect() as connection:
            pooled: Any = connection.connection
            socket = pooled.driver_connection._usock
            if how == "the server ended it":
                with other.connect() as another:
                    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
                    another.execute(text(f"SELECT pg_terminate_backend({pid}, 10000)"))
                with pytest.raises(DBAPIError):
                    connection.execute(text("SELECT 1"))
            if how == "the server was silent":
                with pytest.raises(TimeoutError):
                    connection.execute(text("SELECT pg_sleep(2)"))
                connection.invalidate()
        engine.dispose()
        assert socket.fileno() == -1
    finally:
        gc.enable()
        other.dispose()


def fill(database: Database) -> DatabaseError:
    """Write until that fails."""
    for at in range(10_000):
        try:
            put(database, f"{at}-{'x' * 1000}", at)
        except DatabaseError as error:
            return error
    raise AssertionError("there is room for all of it")


def test_on_a_full_disk_it_can_still_be_read_and_heals_when_there_is_room(tmp_path: Path) -> None:
    clock = Clock()
    with own_disk.mounted(tmp_path / "disk") as disk:
        database = Database(SqlitePlace(disk / FILE_NAME), clock=clock, spawn=lambda work: work())
        put(database, "before", 1)
        with own_disk.full(disk):
            assert "the disk is full" in fill(database).message
            with (disk / "others").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:  # whatever a connection gave back that was closed
                    file.write(b"x" * 4096)
            assert notes(database)["before"] == 1
            clock.now += 60
            with pytest.raises(DatabaseError, match="the disk is full"):
                put(database, "meanwhile", 1)
            assert notes(database)["before"] == 1
        clock.now += 60
        assert database.trouble() is None
        put(database, "after", 1)
        assert {"before", "after"} <= notes(database).keys()
        assert "meanwhile" not in notes(database)
        database.close()


def test_who_comes_when_the_disk_is_full_already_is_told_so(tmp_path: Path) -> None:
    with own_disk.mounted(tmp_path / "disk") as disk:
        earlier = Database(SqlitePlace(disk / FILE_NAME))
        put(earlier, "before", 1)
        earlier.close()
        with own_disk.full(disk):
            later = Database(SqlitePlace(disk / FILE_NAME))
            with pytest.raises(DatabaseError, match="the disk is full"):
                notes(later)
            later.close()
