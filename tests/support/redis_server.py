"""A real Redis server on a free port of 127.0.0.1 that keeps nothing."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.ports import free_port

REDIS_PASSWORD = "hunter2-hunter2"


def redis_client(url: str) -> Redis:
    return Redis.from_url(url, decode_responses=True)


class RedisServer:
    """One that can be hurt: it has the same address, and nothing in it, whenever it is started."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed: the Redis store is NOT tested")
        self._directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[str] | None = None
        self.url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Returns once it takes connections."""
        binary = shutil.which("redis-server")
        assert binary
        options = {"bind": "127.0.0.1", "port": str(self._port), "dir": str(self._directory)}
        options |= {"requirepass": REDIS_PASSWORD, "save": "", "appendonly": "no", "daemonize": "no"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([binary, *arguments], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        if not any("Ready to accept connections" in line for line in self._process.stdout):
            self.stop()
            pytest.fail("redis-server does not start")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.communicate(timeout=30)


@contextlib.contextmanager
def running_redis(directory: Path) -> Iterator[RedisServer]:
    server = RedisServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
