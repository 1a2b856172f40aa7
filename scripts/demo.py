"""``make demo``: the bridge in front of the simulator of GitHub and Copilot, to try it without an account.

Nothing here reaches the real services or touches a real sign-in: state goes to a temporary folder, ``.env`` and the
bridge's variables in the environment are ignored (but for PORT and LOG_LEVEL), and both processes end with this one.
``configure`` and ``doctor`` find all that in a file which ``flask --env-file`` reads; its name is printed.

    PORT=8001     another port
    SIGN_IN=1     start signed out, to walk through the sign-in page (the simulator approves the code by itself)
"""

# ruff: noqa: T201, S603

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.commands import flask_command  # noqa: E402
from app.settings import DEFAULT_API_KEY, Settings, SettingsError  # noqa: E402

MODEL = "claude-haiku-4.5"
STOP_LIMIT_S = 10.0
_OURS = frozenset(field.metadata["env"] for field in dataclasses.fields(Settings))


class Stop:
    """Set by Ctrl-C, SIGTERM or a closed terminal. A flag and no exception: that could come while a child is born."""

    def __init__(self) -> None:
        self.wanted = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True


def main() -> int:
    stop = Stop()
    port = _port()
    if port is None:
        return 1
    wants_sign_in = os.environ.get("SIGN_IN", "") not in ("", "0")
    with tempfile.TemporaryDirectory(prefix="copilot-bridge-demo-") as name, contextlib.ExitStack() as running:
        folder = Path(name)
        urls = running.enter_context(_simulator(folder))
        env = _environment(folder, urls, port, wants_sign_in)
        bridge = running.enter_context(_bridge(folder, env))
        if _wait_until_alive(bridge, port, stop):
            print(_hints(port, urls, wants_sign_in, _for_commands(folder, env)), flush=True)
        while not stop.wanted and bridge.poll() is None:
            time.sleep(0.1)
    if not stop.wanted:
        print("The bridge ended by itself; its messages are above.", file=sys.stderr)
        return 1
    print("\nStopped; nothing is left behind.", flush=True)
    return 0


def _port() -> int | None:
    """The port to use, if it is free."""
    try:
        port = Settings.from_env({"PORT": os.environ.get("PORT", "")}).port
    except SettingsError as error:
        print(error, file=sys.stderr)
        return None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            print(f"Port {port} cannot be used ({error.strerror}). Try: make demo PORT={port + 1}", file=sys.stderr)
            return None
    return port


@contextlib.contextmanager
def _simulator(folder: Path) -> Iterator[dict[str, str]]:
    """The simulator as a process of its own, on free ports; gives its addresses."""
    command = [sys.executable, "-m", "tests.simulator", "--demo", "--exit-with-stdin", "--port-base", "0"]
    log = folder / "simulator.log"
    with (
        log.open("w") as errors,
        _child(command, cwd=ROOT, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as it,
    ):
        assert it.stdout is not None
        line = it.stdout.readline()
        if not line:
            raise SystemExit(f"The simulator did not start:\n{log.read_text()}")
        yield json.loads(line)


def _environment(folder: Path, urls: Mapping[str, str], port: int, wants_sign_in: bool) -> dict[str, str]:
    """The bridge's settings: on this machine only, and with nothing of the person's own."""
    no_proxy = ",".join(filter(None, ("127.0.0.1,localhost", os.environ.get("NO_PROXY") or os.environ.get("no_proxy"))))
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "API_KEY": DEFAULT_API_KEY,
        "DATA_DIR": str(folder / "data"),
        "COPILOT_CONFIG_DIR": str(folder / "no-editor"),
        "GITHUB_BASE_URL": urls["web"],
        "GITHUB_API_BASE_URL": urls["api"],
        "GRACEFUL_TIMEOUT_S": "2",
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
    }
    if not wants_sign_in:
        settings["GH_COPILOT_TOKEN"] = "ghu_test_individual"  # noqa: S105 - one of the simulator's accounts
    return settings | {"NO_PROXY": no_proxy, "no_proxy": no_proxy}


def _for_commands(folder: Path, env: Mapping[str, str]) -> Path:
    """A file that ``flask --env-file`` takes, so that its commands see what the bridge sees."""
    file = folder / "env"
    # All settings, the others empty: what is not named there, flask would take from a person's own .env.
    every = dict.fromkeys(sorted(_OURS), "") | env
    file.write_text("".join(f"{name}='{value}'\n" for name, value in every.items()))
    return file


@contextlib.contextmanager
def _bridge(folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The service itself, as ``make run`` starts it."""
    # The working directory is the temporary folder, because the service reads .env from there.
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
    others = {name: value for name, value in os.environ.items() if name not in _OURS}
    whole = others | env | {"PYTHONPATH": str(ROOT)}
    with _child(command, cwd=folder, env=whole, stdin=subprocess.DEVNULL) as process:
        yield process


@contextlib.contextmanager
def _child(command: list[str], **how: object) -> Iterator["subprocess.Popen[bytes]"]:
    """A process group of its own, so that Ctrl-C reaches us first and nothing of it can stay behind."""
    process = subprocess.Popen(command, start_new_session=True, **how)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_alive(process: "subprocess.Popen[bytes]", port: int, stop: Stop) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None and not stop.wanted:
        try:
            with direct.open(f"http://127.0.0.1:{port}/livez", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def _hints(port: int, urls: Mapping[str, str], wants_sign_in: bool, env_file: Path) -> str:
    base = f"http://localhost:{port}"
    flask = f"{flask_command('').split()[0]} --env-file {env_file} --app wsgi"
    lines = [
        "",
        f"The bridge runs on {base}, in front of a simulator; no real service is involved.",
        "",
    ]
    if wants_sign_in:
        lines += [
            f"First sign in: open {base} in a browser.",
            "The code is approved by itself a few seconds later. Then, in another terminal:",
            "",
        ]
    else:
        lines += ["In another terminal:", ""]
    for more in ("", ', "stream": true'):
        lines += [
            f"  curl {'-N ' if more else ''}{base}/v1/chat/completions \\",
            '    -H "Content-Type: application/json" \\',
            f'    -H "Authorization: Bearer {DEFAULT_API_KEY}" \\',
            f"""    -d '{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "你好"}}]{more}}}'""",
            "",
        ]
    lines += [
        f'  curl {base}/v1/models -H "Authorization: Bearer {DEFAULT_API_KEY}"',
        f"  {base}/usage?api_key={DEFAULT_API_KEY}      (in a browser)",
        "",
        f"Settings for Claude Code, Codex and others: {base}/setup (in a browser), or",
        f"  {flask} configure claude-code",
        "--write puts them into your own files, which then lead to this demo. Is all in order?",
        f"  {flask} doctor",
        "",
        "Directives in a prompt steer the simulated model: [[say: text]], [[error: 429]], [[pace: 5/s]] and more, see",
        f"tests/simulator/README.md. What it was asked: {urls['control']}/requests",
        "",
        "Ctrl-C stops both.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
