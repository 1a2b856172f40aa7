"""Each documented way to run the service, with exactly the environment that its file makes: up to a streamed answer.

Only what this machine cannot give is put in another place: the folders of the container and of the host, the address
(127.0.0.1) and the port (a free one).
"""

from __future__ import annotations

import dataclasses
import html
import json
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.settings import DEFAULT_API_KEY, Settings
from tests.simulator.client import Simulator
from tests.support.bridge import AS_SYSTEMD, ROOT
from tests.support.ports import free_port
from tests.support.redis_server import redis_client
from tests.support.shipped import (
    Image,
    compose,
    container_environment,
    data_for,
    folder_for_all,
    folder_with,
    here,
    started,
    unit,
    unit_environment,
    user_like,
)
from tests.support.streams import arriving, text_of

REDIS_OVERLAY = "deploy/docker-compose.redis.yml"
CHECKOUT = ["Makefile", "requirements.txt", "app", "wsgi.py", "gunicorn.conf.py", "deploy"]
OF_THE_CONTAINER = {"HOST", "PORT", "DATA_DIR"}


@pytest.fixture
def someones_env_file(simulator: Simulator) -> str:
    """A person's settings: some are set, and all others are there with nothing behind the equals sign."""
    values = dict.fromkeys((field.metadata["env"] for field in dataclasses.fields(Settings)), "")
    values |= {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "API_KEY": DEFAULT_API_KEY}
    return "".join(f"{name}={value}\n" for name, value in values.items())


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_for_all() as made:
        yield made


def streamed_answer(port: int, key: str = DEFAULT_API_KEY) -> str:
    body = {"model": "gpt-4.1", "stream": True, "messages": [{"role": "user", "content": "[[say: Up and running.]]"}]}
    headers = {"Authorization": f"Bearer {key}"}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    with requests.post(url, json=body, headers=headers, stream=True, timeout=60) as answer:
        data = list(arriving(answer))
    assert data[-1] == "[DONE]", data
    return text_of(data)


