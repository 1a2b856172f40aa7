"""Where the database is: a file of SQLite's, or a PostgreSQL server. What is particular to each, and what ails it."""

from __future__ import annotations

import contextlib
import sqlite3
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from app.database.revisions import TABLE
from app.descriptors import none_left
from app.errors import Sentence
from app.store.sqlite_file import common_cause, is_busy, make_private, primary_code

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")

# One number for all bridges that share a server's database: whoever holds it migrates.
_MIGRATION_LOCK = 7_264_501_329
ANSWER_S: Final = 3.0
"""For one answer of a server, or for another program to end with a file: calls wait for it, before they know that the
database is away."""
_QUEUE_S = 10.0
"""For a connection of the pool to come free, unless answers may take longer."""
_POOL = 5
_NOTE = (
    "INSERT INTO bridge_notes (name, value) VALUES ('trial', 0)"
    " ON CONFLICT (name) DO UPDATE SET value = bridge_notes.value + 1"
)


class Place(Protocol):
    """What `Database` needs to know of where it is."""

    name: str
    """For people: without user or password."""
    has_one_writer: bool
    """Whether only one can write at a time."""
    answer_s: float
    """How long is waited for it, before it counts as away."""

    def identity(self) -> object:
        """Another value as soon as another database is there. Raises: OSError."""

    def exists(self) -> bool:
        """Whether there is a database that somebody may have to migrate."""

    def revision(self) -> str | None:
        """The revision of its tables; None before there are any. Raises: what `is_trouble` knows."""

    def size(self) -> int:
        """Bytes that it takes. Raises: what `is_trouble` knows."""

    def try_out(self) -> None:
        """Write something of no importance. Raises: what `is_trouble` knows."""

    def make_engine(self, answer_s: float | None = None) -> Engine:
        """answer_s: how long a server may take for an answer here; None: as long as ever."""

    def lock_for_migration(self, connection: Connection) -> None:
        """Within a writing transaction: wait until nobody else migrates."""

    def take_snapshot(self, connection: Connection) -> None:
        """At the begin of a transaction: what it reads is of one moment."""

    def apart(self, work: Callable[[], T]) -> T:
        """Do what takes long, so that the other greenlets of this worker go on."""

    def is_busy(self, error: Exception) -> bool:
        """Whether somebody was in the way, so that another try may succeed."""

    def is_trouble(self, error: Exception) -> bool:
        """Whether the database is at fault, and not a statement."""

    def leaves_usable(self, error: Exception) -> bool:
        """Whether connections that are open can still be used after this trouble, if only to read."""

    def explain(self, error: Exception) -> Sentence: ...


class SqlitePlace:
    """A file. SQLite never waits by itself, because its waiting blocks all greenlets of the worker."""

    has_one_writer = True

    def __init__(self, path: Path, answer_s: float = ANSWER_S) -> None:
        self.path = path.absolute()
        self.answer_s = answer_s
        self.name = str(self.path)

    def identity(self) -> object:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def exists(self) -> bool:
        return self.path.exists()

    def revision(self) -> str | None:
        with contextlib.closing(self._open()) as db:
            if db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (TABLE,)).fetchone() is None:
                return None
            row = db.execute(f"SELECT version_num FROM {TABLE}").fetchone()  # noqa: S608 - our own name
        return row[0] if row else None

    def size(self) -> int:
        beside = (self.path.with_name(self.path.name + ending) for ending in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in beside if file.exists())

    def try_out(self) -> None:
        with contextlib.closing(self._open()) as db:
            db.execute(_NOTE)

    def make_engine(self, answer_s: float | None = None) -> Engine:  # noqa: ARG002 - nobody to wait for
        from sqlalchemy import QueuePool, create_engine, event

        engine = create_engine(
            "sqlite://", creator=self._open, poolclass=QueuePool, pool_timeout=max(_QUEUE_S, self.answer_s)
        )

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # By the driver itself, which takes a tenth of the time.
            db: Any = connection.connection.driver_connection
            if connection.get_execution_options().get("writes"):
                db.execute("BEGIN IMMEDIATE")
            else:
                db.execute("BEGIN")
                # What ails the file shows here, where another try does no harm, and the snapshot begins.
                db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()

        return engine

    def lock_for_migration(self, connection: Connection) -> None:
        """A writing transaction is that lock already."""

    def take_snapshot(self, connection: Connection) -> None:
        """Every transaction reads from one."""

    def apart(self, work: Callable[[], T]) -> T:
        from gevent import get_hub, monkey

        if not monkey.is_module_patched("threading"):
            return work()
        result: T = get_hub().threadpool.apply(work)
        return result

    def is_busy(self, error: Exception) -> bool:
        original = _original(error)
        return isinstance(original, sqlite3.Error) and is_busy(original)

    def is_trouble(self, error: Exception) -> bool:
        from sqlalchemy.exc import TimeoutError

        original = _original(error)
        if isinstance(original, sqlite3.OperationalError) and primary_code(original) == sqlite3.SQLITE_ERROR:
            return False  # bad SQL, or a table that is not there
        of_a_statement = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError)
        if isinstance(original, sqlite3.Error):
            return not isinstance(original, of_a_statement)
        return isinstance(original, OSError | TimeoutError)

    def leaves_usable(self, error: Exception) -> bool:
        """On a full disk: once all connections are closed, none can be opened that reads, for want of its -shm."""
        return primary_code(_original(error)) == sqlite3.SQLITE_FULL

    def explain(self, error: Exception) -> Sentence:
        error = _original(error)
        if (own_fault := none_left()) is not None:
            return Sentence("The database %(place)s cannot be opened. %(why)s", place=self.name, why=own_fault.message)
        code = primary_code(error)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            what = Sentence(
                "is damaged or is no database. Move the file away together with its -wal and -shm files and"
                " restore a backup; no restart is needed."
            )
        else:
            what = common_cause(code, self.answer_s) or Sentence(
                "cannot be opened for writing. Check DATA_DIR: its owner, its mode, and whether it is read-only."
            )
        return Sentence("The database %(place)s %(what)s (%(error)s)", place=self.name, what=what, error=str(error))

    def _open(self) -> sqlite3.Connection:
        """Raises: sqlite3.Error, StoreError."""
        make_private(self.path)
        db = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchall()
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            db.close()
            raise
        return db


