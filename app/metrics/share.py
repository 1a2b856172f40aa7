"""How the workers of one master tell each other their numbers: a folder of the master's, one file for each worker.

A worker replaces its files when something has changed, about once a second: one of numbers, one of its last calls. It
keeps the tally of its calls in shared memory beside them. When a worker has ended the master adds what it counted to
one file, ``ended.json``, its last calls to another, and removes its own. Nothing is ever locked: whose numbers were
added stands in the same file as the sum.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.ledger.tally import Lost, lost_of
from app.metrics.numbers import Numbers
from app.metrics.recent import MOST

_ENDED: Final = "ended.json"
_ENDED_CALLS: Final = "ended.calls"
_PREFIX: Final = "copilot-bridge-"


def make_folder() -> Path | None:
    """For the master; None where there is no room for one. Then each worker tells its own numbers only."""
    try:
        return Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError:
        return None


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker tells: its numbers (`Numbers.dump`), and how things stand with it now, by name and label."""

    numbers: dict[str, Any]
    gauges: dict[str, dict[str, float]] = field(default_factory=dict)


class WorkerShare:
    """The files of one worker."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.tally = folder / f"{name}.tally"
        self._last = b""

    def tell(self, told: Told) -> None:
        """Let the others know. Failures are nobody's business: the numbers are told again in a moment."""
        content = json.dumps({"numbers": told.numbers, "gauges": told.gauges}).encode()
        if content == self._last:
            return
        with contextlib.suppress(OSError):
            _replace(self._folder / f"{self._name}.json", content)
            self._last = content

    def tell_calls(self, lines: bytes) -> None:
        """Let the others know of the last calls (see `RecentCalls.lines`). Failures are nobody's business."""
        with contextlib.suppress(OSError):
            _replace(self._folder / f"{self._name}.calls", lines)

    def calls_of_others(self) -> list[bytes]:
        """The last calls of the other workers, and of those that have ended."""
        return [_bytes(path) for path in self._folder.glob("*.calls") if path.stem != self._name]

    def calls_versions(self) -> list[tuple[str, int, int]]:
        """Others whenever `calls_of_others` are."""
        found = []
        for path in sorted(self._folder.glob("*.calls")):
            with contextlib.suppress(OSError):  # its worker has ended just now
                stat = path.stat()
                found.append((path.stem, stat.st_ino, stat.st_mtime_ns))
        return [it for it in found if it[0] != self._name]

    def others(self) -> list[Told]:
        """What the other workers told last, and those that have ended."""
        found = {path.stem: _read(path) for path in self._folder.glob("*.json") if path.name != _ENDED}
        ended = _read(self._folder / _ENDED)  # last: whoever is counted in it may have been read above
        counted = set(ended.get("workers", ()))
        living = [
            Told(told.get("numbers", {}), told.get("gauges", {}))
            for name, told in found.items()
            if name != self._name and name not in counted
        ]
        return [*living, Told(ended.get("numbers", {}))]


def worker_ended(folder: Path, name: str) -> Lost:
    """For the master: a worker has ended. Its numbers go on to count; what it had not written is lost."""
    lost = lost_of(folder / f"{name}.tally")
    ended = _read(folder / _ENDED)
    own = _read(folder / f"{name}.json").get("numbers", {})
    own.get("counters", {}).pop("calls_not_booked", None)  # the tally knows better
    sum_ = Numbers.together([ended.get("numbers", {}), own])
    for why, count in (("dropped", lost.dropped), ("killed", lost.killed), ("in_flight", lost.in_flight)):
        if count:
            sum_.add("calls_not_booked", (why,), count)
    told = {"workers": [*ended.get("workers", ())[-1000:], name], "numbers": sum_.dump()}
    with contextlib.suppress(OSError):
        _replace(folder / _ENDED, json.dumps(told).encode())
        _keep_calls(folder, name)
        for suffix in ("json", "tally", "calls"):
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    return lost


def _keep_calls(folder: Path, name: str) -> None:
    """The last calls of a worker go on to be shown, beside those of others that have ended."""
    if own := _bytes(folder / f"{name}.calls"):
        ended = folder / _ENDED_CALLS
        lines = [*_bytes(ended).splitlines(), *own.splitlines()][-MOST:]
        _replace(ended, b"\n".join(lines))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
