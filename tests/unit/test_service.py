"""``service``: what systemd and launchd are given, and what is called, with stand-ins for both."""

from __future__ import annotations

import plistlib
import shlex
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import service as module
from app.cli.main import main
from app.cli.service import launchd, systemd

COMMAND = ["/opt/my tools/bin/python", "-m", "app", "run"]


def unit_of(text: str) -> ConfigParser:
    unit = ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    return unit


def test_the_unit_starts_the_service_itself_and_can_reload_it() -> None:
    unit = unit_of(systemd(Path("/home/me/.config"), COMMAND, {}).text)
    assert shlex.split(unit["Service"]["ExecStart"]) == COMMAND
    assert unit["Service"]["Type"] == "notify"
    assert unit["Service"]["ExecReload"] == "kill -HUP $MAINPID"
    assert int(unit["Service"]["LimitNOFILE"]) >= 4096
    assert int(unit["Service"]["TimeoutStopSec"]) > 30
    assert unit["Install"]["WantedBy"] == "default.target"


def test_what_means_something_to_systemd_is_taken_by_the_letter() -> None:
    text = systemd(Path("/c"), ['/a"b/100%/$HOME/py'], {"ENV_FILE": '/x y/5%/"z"'}).text
    assert r'ExecStart="/a\"b/100%%/$$HOME/py"' in text
    assert r'Environment="ENV_FILE=/x y/5%%/\"z\""' in text


def test_the_agent_starts_the_service_and_restarts_it_after_a_crash_only() -> None:
    manager = launchd(Path("/Users/me"), COMMAND, {"ENV_FILE": "/x"}, 501)
    agent = plistlib.loads(manager.text.encode())
    assert manager.file == Path("/Users/me/Library/LaunchAgents/copilot-bridge.plist")
    assert agent["ProgramArguments"] == COMMAND
    assert agent["EnvironmentVariables"] == {"ENV_FILE": "/x"}
    assert agent["RunAtLoad"] is True
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["SoftResourceLimits"]["NumberOfFiles"] >= 4096
    assert manager.install == (("launchctl", "bootstrap", "gui/501", str(manager.file)),)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with stand-ins for systemctl and launchctl, which note what they are called with."""
    noted = tmp_path / "calls"
    noted.touch()
    for name in ("systemctl", "launchctl"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {noted}\n')
        program.chmod(0o755)
    for name, value in {"PATH": f"{tmp_path}:/bin:/usr/bin", "HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ENV_FILE", "DATA_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(module, "is_installed", lambda: True)
    monkeypatch.setattr(sys, "platform", "linux")
    return noted


def service(*words: str) -> Result:
    return CliRunner().invoke(main, ["service", *words])


def test_install_status_uninstall(calls: Path, tmp_path: Path) -> None:
    unit = tmp_path / "home/.config/systemd/user/copilot-bridge.service"
    assert "not installed as a service" in service("status").output
    done = service("install")
    assert done.exit_code == 0, done.output
    assert str(unit) in done.output
    assert shlex.split(unit_of(unit.read_text())["Service"]["ExecStart"]) == [sys.executable, "-m", "app", "run"]
    assert service("status").exit_code == 0
    assert service("uninstall").exit_code == 0
    assert not unit.exists()
    assert calls.read_text().splitlines() == [
        f"systemctl --user {words}"
        for words in (
            "daemon-reload",
            "enable copilot-bridge.service",
            "restart copilot-bridge.service",
            "status --no-pager copilot-bridge.service",
            "disable --now copilot-bridge.service",
            "daemon-reload",
        )
    ]
    assert "not installed" in service("uninstall").output


def test_an_env_file_that_was_named_is_kept(calls: Path, tmp_path: Path) -> None:
    file = tmp_path / "my env"
    file.write_text("PORT=9000\n")
    done = CliRunner().invoke(main, ["--env-file", str(file), "service", "install", "--print"])
    assert f'Environment="ENV_FILE={file}"' in done.output
    assert not calls.read_text()
    assert not (tmp_path / "home").exists()


def test_what_the_manager_says_of_a_failure_is_passed_on(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    done = service("install")
    assert done.exit_code == 1
    assert "systemctl --user daemon-reload failed: Failed to connect to bus" in done.output
    assert "Log in as this user" in done.output
    assert not list((tmp_path / "home").rglob("*.service"))


def test_a_machine_without_systemd_is_told_what_else_there_is(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "systemctl").unlink()
    (tmp_path / "bin").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"))
        done = service("install")
    assert done.exit_code == 1
    assert "systemctl is not here" in done.output


def test_a_copy_that_does_not_stay_is_refused(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/me/.cache/uv/archive-v0/abc")
    assert "pipx install copilot-bridge-server" in service("install").output
    assert not calls.read_text()


def test_on_a_mac_an_agent_that_runs_is_replaced(calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert service("install").exit_code == 0
    first, second = calls.read_text().splitlines()
    assert first.startswith("launchctl bootout gui/")
    assert second.startswith("launchctl bootstrap gui/")
    assert (tmp_path / "home/Library/LaunchAgents/copilot-bridge.plist").exists()
