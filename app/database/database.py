"""Transactions on the database, which may be away: then who needs it is told at once, and calls go on without it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from app.database.places import ANSWER_S, Place, PostgresPlace, SqlitePlace
from app.database.revisions import TABLE, head
from app.errors import DatabaseError, Sentence, StoreError
from app.logs import logger
from app.store.base import wait_a_moment
from app.store.guarded import Outage, in_background

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")

FILE_NAME: Final = "bridge.db"
_LONGEST_TURN_S: Final = 20.0
_LONGEST_MIGRATION_S: Final = 60.0
"""How long one worker waits for the tables that another makes."""
_LONGEST_READ_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Condition:
    """revision: of its tables; None before there are any. size_bytes: with whatever lies beside it."""

    revision: str | None
    size_bytes: int


class Database:
    """``with database.write() as connection:`` is one transaction. From any thread or greenlet; survives a fork.

    The tables are made or migrated when it is used first, or by `prepare`. Whatever ails the database is a
    `DatabaseError`, and told at once from then on: whether it is back is found out behind the callers' backs, every
    `away_s` seconds while somebody asks. Errors of a statement itself are SQLAlchemy's. Within a transaction do nothing
    but database work: with SQLite everybody else who writes is waiting.
    clock: seconds from any starting point, never going back.
    """

    def __init__(
        self,
        place: Place,
        *,
        away_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        spawn: Callable[[Callable[[], None]], None] = in_background,
    ) -> None:
        self._place = place
        self._away_s = away_s
        self._clock = clock
        self._spawn = spawn
        self._reading = Outage("database cannot be used", "database can be used again")
        self._writing = Outage("database cannot be written", "database can be written again")
        self._tried_at = -away_s
        self._engine: Engine | None = None
        self._is_closed = False
        self._ready_for: object = None
        self._choosing = threading.Lock()
        self._preparing = threading.Lock()
        self._trying = threading.Lock()
        self._writer = threading.Lock()
        _close_before_fork(self)

    @classmethod
    def at(cls, *, data_dir: Path, url: str | None, answer_s: float = ANSWER_S) -> Database:
        """The database of DATABASE_URL, or ``data_dir/bridge.db``, as soon as it takes longer than that (seconds) for
        an answer it is away. Opens nothing."""
        return cls(PostgresPlace(url, answer_s) if url else SqlitePlace(data_dir / FILE_NAME, answer_s))

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return self._place.name

    def exists(self) -> bool:
        """Whether there is anything in it: False before its first use, so nobody loads it to find nothing."""
        return self._place.exists()

    @contextlib.contextmanager
    def read(self, *, snapshot: bool = False) -> Iterator[Connection]:
        """A transaction that only reads. snapshot: everything as of one moment, as with SQLite it always is.

        Raises: DatabaseError.
        """
        with self._transaction(self._reading, writes=False) as connection:
            if snapshot:
                self._place.take_snapshot(connection)
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that changes something, committed at the end of the block. Raises: DatabaseError.

        With SQLite it has the database to itself; with PostgreSQL use ``with_for_update()`` where that matters.
        """
        with self._transaction(self._writing, writes=True) as connection:
            yield connection

    def read_slowly(self, work: Callable[[Connection], T]) -> T:
        """Read what takes long, a sum over many rows say, without holding up this worker's other greenlets.

        work: only reads from its connection, and uses nothing that waits. Raises: DatabaseError.
        """
        self._refuse_if_away(self._reading)
        with self._told(self._reading):
            self._patiently(self._make_ready)

            def apart() -> T:
                engine = self._place.make_engine(max(_LONGEST_READ_S, self._place.answer_s))
                try:
                    with engine.connect() as connection, connection.begin():
                        return work(connection)
                finally:
                    engine.dispose()

            result = self._place.apart(apart)
        self._reading.end()
        return result

    def prepare(self) -> None:
        """Make the tables, or migrate them, if that is due; whoever comes meanwhile waits. Raises: DatabaseError."""
        with self._told(self._writing):
            self._patiently(self._make_ready)

    def look(self) -> Condition:
        """What it is like: read, and written if its tables are of this version. Makes and migrates nothing.

        Raises: DatabaseError.
        """
        with self._told(self._reading):
            found = Condition(self._patiently(self._place.revision), self._patiently(self._place.size))
        if found.revision == head():
            with self._told(self._writing):
                self._patiently(self._place.try_out)
        return found

    def trouble(self) -> DatabaseError | None:
        """What is wrong with it, as far as it is known. Waits for nobody: it is tried behind the caller's back."""
        if self._clock() - self._tried_at >= self._away_s:
            self._tried_at = self._clock()
            self._spawn(self._try)
        error = self._reading.error or self._writing.error
        return error if isinstance(error, DatabaseError) else None

    def close(self) -> None:
        """Close the connections of this process, those in use as soon as they are not; whoever comes later, in the
        background say, has one for that time only."""
        self._is_closed = True
        self._disconnect()

    def _disconnect(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.pool.dispose()

    def _try(self) -> None:
        """Whether it can be read, and written, told by the outages. One try at a time."""
        if not self._trying.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(DatabaseError):
                if self._reading.error is None and not self.exists():
                    return
                with self._told(self._reading):
                    self._patiently(self._make_ready)
                self._reading.end()
                with self._told(self._writing):
                    self._patiently(self._place.try_out)
                self._writing.end()
        finally:
            self._trying.release()

    @contextlib.contextmanager
    def _transaction(self, outage: Outage, *, writes: bool) -> Iterator[Connection]:
        self._refuse_if_away(outage)
        turn = self._turn() if writes and self._place.has_one_writer else contextlib.nullcontext()
        with turn, self._transaction_of_its_own(outage, writes=writes) as connection:
            yield connection

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One of this process at a time, in the order of their coming: then a crowd here has not to race for the lock,
        in which some would never win."""
        if not self._writer.acquire(timeout=_LONGEST_TURN_S + self._place.answer_s):
            raise DatabaseError(Sentence("The database %(place)s has too much to do. Try again.", place=self.name))
        try:
            yield
        finally:
            self._writer.release()

    @contextlib.contextmanager
    def _transaction_of_its_own(self, outage: Outage, *, writes: bool) -> Iterator[Connection]:
        self._refuse_if_away(outage)
        with self._told(outage):
            connection = self._begun(writes=writes)
        try:
            yield connection
            connection.commit()
        except Exception as error:
            if self._place.is_trouble(error):
                told, is_usable = DatabaseError(self._place.explain(error)), self._place.leaves_usable(error)
                if not is_usable:
                    connection.invalidate()
                raise self._went_wrong(outage, told, keep=is_usable) from error
            raise
        else:
            outage.end()
        finally:
            self._give_back(connection)

    def _begun(self, *, writes: bool) -> Connection:
        """A connection whose transaction has begun."""

        def begin() -> Connection:
            self._make_ready()
            connection = self._connected().execution_options(writes=writes)
            try:
                connection.begin()
            except BaseException:
                self._give_back(connection)
                raise
            return connection

        return self._patiently(begin)

    def _patiently(self, work: Callable[[], T], longest_s: float | None = None) -> T:
        """Do it; while somebody else is in the way, sleep and try again."""
        give_up_at = time.monotonic() + (longest_s or self._place.answer_s)
        while True:
            try:
                return work()
            except Exception as error:
                if not self._place.is_busy(error) or time.monotonic() > give_up_at:
                    raise
            wait_a_moment()

    def _connected(self) -> Connection:
        engine = self._engine
        if engine is None:
            made = self._place.make_engine()
            with self._choosing:  # another may have made one meanwhile
                engine = self._engine or made
                if not self._is_closed:
                    self._engine = engine
        return engine.connect()

    def _give_back(self, connection: Connection) -> None:
        engine = connection.engine
        connection.close()
        if engine is not self._engine:  # its pool was emptied while this one was in use: nobody else would close it
            engine.pool.dispose()

    def _refuse_if_away(self, outage: Outage) -> None:
        if outage.error is not None and self._clock() >= outage.until:
            outage.until = self._clock() + self._away_s
            self._spawn(self._try)
        if outage.error is not None:
            raise outage.error

    @contextlib.contextmanager
    def _told(self, outage: Outage) -> Iterator[None]:
        """What goes wrong within it as a DatabaseError, which is remembered."""
        try:
            yield
        except StoreError as error:
            told = error if isinstance(error, DatabaseError) else DatabaseError(error.message)
            raise self._went_wrong(outage, told) from error.__cause__
        except Exception as error:
            if not self._place.is_trouble(error):
                raise
            told, is_usable = DatabaseError(self._place.explain(error)), self._place.leaves_usable(error)
            raise self._went_wrong(outage, told, keep=is_usable) from error

    def _went_wrong(self, outage: Outage, error: DatabaseError, *, keep: bool = False) -> DatabaseError:
        """keep: the connections can be used as they are."""
        if not keep:  # start afresh next time: what was away or read-only may be mended by then
            self._ready_for = None
            self._disconnect()
        until = self._clock() + self._away_s
        outage.begin(error, until)
        if outage is self._reading:
            self._writing.begin(error, until)
        return error

    # ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _make_ready(self) -> None:
        """See that this program's tables are there. A file that was removed or replaced meanwhile is noticed."""
        there = self._place.identity()
        if there is not None and there == self._ready_for:
            return
        with self._preparing:
            if there is not None and there == self._ready_for:
                return
            self._disconnect()
            revision = self._patiently(self._place.revision)
            if revision != head():
                self._migrate()
            self._ready_for = self._place.identity()

    def _migrate(self) -> None:
        """Make the tables or migrate them, in one transaction. Other workers wait, and then find it done."""

        engine = self._place.make_engine(max(_LONGEST_MIGRATION_S, self._place.answer_s))

        def migrate() -> None:
            connection = engine.connect().execution_options(writes=True)
            with contextlib.closing(connection), connection.begin():
                self._place.lock_for_migration(connection)
                self._migrate_by(connection)

        try:
            self._patiently(migrate, _LONGEST_MIGRATION_S)
        finally:
            engine.dispose()

    def _migrate_by(self, connection: Connection) -> None:
        from sqlalchemy import inspect, text

        has_tables = inspect(connection).has_table(TABLE)
        found = connection.execute(text(f"SELECT version_num FROM {TABLE}")).scalar() if has_tables else None  # noqa: S608
        if found == head():
            return
        if found is None:
            from app.database.create import create_all

            create_all(connection)
        elif str(found) > head():
            raise DatabaseError(
                Sentence(
                    "The database %(place)s was made by a newer version of the bridge (%(found)s, this one knows "
                    "%(known)s). Run that version, or restore a backup that this one made.",
                    place=self.name,
                    found=str(found),
                    known=head(),
                )
            )
        else:
            from app.database.migrate import upgrade

            upgrade(connection)
        logger.info("database tables are ready", extra={"fields": {"before": found, "revision": head()}})


def _close_before_fork(database: Database) -> None:
    """No connection is open at the moment of any fork: see `app.store.sqlite`."""
    reference = weakref.ref(database)

    def before() -> None:
        if (this := reference()) is not None:
            this._disconnect()

    os.register_at_fork(before=before)
