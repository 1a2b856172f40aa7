"""The model list: fetched once, kept, and an old one serves at once while a new one is fetched behind it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.auth.github_token import GitHubTokens
from app.errors import AccountError, UpstreamConnectError
from app.settings import Secret
from app.store.sqlite import SqliteStore
from app.upstream.catalog import Catalog
from app.upstream.headers import Call

TTL_S = 300.0


class Copilot:
    """Gives the model list, with a name that tells which one it is; counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_down = False
        self.refusal: AccountError | None = None
        self.before: Callable[[], object] = lambda: None
        self.warnings: list[dict[str, str]] = []

    def send(self, _: Call) -> Copilot:
        self.asked += 1
        self.before()
        if self.is_down:
            raise UpstreamConnectError("no network")
        if self.refusal is not None:
            raise self.refusal
        return self

    status, hint = 200, ""

    def read(self) -> bytes:
        return json.dumps({"data": [{"id": f"model-{self.asked}", "warning_messages": self.warnings}]}).encode()


class World:
    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000.0
        self.folder = folder
        self.copilot = Copilot()
        self.store = SqliteStore(folder / "state.db", clock=lambda: self.now)
        self.behind: list[Callable[[], None]] = []
        self.expected = 0  # callers who look at the clock before they wait for the list
        self.have_come = threading.Event()

    def monotonic(self) -> float:
        self.expected -= 1
        if self.expected == 0:
            self.have_come.set()
        return time.monotonic()

    def worker(self) -> Catalog:
        client: Any = self.copilot
        tokens = GitHubTokens(
            environment=Secret("ghu_test_one"),
            data_dir=self.folder,
            editor_config_dir=self.folder / "none",
            github_base_url="https://github.com",
        )
        return Catalog(
            store=self.store,
            client=client,
            github_tokens=tokens,
            ttl_s=TTL_S,
            clock=lambda: self.now,
            monotonic=self.monotonic,
            spawn=self.behind.append,
        )

    def go_on(self) -> None:
        """What was begun in the background is done."""
        while self.behind:
            self.behind.pop()()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def names(catalog: Catalog) -> list[str]:
    return [model.id for model in catalog.models()]


def test_list_is_fetched_once_and_kept_while_it_is_fresh(world: World) -> None:
    catalog = world.worker()
    assert names(catalog) == names(catalog) == names(world.worker()) == ["model-1"]
    assert (world.copilot.asked, world.behind) == (1, [])


def test_old_list_serves_at_once_and_one_caller_has_it_renewed(world: World) -> None:
    catalog = world.worker()
    names(catalog)
    world.now += TTL_S
    assert names(catalog) == names(catalog) == ["model-1"]
    assert (len(world.behind), world.copilot.asked) == (1, 1)
    world.go_on()
    assert names(catalog) == ["model-2"]


def test_worker_that_starts_with_an_old_list_in_the_store_waits_for_nobody(world: World) -> None:
    names(world.worker())
    world.now += TTL_S
    catalog = world.worker()
    assert names(catalog) == ["model-1"]
    world.go_on()
    assert names(catalog) == ["model-2"]


def test_renewal_that_failed_is_not_tried_by_every_request(world: World) -> None:
    catalog = world.worker()
    names(catalog)
    world.now += TTL_S
    world.copilot.is_down = True
    for _ in range(5):
        assert names(catalog) == ["model-1"]
        world.go_on()
    assert world.copilot.asked == 2
    world.copilot.is_down = False
    world.now += 31
    names(catalog)
    world.go_on()
    assert names(catalog) == ["model-3"]


def test_an_account_that_is_refused_is_asked_about_anew_by_whoever_comes_later(world: World) -> None:
    catalog = world.worker()
    world.copilot.refusal = AccountError("no plan")
    with pytest.raises(AccountError):
        names(catalog)
    world.copilot.refusal = None
    assert names(catalog) == ["model-2"]


def test_those_who_wait_for_a_list_share_its_failure(world: World) -> None:
    catalog = world.worker()
    world.expected = 8
    world.copilot.before = lambda: world.have_come.wait(60)
    world.copilot.refusal = AccountError("no plan")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(catalog.models) for _ in range(8)]
        assert {type(one.exception()) for one in asked} == {AccountError}
    assert world.copilot.asked == 1


def test_failure_is_not_remembered_for_longer_because_the_clock_was_set_back(world: World) -> None:
    catalog = world.worker()
    world.copilot.is_down = True
    with pytest.raises(UpstreamConnectError):
        names(catalog)
    world.copilot.is_down = False
    world.now -= 3600
    assert names(catalog) == ["model-2"]


def test_what_the_list_warns_of_is_logged_once_even_by_several_workers(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[str]:
        lines = [line for line in caplog.records if line.msg == "Copilot's model list warns"]
        return [line.fields["code"] for line in lines]  # type: ignore[attr-defined]

    world.copilot.warnings = [{"code": "client_version_deprecated", "message": "Update."}] * 2
    first, second = world.worker(), world.worker()
    names(first)
    names(second)
    for worker in (first, second):
        world.now += TTL_S + 1
        names(worker)
        world.go_on()
    assert world.copilot.asked == 3
    assert told() == ["client_version_deprecated"]
    world.copilot.warnings = [{"code": "degraded", "message": "Slow today."}]
    world.now += TTL_S + 1
    names(first)
    world.go_on()
    assert told() == ["client_version_deprecated", "degraded"]


def test_what_one_worker_enables_the_others_see_within_a_second(world: World) -> None:
    changes, sees, hurries = world.worker(), world.worker(), world.worker()
    for worker in (changes, sees, hurries) * 2:
        assert names(worker) == ["model-1"]
    changes.enable("model-1")  # one call for that, and one for the list
    assert names(changes) == ["model-3"]
    assert names(hurries) == ["model-1"]  # nobody looks at the store for each request
    hurries.look()
    assert names(hurries) == ["model-3"]
    world.now += 1
    assert names(sees) == names(hurries) == names(changes) == ["model-3"]
    assert (world.copilot.asked, world.behind) == (3, [])


def test_a_mark_without_a_list_and_a_store_that_is_away_leave_the_list_as_it_is(world: World) -> None:
    changes, sees = world.worker(), world.worker()
    assert names(changes) == names(sees) == ["model-1"]
    changes.enable("model-1")
    for key in world.store.scan("catalog:"):
        world.store.delete(key)
    sees.look()
    assert names(sees) == ["model-1"]
    world.store.close()
    (world.folder / "state.db").rename(world.folder / "elsewhere")
    (world.folder / "state.db").mkdir()
    sees.look()
    assert names(sees) == ["model-1"]
