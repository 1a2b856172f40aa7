"""State that is full, locked, damaged, read-only or gone: calls are answered, changes are refused by name, nothing is
lost that was there, and all of it heals without a restart."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from app.doctor.state import check_store
from app.store import open_store
from tests.simulator.client import Simulator
from tests.support import own_disk
from tests.support.bridge import Bridge
from tests.support.redis_server import REDIS_PASSWORD, RedisServer, redis_client, running_redis

CHANGE = {"to": "gpt-4.1"}
BROWSER = {"Accept": "text/html"}
# A call takes 2 to 3 s at most, the rest is for a machine with much else to do. One that hangs would take a minute.
SOON_S = 30


# ── what holds during each fault, and after it ──────────────────────────────────────────────────────────────────────


def call(bridge: Bridge, method: str, path: str, **options: Any) -> requests.Response:
    return bridge.call(method, path, timeout=SOON_S, **options)


def chat(bridge: Bridge, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return call(bridge, "POST", "/v1/chat/completions", json=body).status_code


def assert_calls_are_answered(bridge: Bridge, model: str, *, times: int = 3) -> None:
    assert [chat(bridge, model) for _ in range(times)] == [200] * times
    messages = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    assert call(bridge, "POST", "/v1/messages", json=messages).status_code == 200
    assert call(bridge, "GET", "/v1/models").status_code == 200
    assert call(bridge, "GET", "/admin/mapping").status_code == 200


def assert_changes_are_refused(bridge: Bridge, words: str) -> None:
    """In the form in which each was asked for, with the cause; the second one is not told anything else."""
    for _ in range(2):
        refused = call(bridge, "PUT", "/admin/mapping/other", json=CHANGE)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert words in refused.json()["error"]["message"]
    page = call(bridge, "GET", "/admin/mapping/set?from=other&to=gpt-4.1", headers=BROWSER)
    assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert words in page.text
    sign_in = call(bridge, "POST", "/auth/device/start")
    assert sign_in.status_code == 503
    assert words in sign_in.json()["error"]["message"]


def assert_readiness_tells(bridge: Bridge, told: str) -> None:
    """It goes on to be ready, since calls are answered. What it says was found out behind an earlier answer."""
    for answer in asked_again(lambda: call(bridge, "GET", "/readyz")):
        assert answer.status_code == 200
        if answer.json()["store"] == told:
            return


def assert_healed(bridge: Bridge, *kept: str) -> None:
    """Changes go through again after the moment for which the bridge leaves a store alone. kept: mapped names."""
    for answer in asked_again(lambda: call(bridge, "PUT", "/admin/mapping/healed", json=CHANGE)):
        if answer.status_code == 200:
            break
        assert answer.status_code == 503
    assert {"healed", *kept} <= set(call(bridge, "GET", "/admin/mapping").json())
    assert [chat(bridge, name) for name in ("healed", *kept)] == [200] * (1 + len(kept))
    assert_readiness_tells(bridge, "ok")


def asked_again(ask: Callable[[], requests.Response]) -> Iterator[requests.Response]:
    """One answer after the other, for some seconds."""
    until = time.monotonic() + SOON_S
    while time.monotonic() < until:
        yield ask()
        time.sleep(0.05)
    pytest.fail("it does not come to that")


def told_by_doctor(folder: Path, redis_url: str | None = None) -> str:
    store = open_store(data_dir=folder, redis_url=redis_url)
    try:
        return " ".join(f"{found.status}: {found.what}" for found in check_store(store, redis=bool(redis_url)))
    finally:
        store.close()


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Sqlite:
    """A running bridge with a disk of its own, and its state file."""

    def __init__(self, bridge: Bridge, folder: Path) -> None:
        self.bridge = bridge
        self.folder = folder
        self.file = folder / "state.db"

    def connect(self) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(sqlite3.connect(self.file, isolation_level=None, timeout=10))

    def tidy(self) -> None:
        """Everything into the file itself, nothing beside it."""
        with self.connect() as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def put_away(self) -> None:
        for file in self.folder.glob("state.db*"):
            file.unlink()

    def replace_worker(self) -> None:
        """By one that knows nothing yet."""
        before = self.bridge.workers
        count = self.bridge.log.count("Booting worker")
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        self.bridge.wait_for(lambda log: log.count("Booting worker") > count)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        self.tidy()
        with own_disk.full(self.folder):
            yield

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        with own_disk.read_only(self.folder):
            yield

    @contextlib.contextmanager
    def locked_for_writers(self) -> Iterator[None]:
        with self.connect() as other:
            other.execute("BEGIN EXCLUSIVE")
            yield

    @contextlib.contextmanager
    def locked_for_all(self) -> Iterator[None]:
        self.tidy()
        good = self.file.read_bytes()
        self.put_away()
        self.file.write_bytes(good)  # nobody has this one open
        with self.connect() as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            yield

    @contextlib.contextmanager
    def changed(self, change: Callable[[Path], object]) -> Iterator[None]:
        """Something is done to the file, which is put back in the end as it was before."""
        self.tidy()
        good = self.file.read_bytes()
        change(self.file)
        yield
        self.put_away()
        self.file.write_bytes(good)


def overwrite(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(100)
        opened.write(b"\xff" * 20_000)


def set_version(version: int) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with contextlib.closing(sqlite3.connect(file)) as db:
            db.execute(f"PRAGMA user_version = {version}")

    return change


@dataclass(frozen=True)
class Fault:
    """begin: the fault, as long as it lasts. words: the cause, as it is told."""

    begin: Callable[[Any], AbstractContextManager[None]]
    words: str


# What a running worker finds, and a new one as well.
AT_ANY_TIME = {
    "full": Fault(Sqlite.full, "the disk is full"),
    "locked": Fault(Sqlite.locked_for_writers, "was locked by another process"),
}
# What a worker finds when it starts; one that runs has the file open, or remembers what it has read of it.
AT_START = {
    "read-only": Fault(Sqlite.read_only, "whether it is read-only"),
    "locked for all": Fault(Sqlite.locked_for_all, "was locked by another process"),
    "no database": Fault(lambda it: it.changed(lambda file: file.write_bytes(b"no database " * 900)), "is damaged"),
    "overwritten": Fault(lambda it: it.changed(overwrite), "is damaged"),
    "truncated": Fault(lambda it: it.changed(lambda file: os.truncate(file, 5000)), "is damaged"),
    "newer": Fault(lambda it: it.changed(set_version(99)), "was made by another version of the bridge"),
    "older": Fault(lambda it: it.changed(set_version(0)), "move the file away"),
}


@pytest.fixture(scope="module")
def sqlite(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqlite]:
    folder = tmp_path_factory.mktemp("sqlite")
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with own_disk.mounted(folder / "disk") as disk, Bridge({**env, "DATA_DIR": str(disk)}, folder) as bridge:
        for number in range(40):  # so that there is something to damage
            name = "mine" if number == 0 else f"{number}" * 100
            assert call(bridge, "PUT", f"/admin/mapping/{name}", json=CHANGE).status_code == 200
        assert chat(bridge, "mine") == 200
        yield Sqlite(bridge, disk)


@pytest.mark.parametrize("name", AT_ANY_TIME)
def test_running_worker_answers_with_what_it_knows(sqlite: Sqlite, name: str) -> None:
    fault = AT_ANY_TIME[name]
    with fault.begin(sqlite):
        assert_readiness_tells(sqlite.bridge, "unavailable")
        assert_calls_are_answered(sqlite.bridge, "mine", times=100 if name == "locked" else 3)
        assert_changes_are_refused(sqlite.bridge, fault.words)
        assert fault.words in told_by_doctor(sqlite.folder)
    assert_healed(sqlite.bridge, "mine")
    assert "ok: SQLite takes" in told_by_doctor(sqlite.folder)


@pytest.mark.parametrize("name", AT_ANY_TIME | AT_START)
def test_worker_that_starts_serves_without_what_it_cannot_read(sqlite: Sqlite, name: str) -> None:
    fault = (AT_ANY_TIME | AT_START)[name]
    with fault.begin(sqlite):
        sqlite.replace_worker()
        assert_calls_are_answered(sqlite.bridge, "gpt-4.1")
        assert_changes_are_refused(sqlite.bridge, fault.words)
        assert_readiness_tells(sqlite.bridge, "unavailable")
        assert fault.words in told_by_doctor(sqlite.folder)
    assert_healed(sqlite.bridge, "mine")


@pytest.mark.parametrize("name", ["no database", "truncated"])
def test_damage_under_a_running_worker_is_no_error_of_a_call(sqlite: Sqlite, name: str) -> None:
    """Whether it notices depends on what it holds in memory. Either way a change is made or refused, and no more."""
    with AT_START[name].begin(sqlite):
        assert_calls_are_answered(sqlite.bridge, "mine")
        assert call(sqlite.bridge, "PUT", "/admin/mapping/other", json=CHANGE).status_code in (200, 503)
        assert_calls_are_answered(sqlite.bridge, "gpt-4.1")
    assert_healed(sqlite.bridge, "mine")


def test_file_that_is_empty_or_removed_is_made_anew(sqlite: Sqlite) -> None:
    for change in (lambda file: os.truncate(file, 0), lambda _: sqlite.put_away()):
        with sqlite.changed(change):
            sqlite.replace_worker()
            assert_calls_are_answered(sqlite.bridge, "gpt-4.1")
            assert_healed(sqlite.bridge)
        assert_healed(sqlite.bridge, "mine")


# ── Redis ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Redis:
    """A running bridge with a Redis of its own."""

    def __init__(self, bridge: Bridge, server: RedisServer) -> None:
        self.bridge = bridge
        self.server = server

    @contextlib.contextmanager
    def killed(self) -> Iterator[None]:
        self.server.kill()
        yield
        self.server.start()

    def frozen(self) -> AbstractContextManager[None]:
        return self.server.frozen()

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        with redis_client(self.server.url) as client:
            client.config_set("maxmemory", 1)
            yield
            client.config_set("maxmemory", 0)

    @contextlib.contextmanager
    def another_password(self) -> Iterator[None]:
        with redis_client(self.server.url) as client:
            client.config_set("requirepass", "changed-changed")
            client.client_kill_filter(_type="normal", skipme=True)
            yield
            client.config_set("requirepass", REDIS_PASSWORD)


OF_REDIS = {
    "killed": Fault(Redis.killed, "Connection refused"),
    "frozen": Fault(Redis.frozen, "Timeout"),
    "full": Fault(Redis.full, "is full: make room"),
    "password": Fault(Redis.another_password, "Check the password in REDIS_URL"),
}


@pytest.fixture(scope="module")
def redis(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    folder = tmp_path_factory.mktemp("redis-faults")
    with running_redis(folder) as server:
        env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "REDIS_URL": server.url}
        with Bridge(env, folder) as bridge:
            yield Redis(bridge, server)


@pytest.mark.parametrize("name", OF_REDIS)
def test_calls_go_on_without_redis(redis: Redis, tmp_path: Path, name: str) -> None:
    fault = OF_REDIS[name]
    assert call(redis.bridge, "PUT", "/admin/mapping/mine", json=CHANGE).status_code == 200
    assert chat(redis.bridge, "mine") == 200
    with fault.begin(redis):
        assert_calls_are_answered(redis.bridge, "mine", times=100 if name == "frozen" else 3)
        assert_changes_are_refused(redis.bridge, fault.words)
        assert_readiness_tells(redis.bridge, "unavailable")
        told = told_by_doctor(tmp_path, redis.server.url)
        assert fault.words in told
        assert REDIS_PASSWORD not in told
    assert_healed(redis.bridge, *(() if name == "killed" else ("mine",)))  # a new Redis is an empty one


def test_redis_that_was_emptied_is_filled_again(redis: Redis) -> None:
    assert call(redis.bridge, "PUT", "/admin/mapping/mine", json=CHANGE).status_code == 200
    with redis_client(redis.server.url) as client:
        client.flushall()
    assert_calls_are_answered(redis.bridge, "gpt-4.1")
    assert "mine" not in call(redis.bridge, "GET", "/admin/mapping").json()
    assert_healed(redis.bridge)
