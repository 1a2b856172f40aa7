"""Processes that are measured: started on a core of their own, their CPU time and memory read from Linux's /proc."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
TARGET_CORE = {_CORES[0]} if len(_CORES) > 1 else set(_CORES)
RIG_CORES = set(_CORES[1:2]) or set(_CORES)
ALL_CORES = set(_CORES)


class Process:
    """A program and all that it starts."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cores: set[int],
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        log: Path | None = None,
    ) -> None:
        def place() -> None:
            os.sched_setaffinity(0, cores)
            with contextlib.suppress(OSError):  # only root may go before others
                os.nice(-10)
                Path("/proc/self/autogroup").write_text("-10")

        # As a user has it: what was compiled once stays so.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with open(log or os.devnull, "ab") as out:
            self._popen = subprocess.Popen(
                command,
                env=inherited | dict(env or {}),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=place,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    def pids(self) -> list[int]:
        found = [self._popen.pid]
        for pid in found:  # grows on the way
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        return found

    def cpu_s(self) -> float:
        """CPU time of all that live, to the nanosecond: each process's own clock."""
        total = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid(3) gives
        return total

    def memory_bytes(self) -> int:
        """What would be free without it: its own pages, and its share of those that it shares."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total

    def wait_for(self, url: str, within_s: float = 60) -> None:
        """Raises: RuntimeError if nothing below 500 is answered there in time."""
        until = time.monotonic() + within_s
        while time.monotonic() < until and not self.ended:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                return
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    return
            except OSError:
                pass
            time.sleep(0.003)
        self.stop()
        raise RuntimeError(f"nothing answers at {url}")

    def stop(self) -> None:
        pids = self.pids()
        with contextlib.suppress(OSError):
            os.killpg(self._popen.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(5)
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait(5)


class Upstream:
    """The upstream, see `upstream.py`."""

    def __init__(self, port: int, tls_port: int, certificate: Path, key: Path) -> None:
        self.port, self.tls_port = port, tls_port
        module = [sys.executable, "-m", "tests.benchmarks.rig.upstream"]
        more = ["--tls-port", str(tls_port), "--certificate", str(certificate), "--key", str(key)]
        self.process = Process([*module, "--port", str(port), *more], cores=RIG_CORES)
        self.process.wait_for(f"http://127.0.0.1:{port}/user")

    def pace(self, events: int, per_s: float) -> None:
        self._call(f"/pace?events={events}&per_s={per_s}")

    def counts(self) -> dict[str, int]:
        """Requests for answers, and how many were the first on their connection, since the last call."""
        found: dict[str, int] = self._call("/counts")
        return found

    def _call(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return json.load(answer)


def put_load(**options: object) -> dict[str, Any]:
    """Run the load (see `load.py`) with these options, and give back what it found."""
    return json.loads(started_load(**options).communicate()[0])


def started_load(**options: object) -> subprocess.Popen[bytes]:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.rig.load", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, RIG_CORES),
        start_new_session=True,
    )
