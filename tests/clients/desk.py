"""A person's desk: an empty home, a project folder, and one client, set up by nothing but ``configure``."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.clients import install
from tests.support.bridge import ROOT, Bridge

# Longer than any client needs here, retries included; a client that hangs fails its test and not the whole run.
PATIENCE_S = 100.0


@dataclass(frozen=True, slots=True)
class Run:
    """How one run of a program ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All it said, on either channel."""
        return self.out + self.err

    def json(self) -> Any:
        """The last line of its output that is JSON."""
        for line in reversed(self.out.splitlines()):
            with contextlib.suppress(ValueError):
                return json.loads(line)
        raise AssertionError(f"no JSON in what it said:\n{self}")

    def lines(self) -> list[dict[str, Any]]:
        """Its output as JSON lines; other lines are left out."""
        found = []
        for line in self.out.splitlines():
            with contextlib.suppress(ValueError):
                if isinstance(value := json.loads(line), dict):
                    found.append(value)
        return found


@dataclass(slots=True)
class Desk:
    """``desk.ask("…")`` runs the client headless in its project folder and waits for its end."""

    client: Client
    bridge: Bridge
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        return self.home / "project"

    def ask(self, prompt: str, model: str | None = None, **options: Any) -> Run:
        """Ask the client one thing, in the way in which it runs without a terminal."""
        return self.run(*self.client.ask(self, prompt, model, **options))

    def run(self, *command: str, timeout: float = PATIENCE_S, **env: str) -> Run:
        """Run a program, of the client or any other, in the project folder. An exit code is no exception."""
        program = install.bin_of(self.client.package) / command[0]
        command = (str(program) if program.exists() else command[0], *command[1:])
        with subprocess.Popen(
            command,
            cwd=self.project,
            env=self.environment() | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                # With all it has started: helpers of a client would keep its output open.
                os.killpg(process.pid, 9)
                out, err = process.communicate()
                pytest.fail(f"{command} did not end within {timeout:.0f} s\n{out}\n{err}")
        return Run(process.returncode, out, err)

    def environment(self) -> dict[str, str]:
        """Nothing of the developer's but the way to programs; plus what `configure` told to export."""
        return {
            "PATH": f"{install.bin_of(self.client.package)}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "DISABLE_AUTOUPDATER": "1",
            **self.client.env,
            **self.env,
        }

    def end_what_is_left(self) -> None:
        """Stop what the client has left running behind this home: Cline, for one, a hub for those who come later."""
        mine = f"HOME={self.home}".encode()
        for process in Path("/proc").glob("[0-9]*"):  # where there is no /proc, it is left
            with contextlib.suppress(OSError):  # it has ended meanwhile, or is somebody else's
                if mine in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)

    def copy(self, home: Path) -> Desk:
        """The same desk in another folder, as `configure` left it."""
        shutil.copytree(self.home, home, symlinks=True)
        return Desk(self.client, self.bridge, home, dict(self.env))


@dataclass(frozen=True, slots=True)
class Client:
    """One client of the table in ``programs.py``.

    name:     as `configure` calls it; package: what `install` installs.
    ask:      the command line of a headless prompt.
    env:      what else its environment holds in tests: that it stays off the internet, say.
    """

    name: str
    package: str
    ask: Callable[..., list[str]]
    env: Mapping[str, str] = field(default_factory=dict)


def set_up(client: Client, bridge: Bridge, home: Path, *options: str) -> Desk:
    """A new desk on which ``configure NAME --write`` has run; the exports count only where it wrote no file.

    Skips the test where the client is not installed.
    """
    desk = empty_desk(client, bridge, home)
    configure(bridge, client.name, "--write", "--home", str(home), *options)
    if not any(path.is_file() for path in home.rglob("*")):
        desk.env = _exports(client, bridge, *options)
    return desk


def set_up_by_exports(client: Client, bridge: Bridge, home: Path, *options: str) -> Desk:
    """A new desk without any file: the shell has read ``configure NAME --shell bash`` instead."""
    desk = empty_desk(client, bridge, home)
    desk.env = _exports(client, bridge, *options)
    return desk


def empty_desk(client: Client, bridge: Bridge, home: Path) -> Desk:
    """A new desk without any settings. Skips the test where the client is not installed."""
    if not install.is_installed(client.package):
        pytest.skip(f"{client.package} is not installed: make e2e")
    desk = Desk(client, bridge, home)
    desk.project.mkdir(parents=True)
    return desk


def _exports(client: Client, bridge: Bridge, *options: str) -> dict[str, str]:
    return exported(configure(bridge, client.name, "--shell", "bash", "--show-key", *options))


def configure(bridge: Bridge, *arguments: str) -> str:
    """Run ``flask --app wsgi configure …`` as the operator of this bridge would; its output."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "configure", *arguments, "--url", bridge.url]
    done = subprocess.run(command, cwd=ROOT, env=bridge.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout


def exported(script: str) -> dict[str, str]:
    """The variables that a shell has after it has read these lines, and had not before."""
    shell = ["bash", "--noprofile", "--norc", "-c", f"{script}\nenv -0"]
    done = subprocess.run(shell, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    found = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if "=" in pair)
    return {name: value for name, value in found.items() if name not in ("PATH", "PWD", "SHLVL", "_", "OLDPWD")}


def files_under(folder: Path) -> Iterator[tuple[str, str]]:
    """Path and text of every file in a folder, hidden ones left out."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield str(file.relative_to(folder)), file.read_text("utf-8", "replace")
