"""Shared fixtures: settings without this machine's environment, the app in process, the simulator, a real bridge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.gateway import Gateway
from app.settings import Settings
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.evidence import Recorded, folder
from tests.support.secrets import API_KEY

SCAN = "test_no_secret_in_any_log_or_response"


def pytest_configure(config: pytest.Config) -> None:
    folder()  # made before anything can say something


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The scan for secrets looks at everything the others caused, so it runs last."""
    items.sort(key=lambda item: item.name.startswith(SCAN))


@pytest.fixture(autouse=True)
def _no_developer_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy settings of this machine must not reach the code under test."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[Simulator]:
    with Simulator.start() as running:
        yield running


@pytest.fixture
def simulator(simulator_process: Simulator) -> Simulator:
    """The simulator, as new."""
    simulator_process.reset()
    return simulator_process


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings for an app in process: a key, a folder of its own, and nobody signed in."""
    return {
        "API_KEY": API_KEY,
        "DATA_DIR": str(tmp_path / "data"),
        "COPILOT_CONFIG_DIR": str(tmp_path / "no-editor"),
        "GITHUB_BASE_URL": "https://github.test",
        "GITHUB_API_BASE_URL": "https://api.github.test",
        "COPILOT_API_BASE_URL": "https://copilot.test",
    }


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.from_env(environment)


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    app.wsgi_app = Recorded(app.wsgi_app)  # type: ignore[method-assign]
    yield app
    app.extensions["gateway"].close()


@pytest.fixture
def gateway(app: Flask) -> Gateway:
    found: Gateway = app.extensions["gateway"]
    return found


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def bridge(simulator: Simulator, tmp_path: Path) -> Iterator[Bridge]:
    """One worker, signed in as the paying individual."""
    with Bridge({**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}, tmp_path) as running:
        yield running


@pytest.fixture
def two_workers(simulator: Simulator, tmp_path: Path) -> Iterator[Bridge]:
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path, workers=2) as running:
        yield running