class PostgresPlace:
    """A server, spoken to by pg8000: its sockets are Python's own, so waiting for them lets other greenlets run."""

    has_one_writer = False

    def __init__(self, url: str, answer_s: float = ANSWER_S) -> None:
        self.answer_s = answer_s
        parts = urlsplit(url)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._host, self._port = parts.hostname or "localhost", parts.port or 5432
        self._database = unquote(parts.path.lstrip("/")) or self._user
        options = dict(parse_qsl(parts.query))
        self._sslmode = options.get("sslmode", "prefer")
        self._root_certificate = options.get("sslrootcert")
        self._schema = options.get("schema")
        self.name = f"postgresql://{self._host}:{self._port}/{self._database}"

    def identity(self) -> object:
        return self.name

    def exists(self) -> bool:
        return True

    def revision(self) -> str | None:
        from sqlalchemy import text

        engine = self.make_engine()
        try:
            with engine.connect() as connection:
                if connection.execute(text("SELECT to_regclass(:name)"), {"name": TABLE}).scalar() is None:
                    return None
                found = connection.execute(text(f"SELECT version_num FROM {TABLE}")).scalar()  # noqa: S608
                return str(found) if found is not None else None
        finally:
            engine.dispose()

    def size(self) -> int:
        engine = self.make_engine()
        try:
            with engine.connect() as connection:
                return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar() or 0)
        finally:
            engine.dispose()

    def try_out(self) -> None:
        engine = self.make_engine()
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql(_NOTE)
        finally:
            engine.dispose()

    def make_engine(self, answer_s: float | None = None) -> Engine:
        from sqlalchemy import create_engine, event
        from sqlalchemy.engine import URL

        from app.database.server_connection import ServerConnection

        url = URL.create("postgresql+pg8000", self._user, self._password, self._host, self._port, self._database)
        told: dict[str, Any] = {
            "timeout": answer_s or self.answer_s,
            "application_name": "copilot-bridge",
            "ssl_context": self._ssl_context(),
        }
        if self._schema is not None:
            told["startup_params"] = {"search_path": self._schema}
        engine = create_engine(
            url,
            connect_args=told,
            pool_size=_POOL,
            max_overflow=2 * _POOL,
            pool_timeout=max(_QUEUE_S, self.answer_s),
            pool_pre_ping=True,
            pool_recycle=600,
        )

        @event.listens_for(engine, "do_connect")
        def connect(_dialect: object, _record: object, _given: object, named: dict[str, Any]) -> ServerConnection:
            return ServerConnection(**named)

        return engine

    def lock_for_migration(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")

    def take_snapshot(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    def apart(self, work: Callable[[], T]) -> T:
        return work()

    def is_busy(self, error: Exception) -> bool:
        return _sqlstate(error)[:2] in ("40", "55")

    def is_trouble(self, error: Exception) -> bool:
        from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

        state = _sqlstate(error)
        if state:
            # No connection, rights, transactions (read-only, deadlocks), resources, locks, shutdown, the disk, a fault.
            return state[:2] in ("08", "25", "28", "3D", "40", "53", "55", "57", "58", "XX")
        return isinstance(error, InterfaceError | OperationalError | TimeoutError | OSError)

    def leaves_usable(self, error: Exception) -> bool:  # noqa: ARG002 - it may be gone after any
        return False

    def explain(self, error: Exception) -> Sentence:
        if (own_fault := none_left()) is not None:
            return Sentence("The database %(place)s cannot be opened. %(why)s", place=self.name, why=own_fault.message)
        state, said = _sqlstate(error), _said(error)
        match state[:2]:
            case "28" | "3D":
                what = Sentence("does not let us in. Check user, password and database in DATABASE_URL.")
            case "53":
                what = Sentence("has no room or no connection left. Look at its disk and at max_connections.")
            case "25":
                what = Sentence("is read-only. DATABASE_URL must name the server that takes changes.")
            case _:
                what = Sentence("cannot be reached or does not answer. Look at the server, and at DATABASE_URL.")
        return Sentence("The database %(place)s %(what)s (%(error)s)", place=self.name, what=what, error=said)

    def _ssl_context(self) -> ssl.SSLContext | bool | None:
        """As libpq's sslmode says; without a word of it encrypted if the server can."""
        match self._sslmode:
            case "disable" | "allow":
                return False
            case "verify-full" | "verify-ca":
                context = ssl.create_default_context(cafile=self._root_certificate)
                context.check_hostname = self._sslmode == "verify-full"
                return context
            case "require":
                return True
            case _:
                return None


def _original(error: Exception) -> Exception:
    """What the driver raised."""
    return getattr(error, "orig", None) or error


def _sqlstate(error: Exception) -> str:
    """PostgreSQL's five characters; empty if the server did not say any."""
    told = next(iter(_original(error).args), None)
    return str(told.get("C", "")) if isinstance(told, dict) else ""


def _said(error: Exception) -> str:
    told = next(iter(_original(error).args), None)
    return str(told.get("M", "")) if isinstance(told, dict) else str(_original(error))
