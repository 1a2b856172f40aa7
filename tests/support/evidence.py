"""Everything the service says during a test run, kept so that the last test can look for secrets in it.

Logs: each bridge process writes one file. Responses: a WSGI wrapper writes what it passes on, without delaying it.
"""

from __future__ import annotations

import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "TEST_EVIDENCE_DIR"


def folder() -> Path:
    """Where this test run keeps its evidence; child processes inherit it through the environment."""
    if FOLDER_VARIABLE not in os.environ:
        os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="bridge-evidence-")
    return Path(os.environ[FOLDER_VARIABLE])


def new_file(kind: str) -> Path:
    return folder() / f"{kind}-{os.getpid()}-{uuid.uuid4().hex[:8]}.txt"


class Recorded:
    """WSGI middleware: copies status, headers and body of every response into a file, piece by piece."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._lock = threading.Lock()

    def _write(self, text: bytes) -> None:
        with self._lock, (folder() / f"responses-{os.getpid()}.txt").open("ab") as file:
            file.write(text + b"\n")

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            self._write("\n".join([status, *(f"{k}: {v}" for k, v in headers)]).encode())
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        return _Copied(self._app(environ, start), self._write)


class _Copied:
    def __init__(self, body: Iterable[bytes], write: Callable[[bytes], None]) -> None:
        self._body = body
        self._write = write

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self._write(piece)
            yield piece

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
