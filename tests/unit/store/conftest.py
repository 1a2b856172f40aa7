"""Both stores behind one face, a real Redis server, and other worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis

from app.store import Store, open_store
from app.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[3]
REDIS_PASSWORD = "hunter2-hunter2"


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
        worker = Worker([str(self.data_dir), self.redis_url or ""])
        self._cleanup.callback(worker.stop)
        return worker

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

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), *arguments],
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, do: str, **arguments: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the worker died; its stderr says why"
        return json.loads(line)

    def ask(self, do: str, **arguments: Any) -> Any:
        self.send(do, **arguments)
        return self.receive()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=30)
        self.kill()


def child_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def redis_client(url: str) -> Redis:
    return Redis.from_url(url, decode_responses=True)


def start_redis(directory: Path, port: int) -> subprocess.Popen[str] | None:
    """Returns the server once it takes connections; None if it ended instead, say because the port was taken."""
    binary = shutil.which("redis-server")
    assert binary
    options = {"bind": "127.0.0.1", "port": str(port), "dir": str(directory), "requirepass": REDIS_PASSWORD}
    options |= {"save": "", "appendonly": "no", "daemonize": "no"}
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    server = subprocess.Popen([binary, *arguments], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    for line in server.stdout:
        if "Ready to accept connections" in line:
            return server
    stop_process(server)
    return None


def stop_process(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate(timeout=30)


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running server that keeps nothing."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: the Redis store is NOT tested")
    directory = tmp_path_factory.mktemp("redis")
    for _ in range(5):  # Between our probing of a port and its use, somebody else may take it.
        port = find_free_port()
        if server := start_redis(directory, port):
            break
    else:
        pytest.fail("redis-server does not start")
    try:
        yield f"redis://:{REDIS_PASSWORD}@127.0.0.1:{port}/0"
    finally:
        stop_process(server)


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis."""
    with redis_client(redis_server) as client:
        client.flushall()
    return redis_server


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
