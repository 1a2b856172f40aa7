"""The ``flask`` command without a start for each call: one process imports what it needs, and is forked for each.

Every call gets a process of its own, with the environment, the folder and the standard streams of its caller, and
builds the service anew from them. That the command starts from nothing is shown where it is installed and documented
to start: ``test_wheel.py``, ``test_ways_to_run.py``.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_CALLER = Path(__file__).with_name("caller.py")


@contextmanager
def forked_commands() -> Iterator[list[str]]:
    """What to put in place of ``python -m flask``."""
    folder = Path(tempfile.mkdtemp(prefix="bridge-flask-"))  # short, as addresses of sockets must be
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(16)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.commands.server", str(listener.fileno())],
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
    try:
        yield [sys.executable, "-IS", str(_CALLER), str(folder / "socket")]
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)
