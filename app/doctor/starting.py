"""Would the service start in this environment? It is built as a start builds it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from app.doctor.finding import Finding, ok, problem
from app.errors import Sentence

_ROOT = Path(__file__).parents[2]
_CHECK = "import sys; sys.path.insert(0, sys.argv.pop()); from app.serving.__main__ import main; main(['--check'])"
_PATIENCE_S = 60


def check_starting() -> Iterator[Finding]:
    """Nobody is called and no port is opened."""
    command = [sys.executable, "-c", _CHECK, str(_ROOT)]
    told = subprocess.run(  # noqa: S603
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )
    if told.returncode == 0:
        yield ok(Sentence("start"), Sentence("the service can be built in this environment"))
        return
    last = ([line for line in told.stderr.splitlines() if line.strip()] or [Sentence("it says nothing")])[-1]
    yield problem(
        Sentence("start"),
        Sentence(
            "The service does not start in this environment: %(why)s",
            why=last.removeprefix("copilot-bridge: "),
        ),
        Sentence("Mend that first; what it says in full: python -m app.serving --check"),
    )
