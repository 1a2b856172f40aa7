"""Half a minute in which the model says nothing: no client may give up, ask twice or lose a word.

All clients wait at the same time, so this takes little longer than one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.clients import install
from tests.clients import troubles as trouble
from tests.clients.desk import Client, Desk, Run
from tests.clients.programs import CLIENTS
from tests.simulator.client import Simulator

MARK = "silence-of-{}"


@pytest.fixture(scope="module")
def waiting(
    prepared: Callable[[Client], Desk], simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Run]]]:
    """Every installed client, asked already."""
    simulator_process.clear_faults()
    simulator_process.requests(clear=True)
    ready = [client for client in CLIENTS.values() if install.is_installed(client.package)]
    desks = [prepared(client).copy(tmp_path_factory.mktemp(client.name) / "home") for client in ready]
    with ThreadPoolExecutor(len(desks) or 1) as pool:
        yield {
            desk.client.name: pool.submit(desk.ask, f"{MARK.format(desk.client.name)} {trouble.SILENT}")
            for desk in desks
        }


@pytest.mark.parametrize("name", CLIENTS)
def test_thirty_seconds_of_silence(name: str, waiting: dict[str, Future[Run]], simulator_process: Simulator) -> None:
    if name not in waiting:
        pytest.skip(f"{name} is not installed: make e2e")
    run = waiting[name].result()
    assert run.code == 0, run
    assert trouble.PATIENCE in run.text, run
    asked = [one for one in simulator_process.requests(host="capi") if f"{MARK.format(name)} [[say" in one["body"]]
    # Some clients ask something else about the prompt beside (a title, a summary), but nobody asked anything twice.
    bodies = [one["body"] for one in asked]
    assert len(bodies) == len(set(bodies)) > 0, [one["path"] for one in asked]
