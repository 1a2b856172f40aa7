"""Both stores behind one face, and other worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.store import Store, open_store
from app.store.sqlite import SqliteStore
from tests.support.redis_server import redis_client

ROOT = Path(__file__).parents[3]


class Backend:
    """One kind of store: opens it as often as a test likes, and makes time pass without waiting."""

    def __init__(self, data_dir: Path, redis_url: str | None) -> None:
        self.data_dir = data_dir
        self.redis_url = redis_url
        self.now = 1_000_000.0
        self._cleanup = contextlib.ExitStack()

    def open(self) -> Store:
        store: Store
        if self.redis_url:
            store = open_store(data_dir=self.data_dir, redis_url=self.redis_url)
        else:
            store = SqliteStore(self.data_dir / "state.db", clock=lambda: self.now)
        self._cleanup.callback(store.close)
        return store

    def pass_time(self, seconds: float) -> None:
        """Move the injected clock; or, as nobody can move Redis's, shorten what is left of every key's life."""
        self.now += seconds
        if self.redis_url:
            with redis_client(self.redis_url) as client:
                for key in client.scan_iter():
                    if (left_ms := client.pttl(key)) >= 0:
                        client.pexpire(key, left_ms - int(seconds * 1000))

    def start_worker(self) -> Worker:
        (worker,) = self.start_workers(1)
        return worker

    def start_workers(self, count: int) -> list[Worker]:
        """So many other processes; only the first may be killed."""
        ends = [socket.socketpair() for _ in range(count)]
        theirs = [end.fileno() for _, end in ends]
        program = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        process = subprocess.Popen(
            [*program, str(self.data_dir), self.redis_url or "", *map(str, theirs)],
            env=child_environment(),
            pass_fds=theirs,
        )
        workers = [Worker(process, ours) for ours, _ in ends]
        for _, end in ends:
            end.close()
        self._cleanup.callback(process.wait, 30)  # called last
        for worker in workers:
            self._cleanup.callback(worker.stop)
        return workers

    def run_script(self, script: str) -> str:
        """Run Python source in a fresh process, which gets data_dir and redis_url (or "") as arguments."""
        command = [sys.executable, "-W", "error", "-c", script, str(self.data_dir), self.redis_url or ""]
        done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def close(self) -> None:
        self._cleanup.close()


class Worker:
    """The other end of worker.py. `send` and `receive` are apart, so that several workers can run at once."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._lines = connection.makefile("rw")
        connection.close()

    def send(self, do: str, **arguments: Any) -> None:
        print(json.dumps({"do": do, **arguments}), file=self._lines, flush=True)

    def receive(self) -> Any:
        line = self._lines.readline()
        assert line, "the worker died; its stderr says why"
        return json.loads(line)

    def ask(self, do: str, **arguments: Any) -> Any:
        self.send(do, **arguments)
        return self.receive()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """All of them end when nobody has anything more for them to do."""
        self._lines.close()


def child_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def make_backend(tmp_path: Path) -> Iterator[Callable[[str | None], Backend]]:
    with contextlib.ExitStack() as stack:

        def make(redis_url: str | None) -> Backend:
            return stack.enter_context(contextlib.closing(Backend(tmp_path / "data", redis_url)))

        yield make


@pytest.fixture(params=["sqlite", "redis"])
def backend(request: pytest.FixtureRequest, make_backend: Callable[[str | None], Backend]) -> Backend:
    # Asked for only when needed, so that a missing server skips the Redis half and nothing else.
    return make_backend(request.getfixturevalue("redis_url") if request.param == "redis" else None)


@pytest.fixture
def store(backend: Backend) -> Store:
    return backend.open()


@pytest.fixture
def sqlite_backend(make_backend: Callable[[str | None], Backend]) -> Backend:
    return make_backend(None)


@pytest.fixture
def redis_backend(make_backend: Callable[[str | None], Backend], redis_url: str) -> Backend:
    return make_backend(redis_url)


@pytest.fixture
def redis_port(redis_url: str) -> int:
    port = urlsplit(redis_url).port
    assert port
    return port
