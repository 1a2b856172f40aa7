"""``demo``: the bridge in front of the simulator of GitHub and Copilot, to try it without an account.

Nothing here reaches the real services or touches a real sign-in: state goes to a temporary folder, the env file and the
bridge's variables in the environment are ignored (but for PORT and LOG_LEVEL), and both processes end with this one.
Other commands find all that in a file which they take as ``--env-file``; its name is printed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

import click

from app.cli.command import command, option
from app.cli.processes import SERVICE, child, python_environment, wait_until_alive
from app.cli.words import failure, say
from app.commands import is_installed, own_command
from app.errors import Sentence
from app.settings import DEFAULT_API_KEY, DEMO_ENV_FILE, VARIABLES, environment_for
from app.terminal import in_words

_MODEL: Final = "claude-haiku-4.5"
# An installed package has it inside; in a checkout it is with the tests, whose stand-in it is.
_SIMULATOR: Final = "app.simulator" if importlib.util.find_spec("app.simulator") else "tests.simulator"
_ROOT: Final = Path(__file__).resolve().parents[2]
# In a checkout, the way from where one is; of an installed package one needs the whole way.
_DIRECTIVES: Final = (_ROOT if _SIMULATOR == "app.simulator" else Path()) / _SIMULATOR.replace(".", "/") / "README.md"


class _Stop:
    """Set by Ctrl-C, SIGTERM or a closed terminal. A flag and no exception: that could come while a child is born."""

    def __init__(self) -> None:
        self.wanted = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.wanted = True


@command()
@option(
    "--port", type=click.IntRange(1, 65535), default=8000, envvar="PORT", help="Port of the bridge.", show_default=True
)
@option("--sign-in", is_flag=True, envvar="SIGN_IN", help="Start signed out, to walk through the sign-in page.")
@option("--log-level", default="WARNING", envvar="LOG_LEVEL", hidden=True)
def demo(port: int, sign_in: bool, log_level: str) -> None:
    """Try it without a GitHub account, against a simulator."""
    stop = _Stop()
    _require_free(port)
    with tempfile.TemporaryDirectory(prefix="copilot-bridge-demo-") as name, contextlib.ExitStack() as running:
        folder = Path(name)
        urls = running.enter_context(simulator(folder))
        settings = _settings(folder, urls, port, log_level, signed_in=not sign_in)
        env_file = _for_commands(folder, settings)
        bridge = running.enter_context(_bridge(folder, settings, env_file))
        if wait_until_alive("127.0.0.1", port, lambda: bridge.poll() is None and not stop.wanted):
            click.echo(_hints(port, urls, sign_in, env_file))
        while not stop.wanted and bridge.poll() is None:
            time.sleep(0.1)
    if not stop.wanted:
        raise failure(Sentence("The bridge ended by itself; its messages are above."))
    say(Sentence("\nStopped; nothing is left behind."))


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = port + 1 if port < 65535 else port - 1
            another = own_command(f"demo --port {other}") if is_installed() else f"make demo PORT={other}"
            what = Sentence(
                "Port %(port)s cannot be used (%(why)s). Try: %(command)s",
                port=port,
                why=error.strerror,
                command=another,
            )
            raise failure(what) from None


@contextlib.contextmanager
def simulator(folder: Path) -> Iterator[dict[str, str]]:
    """The simulator as a process of its own, on free ports; gives its addresses."""
    command = [sys.executable, "-m", _SIMULATOR, "--demo", "--exit-with-stdin", "--port-base", "0"]
    env = python_environment({})
    log = folder / "simulator.log"
    with (
        log.open("w") as errors,
        child(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            line = process.stdout.readline()
            if not line:
                raise failure(Sentence("The simulator did not start:\n%(log)s", log=log.read_text()))
            yield json.loads(line)


def _settings(folder: Path, urls: Mapping[str, str], port: int, log_level: str, *, signed_in: bool) -> dict[str, str]:
    """The bridge's settings: on this machine only, and with nothing of the person's own."""
    own = environment_for({})
    no_proxy = ",".join(filter(None, ("127.0.0.1,localhost", own.get("NO_PROXY") or own.get("no_proxy"))))
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "API_KEY": DEFAULT_API_KEY,
        "DATA_DIR": str(folder / "data"),
        "COPILOT_CONFIG_DIR": str(folder / "no-editor"),
        "GITHUB_BASE_URL": urls["web"],
        "GITHUB_API_BASE_URL": urls["api"],
        "GRACEFUL_TIMEOUT_S": "2",
        "LOG_LEVEL": log_level,
    }
    if signed_in:
        settings["GH_COPILOT_TOKEN"] = "ghu_test_individual"  # noqa: S105 - one of the simulator's accounts
    return settings | {"NO_PROXY": no_proxy, "no_proxy": no_proxy}


def _for_commands(folder: Path, settings: Mapping[str, str]) -> Path:
    """A file that commands take as ``--env-file``, so that they see what the bridge sees."""
    file = folder / "env"
    # All settings, the others empty: what is not named there, flask would take from a person's own .env.
    every = {**dict.fromkeys(sorted(VARIABLES), ""), **settings}
    file.write_text("".join(f"{name}='{value}'\n" for name, value in every.items()))
    return file


@contextlib.contextmanager
def _bridge(folder: Path, settings: Mapping[str, str], env_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The service itself. Its working directory is the temporary folder, because it reads .env from there."""
    env = python_environment({**settings, DEMO_ENV_FILE: str(env_file)}, without=VARIABLES)
    with child([*SERVICE], cwd=folder, env=env, stdin=subprocess.DEVNULL) as process:
        yield process


def _hints(port: int, urls: Mapping[str, str], wants_sign_in: bool, env_file: Path) -> str:
    base = f"http://localhost:{port}"
    lines = [
        "",
        Sentence("The bridge runs on %(url)s, in front of a simulator; no real service is involved.", url=base),
        "",
    ]
    if wants_sign_in:
        lines += [
            Sentence("First sign in: open %(url)s in a browser.", url=base),
            Sentence("The code is approved by itself a few seconds later. Then, in another terminal:"),
            "",
        ]
    else:
        lines += [Sentence("In another terminal:"), ""]
    for more in ("", ', "stream": true'):
        lines += [
            f"  curl {'-N ' if more else ''}{base}/v1/chat/completions \\",
            '    -H "Content-Type: application/json" \\',
            f'    -H "Authorization: Bearer {DEFAULT_API_KEY}" \\',
            f"""    -d '{{"model": "{_MODEL}", "messages": [{{"role": "user", "content": "你好"}}]{more}}}'""",
            "",
        ]
    lines += [
        f'  curl {base}/v1/models -H "Authorization: Bearer {DEFAULT_API_KEY}"',
        Sentence("  %(address)s      (in a browser)", address=f"{base}/usage?api_key={DEFAULT_API_KEY}"),
        "",
        Sentence("Settings for Claude Code, Codex and others: %(address)s (in a browser), or", address=f"{base}/setup"),
        f"  {own_command('configure claude-code', env_file=env_file)}",
        Sentence("--write puts them into your own files, which then lead to this demo. Is all in order?"),
        f"  {own_command('doctor', env_file=env_file)}",
        "",
        Sentence(
            "Directives in a prompt steer the simulated model: %(some)s and more, see",
            some="[[say: text]], [[error: 429]], [[pace: 5/s]]",
        ),
        f"{_DIRECTIVES}",
        Sentence("What it was asked: %(address)s", address=f"{urls['control']}/requests"),
        "",
        Sentence("Ctrl-C stops both."),
    ]
    return "\n".join(map(in_words, lines))
