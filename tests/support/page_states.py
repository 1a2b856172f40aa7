"""Pages in each of their states, in front of a browser: in both languages, light and dark, on a desktop and a phone.

A `State` says how a page comes into it and what it then says. A `Stage` is a bridge in which some of them can be had;
its states are shown one after the other, so a later one may build upon those before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from babel.support import Translations

from app.errors import Sentence
from tests.simulator.client import Simulator
from tests.support.bridge import ROOT, LocalBridge
from tests.support.browser import Onlooker, Visitor
from tests.support.rows import ONLY

Kind = Literal["empty", "usual", "loading", "error", "much"]
"""empty: nothing to show yet. usual: some of it, or a step on the way. loading: it waits for somebody. error: something
failed, or was refused. much: more and longer things than one would like."""
Who = Literal["admin", "client", "nobody"]
"""Whose browser: it knows API_KEY; it knows the key of `World.secret`; it knows none."""

LOCALES: Final = {"en": "en-US", "zh": "zh-CN"}
_CHINESE: Final = Translations.load(ROOT / "app" / "translations", ["zh_Hans"])
_WITHOUT_BADGES: Final = """
it => [...it.childNodes].filter(it => !it.classList?.contains("badge")).map(it => it.textContent).join("").trim()
"""


class AsIs(str):
    """Words that are the same in every language: names, and what others said."""


def words(lang: str, text: str) -> str:
    """A sentence of the pages in this language. Raises: AssertionError if the catalogue does not have it."""
    if lang == "en" or isinstance(text, AsIs):
        return str(text)
    if not isinstance(text, Sentence):
        text = Sentence(text)
    found = str(_CHINESE.gettext(text.template))
    assert found != text.template, f"no Chinese for: {text.template}"
    fields = {name: words(lang, value) if isinstance(value, Sentence) else value for name, value in text.values.items()}
    return found % fields if fields else found


@dataclass
class World:
    """A bridge, the simulator behind it, and what was made on the way: `made` by name; `secret`: of a client's key."""

    bridge: LocalBridge
    sim: Simulator
    patch: pytest.MonkeyPatch = field(default_factory=pytest.MonkeyPatch)
    secret: str = ""
    made: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """One state of a page.

    name: of its pictures. address: of the page, or how it is known. heading: of the page. shows: what else it says.
    who: opens it. arrange: what happens before, once. act: what is done on the page, in each language; it is given the
    language as well. lets: statuses of the answer.
    """

    name: str
    kind: Kind
    address: str | Callable[[World, str], str]
    heading: str
    shows: tuple[str, ...] = ()
    who: Who = "admin"
    arrange: Callable[[World], None] | None = None
    act: Callable[[Any, World, str], None] | None = None
    page: str = ""
    """The address of the page in the URL map, if `address` is a function or that of a form."""


@dataclass(frozen=True, slots=True)
class Stage:
    """opens: a world, until it is closed. before: what is so in all of its states, arranged before each. is_chain: each
    state is made of the one before, by the same browser; so all of them are shown in each language."""

    name: str
    opens: Callable[[Simulator, Path], AbstractContextManager[World]]
    states: tuple[State, ...]
    before: Callable[[World], None] = lambda _: None
    is_chain: bool = False


class Show:
    """The states of a stage in front of browsers. Faults are gathered, with their states.

    In both languages if pictures are taken, else by turns in one of them; and by turns axe-core looks at them in light
    and in dark.
    """

    def __init__(self, chromium: Any, onlooker: Onlooker, expect: Any) -> None:
        self._chromium, self._onlooker, self._expect = chromium, onlooker, expect
        self._visitors: dict[tuple[Who, str], tuple[Visitor, Any]] = {}

    def __call__(self, world: World, stage: Stage) -> None:
        """Raises: a group of what was wrong."""
        faults: list[Exception] = []
        try:
            for number, state in enumerate(stage.states):
                try:
                    self._show(world, stage, state, number)
                except Exception as fault:
                    fault.add_note(f"in the state {state.name}")
                    faults.append(fault)
            for (who, lang), (visitor, _) in self._visitors.items():
                faults += [AssertionError(f"{who}, {lang}: {it}") for it in visitor.complaints]
        finally:
            for visitor, _ in self._visitors.values():
                visitor.context.close()
            self._visitors.clear()
        if faults:
            raise ExceptionGroup(f"{len(faults)} of {len(stage.states)} states", faults)

    def _show(self, world: World, stage: Stage, state: State, number: int) -> None:
        try:
            stage.before(world)
            if state.arrange is not None:
                state.arrange(world)
            if os.environ.get(ONLY, "") not in state.name:
                return
            langs = list(LOCALES)
            if not (stage.is_chain or self._onlooker.takes_pictures):
                langs = [langs[number % 2]]
            for lang in langs:
                self._look(world, state, lang, None if lang != langs[0] else ("light", "dark")[number // 2 % 2])
        finally:
            world.sim.clear_faults()
            world.patch.undo()

    def _look(self, world: World, state: State, lang: str, scheme: str | None) -> None:
        page = self._page_of(world, state.who, lang)
        address = state.address(world, lang) if callable(state.address) else state.address
        if address:
            page.goto(address if "://" in address else world.bridge.url + address)
        try:
            if state.act is not None:
                state.act(page, world, lang)
            heading = page.get_by_role("heading", level=1)
            self._expect(heading).to_contain_text(words(lang, state.heading))
            assert heading.evaluate(_WITHOUT_BADGES) == words(lang, state.heading)
            for it in state.shows:
                self._expect(page.get_by_role("main")).to_contain_text(words(lang, it))
            self._onlooker.look(page, f"{state.name}-{lang}")
            if scheme is not None:
                self._onlooker.examine(page, state.name, scheme)
        finally:
            page.context.set_offline(False)
            page.unroute_all(behavior="ignoreErrors")

    def _page_of(self, world: World, who: Who, lang: str) -> Any:
        if (who, lang) not in self._visitors:
            visitor = Visitor(
                self._chromium.new_context(locale=LOCALES[lang], reduced_motion="reduce"), keeps_bodies=False
            )
            page = visitor.context.new_page()
            self._visitors[who, lang] = visitor, page
            if who != "nobody":
                key = world.bridge.api_key if who == "admin" else world.secret
                page.goto(f"{world.bridge.url}/requests?api_key={key}")
                self._expect(page).to_have_url(f"{world.bridge.url}/requests")
        return self._visitors[who, lang][1]
