"""One bridge or browser for a whole module of tests that leave no traces behind, and what they watch upstream."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge

if TYPE_CHECKING:
    from tests.support.browser import Visitor


@pytest.fixture(scope="module")
def shared_bridge(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One worker, signed in as the paying individual; the simulator as new when it starts, and not reset after that."""
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        yield running


@pytest.fixture
def upstream(shared_bridge: Bridge, simulator_process: Simulator) -> Simulator:
    """The simulator behind the shared bridge, with nothing recorded yet and nothing scripted."""
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    return simulator_process


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    # Modules of tests that need a browser are left out where there is no playwright; the others are not.
    from playwright.sync_api import sync_playwright

    from tests.support.browser import FLAGS

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Visitor]]:
    """Opens browser profiles, none of which may have reason to complain: of a script, of the policy, of anything."""
    from tests.support.browser import Visitor

    visitors: list[Visitor] = []

    def start(**options: Any) -> Visitor:
        visitors.append(Visitor(chromium.new_context(**options)))
        return visitors[-1]

    yield start
    for visitor in visitors:
        visitor.context.close()
    assert [visitor.complaints for visitor in visitors] == [[] for _ in visitors]
