"""What a client's setup is made of: facts go in, a declarative record comes out, others print, merge or show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from app.clients.models import Selection

KEY_VARIABLE = "COPILOT_BRIDGE_KEY"
"""The environment variable in which clients find the bridge's key, where they read it from one."""

PROVIDER = "copilot-bridge"
"""The name under which the bridge appears in a client's list of providers."""

Format = Literal["json", "toml", "yaml", "env"]
Platform = Literal["linux", "darwin", "win32"]


class Words(NamedTuple):
    """A text for people, in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Facts:
    """url: the bridge as the client reaches it, without ``/v1``. key: its API_KEY, or what is shown instead."""

    url: str
    key: str
    models: Selection
    platform: Platform = "linux"

    @property
    def v1(self) -> str:
        return f"{self.url}/v1"


@dataclass(frozen=True, slots=True)
class Entries:
    """A list in which each item is known by some of its keys: ours are put in or renewed, others stay as they are."""

    by: tuple[str, ...]
    items: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class IfAbsent:
    """A value that is written only where there is none."""

    value: Any


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file of a client's.

    path: below the home folder, with slashes. tree: what to merge into it; a mapping, or Entries where the file is one
    list. instead: other names of the same file; the first that exists is used. secret: it holds the key.
    """

    path: str
    format: Format
    tree: Mapping[str, Any] | Entries
    instead: tuple[str, ...] = ()
    secret: bool = True


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of code to copy. title: a file name, or what it does."""

    title: Words
    code: str


@dataclass(frozen=True, slots=True)
class Once:
    """How a terminal program is started with the settings for one time, so that none of its files is touched.

    program: what is called. variables: set for it. named: variable → the one of the setup's files that it names; the
    file is made in a temporary folder. moved: variable that moves the program's folder, and that folder below the home
    folder: the files in it are made in a temporary one, in which all else leads to the person's own.
    """

    program: str
    variables: Mapping[str, str] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)
    moved: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """All that is said about one client.

    exports: shell variables that do the same for one terminal (or what the client needs besides its files).
    steps: what to do by hand, in order. run: the command that starts it.
    link: opens the program and imports all. once: how it runs without any of its files touched.
    """

    name: str
    title: str
    home_page: str
    files: tuple[ConfigFile, ...] = ()
    exports: Mapping[str, str] | None = None
    snippets: tuple[Snippet, ...] = ()
    steps: tuple[Words, ...] = ()
    run: str | None = None
    once: Once | None = None
    link: str | None = None
    notes: tuple[Words, ...] = ()
