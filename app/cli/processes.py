"""Programs that a command starts: they end with it, and nothing of them stays behind."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from app.settings import environment_for

STOP_LIMIT_S: Final = 10.0
SERVICE: Final = (sys.executable, "-m", "app.serving")
_IMPORTED_FROM: Final = str(Path(__file__).parents[2])


def python_environment(changes: Mapping[str, str], *, without: Collection[str] = ()) -> dict[str, str]:
    """The environment for a Python that finds this package from any working directory, also if it is not installed."""
    env = environment_for(changes, without=without)
    return env | {"PYTHONPATH": os.pathsep.join(filter(None, (_IMPORTED_FROM, env.get("PYTHONPATH"))))}


@contextlib.contextmanager
def child(command: list[str], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process group of its own, so that Ctrl-C reaches us first. It is ended with the context."""
    process = subprocess.Popen(command, start_new_session=True, **how)  # noqa: S603
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


def answer(host: str, port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    """What is answered there: status, headers by their names in small letters, body. No proxy is asked.

    Raises: OSError or http.client.HTTPException if nobody answers, or not in HTTP.
    """
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read(65536)
    finally:
        connection.close()


def wait_until_alive(host: str, port: int, goes_on: Callable[[], bool]) -> bool:
    """Wait for the service; False once `goes_on` says no."""
    while goes_on():
        try:
            answer(host, port, "/livez")
            return True
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    return False
