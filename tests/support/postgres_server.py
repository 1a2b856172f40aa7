"""A real PostgreSQL server on a free port of 127.0.0.1, in a folder of its own that goes away with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pg8000.native
import pytest

from tests.support.ports import free_port

PASSWORD = "hunter3-hunter3"
_USER = "bridge"
_START_S = 60.0
# Nothing has to survive, and less is written so.
_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=100")


def postgres_program(name: str) -> Path | None:
    """One of the server's programs: Debian keeps them off the PATH, by version."""
    found = shutil.which(name)
    if found:
        return Path(found)
    return max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), default=None)


class PostgresServer:
    """One that can be hurt; what is in it outlives a `stop` and a `kill`."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        """options: settings of the server that come after ours, ``name=value``."""
        self._options = (*_OPTIONS, *options)
        if postgres_program("initdb") is None:
            pytest.skip("PostgreSQL is not installed: the database on a server is NOT tested")
        self._directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        password_file = directory / "password"
        password_file.write_text(PASSWORD)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(directory, "postgres", "postgres")
            shutil.chown(password_file, "postgres")
        options = ["-U", _USER, "-A", "scram-sha-256", f"--pwfile={password_file}", "-E", "UTF8", "--locale=C.UTF-8"]
        made = subprocess.run(
            self._command("initdb", ["-D", str(directory / "data"), "--no-sync", *options]),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert made.returncode == 0, made.stderr

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{_USER}:{PASSWORD}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Returns once it takes connections."""
        arguments = ["-D", str(self._directory / "data"), "-p", str(self._port), "-c", "listen_addresses=127.0.0.1"]
        arguments += ["-c", f"unix_socket_directories={self._directory}"]
        arguments += [part for option in self._options for part in ("-c", option)]
        self._process = subprocess.Popen(
            self._command("postgres", arguments), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + _START_S
        asked = self._command("pg_isready", ["-q", "-h", "127.0.0.1", "-p", str(self._port)])
        while subprocess.run(asked, cwd="/", check=False, timeout=30).returncode != 0:
            if time.monotonic() > until or self._process.poll() is not None:
                self.stop()
                pytest.fail("PostgreSQL does not start")
            time.sleep(0.05)

    def new_database(self) -> str:
        """The URL of an empty one."""
        name = f"test_{uuid.uuid4().hex}"
        with contextlib.closing(self.connect()) as server:
            server.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def connect(self, database: str = "postgres") -> pg8000.native.Connection:
        """As the superuser, who is the bridge as well."""
        return pg8000.native.Connection(_USER, "127.0.0.1", database, self._port, PASSWORD)

    def stop(self) -> None:
        """At once, but in order."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        self._end(signal.SIGQUIT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It holds its connections and answers nothing."""
        pids = [self._pid(), *self._children()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _pid(self) -> int:
        return int((self._directory / "data/postmaster.pid").read_text().split()[0])

    def _children(self) -> list[int]:
        found = subprocess.run(["pgrep", "-P", str(self._pid())], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError, ValueError):
                os.kill(self._pid(), how)
            process.wait(timeout=30)

    def _command(self, program: str, arguments: Sequence[str]) -> list[str]:
        binary = postgres_program(program)
        assert binary
        # setpriv leaves no process of its own in between, as runuser does.
        as_another = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
        return [*(as_another if os.geteuid() == 0 else []), str(binary), *arguments]


@contextlib.contextmanager
def running_postgres(*options: str) -> Iterator[PostgresServer]:
    # Not in a folder of pytest's, which the user that the server runs as cannot enter.
    directory = Path(tempfile.mkdtemp(prefix="bridge-postgres-"))
    try:
        server = PostgresServer(directory, options)
        server.start()
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