def test_make_run(someones_env_file: str, folder: Path) -> None:
    port = free_port()
    checkout = folder_with(folder / "checkout", CHECKOUT)
    (checkout / ".env").write_text(someones_env_file)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "HOST": "127.0.0.1", "PORT": str(port)}
    command = ["make", "run", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.installed"]
    # make passes the signal on, waits, and then dies of it.
    with started(command, env, checkout, port, ends_with=-signal.SIGTERM):
        assert streamed_answer(port) == "Up and running."


def test_compose_up(someones_env_file: str, folder: Path) -> None:
    image, service = Image.read(), compose("docker-compose.yml")["bridge"]
    how = user_like(image.uid)
    port = free_port()
    declared = container_environment(image, service, env_file=someones_env_file)
    assert (declared["HOST"], declared["PORT"], declared["DATA_DIR"]) == ("0.0.0.0", "8000", image.volumes[0])
    data = data_for(folder, how)
    env = here(declared, PORT=str(port), DATA_DIR=data, HOME=data)
    app = folder_with(folder / "app", image.copied)
    with started(image.command, env, app, port, **how):
        assert subprocess.run(image.health, env=env, cwd=app, check=False, **how).returncode == 0
        assert streamed_answer(port) == "Up and running."
        doctor = ["flask", "--app", "wsgi", "doctor", "--calls", "no", "--json"]
        told = subprocess.run(doctor, env=env, cwd=app, capture_output=True, text=True, check=False, **how)
        problems = [finding for finding in json.loads(told.stdout)["findings"] if finding["status"] == "problem"]
        assert problems == []
    assert subprocess.run(image.health, env=env, cwd=app, capture_output=True, check=False).returncode != 0


def test_compose_up_with_redis(someones_env_file: str, folder: Path, redis_url: str) -> None:
    image, services = Image.read(), compose("docker-compose.yml", REDIS_OVERLAY)
    how = user_like(image.uid)
    port = free_port()
    declared = container_environment(image, services["bridge"], env_file=someones_env_file)
    assert declared["REDIS_URL"] == "redis://redis:6379/0"
    assert services["bridge"]["depends_on"] == {"redis": {"condition": "service_healthy"}}
    data = data_for(folder, how)
    env = here(declared, PORT=str(port), DATA_DIR=data, HOME=data, REDIS_URL=redis_url)
    with started(image.command, env, folder_with(folder / "app", image.copied), port, **how):
        assert streamed_answer(port) == "Up and running."
    with redis_client(redis_url) as client:
        assert any(key.startswith("copilot-bridge:") for key in client.scan_iter())


@pytest.mark.parametrize("with_socket", [False, True], ids=["service", "service and socket"])
def test_systemd_unit(someones_env_file: str, folder: Path, with_socket: bool) -> None:
    content = unit("copilot-bridge.service")
    how = user_like(Image.read().uid)
    port = free_port()
    checkout = folder_with(folder / "opt", CHECKOUT)
    settings = folder / "copilot-bridge.env"
    # As the unit's user may read it, and nobody else.
    settings.write_text(someones_env_file.replace("PORT=\n", f"PORT={port}\n").replace("HOST=\n", "HOST=127.0.0.1\n"))
    settings.chmod(0o640)
    if how:
        os.chown(settings, 0, how["group"])
    declared = unit_environment(content)
    assert declared["ENV_FILE"] == "/etc/copilot-bridge.env"
    assert declared["DATA_DIR"] == declared["STATE_DIRECTORY"]
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind(str(folder / "notify"))
    (folder / "notify").chmod(0o777)
    notices.settimeout(60)
    env = {
        **declared,
        "ENV_FILE": str(settings),
        "DATA_DIR": data_for(folder, how),
        "NOTIFY_SOCKET": str(folder / "notify"),
    }
    python, *rest = content["ExecStart"][0].split()
    assert python == f"{content['WorkingDirectory'][0]}/.venv/bin/python"
    command = [sys.executable, *rest]
    files = min(int(content["LimitNOFILE"][0]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with notices, socket.create_server(("127.0.0.1", 0 if not with_socket else port)) as listener:
        if with_socket:
            assert unit("copilot-bridge.socket")["ListenStream"] == ["0.0.0.0:8000"]
            command = [sys.executable, "-c", AS_SYSTEMD, str(listener.fileno()), *command]
            how = {**how, "pass_fds": (listener.fileno(),)}
        with started(command, env, checkout, port, umask=0o077, preexec_fn=limit, **how) as pid:
            assert content["Type"] == ["notify"]
            assert notices.recv(4096).startswith(b"READY=1")
            assert f"Max open files            {files}" in Path(f"/proc/{pid}/limits").read_text()
            assert streamed_answer(port) == "Up and running."
            if how.get("user"):
                assert Path(f"/proc/{pid}").stat().st_uid == how["user"]
        assert [path.stat().st_mode & 0o077 for path in (folder / "data").iterdir()].count(0) > 0


def test_gunicorn_started_by_hand(someones_env_file: str, folder: Path) -> None:
    port = free_port()
    checkout = folder_with(folder / "checkout", CHECKOUT)
    (checkout / ".env").write_text(someones_env_file)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "HOST": "127.0.0.1", "PORT": str(port)}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    with started(command, env, checkout, port):
        assert streamed_answer(port) == "Up and running."


def test_demo_is_not_stopped_by_empty_settings() -> None:
    port = free_port()
    empty = dict.fromkeys((field.metadata["env"] for field in dataclasses.fields(Settings)), "")
    env = {"PATH": os.environ["PATH"], "HOME": "/", **empty, "PORT": str(port)}
    with started([sys.executable, "-m", "app", "demo"], env, ROOT, port):
        assert streamed_answer(port)


def test_the_command_on_the_demos_page_works_when_pasted(folder: Path) -> None:
    port = free_port()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PORT": str(port)}
    with started([sys.executable, "-m", "app", "demo"], env, ROOT, port):
        headers = {"Authorization": f"Bearer {DEFAULT_API_KEY}", "Accept": "text/html"}
        page = requests.get(f"http://127.0.0.1:{port}/setup", headers=headers, timeout=30).text
        command = next(code for code in re.findall(r"<code>(.*?)</code>", page) if "configure codex --write" in code)
        subprocess.run(shlex.split(html.unescape(command)), cwd=ROOT, env=env, check=True, capture_output=True)
    assert f":{port}/" in (folder / ".codex" / "config.toml").read_text()
