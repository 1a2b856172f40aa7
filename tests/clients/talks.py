"""Libraries for programs: each runs in a process of its own, started from what ``configure`` printed, and is talked to.

What a library is asked (``text``, ``stream``, ``tools``, …) has the same name and the same answer for all of them; see
``talk/conversation.py``. Python ones are in ``talk/``, those for Node beside their packages in ``npm/node-sdks/``.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.clients import install
from tests.clients.desk import PATIENCE_S, Client, Desk, configure, exported
from tests.support.bridge import Bridge

# What libraries would do on the side, all of it at other hosts: price lists, traces of every call.
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}
_TALK = Path(__file__).parent / "talk"


@dataclass(frozen=True, slots=True)
class Library:
    """One library.

    program:  what talks to it; package: what `install` installs.
    setups:   names of `configure` whose exports it needs. snippet: setup and title of the snippet that it starts from;
              where `configure` has none, the exports alone have to do.
    apis:     the ways in that it offers, by the endpoint of the bridge they lead to.
    lacks:    verbs that it has not, for all ways or as (api, verb).
    kinds:    what it calls an error that the official SDKs have another name for.
    shows_headers: its errors carry the headers of the answer.
    repeats_all: when it repeats, it does so whatever the error.
    is_official: one of the vendors' own, which are asked everything; others rest on them, or on the same protocols.
    """

    name: str
    program: str
    package: str
    setups: tuple[str, ...]
    apis: tuple[str, ...]
    snippets: tuple[tuple[str, str], ...] = ()
    lacks: frozenset[Any] = frozenset()
    kinds: Mapping[str, str] = field(default_factory=dict)
    shows_headers: bool = True
    is_official: bool = False
    repeats_all: bool = False

    def has(self, api: str, verb: str) -> bool:
        return verb not in self.lacks and (api, verb) not in self.lacks


class Raised(Exception):
    """What a library raised. kinds: names of the class and all above it. seen: what had arrived until then."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(f"{told['type']}: {told['message']}")
        self.type: str = told["type"]
        self.kinds: list[str] = told["kinds"]
        self.message: str = told["message"]
        self.status: int | None = told["status"]
        self.code: Any = told["code"]
        self.retry_after: str | None = told["retry_after"]
        self.seen: dict[str, Any] | None = told["seen"]
        self.cause = Raised(told["cause"]) if told["cause"] else None

    def chain(self) -> list[Raised]:
        """This and what caused it, outermost first."""
        return [self, *(self.cause.chain() if self.cause else [])]


class Talk:
    """A running program with a library in it. ``talk.do("text", …)`` gives what the library gave, or raises Raised."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str], log: Path) -> None:
        self._waiting: dict[int, Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, verb: str, **options: Any) -> Future[Any]:
        """Ask, and do not wait."""
        number = next(self._numbers)
        answer: Future[Any] = Future()
        self._waiting[number] = answer
        assert self._process.stdin is not None
        print(json.dumps({"id": number, "do": verb, "with": options}), file=self._process.stdin, flush=True)
        return answer

    def do(self, verb: str, **options: Any) -> Any:
        return self.begin(verb, **options).result(PATIENCE_S)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            answer = self._waiting.pop(told["id"])
            if "raised" in told:
                answer.set_exception(Raised(told["raised"]))
            else:
                answer.set_result(told["value"])
        for answer in self._waiting.values():
            answer.set_exception(RuntimeError(f"the program ended\n{self._log.read_text('utf-8', 'replace')}"))


def start(library: Library, bridge: Bridge, home: Path) -> tuple[Talk, list[str]]:
    """Start a library's program on a new desk and run the snippets as printed; also what they printed.

    Skips the test where the library is not installed.
    """
    if not install.is_installed(library.package):
        pytest.skip(f"{library.package} is not installed: make e2e")
    desk = Desk(Client(library.name, library.package, lambda: []), bridge, home)
    desk.project.mkdir(parents=True)
    for name in library.setups:
        desk.env |= exported(configure(bridge, name, "--shell", "bash", "--show-key"))
    if library.program.endswith(".mjs"):
        # As in a project of somebody's that has the packages installed.
        (desk.project / "node_modules").symlink_to(install.home_of(library.package) / "node_modules")
        command = ["node", str(install.home_of(library.package) / library.program)]
    else:
        command = [str(install.bin_of(library.package) / "python"), str(_TALK / library.program)]
    talk = Talk(command, desk.project, desk.environment() | QUIET, home / "stderr.txt")
    printed = [talk.do("set_up", code=snippet(bridge, setup, title)) for setup, title in library.snippets]
    return talk, printed


def snippet(bridge: Bridge, setup: str, title: str) -> str:
    """The code that ``configure`` prints under this title."""
    parts = re.split(r"^# (.*)\n", configure(bridge, setup), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert title in sections, f"{setup} has no snippet {title!r} but {list(sections)}"
    return sections[title].strip() + "\n"
