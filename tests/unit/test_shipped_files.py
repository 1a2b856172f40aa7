"""The files in deploy/ and the compose file: closed as far as the service can bear, and true to one another."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.serving.options import FAREWELL_S
from app.settings import Settings
from tests.support.bridge import ROOT
from tests.support.shipped import Image, compose, container_environment, unit

GRACE_S = Settings().graceful_timeout_s
COMPOSE = ("docker-compose.yml", "deploy/docker-compose.redis.yml")
TEAM = ("deploy/compose.team.yaml",)


CONTAINERS = {
    **dict.fromkeys(("bridge", "redis"), (COMPOSE, "/data")),
    **dict.fromkeys(("bridge-1", "bridge-2", "redis of the team"), (TEAM, "/data")),
    "nginx": (TEAM, "/etc/nginx/copilot-bridge.conf"),
}


@pytest.mark.parametrize("service", CONTAINERS)
def test_container_can_do_and_write_no_more_than_it_needs(service: str) -> None:
    files, volume = CONTAINERS[service]
    content = compose(*files)[service.partition(" ")[0]]
    assert content["cap_drop"] == ["ALL"]
    assert content["read_only"] is True
    assert content["security_opt"] == ["no-new-privileges:true"]
    assert content["mem_limit"]
    assert content["pids_limit"]
    assert [place.partition(":")[0] for place in content["tmpfs"]] == ["/tmp"]
    [mounted] = content["volumes"]
    assert mounted.split(":")[1] == volume
    assert volume == "/data" or mounted.endswith(":ro")


def test_container_writes_its_state_where_the_volume_is() -> None:
    image = Image.read()
    env = container_environment(image, compose("docker-compose.yml")["bridge"])
    assert Settings.from_env(env).data_dir == Path("/data")
    assert image.volumes == ["/data"]
    assert image.uid > 0


def test_compose_publishes_the_port_that_the_container_listens_on() -> None:
    service = compose("docker-compose.yml")["bridge"]
    settings = Settings.from_env(container_environment(Image.read(), service))
    assert [port.rpartition(":")[2] for port in service["ports"]] == [str(settings.port)]
    assert settings.host == "0.0.0.0"


def test_settings_of_the_env_file_count_in_a_container_but_for_those_of_the_container() -> None:
    text = "HOST=127.0.0.1\nPORT=1\nDATA_DIR=elsewhere\nKEEP_ALIVE_S=3\nWEB_CONCURRENCY=5\nAPI_KEY=\n"
    env = container_environment(Image.read(), compose("docker-compose.yml")["bridge"], env_file=text)
    settings = Settings.from_env(env)
    assert (settings.host, settings.port, settings.data_dir) == ("0.0.0.0", 8000, Path("/data"))
    assert (settings.keep_alive_s, settings.web_concurrency) == (3, 5)
    assert settings.api_keys  # an empty key would open the door


def test_shell_wins_over_the_env_file_in_compose() -> None:
    service = compose("docker-compose.yml")["bridge"]
    env = container_environment(Image.read(), service, env_file="WEB_CONCURRENCY=5", shell={"WEB_CONCURRENCY": "3"})
    assert env["WEB_CONCURRENCY"] == "3"


def test_whoever_stops_the_service_grants_it_its_grace_and_the_farewell() -> None:
    bridges = [compose("docker-compose.yml")["bridge"], *(compose(*TEAM)[name] for name in ("bridge-1", "bridge-2"))]
    for bridge in bridges:
        assert int(bridge["stop_grace_period"].removesuffix("s")) >= GRACE_S + FAREWELL_S
    assert int(unit("copilot-bridge.service")["TimeoutStopSec"][0]) >= GRACE_S + FAREWELL_S


@pytest.mark.parametrize("file", [*COMPOSE, *TEAM])
def test_compose_file_has_the_form_of_one(file: str) -> None:
    command = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    told = subprocess.run([*command, str(ROOT / file)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


def test_team_needs_a_key_of_its_own() -> None:
    with pytest.raises(ValueError, match="API_KEY: set a key of your own"):
        container_environment(Image.read(), compose(*TEAM)["bridge-1"])


def test_the_two_of_a_team_differ_in_their_address_only_and_nginx_knows_both() -> None:
    content = compose(*TEAM)
    first, second = content["bridge-1"], content["bridge-2"]
    assert {**first, "networks": None} == {**second, "networks": None}
    addresses = [it["networks"]["inside"]["ipv4_address"] for it in (first, second)]
    assert len(set(addresses)) == 2
    site = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
    for place, address in zip(("server 127.0.0.1:8000 ", "# server 127.0.0.1:8001 "), addresses, strict=True):
        assert f"s|{place}|server {address}:8000 |" in content["nginx"]["command"][-1]
        assert place in site
    assert set(content["nginx"]["depends_on"]) == {"bridge-1", "bridge-2"}


def test_socket_unit_listens_where_the_service_would() -> None:
    assert unit("copilot-bridge.socket")["ListenStream"] == [f"{Settings().host}:{Settings().port}"]


def test_unit_has_room_for_all_connections_of_a_worker() -> None:
    """A stream holds two sockets."""
    assert int(unit("copilot-bridge.service")["LimitNOFILE"][0]) > 2 * Settings().worker_connections


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_unit_exposes_little() -> None:
    file = ROOT / "deploy" / "copilot-bridge.service"
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(file)], capture_output=True, text=True, check=True
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told.stdout)
    assert found is not None
    assert float(found[1]) <= 2.0


def test_bridgectl_runs_commands_with_the_units_environment_and_env_file(tmp_path: Path) -> None:
    """systemctl is played by a script: it shows the unit as shipped, its folders moved here, with a drop-in."""
    folder = tmp_path / "opt"
    folder.mkdir()
    for name in ("app", "wsgi.py"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".env").write_text("KEEP_ALIVE_S=99\n")  # not the service's
    settings = ["API_KEY=a-test-key-of-the-unit", """MODEL_MAPPING='{"a b": "gpt-4.1"}'""", "KEEP_ALIVE_S=3", ""]
    (tmp_path / "env").write_text("\n".join(settings))
    shown = (ROOT / "deploy" / "copilot-bridge.service").read_text("utf-8")
    shown = shown.replace("/opt/copilot-bridge", str(folder)).replace("/etc/copilot-bridge.env", str(tmp_path / "env"))
    who = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    shown = shown.replace("User=copilot-bridge", f"User={who}")
    shown += '\n# drop-in\n[Service]\nEnvironment="COPILOT_USER_AGENT=Some Agent/1" LOG_LEVEL=DEBUG\n'
    (tmp_path / "shown").write_text(shown)
    stub = tmp_path / "systemctl"
    stub.write_text(f'#!/bin/sh\n[ "$*" = "cat copilot-bridge.service" ] && cat {tmp_path}/shown\n')
    stub.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "KEEP_ALIVE_S": "77"}
    told = subprocess.run(
        [ROOT / "deploy" / "bridgectl", "settings"], env=env, cwd="/", capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    rows = {found[1]: line for line in told.stdout.splitlines() if (found := re.match(r"\W*(\w+)", line))}
    assert re.search(r"\b3\b", rows["KEEP_ALIVE_S"])
    assert "DEBUG" in rows["LOG_LEVEL"]
    assert "Some Agent/1" in rows["COPILOT_USER_AGENT"]
    assert "a b" in rows["MODEL_MAPPING"]
    assert "/var/lib/copilot-bridge" in rows["DATA_DIR"]
    assert "***" in rows["API_KEY"]
