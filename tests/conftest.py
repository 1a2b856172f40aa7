"""Shared fixtures: settings without this machine's environment, the app in process, the simulator, a real bridge."""

from __future__ import annotations

import gc
import os
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.gateway import Gateway
from app.settings import Settings
from tests.simulator.client import Simulator
from tests.support import open_files
from tests.support.bridge import Bridge
from tests.support.commands import forked_commands
from tests.support.effort import tries
from tests.support.evidence import Recorded, folder
from tests.support.machine import report
from tests.support.order import place_of
from tests.support.postgres_server import PostgresServer, running_postgres
from tests.support.redis_server import redis_client, running_redis
from tests.support.secrets import API_KEY
from tests.support.templates import compile_once

# No test may depend on how busy the machine is.
hypothesis.settings.register_profile(
    "any machine",
    max_examples=tries(100),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any machine")

SCAN = "test_no_secret_in_any_log_or_response"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew; read the difference")


def pytest_configure(config: pytest.Config) -> None:
    folder()  # made before anything can say something
    patch = pytest.MonkeyPatch()
    patch.setattr(sqlite3, "connect", open_files.connect)
    config.add_cleanup(patch.undo)
    compile_once()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes lives as long as the run: no garbage collection needs to look at it, then or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_report_header() -> list[str]:
    return report()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Half characters, which some tests make the service log, would break the channel between test processes.

    What a test logged that passed is not sent through it at all, unless somebody wants to see it (-rP, -rA).
    """
    report = yield
    if report.passed and not {"P", "A"} & set(item.config.getoption("reportchars")):
        report.sections = []
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """After the last test of a module no database may be open: fixtures have closed theirs, and what still worked in
    the background then has closed it again."""
    try:
        return (yield)
    finally:
        if (nextitem is None or nextitem.path != item.path) and (left := open_files.left_open()):
            pytest.fail(f"left open: {', '.join(map(str, left))}", pytrace=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The scan for secrets looks at everything the others caused: it runs last, or after all processes have ended."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = [item for item in items if not item.name.startswith(SCAN)]
    items.sort(key=lambda item: (item.name.startswith(SCAN), place_of(item.nodeid)))


@pytest.fixture(autouse=True)
def _no_developer_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy settings of this machine, and a Chinese terminal, must not reach the code under test."""
    if any(os.environ.get(name, "").startswith("zh") for name in ("LC_ALL", "LC_MESSAGES", "LANG")):
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="session")
def updates_golden(request: pytest.FixtureRequest) -> bool:
    """Whether what is found is what is wanted from now on."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[Simulator]:
    with Simulator.start() as running:
        yield running


@pytest.fixture
def simulator(simulator_process: Simulator) -> Simulator:
    """The simulator, as new."""
    simulator_process.reset()
    return simulator_process


@pytest.fixture(scope="session")
def flask_command() -> Iterator[list[str]]:
    """To put in place of ``python -m flask``: a process for each call, without a start for each."""
    with forked_commands() as command:
        yield command


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running Redis."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis."""
    with redis_client(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty database on it."""
    return postgres_server.new_database()


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
