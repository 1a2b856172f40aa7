"""deploy/compose.team.yaml as processes: two bridges behind nginx with Redis, with what the file makes of each.

Only what this machine cannot give is put in another place: addresses, ports and folders of the containers.
"""

from __future__ import annotations

import getpass
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support import evidence
from tests.support.bridge import ROOT
from tests.support.nginx import NGINX
from tests.support.ports import free_port
from tests.support.redis_server import redis_client
from tests.support.secrets import API_KEY
from tests.support.shipped import (
    Image,
    compose_file,
    container_environment,
    data_for,
    folder_for_all,
    folder_with,
    here,
    started,
    user_like,
)
from tests.support.visitors import Row, Visitors

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

FILE = "deploy/compose.team.yaml"


class Team:
    """The parts of the file, as processes of this machine."""

    def __init__(self, simulator: Simulator, redis_url: str, folder: Path) -> None:
        self.folder = folder
        self.file = compose_file(FILE)
        self.image = Image.read()
        self.how = user_like(self.image.uid)
        self.ports = {"bridge-1": free_port(), "bridge-2": free_port()}
        self.port = free_port()
        self._redis_url = redis_url
        self._settings = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_unlimited", "API_KEY": API_KEY}
        self._data = data_for(folder, self.how)
        self._app = folder_with(folder / "app", self.image.copied)
        self._running: dict[str, tuple[AbstractContextManager[int], int]] = {}
        self._logs = {name: evidence.new_file("log") for name in self.ports}

    def start(self, name: str) -> None:
        env_file = "".join(f"{key}={value}\n" for key, value in self._settings.items())
        declared = container_environment(self.image, self.file["services"][name], env_file=env_file)
        assert declared["REDIS_URL"] == "redis://redis:6379/0"
        port = self.ports[name]
        env = here(declared, PORT=str(port), DATA_DIR=self._data, HOME=self._data, REDIS_URL=self._redis_url)
        # A group of its own, of which the workers are members as well: all that a container's end would end.
        how = {**self.how, "start_new_session": True, "log_file": self._logs[name]}
        process = started(self.image.command, env, self._app, port, **how)
        self._running[name] = process, process.__enter__()

    def stop(self, name: str) -> None:
        process, _ = self._running.pop(name)
        process.__exit__(None, None, None)

    def kill(self, name: str) -> None:
        _, pid = self._running.pop(name)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    @contextmanager
    def nginx(self) -> Iterator[None]:
        """By the command of the file, with its own main configuration and the shipped one."""
        site = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
        (self.folder / "site.conf").write_text(site.replace("listen 80;", f"listen 127.0.0.1:{self.port};"))
        main = self._moved(self.file["configs"]["nginx"]["content"])
        as_us = f"user {getpass.getuser()};\n" if os.geteuid() == 0 else ""
        (self.folder / "team.conf").write_text(as_us + main)
        service = self.file["services"]["nginx"]
        assert service["configs"] == [{"source": "nginx", "target": "/etc/nginx/team.conf"}]
        assert service["volumes"] == ["./nginx.conf:/etc/nginx/copilot-bridge.conf:ro"]
        shell, option, script = service["command"]
        assert (shell, option) == ("sh", "-c")
        script = self._moved(script).replace("exec nginx ", f"exec {shlex.quote(str(NGINX))} -p {self.folder} ")
        process = subprocess.Popen(["sh", "-c", script], stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)

    def _moved(self, text: str) -> str:
        places = {
            "/tmp/": f"{self.folder}/",  # first, for the folder may be in there itself
            "172.31.71.11:8000": f"127.0.0.1:{self.ports['bridge-1']}",
            "172.31.71.12:8000": f"127.0.0.1:{self.ports['bridge-2']}",
            "/etc/nginx/copilot-bridge.conf": f"{self.folder}/site.conf",
            "/etc/nginx/team.conf": f"{self.folder}/team.conf",
            "/dev/stdout": f"{self.folder}/access.log",
            "/dev/stderr": f"{self.folder}/error.log",
        }
        for there, place in places.items():
            text = text.replace(there, place)
        return text

    def log(self, *names: str) -> str:
        return "".join(self._logs[name].read_text("utf-8") for name in names or self.ports)

    def mapping_at(self, name: str) -> Any:
        url = f"http://127.0.0.1:{self.ports[name]}/admin/mapping"
        return requests.get(url, headers={"x-api-key": API_KEY}, timeout=30).json()


@pytest.fixture(scope="module")
def team(simulator_process: Simulator, redis_server: str) -> Iterator[Team]:
    simulator_process.reset()
    with redis_client(redis_server) as client, folder_for_all() as folder:
        client.flushall()
        team = Team(simulator_process, redis_server, folder)
        with team.nginx():
            for name in team.ports:
                team.start(name)
            yield team
            for name in team.ports:
                team.stop(name)


@pytest.fixture
def visitors(team: Team) -> Visitors:
    return Visitors(f"http://127.0.0.1:{team.port}")


def test_two_bridges_are_one_service(team: Team, visitors: Visitors, simulator_process: Simulator) -> None:
    row = Row("both")
    with visitors.load(row, gate="both"):
        simulator_process.open_gate("both")
    assert (row.lost, row.streams) == ([], {"whole": 6})
    assert all('"event": "request"' in team.log(name) for name in team.ports)
    url = f"{visitors.url}/admin/mapping/my-model"
    requests.put(url, json={"to": "gpt-4.1"}, headers={"x-api-key": API_KEY}, timeout=30).raise_for_status()
    assert team.mapping_at("bridge-1")["my-model"] == team.mapping_at("bridge-2")["my-model"] == "gpt-4.1"
    # What one has fetched serves both.
    assert simulator_process.state()["exchanges"] == 1


def test_one_is_restarted_and_nothing_is_lost(team: Team, visitors: Visitors, simulator_process: Simulator) -> None:
    row = Row("restarted")
    with visitors.load(row, gate="restarted"):
        simulator_process.open_gate("restarted")
        team.stop("bridge-1")
        team.start("bridge-1")
    assert (row.lost, row.streams) == ([], {"whole": 6})
    # A line may come after the answer; a bridge that has ended has written all of its own.
    for name in team.ports:
        team.stop(name)
    unlogged = visitors.unlogged(team.log())
    for name in team.ports:
        team.start(name)
    assert unlogged == []


def test_one_is_killed_and_what_it_was_at_is_asked_of_the_other(team: Team, visitors: Visitors) -> None:
    row = Row("killed")
    with visitors.load(row, gate="killed", streams=0):
        visitors.wait_for_probes(row, 10)
        team.kill("bridge-2")
        visitors.wait_for_probes(row, row.probes + 20)
        team.start("bridge-2")
    assert row.lost == []
