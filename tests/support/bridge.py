"""A real bridge: gunicorn with gevent workers, in a process of its own, on a free port of 127.0.0.1."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from tests.support import evidence
from tests.support.secrets import API_KEY

ROOT = Path(__file__).resolve().parents[2]
_START_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bridge:
    """``with Bridge(env, data_dir) as bridge:`` runs one; `env` comes on top of defaults that keep it off this machine.

    The environment of the tests is not passed on: no real token, proxy or setting of the developer leaks in.
    """

    def __init__(self, env: dict[str, str], data_dir: Path, *, api_key: str = API_KEY, workers: int = 1) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_key = api_key
        self.data_dir = data_dir
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(data_dir / "home"),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": str(workers),
            "API_KEY": api_key,
            "DATA_DIR": str(data_dir),
            "COPILOT_CONFIG_DIR": str(data_dir / "no-editor"),
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
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "tests.support.recorded_wsgi:app"]
        # The working directory holds no .env of the developer's: load_dotenv looks there.
        (self.data_dir / "home").mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [*command, "--chdir", str(ROOT)],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._listening.wait(_START_S):
            self.stop()
            raise RuntimeError(f"the bridge did not start:\n{self.log}")
        # The socket listens before the workers are up; this waits for the first of them.
        requests.get(f"{self.url}/livez", timeout=_START_S).raise_for_status()
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
        self._listening.set()  # it ended; whoever waits will see why in the log

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

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def call(self, method: str, path: str, *, key: bool = True, **options: object) -> requests.Response:
        headers: dict[str, str] = dict(options.pop("headers", None) or {})  # type: ignore[call-overload]
        if key:
            headers.setdefault("Authorization", f"Bearer {self.api_key}")
        options.setdefault("timeout", 60)
        return requests.request(method, self.url + path, headers=headers, **options)  # type: ignore[arg-type]

    def get(self, path: str, **options: object) -> requests.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: object) -> requests.Response:
        return self.call("POST", path, **options)

    def chat(self, prompt: str, *, model: str = "gpt-4.1", stream: bool = False, **fields: object) -> requests.Response:
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream, **fields}
        return self.post("/v1/chat/completions", json=body, stream=stream)
