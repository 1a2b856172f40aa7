from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.commands import own_command


@pytest.fixture
def flask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virtual environment in the working directory, as `make run` makes it; nothing of it is on the PATH."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    program = folder / "flask"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    return program


def test_beside_the_python_that_runs(flask: Path) -> None:
    assert own_command("login") == ".venv/bin/flask --app wsgi login"


def test_a_service_in_a_folder_of_its_own_tells_the_way_from_the_checkout(
    flask: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.commands._CHECKOUT", tmp_path)
    monkeypatch.chdir("/")
    assert own_command("login") == ".venv/bin/flask --app wsgi login"


def test_on_the_path(flask: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(flask.parent))
    assert own_command("login") == "flask --app wsgi login"


def test_another_one_on_the_path_is_not_ours(flask: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = flask.parents[2] / "flask"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert own_command("login") == ".venv/bin/flask --app wsgi login"


def test_no_path_of_this_machine(flask: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", "/nowhere/bin/python")
    assert own_command("login") == "flask --app wsgi login"


def test_an_installed_package_has_a_command_of_its_own(flask: Path) -> None:
    flask.with_name("copilot-bridge").write_text("")
    assert own_command("login") == "copilot-bridge login"
    assert own_command("doctor", env_file=Path("/demo/env")) == "copilot-bridge --env-file /demo/env doctor"


def test_an_env_file_is_named_before_the_words(flask: Path) -> None:
    assert own_command("doctor", env_file=Path("/demo/env")) == (
        ".venv/bin/flask --env-file /demo/env --app wsgi doctor"
    )


def test_a_demos_service_names_the_demos_settings(flask: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPILOT_BRIDGE_DEMO_ENV_FILE", "/demo/env")
    assert own_command("configure codex --write") == (
        ".venv/bin/flask --env-file /demo/env --app wsgi configure codex --write"
    )
