"""A program of ours as a person starts it: in a process of its own, somewhere outside the tree."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.simulator.client import Simulator


class Program:
    """``with Program(command, env, cwd) as it: it.wait_for("listens on")``; it ends with the block."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self.output = ""
        self._process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Program:
        return self

    def wait_for(self, words: str) -> None:
        """Read what it prints until these words. Raises: AssertionError if it ends before."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if words in line:
                return
        raise AssertionError(f"{words!r} never came:\n{self.output}")

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait; the exit code."""
        self.send(number)
        rest, _ = self._process.communicate()
        self.output += rest
        return self._process.returncode

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.end(signal.SIGTERM)


def person(home: Path, simulator: Simulator | None = None, **settings: str) -> dict[str, str]:
    """The environment of somebody with a home folder of their own, who is signed in where there is a simulator."""
    home.mkdir(parents=True, exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    if simulator is not None:
        env |= {
            "HOST": "127.0.0.1",
            "WEB_CONCURRENCY": "1",
            "GRACEFUL_TIMEOUT_S": "2",
            "GITHUB_BASE_URL": simulator.web,
            "GITHUB_API_BASE_URL": simulator.api,
            "GH_COPILOT_TOKEN": "ghu_test_individual",
        }
    return env | settings
