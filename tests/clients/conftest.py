"""One bridge and simulator for all clients; a desk per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.desk import Client, Desk, set_up
from tests.clients.talks import Library, Talk, start
from tests.clients.troubles import Troubles
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge


@pytest.fixture(scope="session")
def bridge(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """Signed in as somebody whom so many requests do not lead to the end of a quota; else as a new user has it."""
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_unlimited"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        yield running


@pytest.fixture
def upstream(bridge: Bridge, simulator_process: Simulator) -> Iterator[Simulator]:
    """The simulator, with nothing recorded yet and nothing scripted."""
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    yield simulator_process
    simulator_process.clear_faults()


@pytest.fixture
def troubles(upstream: Simulator) -> Troubles:
    return Troubles(upstream)


@pytest.fixture(scope="session")
def prepared(bridge: Bridge, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Client], Desk]:
    """Runs `configure` for a client once; tests work on copies of what it left."""
    done: dict[str, Desk] = {}

    def get(client: Client) -> Desk:
        if client.name not in done:
            done[client.name] = set_up(client, bridge, tmp_path_factory.mktemp(client.name) / "home")
        return done[client.name]

    return get


@pytest.fixture
def desk_of(
    prepared: Callable[[Client], Desk], upstream: Simulator, tmp_path: Path
) -> Iterator[Callable[[Client], Desk]]:
    """``desk_of(CODEX)``: a fresh desk with this client on it, as `configure` set it up. What runs on it then ends."""
    desks: list[Desk] = []

    def get(client: Client) -> Desk:
        desks.append(prepared(client).copy(tmp_path / "home"))
        return desks[-1]

    yield get
    for desk in desks:
        desk.end_what_is_left()


@pytest.fixture(scope="session")
def talks(bridge: Bridge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Talk, list[str]]]]:
    running: dict[str, tuple[Talk, list[str]]] = {}
    yield running
    for talk, _ in running.values():
        talk.stop()


@pytest.fixture
def talk_to(
    talks: dict[str, tuple[Talk, list[str]]], bridge: Bridge, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Library], Talk]:
    """``talk_to(library)``: the process with this library in it; one for the whole run, for imports take seconds."""

    def get(library: Library) -> Talk:
        if library.name not in talks:
            talks[library.name] = start(library, bridge, tmp_path_factory.mktemp(library.name) / "home")
        return talks[library.name][0]

    return get


@pytest.fixture
def printed_by(talks: dict[str, tuple[Talk, list[str]]]) -> Callable[[Library], list[str]]:
    """What the snippets of a library that has been started have printed."""
    return lambda library: talks[library.name][1]
