"""A port that cannot be had is told in one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.serving.address import trouble
from app.settings import Settings

ROOT = Path(__file__).parents[3]


def settings_for(host: str, port: int) -> Settings:
    return Settings.from_env({"HOST": host, "PORT": str(port)})


def test_taken_port_is_told_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = trouble(settings_for("127.0.0.1", port))
    assert told is not None
    assert told.startswith(f"port {port} is taken")
    assert "PORT=" in told


def test_free_port_is_no_trouble() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    assert trouble(settings_for("127.0.0.1", port)) is None


@pytest.mark.parametrize("host", ["203.0.113.9", "no-such-host.invalid"])
def test_foreign_address_is_told(host: str) -> None:
    assert trouble(settings_for(host, 8000)) == (
        f"HOST={host} is no address of this machine; HOST=127.0.0.1 and HOST=0.0.0.0 always are."
    )


def test_sockets_of_systemd_are_no_trouble_whatever_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert trouble(settings_for("127.0.0.1", other.getsockname()[1])) is None


def test_service_says_it_in_one_line_and_ends(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOST": "127.0.0.1", "PORT": str(port)}
        command = [sys.executable, "-m", "app.serving"]
        told = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"copilot-bridge: port {port} is taken")
    assert told.stderr.count("\n") == 1
