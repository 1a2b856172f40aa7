"""Every page in every state in a real browser, in both languages, light and dark, on a desktop and a phone.

With SCREENSHOTS_DIR set, as ``make screenshots`` does, each is written there as a picture, to be looked at.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from flask import Flask
from werkzeug.exceptions import HTTPException

from app import create_app
from app.auth.brake import MOST_FAILURES
from app.errors import DatabaseError, Sentence, StoreError
from app.settings import DEFAULT_API_KEY, Settings
from app.store.sqlite_file import explain
from tests.simulator.catalogue import load
from tests.simulator.client import Simulator
from tests.support import crowd
from tests.support.bridge import LocalBridge
from tests.support.browser import WAIT_MS, Onlooker, Visitor, serving_page
from tests.support.page_states import AsIs, Kind, Show, Stage, State, World, words
from tests.support.sample_team import TOKEN, made, settle
from tests.support.secrets import API_KEY
from tests.support.waiting import until

playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
expect = playwright.expect
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
expect.set_options(timeout=WAIT_MS)

OTHER: Final = "ghu_test_business"
ANSWER: Final = (
    "两个进程各自读取自己的时钟。 الإجابة من اليمين إلى اليسار. " + crowd.UNBROKEN + " " + "A sentence of words. " * 30
)


# ── worlds ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def bridge_of(sim: Simulator, folder: Path, *, key: str = API_KEY, token: str = TOKEN, **env: str) -> Iterator[World]:
    """A bridge that is signed in by `token`, if that is none of the empty ones, and has seen nothing yet."""
    signed_in = {"GH_COPILOT_TOKEN": token} if token else {}
    with LocalBridge({**sim.settings_env(), "MODEL_MAPPING": "{}", **signed_in, **env}, folder, api_key=key) as bridge:
        yield World(bridge, sim)


@contextmanager
def first_start(sim: Simulator, folder: Path) -> Iterator[World]:
    """With the well-known key, and nobody signed in. GitHub's real pause between two polls is five seconds."""
    sim.config(device_interval_s=0.2)
    with bridge_of(sim, folder, key=DEFAULT_API_KEY, token="") as world:
        yield world


@contextmanager
def many_calls(sim: Simulator, folder: Path) -> Iterator[World]:
    """Of many models, by a team."""
    crowd.list_models(sim)
    with bridge_of(sim, folder, MODEL_MAPPING='{"gpt-4": "gone"}') as world:
        assert world.bridge.get("/v1/models").ok
        world.secret = settle(world.bridge, sim)["alice-laptop"]
        crowd.book_years(world.bridge)
        crowd.call_often(world.bridge)
        yield world


@contextmanager
def many_keys(sim: Simulator, folder: Path) -> Iterator[World]:
    with bridge_of(sim, folder) as world:
        settle(world.bridge, sim)
        crowd.make_keys(world.bridge)
        yield world


@contextmanager
def many_rules(sim: Simulator, folder: Path) -> Iterator[World]:
    """And names, things learned, and caches that were lost."""
    crowd.list_models(sim)
    with bridge_of(sim, folder, LOG_LEVEL="WARNING", LOG_FORMAT="json", MODEL_MAPPING='{"gpt-4": "gone"}') as world:
        assert world.bridge.get("/v1/models").ok
        crowd.make_rules(world.bridge)
        crowd.learn_much(world.bridge)
        world.bridge.gateway.cache_watch.start(for_s=3600, by=crowd.LONG)
        crowd.call_often(world.bridge)
        yield world


@contextmanager
def with_a_client(sim: Simulator, folder: Path) -> Iterator[World]:
    """With a key for a few models, which has done nothing yet."""
    with bridge_of(sim, folder) as world:
        world.secret = made(world.bridge, {"name": "alice", "models": ["gpt-4.1", "gpt-5*"]})
        yield world


@contextmanager
def without_models(sim: Simulator, folder: Path) -> Iterator[World]:
    sim.catalogue(remove=[entry["id"] for entry in load()])
    with bridge_of(sim, folder) as world:
        yield world


@contextmanager
def with_guests(sim: Simulator, folder: Path) -> Iterator[World]:
    """Two keys whose holders are to connect an account of their own, one for each language."""
    sim.config(device_interval_s=0.2, device_account=OTHER)
    with bridge_of(sim, folder) as world:
        for lang in ("en", "zh"):
            world.made[lang] = made(world.bridge, {"name": guest(lang), "owner": "Guest"})
        world.secret = world.made["en"]
        yield world


def guest(lang: str) -> str:
    return f"{crowd.UNBROKEN[:60]}-{lang}"


# ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────────


def together(*steps: Callable[[World], None]) -> Callable[[World], None]:
    def all_of_them(world: World) -> None:
        for step in steps:
            step(world)

    return all_of_them


def fault(endpoint: str, status: int = 503, **fields: Any) -> Callable[[World], None]:
    """GitHub or Copilot answers so, until the state was shown."""
    return lambda world: world.sim.fault(endpoint=endpoint, status=status, body={}, times=None, **fields)


def sent(form: str, **fields: str) -> Callable[[Any, World, str], None]:
    """The form with these fields is sent, whatever the browser thinks of them."""

    def act(page: Any, _: World, __: str) -> None:
        it = page.locator(form).first
        for name, value in fields.items():
            it.locator(f"[name={name}]").first.evaluate("(field, value) => { field.value = value; }", value)
        with page.expect_navigation():
            it.evaluate("form => { form.noValidate = true; form.requestSubmit(); }")

    return act


