"""``copilot-bridge run CLIENT``: the real clients answer, on a desk where nothing was set up and nothing is left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.clients.desk import Desk, empty_desk
from tests.clients.programs import CLIENTS
from tests.clients.troubles import generations
from tests.simulator.client import Simulator
from tests.support.bridge import ROOT, Bridge


def settings_in(home: Path, key: str) -> list[str]:
    """Files that hold the bridge's key: what `configure --write` would have left."""
    files = [file for file in home.rglob("*") if file.is_file() and not file.is_symlink()]
    return [str(file.relative_to(home)) for file in files if key.encode() in file.read_bytes()]


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_answers_without_having_been_set_up(
    name: str, bridge: Bridge, upstream: Simulator, tmp_path: Path
) -> None:
    desk: Desk = empty_desk(CLIENTS[name], bridge, tmp_path / "home")
    _, *arguments = desk.client.ask(desk, "[[say: nothing is written]]", None)
    # As somebody with this client's programs on the PATH; the settings are those of the bridge that runs.
    own = {"PYTHONPATH": str(ROOT), "API_KEY": bridge.api_key, "PORT": str(bridge.port)}
    names = ("GITHUB_BASE_URL", "GITHUB_API_BASE_URL", "GH_COPILOT_TOKEN", "DATA_DIR", "COPILOT_CONFIG_DIR", "HOST")
    desk.env = own | {variable: bridge.env[variable] for variable in names if variable in bridge.env}
    run = desk.run(sys.executable, "-m", "app", "run", name, *arguments)
    assert run.code == 0, run
    assert "nothing is written" in run.text, run
    assert any("nothing is written" in one["body"] for one in generations(upstream))
    assert not settings_in(desk.home, bridge.api_key)
