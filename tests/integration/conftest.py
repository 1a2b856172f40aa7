"""What tests of a running bridge and of its commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulator.client import Simulator
from tests.support.ports import free_port
from tests.support.secrets import API_KEY


@pytest.fixture
def lone_env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    """Settings of a bridge that finds nothing of this machine: signed in at the simulator, state in a new folder."""
    return {
        **simulator.settings_env(),
        "GH_COPILOT_TOKEN": "ghu_test_individual",
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "API_KEY": API_KEY,
        "DATA_DIR": str(tmp_path / "data"),
        "COPILOT_CONFIG_DIR": str(tmp_path / "no-editor"),
        "UPSTREAM_RETRIES": "0",
    }
