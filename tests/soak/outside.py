"""What a process has, looked at from outside: by Linux's /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_LISTENS: Final = "0A"


def resident_mib(pid: int) -> float:
    return _status(pid, "VmRSS") / 1024


def threads(pid: int) -> int:
    return _status(pid, "Threads")


def _status(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split(f"\n{name}:")[1].split()[0])


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> list[str]:
    """What each descriptor leads to."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(descriptor))
        except OSError:  # closed meanwhile
            continue
    return found


def connections(pids: Iterable[int], port: int) -> dict[int, int]:
    """How many connections to this port of 127.0.0.1 each process holds, closed by the other end or not."""
    return _sockets(pids, 2, port)


def accepted(pids: Iterable[int], port: int) -> dict[int, int]:
    """How many connections each process holds that came to this port of 127.0.0.1."""
    return _sockets(pids, 1, port)


def _sockets(pids: Iterable[int], end: int, port: int) -> dict[int, int]:
    """end: the column of the kernel's table where the port stands, ours or the other's."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[end] == f"0100007F:{port:04X}" and fields[3] != _LISTENS:
            inodes.add(f"socket:[{fields[9]}]")
    return {pid: sum(it in inodes for it in descriptors(pid)) for pid in pids}
