"""Ports of 127.0.0.1 for servers that are told their port, instead of asking the system for one."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# Below what Linux, macOS and Windows hand out by themselves (from 32768 or 49152 on). A port that the system chose,
# and that was given back for a server to take, is soon handed to somebody else's connection or to a server on port 0.
_OURS = range(20000, 32768)
_RESERVATIONS = Path(tempfile.gettempdir()) / f"copilot-bridge-test-ports-{os.getuid()}"
_held: list[int] = []  # descriptors whose locks keep our ports until this process ends


def free_port() -> int:
    """A port on which nobody listens, and which no other process of tests is given while this one lives."""
    _RESERVATIONS.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(_OURS, len(_OURS)):
        if _reserved(port):
            return port
    raise RuntimeError(f"every port from {_OURS.start} to {_OURS.stop - 1} of 127.0.0.1 is in use")


def _reserved(port: int) -> bool:
    lock = os.open(_RESERVATIONS / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            # As servers do it: what is left of a former server's connections is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(lock)
        return False
    _held.append(lock)
    return True