def pressed(selector: str) -> Callable[[Any, World, str], None]:
    """A button of a form, or a link."""

    def act(page: Any, _: World, __: str) -> None:
        with page.expect_navigation():
            page.locator(selector).first.click()

    return act


def opened(selector: str) -> Callable[[Any, World, str], None]:
    """What is folded away."""
    return lambda page, _, __: page.evaluate(
        f"document.querySelectorAll({selector!r}).forEach(it => {{ it.open = true; }})"
    )


def come_back(page: Any) -> None:
    """The person returns to this tab; it asks at once how the sign-in stands."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def database_away(world: World) -> None:
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
    database = world.bridge.gateway.database

    def fail(*_: Any, **__: Any) -> Any:
        raise DatabaseError(database._place.explain(locked))

    for name in ("read", "write", "read_slowly"):
        world.patch.setattr(type(database), name, fail)


def store_away(world: World) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise StoreError(explain(OSError("no"), Path("/data/state.db")))

    for name in ("get", "put", "update", "scan"):
        world.patch.setattr(type(world.bridge.gateway.store), name, fail)


def broken(world: World) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("a mistake of ours")

    world.patch.setattr(type(world.bridge.gateway.metrics), "calls", fail)


# ── signing in ──────────────────────────────────────────────────────────────────────────────────────────────────────


def from_elsewhere(page: Any, world: World, _: str) -> None:
    """By a link on a page of another site."""
    with serving_page(f'<a href="{world.bridge.url}/auth/device">sign in</a>') as port:
        page.goto(f"http://evil.example:{port}/")
        with page.expect_navigation():
            page.get_by_role("link").click()


def polled(world: World) -> None:
    """GitHub was asked, and its answer judged."""
    world.sim.wait("device_polls", world.sim.state()["device_polls"] + 2)


def ends(how: str) -> Callable[[World], None]:
    """A new sign-in ends so. how: as `Simulator` calls it."""

    def arrange(world: World) -> None:
        sign_in = world.bridge.gateway.sign_in
        code = sign_in.begin(anew=True).user_code
        getattr(world.sim, f"{how}_device")(code)
        until(lambda: sign_in.look().state != "pending")

    return arrange


def begin_anew(world: World) -> None:
    world.bridge.gateway.sign_in.begin(anew=True)


def ended_page(world: World, _: str) -> str:
    sign_in = world.bridge.gateway.sign_in.look()
    assert sign_in is not None
    return f"/auth/device?id={sign_in.id}"


def unreachable(page: Any, _: World, __: str) -> None:
    page.context.set_offline(True)
    come_back(page)
    expect(page.locator("#status.trouble")).to_be_visible()


def revoke_at_github(world: World) -> None:
    for device in world.sim.devices():
        if device["token"]:
            world.sim.revoke_github_token(device["token"])
    world.sim.invalidate_copilot_tokens()
    assert world.bridge.chat("hi").status_code == 403


def by_address(action: str, names: str) -> Callable[[World, str], str]:
    """An address that changes the mapping, of a host to which browsers do not tell what made them go there."""

    def address(world: World, _: str) -> str:
        host = world.bridge.url.replace("127.0.0.1", "nas")
        return f"{host}/admin/mapping/{action}?api_key={world.bridge.api_key}&{names}"

    return address


DEVICE: Final = "/auth/device"
OCTOCAT: Final = {"user": "octocat"}
OVERVIEW: Final = Sentence("Overview of %(user)s", **OCTOCAT)
USAGE: Final = Sentence("Usage of %(user)s", **OCTOCAT)
SIGNED_IN: Final = Sentence("Signed in as %(user)s", **OCTOCAT)
WRONG: Final = "That did not work"
CLIENT: Final = "Set up a client"
MAPPING: Final = "Model mapping"
RULES: Final = "Rules of the mapping"


def overview_of(key: str) -> Sentence:
    return Sentence("Overview of the key %(name)s", name=key)


def usage_of(key: str) -> Sentence:
    return Sentence("Usage of the key %(name)s", name=key)


def key_page(key: str) -> Sentence:
    return Sentence("Key %(name)s", name=key)


FIRST_START: Final = Stage(
    "first start",
    first_start,
    (
        State("sign-in-ready", "usual", "", "Sign in to GitHub", (
            "Connect this bridge to your Copilot subscription. GitHub gives you a code to enter on its page.",
        ), act=from_elsewhere, page=DEVICE),
        State("sign-in-no-code", "error", DEVICE, "No sign-in code yet",
              (AsIs("503"),), arrange=fault("/login/device/code")),
        State("sign-in-waiting", "loading", DEVICE, "Sign in to GitHub", ("Waiting for GitHub…",)),
        State("sign-in-trouble", "error", DEVICE, "Sign in to GitHub", (
            Sentence("GitHub answered HTTP %(status)s; still trying.", status=503),
        ), arrange=together(fault("/login/oauth/access_token"), polled)),
        State("sign-in-bridge-away", "error", DEVICE, "Sign in to GitHub", (
            "The bridge does not answer. Still trying…",
        ), act=unreachable),
        State("usage-signed-out", "error", "/usage", "Sign in to GitHub", ("Go to the sign-in page",)),
        State("setup-signed-out", "error", "/setup", CLIENT, ("Go to the sign-in page",)),
        State("models-signed-out", "error", "/catalogue", "Models", ("Go to the sign-in page",)),
        State("try-signed-out", "error", "/try", "Try it", ("Go to the sign-in page",)),
        State("mapping-signed-out", "error", "/admin/mapping", MAPPING, (
            "Names cannot be checked now, because there is no model list:",
        )),
        State("sign-in-denied", "error", ended_page, "Not signed in", (
            "The sign-in was cancelled on GitHub. Start again if that was a mistake.",
        ), arrange=ends("deny"), page=DEVICE),
        State("sign-in-expired", "error", ended_page, "Not signed in", (
            "The code ran out before it was entered. Start again for a new one.",
        ), arrange=ends("expire"), page=DEVICE),
        State("sign-in-done", "usual", ended_page, Sentence("You are signed in as %(user)s", **OCTOCAT), (
            "The bridge is connected to GitHub Copilot and ready for your tools.",
        ), arrange=ends("approve"), page=DEVICE),
        State("key-asked-default", "usual", "/usage", "Enter the API key", ("Go on with this key",), who="nobody"),
        State("sign-in-linked", "usual", DEVICE, SIGNED_IN, (
            "Signing in anew replaces this sign-in once GitHub has approved it.",
        )),
        State("overview-weak-key", "empty", "/", OVERVIEW, ("Weak protection.",)),
        State("sign-in-anew", "loading", DEVICE, "Sign in to GitHub", (
            Sentence("Until this is done, the bridge goes on with the present sign-in of %(user)s.", **OCTOCAT),
        ), arrange=begin_anew),
        State("sign-in-anew-denied", "error", ended_page, "The new sign-in did not work", (
            Sentence("The bridge goes on with the earlier sign-in of %(user)s.", **OCTOCAT),
        ), arrange=ends("deny"), page=DEVICE),
        State("sign-in-refused", "error", DEVICE, "GitHub no longer accepts this sign-in", (
            "The access was revoked or has expired. Sign in anew to go on.",
        ), arrange=revoke_at_github),
        State("overview-refused", "error", "/", OVERVIEW, ("Something is wrong.",)),
        State("usage-refused", "error", "/usage", "Sign in to GitHub", ("Go to the sign-in page",)),
        State("confirm-set", "usual", by_address("set", "from=gpt-4&to=gpt-4.1"), "Change the mapping?", who="nobody",
              page="/admin/mapping/set"),
        State("confirm-set-much", "much", by_address("set", f"from={crowd.UNBROKEN * 3}&to={crowd.LONG}"),
              "Change the mapping?", (AsIs(crowd.UNBROKEN),), who="nobody", page="/admin/mapping/set"),
        State("confirm-set-refused", "error", by_address("set", "from=gpt-4"), WRONG, who="nobody",
              page="/admin/mapping/set"),
        State("confirm-delete", "usual", by_address("del", "from=gpt-4"), "Delete this entry?", who="nobody",
              page="/admin/mapping/del"),
        State("confirm-reset", "usual", by_address("reset", ""), "Reset the mapping?", who="nobody",
              page="/admin/mapping/reset"),
    ),
)  # fmt: skip


# ── nothing has happened yet, and what goes wrong ───────────────────────────────────────────────────────────────────


def wrong_keys(world: World) -> None:
    for _ in range(MOST_FAILURES + 1):
        world.bridge.get("/usage", key=False, headers={"x-api-key": "wrong"})


def asked(prompt: str, model: str = "gpt-4.1") -> Callable[[Any, World, str], None]:
    """The model is asked on the page. In the prompt, {lang} is the language."""

    def act(page: Any, _: World, lang: str) -> None:
        page.locator("#model").select_option(model)
        page.locator("#prompt").fill(prompt.replace("{lang}", lang))
        page.locator("#send").click()
        expect(page.locator(".turn")).to_have_count(2)

    return act


def half_said(page: Any, world: World, lang: str) -> None:
    world.sim.release(count=6, name=f"half-{lang}")
    asked("[[gate: half-{lang}]] [[say: one two three four five six seven eight nine ten]]")(page, world, lang)
    expect(page.locator(".turn").nth(1)).to_contain_text("one two three")
    expect(page.locator("#stop")).to_be_visible()


def answered(page: Any, world: World, lang: str) -> None:
    page.locator("#tool").check()
    asked(f"{ANSWER}[[say: {ANSWER}]]")(page, world, lang)
    expect(page.locator("#cost")).not_to_be_empty()
    asked('[[tool: get_weather {"city": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch"}]]')


def stopped(page: Any, world: World, lang: str) -> None:
    asked("[[gate: stop-{lang}]]")(page, world, lang)
    page.locator("#stop").click()
    expect(page.locator("#problem")).to_be_visible()


def offline(page: Any, world: World, lang: str) -> None:
    page.context.set_offline(True)
    page.locator("#prompt").fill("hello")
    page.locator("#send").click()
    expect(page.locator("#problem")).to_be_visible()


def bad_image(page: Any, _: World, __: str) -> None:
    page.locator("#image").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"no"})
    page.locator("#prompt").fill("hello")
    page.locator("#send").click()
    expect(page.locator("#problem")).to_be_visible()


KEY_FORM: Final = "form[action$='/auth/key']"
QUIET: Final = Stage(
    "nothing yet",
    bridge_of,
    (
        State("overview-empty", "empty", "/", OVERVIEW, (
            "Nothing was called in the last thirty days. What clients do will stand here.",
        )),
        State("usage-empty", "empty", "/usage", USAGE, ("No calls in this period.",)),
        State("usage-period-refused", "error", "/usage?from=2026-12-31&to=2026-01-01", USAGE, (
            "This period cannot be shown. Give two days like 2026-11-30, the first one not after the last.",
        )),
        State("requests-empty", "empty", "/requests", "Requests"),
        State("requests-live-empty", "loading", "/requests?live=1", "Requests"),
        State("models-usual", "usual", "/catalogue", "Models"),
        State("models-asked", "usual", "/catalogue?name=gpt-4.2", "Models", (AsIs("gpt-4.2"),)),
        State("try-empty", "empty", "/try", "Try it", (
            "What you ask and what the model answers will stand here.",
        )),
        State("try-waiting", "loading", "/try", "Try it",
              ("Waiting for the answer …",), act=asked("[[gate: wait-{lang}]]")),
        State("try-half", "loading", "/try", "Try it", (AsIs("one two three"),), act=half_said),
        State("try-stopped", "usual", "/try", "Try it", ("Stopped.",), act=stopped),
        State("try-answered", "much", "/try", "Try it", (AsIs(crowd.UNBROKEN),), act=answered),
        State("try-limited", "error", "/try", "Try it", (AsIs("rate limit"),), arrange=lambda world: world.sim.fault(
            "rate_limited_429", endpoint="/chat/completions", times=None), act=asked("hello")),
        State("try-bad-image", "error", "/try", "Try it",
              ("Only PNG, JPEG, GIF and WebP images can be sent.",), act=bad_image),
        State("try-bridge-away", "error", "/try", "Try it", ("The bridge does not answer.",), act=offline),
        State("setup-usual", "empty", "/setup", CLIENT),
        State("setup-open", "usual", "/setup", CLIENT, act=opened("details")),
        State("keys-empty", "empty", "/admin/keys", "Keys", ("There are no keys yet beside API_KEY.",)),
        State("mapping-empty", "empty", "/admin/mapping", MAPPING, ("Nothing is mapped: every name passes as it is.",)),
        State("rules-empty", "empty", "/admin/mapping/rules", RULES, (
            "There are no rules: names go by the table alone.", "Nothing was changed yet.",
        )),
        State("learned-empty", "empty", "/admin/learned", "Learned", (
            "Nothing is remembered: Copilot has taken every field so far, or what it refused was forgotten.",
        )),
        State("cache-empty", "empty", "/admin/cache", "Cache doctor", (
            "No conversation lost its cache among the last calls that were watched.",
        )),
        State("recording-empty", "empty", "/admin/recording", "Recording", ("Nothing is recorded now.",)),
        State("settings-usual", "usual", "/admin/settings", "Settings"),
        State("sign-in-environment", "usual", DEVICE, "Signed in to GitHub", (
            "The GH_COPILOT_TOKEN variable that the bridge was started with",
        )),
        State("docs-usual", "usual", "/docs", AsIs("API")),
        State("docs-open", "much", "/docs", AsIs("API"), act=opened("details")),
    ),
)  # fmt: skip
REFUSED: Final = Stage(
    "forms with something wrong in them",
    bridge_of,
    (
        State("keys-refused-name", "error", "/admin/keys", "Keys", (
            "A name has 1 to 64 letters, digits or ._@-, and does not begin with one of these marks.",
        ), act=sent("#new form", name="-not so-")),
        State("keys-refused-budget", "error", "/admin/keys", "Keys", (
            "Each budget has an amount above 0, and there is one for each unit and period at most.",
        ), act=sent("#new form", name="bob", budget_amount="-5")),
        State("mapping-refused", "error", "/admin/mapping", MAPPING, (
            Sentence("Enter a name of 1 to %(most)s printable characters.", most=256),
        ), act=sent("#edit form", **{"from": " ", "to": ""})),
        State("rules-refused", "error", "/admin/mapping/rules", RULES, (
            "Enter the name that clients ask for, or a pattern such as claude-*.",
        ), act=sent("#edit form", match=" ", to="gpt-4.1")),
        State("rules-tried-nothing", "error", "/admin/mapping/rules?model=%20", RULES, (
            "Enter a model, and a key and a purpose of the list if they matter.",
        )),
        State("cache-refused", "error", "/admin/cache", WRONG, (
            Sentence("'hours' must be a whole number from 1 to %(most)s.", most=24),
        ), act=sent("main form", hours="0")),
        State("recording-refused", "error", "/admin/recording", WRONG, (
            Sentence("'minutes' must be a whole number from 1 to %(most)s.", most=60),
        ), act=sent("main form", minutes="0")),
        State("mapping-reset", "usual", "/admin/mapping?reset=1", "Reset the mapping?"),
    ),
)  # fmt: skip
NEW_KEY: Final = Stage(
    "a key that has done nothing yet",
    with_a_client,
    (
        State("overview-client-empty", "empty", "/", overview_of("alice"), (
            "No budget is set for it.",
        ), who="client"),
        State("usage-client-empty", "empty", "/usage", usage_of("alice"), (
            "No calls in this period.",
        ), who="client"),
        State("requests-client-empty", "empty", "/requests", "Requests", who="client"),
        State("models-client", "usual", "/catalogue", "Models", ("Your key may not use it.",), who="client"),
        State("try-client", "usual", "/try", "Try it", who="client"),
        State("setup-client", "usual", "/setup", CLIENT, who="client"),
    ),
)  # fmt: skip
ERRORS: Final = Stage(
    "errors",
    with_a_client,
    (
        State("error-400", "error", "/requests?page=x", WRONG, ("'page' must be a whole number, from 1 on.",)),
        State("error-401", "usual", "/usage", "Enter the API key", who="nobody"),
        State("error-401-wrong", "error", "/usage", "Enter the API key", (
            "Wrong API key. It is the API_KEY that the bridge was started with, or one that its operator made.",
        ), who="nobody", act=sent(KEY_FORM, api_key="not this one")),
        State("error-403", "error", "/admin/keys", "Not allowed", who="client"),
        State("error-403-form", "error", "/admin/recording", "Not allowed", (
            "This form is no longer valid. Go back, load the page anew and send it again.",
        ), act=sent("main form", token="old")),
        State("error-404", "error", "/nowhere", "There is nothing here"),
        State("error-404-key", "error", "/admin/keys/nobody", "There is nothing here"),
        State("error-404-record", "error", "/admin/recording/0123456789abcdef", "There is nothing here", (
            "This recorded call is gone: each is kept for an hour.",
        )),
        State("error-405", "error", "/auth/key", WRONG),
        State("error-413", "error", "/usage", WRONG, (
            Sentence("This form takes at most %(limit)s bytes, with their number told.", limit=8192),
        ), who="nobody", act=sent(KEY_FORM, api_key="x" * 9000)),
        State("error-500", "error", "/requests", WRONG, arrange=broken),
        State("error-503", "error", "/admin/learned", WRONG, (AsIs("/data/state.db"),), arrange=store_away),
        State("error-429", "error", "/usage?api_key=wrong", WRONG, who="nobody", arrange=wrong_keys),
    ),
)  # fmt: skip


# ── much of everything ──────────────────────────────────────────────────────────────────────────────────────────────


def record(world: World) -> None:
    """What one key does, and some calls that were recorded before."""
    recorder = world.bridge.gateway.recorder
    [own] = world.bridge.gateway.keys.names()
    recorder.start(own, for_s=3600, by=own)
    for number in range(6):
        world.bridge.chat("hello", model=("gpt-4.1", "no-such-model")[number % 2])
    until(lambda: len(recorder.kept()) >= 6)


def new_key(page: Any, world: World, lang: str) -> None:
    sent("#new form", name=f"made-{lang}", owner=crowd.OWNERS[0])(page, world, lang)
    expect(page.locator("#secret")).to_be_visible()


def at_key(number: int) -> Callable[[World, str], str]:
    def address(world: World, _: str) -> str:
        names = [it.name for it in world.bridge.gateway.client_keys.registry.all()]
        return f"/admin/keys/{names[number]}"

    return address


ONE_KEY: Final = "/admin/keys/alice-laptop"
LONG_KEY: Final = f"{crowd.LONG[:60]}-01"
REVOKED: Final = f"{crowd.LONG[:60]}-07"
MANY_CALLS: Final = Stage(
    "many calls of many models",
    many_calls,
    (
        State("overview-much", "much", "/", OVERVIEW, ("Something is wrong.", "Copilot warns:")),
        State("overview-client-much", "much", "/", overview_of("alice-laptop"), who="client"),
        *(
            State(f"usage-by-{group}", "much", f"/usage?group={group}", USAGE, ("In all",))
            for group in ("day", "model", "key", "client", "account")
        ),
        State("usage-raw", "usual", "/usage", USAGE, act=opened("details")),
        State("usage-client-much", "much", "/usage", usage_of("alice-laptop"), who="client"),
        State("requests-much", "much", "/requests", "Requests"),
        State("requests-page-2", "much", "/requests?error=any&page=2", "Requests"),
        State("requests-live", "loading", "/requests?live=1", "Requests"),
        State("requests-open", "much", "/requests", "Requests", act=opened("details.call")),
        State("requests-none-fits", "empty", "/requests?key=nobody", "Requests"),
        State("requests-client", "usual", "/requests", "Requests", who="client"),
        State("models-much", "much", "/catalogue", "Models", (AsIs(crowd.UNBROKEN),)),
        State("models-open", "much", "/catalogue", "Models", act=opened("details")),
        State("models-terms-refused", "error", "/catalogue", WRONG, (
            "Confirm that you accept the terms of the model.",
        ), act=sent("main form[method=post]")),
        State("models-client-much", "much", "/catalogue", "Models", who="client"),
        State("try-much", "much", f"/try?model={crowd.UNBROKEN}002", "Try it"),
        State("setup-much", "much", "/setup/claude-code", CLIENT),
    ),
)  # fmt: skip
MANY_KEYS: Final = Stage(
    "many keys",
    many_keys,
    (
        State("keys-much", "much", "/admin/keys", "Keys", (AsIs(crowd.OWNERS[0]), AsIs(crowd.OWNERS[1]))),
        State("keys-none-found", "empty", "/admin/keys?q=nobody", "Keys", ("No key is called so.",)),
        State("key-open", "usual", ONE_KEY, key_page("alice-laptop")),
        State("key-long", "much", f"/admin/keys/{LONG_KEY}", key_page(LONG_KEY)),
        State("key-revoked", "usual", f"/admin/keys/{REVOKED}", key_page(REVOKED), (
            "All keys",
        )),
        State("key-change-refused", "error", ONE_KEY, key_page("alice-laptop"), (
            "Requests per minute are a whole number above 0, or empty.",
        ), act=sent("#edit form", requests_per_minute="0")),
        State("key-invited", "usual", ONE_KEY, key_page("alice-laptop"), act=pressed(
            "form:has(input[value=invite]) button")),
        State("key-made", "usual", "/admin/keys", "Keys", ("Copy it now: nobody can show it again.",), act=new_key),
        State("keys-saved", "usual", ONE_KEY, "Keys", act=sent("#edit form", owner="Alice")),
    ),
)  # fmt: skip
MANY_RULES: Final = Stage(
    "many rules",
    many_rules,
    (
        State("mapping-much", "much", "/admin/mapping", MAPPING, ("not in your list",)),
        State("mapping-saved", "usual", "/admin/mapping", MAPPING, (
            Sentence("Saved: %(source)s now goes to %(target)s.", source=crowd.UNBROKEN, target="nowhere"),
        ), act=sent("#edit form", **{"from": crowd.UNBROKEN, "to": "nowhere"})),
        State("rules-much", "much", "/admin/mapping/rules", RULES),
        State("rules-edit", "usual", "/admin/mapping/rules?rule=5", RULES, (
            Sentence("Change rule %(number)s", number="5"),
        )),
        State("rules-tried", "usual", "/admin/mapping/rules?model=claude-opus-4.6&key=&purpose=", RULES),
        State("rules-tried-missing", "error", "/admin/mapping/rules?model=gone", RULES, (
            "The account does not have it: the call would be refused.",
        )),
        State("learned-much", "much", "/admin/learned", "Learned", ("Export as JSON",)),
        State("cache-much", "much", "/admin/cache", "Cache doctor", ("the client changed it",)),
        State("recording-on", "much", "/admin/recording", "Recording", ("Calls are being recorded.",), arrange=record),
        State("requests-recorded", "usual", "/requests?error=any", "Requests", ("Calls are being recorded.",)),
        State("settings-much", "much", "/admin/settings", "Settings"),
        State("sign-in-much", "much", DEVICE, "Signed in to GitHub"),
        State("error-404-much", "much", f"/{crowd.UNBROKEN * 4}", "There is nothing here"),
    ),
)  # fmt: skip


# ── something is away ───────────────────────────────────────────────────────────────────────────────────────────────

GITHUB_AWAY: Final = Stage(
    "GitHub is away",
    bridge_of,
    (
        State("overview-github-away", "error", "/", "Overview"),
        State("usage-github-away", "error", "/usage", "Usage", ("GitHub does not tell at the moment what is left:",)),
        State("models-github-away", "error", "/catalogue", "Models", (AsIs("503"), "Try again")),
        State("try-github-away", "error", "/try", "Try it", (AsIs("503"), "Try again")),
        State("setup-github-away", "error", "/setup", CLIENT, ("Try again",)),
        State("mapping-github-away", "error", "/admin/mapping", MAPPING, (
            "Names cannot be checked now, because there is no model list:",
        )),
        State("rules-github-away", "error", "/admin/mapping/rules?model=gpt-4.1", RULES),
        State("sign-in-github-away", "error", DEVICE, "Signed in to GitHub", (AsIs("503"),)),
    ),
    before=together(fault("/copilot_internal/*"), fault("/user"), fault("/models")),
)  # fmt: skip
NO_MODELS: Final = Stage(
    "no models",
    without_models,
    (
        State("models-none", "empty", "/catalogue", "Models", ("Copilot lists no models for this account.",)),
        State("setup-no-models", "error", "/setup", CLIENT),
        State("try-no-models", "error", "/try", "Try it", ("Copilot lists no models for this account.",)),
    ),
)
DATABASE_AWAY: Final = Stage(
    "the database is away",
    with_a_client,
    (
        State("overview-database-away", "error", "/", OVERVIEW, (
            "The figures cannot be read at the moment:",
        )),
        State("usage-database-away", "error", "/usage", USAGE, (
            "The figures cannot be read at the moment:",
        )),
        State("keys-database-away", "error", "/admin/keys", WRONG, ("Try again",)),
        State("recording-database-away", "error", "/admin/recording", "Recording"),
    ),
    before=database_away,
)  # fmt: skip
STORE_AWAY: Final = Stage(
    "the store is away",
    bridge_of,
    tuple(
        State(f"{name}-store-away", "error", path, WRONG, (AsIs("/data/state.db"), "Try again"))
        for name, path in (("cache", "/admin/cache"), ("recording", "/admin/recording"), ("mapping", "/admin/mapping"))
    ),
    before=store_away,
)


# ── plans ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def plan(name: str, login: str, *shows: str, problem: str = "") -> Stage:
    """What is left of the allowances of another plan, and what the overview calls wrong about it."""
    user = {"user": login}
    wrong = ("Something is wrong.", problem) if problem else ()
    states = (
        State(f"overview-{name}", "usual", "/", Sentence("Overview of %(user)s", **user), (*shows, *wrong)),
        State(f"usage-{name}", "usual", "/usage", Sentence("Usage of %(user)s", **user), shows),
    )
    return Stage(f"plan {name}", partial(bridge_of, token=f"ghu_test_{name}"), states)


PLANS: Final = (
    plan("free_old", "free-old", "Free"),
    plan("exhausted", "exhausted", AsIs("300"), problem="It is used up: calls that cost something are refused."),
    plan("credits", "credits", "AI credits"),
    plan(
        "pool_empty",
        "pool-empty",
        "The shared pool is used up",
        problem="The pool that this seat draws on is used up: calls that cost something are refused.",
    ),
)


# ── invitations ─────────────────────────────────────────────────────────────────────────────────────────────────────


def invitation(world: World, lang: str) -> str:
    """A new link for the guest of this language."""
    answer = world.bridge.post(f"/admin/keys/{guest(lang)}/invitation", json={})
    answer.raise_for_status()
    return str(answer.json()["link"])


def in_trouble(page: Any, _: World, __: str) -> None:
    come_back(page)
    expect(page.locator("#status.trouble")).to_be_visible()


def decided(how: str, heading: str) -> Callable[[Any, World, str], None]:
    """The guest decides at GitHub. how: as `Simulator` calls it."""

    def act(page: Any, world: World, lang: str) -> None:
        getattr(world.sim, f"{how}_device")(page.locator("#user-code").inner_text())
        expect(page.get_by_role("heading", level=1)).to_have_text(words(lang, heading))

    return act


def tried_again(page: Any, world: World, lang: str) -> None:
    pressed("main form button")(page, world, lang)
    decided("approve", "Your account is connected")(page, world, lang)


def later(world: World) -> None:
    world.patch.setattr(world.bridge.gateway.bindings, "_clock", lambda: time.time() + 10 * 86_400)


INVITATION: Final = "/auth/invitation"
GUEST: Final = guest("en")
INVITED: Final = Stage(
    "invitations",
    with_guests,
    (
        State("invitation-open", "much", invitation, "Connect your GitHub account", who="nobody", page=INVITATION),
        State("invitation-no-code", "error", INVITATION, "No sign-in code yet", (AsIs("503"),), who="nobody",
              arrange=fault("/login/device/code"), act=pressed("main form button")),
        State("invitation-waiting", "loading", INVITATION, "Sign in to GitHub", ("Waiting for GitHub…",), who="nobody",
              act=pressed("main form button")),
        State("invitation-trouble", "error", INVITATION, "Sign in to GitHub", (
            Sentence("GitHub answered HTTP %(status)s; still trying.", status=503),
        ), who="nobody", arrange=together(fault("/login/oauth/access_token"), polled), act=in_trouble),
        State("invitation-denied", "error", INVITATION, "Not connected",
              who="nobody", act=decided("deny", "Not connected")),
        State("invitation-used", "usual", INVITATION, "Your account is connected", (
            "This link has done its work. You can close this page.",
        ), who="nobody", act=tried_again),
        State("invitation-bound", "usual", invitation, "Connect your GitHub account", (
            Sentence("The key is bound to %(account)s now. Your account would take its place.", account="hubot"),
        ), who="nobody", page=INVITATION),
        State("invitation-expired", "error", INVITATION, "There is nothing here", who="nobody", arrange=later),
        State("key-bound", "usual", f"/admin/keys/{GUEST}", key_page(GUEST), (
            "Go by the bridge’s own account again",
        )),
        State("keys-bound", "usual", "/admin/keys", "Keys", (AsIs("hubot"),)),
        State("overview-client-bound", "usual", "/", overview_of(GUEST), who="client"),
        State("usage-client-bound", "usual", "/usage", usage_of(GUEST), who="client"),
    ),
    is_chain=True,
)  # fmt: skip

STAGES: Final = (
    FIRST_START, QUIET, REFUSED, NEW_KEY, ERRORS, MANY_CALLS, MANY_KEYS, MANY_RULES, GITHUB_AWAY, NO_MODELS,
    DATABASE_AWAY, STORE_AWAY, *PLANS, INVITED,
)  # fmt: skip


# ── what there is to show ───────────────────────────────────────────────────────────────────────────────────────────

NO_PAGES: Final = frozenset({
    "responses.show", "responses.input_items", "models.list_models", "models.get_model", "usage.ledger",
    "recording.fetch", "metrics.metrics", "mapping_rules.history", "mapping_rules.try_out", "keys.own", "calls.events",
    "auth.device_status", "invitation.status", "health.alive", "health.ready", "description.openapi",
})  # fmt: skip
"""Addresses for programs, and files."""
CONFIRMS: Final = ("admin.set_by_get", "admin.delete_by_get", "admin.reset_by_get")
AT_ONCE: Final = "The server answers when it has all of it, and nothing is loaded later."
IS_FULL: Final = "It is never empty."
ASKS: Final = "It asks about what stands in its address; that this can be wrong or long is shown of admin.set_by_get."
FIXED: Final = "It shows what is in memory and the same for everybody: nothing can be away, and it is as long as it is."
OF_ONE_STATE: Final = ("auth.device", "invitation.show", "configuration.show", "description.docs", "keys.show")
COMES_WHOLE: Final = (
    "overview.home", "usage.usage", "catalogue.show", "setup.show", "keys.list_keys", "keys.show", "admin.show",
    "mapping_rules.show", "learned.show", "cache.show", "recording.show", "configuration.show", "description.docs",
)  # fmt: skip
LACKING: Final[dict[Kind, dict[str, str]]] = {
    "empty": dict.fromkeys((*OF_ONE_STATE, *CONFIRMS), IS_FULL),
    "loading": dict.fromkeys((*COMES_WHOLE, *CONFIRMS), AT_ONCE),
    "error": dict.fromkeys(CONFIRMS[1:], ASKS) | dict.fromkeys(("configuration.show", "description.docs"), FIXED),
    "much": dict.fromkeys(CONFIRMS[1:], ASKS),
}
"""Which page cannot be in which of these states, and why."""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(Settings.from_env({"API_KEY": API_KEY, "DATA_DIR": str(tmp_path)}))
    yield app
    app.extensions["gateway"].close()


def endpoint_of(app: Flask, state: State) -> str | None:
    """Of the page; None if there is none at this address."""
    address = state.page or state.address
    assert isinstance(address, str), f"{state.name} does not say of which page it is"
    try:
        return str(app.url_map.bind("").match(address.partition("?")[0], "GET")[0])
    except HTTPException:
        return None


def test_every_page_is_shown_in_each_state_that_it_can_be_in(app: Flask) -> None:
    """A new page needs a `State` of each kind, or a reason in `LACKING` why it has none."""
    pages = (
        {rule.endpoint for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())} - NO_PAGES - {"static"}
    )
    shown = {(endpoint_of(app, state), state.kind) for stage in STAGES for state in stage.states}
    wanted = {(page, kind) for page in pages for kind in LACKING} - {
        (page, kind) for kind, reasons in LACKING.items() for page in reasons
    }
    assert not sorted(wanted - shown), "no picture is taken of these"
    assert not sorted((page, kind) for kind, reasons in LACKING.items() for page in reasons if (page, kind) in shown)
    assert not {page for reasons in LACKING.values() for page in reasons} - pages, "no such page"
    names = [state.name for stage in STAGES for state in stage.states]
    assert len(names) == len(set(names))


def test_what_is_no_page_shows_none(app: Flask) -> None:
    assert not NO_PAGES - {rule.endpoint for rule in app.url_map.iter_rules()}
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        if rule.endpoint in NO_PAGES and "GET" in (rule.methods or ()):
            path = app.url_map.bind("").build(rule.endpoint, dict.fromkeys(rule.arguments, "x"), method="GET")
            with client.get(path, headers={"Accept": "text/html", "Authorization": f"Bearer {API_KEY}"}) as answer:
                assert answer.status_code >= 400 or answer.mimetype != "text/html", path


# ── tests ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def show(chromium: Any) -> Show:
    return Show(chromium, Onlooker(AXE_SCRIPT), expect)


@pytest.mark.parametrize("stage", STAGES, ids=lambda it: it.name.replace(" ", "-"))
def test_pages_in_their_states(stage: Stage, show: Show, simulator_process: Simulator, tmp_path: Path) -> None:
    simulator_process.reset()
    with stage.opens(simulator_process, tmp_path) as world:
        show(world, stage)


A_KEY: Final = "/admin/keys/alice-laptop"
REFUSALS: Final[dict[str, tuple[str, str, dict[str, str], str]]] = {
    "a key without a name": ("/admin/keys", "#new form", {"name": "-not so-"}, "#name"),
    "a minute of no call": (
        "/admin/keys",
        "#new form",
        {"name": "x", "requests_per_minute": "0"},
        "#requests_per_minute",
    ),
    "too many models": ("/admin/keys", "#new form", {"name": "x", "models": "\n".join(["gpt-*"] * 101)}, "#models"),
    "no budget": ("/admin/keys", "#new form", {"name": "x", "budget_amount": "-5"}, "#amount-1"),
    "a role that is none": ("/admin/keys", "#new form", {"name": "x", "role": "king"}, ".note.bad"),
    "a change of a key": (A_KEY, "#edit form", {"concurrent": "0"}, "#concurrent"),
    "a budget of a key": (A_KEY, "#edit form", {"budget_amount": "-5"}, "#amount-1"),
    "a name without letters": ("/admin/mapping", "#edit form", {"from": " ", "to": " "}, "#from"),
    "no model to go to": ("/admin/mapping", "#edit form", {"from": "x", "to": " "}, "#to"),
    "an action that is none": ("/admin/mapping", "#edit form", {"action": "x"}, ".note.bad"),
    "a rule for nothing": ("/admin/mapping/rules", "#edit form", {"match": " ", "to": "gpt-4.1"}, "#match"),
    "a rule to nowhere": ("/admin/mapping/rules", "#edit form", {"match": "x", "to": " "}, "#to"),
    "no place": ("/admin/mapping/rules", "#edit form", {"match": "x", "to": "gpt-4.1", "number": "0"}, "#number"),
}
"""A form, what is wrong in it, and what is focused then."""
_SEEN: Final = """it => {
  const box = it.getBoundingClientRect();
  return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
}"""


@pytest.fixture(scope="module")
def long_pages(simulator_process: Simulator, tmp_path_factory: Any) -> Iterator[World]:
    """With many keys, names and rules, so that the forms stand far below the fold."""
    simulator_process.reset()
    with many_keys(simulator_process, tmp_path_factory.mktemp("long")) as world:
        crowd.make_rules(world.bridge)
        yield world


@pytest.mark.parametrize("size", [(390, 844), (1440, 900)], ids=["phone", "desk"])
def test_what_is_wrong_in_a_form_is_seen_and_focused_at_once(long_pages: World, chromium: Any, size: Any) -> None:
    """Without a script: by where the focus is, a browser shows it and a screen reader reads it out."""
    width, height = size
    visitor = Visitor(chromium.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce"))
    page = visitor.context.new_page()
    page.goto(f"{long_pages.bridge.url}/requests?api_key={long_pages.bridge.api_key}")
    try:
        for name, (address, form, fields, focused) in REFUSALS.items():
            page.goto(long_pages.bridge.url + address)
            sent(form, **fields)(page, long_pages, "en")
            alarm = page.locator("[role=alert]").first
            expect(page.locator(focused), name).to_be_focused()
            assert alarm.evaluate(_SEEN), name
            if focused.startswith("#"):
                assert page.locator(focused).get_attribute("aria-describedby") == alarm.get_attribute("id"), name
            if folder := os.environ.get("SCREENSHOTS_DIR"):
                page.screenshot(path=f"{folder}/refused-{name.replace(' ', '-')}-{width}.png")
    finally:
        visitor.context.close()
