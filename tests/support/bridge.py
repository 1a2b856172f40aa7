"""A real bridge: gunicorn with gevent workers, in a process of its own, on a free port of 127.0.0.1.

And the same app in this process, for tests that need neither: it starts in a tenth of the time.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from app import create_app
from app.gateway import Gateway
from app.settings import Settings
from tests.support import evidence
from tests.support.ports import free_port
from tests.support.secrets import API_KEY

ROOT = Path(__file__).resolve().parents[2]
_START_S = 60.0
_NEW_ONES_SERVE = "the new workers serve"

# What systemd does with the socket of a socket unit: it is descriptor 3, and meant for this process alone.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Caller:
    """Calls to a bridge, with its key."""

    url: str
    api_key: str

    def call(self, method: str, path: str, *, key: bool = True, **options: object) -> requests.Response:
        headers: dict[str, str] = dict(options.pop("headers", None) or {})  # type: ignore[call-overload]
        if key:
            headers.setdefault("Authorization", f"Bearer {self.api_key}")
        options.setdefault("timeout", 60)
        return requests.request(method, self.url + path, headers=headers, **options)  # type: ignore[arg-type]

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.call("POST", path, **options)

    def chat(self, prompt: str, *, model: str = "gpt-4.1", stream: bool = False, **fields: object) -> requests.Response:
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream, **fields}
        return self.post("/v1/chat/completions", json=body, stream=stream)


def _settings(api_key: str, data_dir: Path) -> dict[str, str]:
    return {
        "HOST": "127.0.0.1",
        "API_KEY": api_key,
        "DATA_DIR": str(data_dir),
        "COPILOT_CONFIG_DIR": str(data_dir / "no-editor"),
        "LONGEST_LIMIT_S": "0",  # a limit that one test provokes is none for the next
    }


class Bridge(Caller):
    """``with Bridge(env, data_dir) as bridge:`` runs one; `env` comes on top of defaults that keep it off this machine.

    The environment of the tests is not passed on: no real token, proxy or setting of the developer leaks in.
    listener: a socket that listens, for the service to take over as it takes one of systemd's. app: what is run.
    """

    def __init__(
        self,
        env: dict[str, str],
        data_dir: Path,
        *,
        api_key: str = API_KEY,
        workers: int = 1,
        listener: socket.socket | None = None,
        app: str = "tests.support.recorded_wsgi:app",
    ) -> None:
        self._listener, self._app = listener, app
        self.command = [sys.executable, "-m", "app.serving", app]
        self.port = int(listener.getsockname()[1]) if listener else free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_key = api_key
        self.data_dir = data_dir
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(data_dir / "home"),
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.port),
            "WEB_CONCURRENCY": str(workers),
            **_settings(api_key, data_dir),
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "json",
            "GRACEFUL_TIMEOUT_S": "10",
            "WARM_UP": "false",  # tests count calls from their first request on
            evidence.FOLDER_VARIABLE: str(evidence.folder()),
            **env,
        }
        self.log_file = evidence.new_file("log")
        self._listening = threading.Event()
        self._logged = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Bridge:
        command = self.command
        # The working directory holds no .env of the developer's, which the service would read.
        home = self.data_dir / "home"
        home.mkdir(parents=True, exist_ok=True)
        passed = () if self._listener is None else (self._listener.fileno(),)
        if self._listener is not None:
            command = [sys.executable, "-c", AS_SYSTEMD, str(self._listener.fileno()), *command]
        self._process = subprocess.Popen(
            command,
            cwd=home,
            env=self.env,
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._listening.wait(_START_S):
            self.stop()
            raise RuntimeError(f"the bridge did not start:\n{self.log}")
        if "Listening at" not in self.log:
            self.stop()
            raise RuntimeError(f"the bridge ended instead of starting:\n{self.log}")
        # The socket listens before the workers are up; this waits for the first of them.
        try:
            requests.get(f"{self.url}/livez", timeout=_START_S).raise_for_status()
        except BaseException:
            self.stop()  # `with` ends only what it has begun
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Stop at once (SIGQUIT: whoever is still connected is cut off); the exit code."""
        process = self._process
        if process is None:
            return 0
        self._process = None
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join(10)
        if process.stdout is not None:
            process.stdout.close()
        return process.returncode

    def terminate(self) -> None:
        """Ask it to stop in order (SIGTERM); `wait` for its end."""
        assert self._process is not None
        self._process.terminate()

    def wait(self) -> int:
        """Until it has ended by itself; the exit code. Its log is complete then."""
        assert self._process is not None
        self._process.wait(_START_S)
        return self.stop()

    def successor(self) -> Bridge:
        """Another one like it, for the same port and state."""
        other = Bridge(self.env, self.data_dir, api_key=self.api_key, listener=self._listener, app=self._app)
        other.port, other.url, other.env = self.port, self.url, dict(self.env)
        return other

    def reload(self, until: str = "accepting") -> None:
        """Have settings read anew (SIGHUP), and wait until the new workers alone accept connections; until "exiting":
        until those before are gone."""
        before = self.workers
        already = self.log.count(_NEW_ONES_SERVE)

        os.kill(self.pid, signal.SIGHUP)
        self.wait_for(
            lambda log: log.count(_NEW_ONES_SERVE) > already and all(f"{until} (pid: {pid})" in log for pid in before)
        )

    def wait_for(self, is_so: Callable[[str], bool], *, or_else: str | None = "the log is not so") -> None:
        """Until the log is so; looked at with each new line. or_else: what to say if it never is; None: go on."""
        with self._logged:
            came = self._logged.wait_for(lambda: is_so(self.log), _START_S if or_else else 5)
            assert came or or_else is None, f"{or_else}:\n{self.log}"

    @property
    def workers(self) -> set[int]:
        """The processes that serve, or are about to."""
        return set(map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _read_log(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self.log_file.open("ab", buffering=0) as file:
            for line in self._process.stdout:
                with self._logged:
                    file.write(line)
                    self._logged.notify_all()
                if re.search(rb"Listening at", line):
                    self._listening.set()
        self._listening.set()  # it ended, perhaps before it listened; whoever waits looks into the log

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def log_line(self, *words: str) -> dict[str, Any]:
        """The first line of the log with all these words; waits for it, since a line may come after the answer."""
        found: list[str] = []

        def is_there() -> bool:
            found.extend(line for line in self.log.splitlines() if all(word in line for word in words))
            return bool(found)

        with self._logged:
            assert self._logged.wait_for(is_there, _START_S), f"no line with {words} in the log:\n{self.log}"
        line: dict[str, Any] = json.loads(found[0])
        return line

    def request_line(self, request_id: str) -> dict[str, Any]:
        """The one line that tells what became of a request."""
        return self.log_line(f'"{request_id}"', '"event": "request"')


class LocalBridge(Caller):
    """``with LocalBridge(env, data_dir) as bridge:`` runs the app in this process, on a thread for each connection.

    For what the app itself does. What depends on gunicorn or gevent, or on a log of its own, needs a `Bridge`.
    """

    def __init__(self, env: dict[str, str], data_dir: Path, *, api_key: str = API_KEY) -> None:
        self.api_key = api_key
        self._env = {**_settings(api_key, data_dir), **env}

    def __enter__(self) -> LocalBridge:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._app = create_app(Settings.from_env({**self._env, "PORT": str(port)}))
        recorded = evidence.Recorded(self._app.wsgi_app)
        self._server = make_server("127.0.0.1", port, recorded, threaded=True, request_handler=_Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    @property
    def gateway(self) -> Gateway:
        """The services of the app, for what no call brings about in a moment: figures of the past, say."""
        found: Gateway = self._app.extensions["gateway"]
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._app.extensions["gateway"].close()


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """The app has its own log."""
