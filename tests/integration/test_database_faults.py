"""A database that is killed, hung, full, locked, crowded, slow or read-only, in the middle of calls: all of them are
answered, it is told, nothing is booked twice or lost, and it heals without a restart."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pg8000.native
import pytest
import requests

from tests.simulator.client import Simulator
from tests.support import own_disk
from tests.support.bridge import Bridge
from tests.support.numbers import numbers
from tests.support.postgres_server import PostgresServer, running_postgres
from tests.support.waiting import until

QUEUE = 100
DEADLOCK = "40P01"
SOON_S = 30
"""More than a call waits at most, by far: those that find out that a server hangs wait for seconds."""
UNKNOWN = "cb-" + "x" * 43
APP = "wsgi:app"
"""As it is, for its worker books behind the calls; the app that records hides from it how."""
CONNECTIONS = 24
"""Of the server: fewer than the workers could open."""


@dataclass
class Calls:
    """What was called with a named key that has a budget, and what the answers cost."""

    secret: str
    made: int = 0
    tokens: int = 0
    failed: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def one(self, bridge: Bridge) -> None:
        answer = bridge.call(
            "POST",
            "/v1/chat/completions",
            json={"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]},
            headers={"Authorization": f"Bearer {self.secret}"},
            timeout=SOON_S,
        )
        assert answer.status_code == 200, answer.text
        with self._lock:
            self.made += 1
            self.tokens += answer.json()["usage"]["total_tokens"]

    @contextlib.contextmanager
    def under_way(self, bridge: Bridge, *, callers: int = 4) -> Iterator[None]:
        """Calls all the while: some are in the middle of everything that happens."""
        stop, failed = threading.Event(), self.failed

        def go_on() -> None:
            while not stop.is_set():
                try:
                    self.one(bridge)
                except BaseException as error:
                    failed.append(error)
                    return

        threads = [threading.Thread(target=go_on) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        if failed:
            raise failed[0]

    def wait_for_more(self, count: int) -> None:
        wanted = self.made + count
        until(lambda: self.made >= wanted or bool(self.failed))


def assert_comes_to(wanted: object, look: Callable[[], object]) -> None:
    seen: list[object] = [None]

    def is_so() -> bool:
        seen[0] = look()
        return seen[0] == wanted

    with contextlib.suppress(AssertionError):
        until(is_so)
    assert seen[0] == wanted


def ready(bridge: Bridge) -> dict[str, Any]:
    answer = bridge.get("/readyz", timeout=SOON_S)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def make_key(bridge: Bridge, name: str) -> Any:
    budgets = [{"amount": 10**9, "unit": "tokens", "per": "total"}]
    return bridge.post("/admin/keys", json={"name": name, "budgets": budgets}, timeout=SOON_S)


def dropped(bridge: Bridge) -> float:
    return numbers(bridge).get(("bridge_calls_not_booked_total", "dropped"), 0)


def booked(bridge: Bridge, key: str) -> float:
    answer = bridge.get("/usage/ledger?group=key", timeout=SOON_S)
    if answer.status_code == 503:
        return 0  # the other worker has not found out yet that the database is back
    rows = answer.json()["rows"]
    return sum(float(row["calls"]) for row in rows if row["key"] == key)


def spent(bridge: Bridge, key: str) -> float:
    """When all calls are settled, each of which is after its client has the answer."""
    found: list[dict[str, Any]] = []

    def is_settled() -> bool:
        answer = bridge.get(f"/admin/keys/{key}", timeout=SOON_S)
        found[:] = answer.json()["budgets"] if answer.status_code == 200 else [{"reserved": 1}]
        return not found[0]["reserved"]

    until(is_settled)
    return float(found[0]["used"])


# ── what ails it ────────────────────────────────────────────────────────────────────────────────────────────────────


class Postgres:
    """A running bridge, and its server."""

    def __init__(self, bridge: Bridge, server: PostgresServer, database: str) -> None:
        self.bridge, self.server, self.database = bridge, server, database

    @contextlib.contextmanager
    def session(self) -> Iterator[pg8000.native.Connection]:
        with contextlib.closing(self.server.connect(self.database)) as session:
            yield session

    @contextlib.contextmanager
    def killed(self) -> Iterator[None]:
        self.server.kill()
        yield
        self.server.start()

    def frozen(self) -> AbstractContextManager[None]:
        return self.server.frozen()

    @contextlib.contextmanager
    def at_each_row(self, body: str) -> Iterator[None]:
        """Something happens before a row is written, into whichever table."""
        with self.session() as session:
            session.run(
                f"CREATE FUNCTION ailing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$"
            )
            tables = [table for (table,) in session.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            for table in tables:
                session.run(f"CREATE TRIGGER ailing BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION ailing()")
            yield
            for table in tables:  # one lock at a time: all at once, a transaction that is under way would be in our way
                session.run(f"DROP TRIGGER ailing ON {table}")
            session.run("DROP FUNCTION ailing()")

    def full(self) -> AbstractContextManager[None]:
        return self.at_each_row("RAISE EXCEPTION 'could not extend file: No space left' USING ERRCODE = 'disk_full';")

    def slow(self) -> AbstractContextManager[None]:
        return self.at_each_row("PERFORM pg_sleep(0.2);")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with self.session() as session:
            while True:
                session.run("BEGIN")
                try:
                    session.run(
                        "LOCK TABLE bridge_notes, client_keys, key_calls, key_spending, ledger_calls, ledger_days"
                    )
                    break
                except pg8000.native.DatabaseError as error:
                    session.run("ROLLBACK")
                    if error.args[0]["C"] != DEADLOCK:  # with a transaction that is under way
                        raise
            yield
            session.run("ROLLBACK")

    @contextlib.contextmanager
    def crowded(self) -> Iterator[None]:
        """Others have taken all connections, and the bridge has lost its own."""
        with contextlib.ExitStack() as others:
            session = others.enter_context(self.session())

            def has_taken_all() -> bool:
                """Nothing was left to take, nor had the bridge anything: a place is free a moment after it is left."""
                is_alone, taken = self._connections_of_the_bridge(session) == 0, 0
                session.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'copilot-bridge'"
                )
                with contextlib.suppress(pg8000.exceptions.DatabaseError):
                    while True:
                        others.enter_context(self.session())
                        taken += 1
                return is_alone and not taken

            until(has_taken_all)
            yield

    def _connections_of_the_bridge(self, session: pg8000.native.Connection) -> int:
        found = session.run("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'copilot-bridge'")
        return int(found[0][0])

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        def set_to(value: str) -> None:
            with self.session() as session:
                session.run("SET default_transaction_read_only = off")
                session.run(f"ALTER DATABASE {self.database} SET default_transaction_read_only = {value}")
                session.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'copilot-bridge'"
                )

        set_to("on")
        yield
        set_to("off")

    def assert_whole(self) -> None:
        with self.session() as session:
            assert session.run("SELECT count(*) FROM key_calls") == [[0]]
            assert session.run("SELECT sum(calls) FROM ledger_days") == session.run("SELECT count(*) FROM ledger_calls")


class Sqlite:
    """A running bridge, and its file on a disk of its own."""

    def __init__(self, bridge: Bridge, folder: Path) -> None:
        self.bridge, self.folder = bridge, folder

    @contextlib.contextmanager
    def session(self) -> Iterator[sqlite3.Connection]:
        file = self.folder / "bridge.db"
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=SOON_S)) as session:
            yield session

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with self.session() as session:
            session.execute("BEGIN IMMEDIATE")
            yield
            session.execute("ROLLBACK")

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        with self.session() as session:
            session.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with own_disk.full(self.folder):
            yield

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        """Somebody else has it most of the time."""
        stop = threading.Event()

        def take_turns() -> None:
            with self.session() as session:
                while not stop.is_set():
                    session.execute("BEGIN IMMEDIATE")
                    stop.wait(0.3)
                    session.execute("ROLLBACK")
                    stop.wait(0.05)

        thread = threading.Thread(target=take_turns)
        thread.start()
        yield
        stop.set()
        thread.join()

    def assert_whole(self) -> None:
        with self.session() as session:
            assert session.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert session.execute("SELECT count(*) FROM key_calls").fetchone() == (0,)
            calls = session.execute("SELECT count(*) FROM ledger_calls").fetchone()
            assert session.execute("SELECT sum(calls) FROM ledger_days").fetchone() == calls


# ── the services ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def postgres(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    # What it has committed outlives its end, other than on the server of the other tests.
    with running_postgres(f"max_connections={CONNECTIONS}", "synchronous_commit=on") as server:
        url = server.new_database()
        env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "DATABASE_URL": url}
        env["LEDGER_QUEUE"] = str(QUEUE)
        with Bridge(env, tmp_path_factory.mktemp("postgres-faults"), app=APP) as bridge:
            assert bridge.chat("hi").status_code == 200
            yield Postgres(bridge, server, urlsplit(url).path.lstrip("/"))


@pytest.fixture(scope="module")
def sqlite(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqlite]:
    folder = tmp_path_factory.mktemp("sqlite-faults")
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "LEDGER_QUEUE": str(QUEUE)}
    with (
        own_disk.mounted(folder / "disk") as disk,
        Bridge({**env, "DATA_DIR": str(disk)}, folder, app=APP) as bridge,
    ):
        assert bridge.chat("hi").status_code == 200
        yield Sqlite(bridge, disk)


@dataclass(frozen=True)
class Fault:
    """words: the cause, as somebody is told who changes something; None: nothing is away. is_unreadable: nor can it be
    read. cuts_off: it ends connections, and a worker finds out in a moment that it can read by new ones."""

    begin: Callable[[Any], AbstractContextManager[None]]
    words: str | None = None
    is_unreadable: bool = False
    cuts_off: bool = False


FAULTS = {
    "postgres": {
        "killed": Fault(Postgres.killed, "cannot be reached", is_unreadable=True),
        "frozen": Fault(Postgres.frozen, "cannot be reached or does not answer", is_unreadable=True),
        "full": Fault(Postgres.full, "has no room"),
        "crowded": Fault(Postgres.crowded, "no connection left", is_unreadable=True),
        "locked": Fault(Postgres.locked, "does not answer", is_unreadable=True),
        "read-only": Fault(Postgres.read_only, "is read-only", cuts_off=True),
        "slow": Fault(Postgres.slow),
    },
    "sqlite": {
        "full": Fault(Sqlite.full, "the disk is full"),
        "locked": Fault(Sqlite.locked, "was locked by another process"),
        "slow": Fault(Sqlite.slow),
    },
}


names = itertools.count()


@pytest.mark.parametrize(("place", "name"), [(place, name) for place, faults in FAULTS.items() for name in faults])
def test_calls_go_on_and_all_of_them_are_booked_once(request: pytest.FixtureRequest, place: str, name: str) -> None:
    here, fault = request.getfixturevalue(place), FAULTS[place][name]
    bridge: Bridge = here.bridge
    key = f"key-{next(names)}"
    until(lambda: ready(bridge)["database"] == "ok")  # where the fault before was not at its end yet
    calls = Calls(make_key(bridge, key).json()["secret"])
    dropped_before = dropped(bridge)
    with calls.under_way(bridge):
        calls.wait_for_more(8)
        with fault.begin(here):
            if fault.words is None:
                calls.wait_for_more(4)
            else:
                until(lambda: ready(bridge)["database"] == "unavailable")
                assert_tells(bridge, fault)
        # With calls under way it is used, and found out, without a restart.
        until(lambda: ready(bridge)["database"] == "ok")
    # None is booked twice: that would never come right.
    assert_comes_to(calls.made, lambda: booked(bridge, key) + dropped(bridge) - dropped_before)
    # What began without a reservation is booked some seconds later. None of it twice: that would never come right.
    assert_comes_to(float(calls.tokens), lambda: spent(bridge, key))
    here.assert_whole()


def assert_tells(bridge: Bridge, fault: Fault) -> None:
    assert fault.words is not None
    words = fault.words

    def is_told() -> bool:
        refused = make_key(bridge, f"key-{next(names)}")
        if refused.status_code == 200:
            return False  # a disk that is full has room for a moment where a journal is deleted
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "database_unavailable"), refused.text
        return words in refused.json()["error"]["message"]

    def unknown() -> requests.Response:
        headers = {"Authorization": f"Bearer {UNKNOWN}"}
        return bridge.call("GET", "/v1/models", headers=headers, timeout=SOON_S)

    until(is_told)  # how a fault begins may look like another one
    if fault.is_unreadable:  # it may have been made a moment ago, elsewhere
        answer = unknown()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable"), answer.text
        assert "postgresql" not in answer.text
    elif fault.cuts_off:
        until(lambda: unknown().status_code == 401)
    else:
        assert unknown().status_code == 401
