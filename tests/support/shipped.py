"""What the files that we ship make of a process: the environment, command, user and folder it would be started with.

Docker and systemd themselves are not at hand; their files are read as they read them, as far as ours use their syntax.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import requests
from dotenv import dotenv_values
from ruamel.yaml import YAML
from urllib3.util import Retry

from tests.support.bridge import ROOT

USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Image:
    """What the Dockerfile says of its containers."""

    environment: dict[str, str] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    user: str = ""
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls) -> Image:
        image = cls()
        text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            word, _, rest = line.strip().partition(" ")
            if word == "ENV":
                image.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            elif word == "COPY":
                image.copied += [name for name in rest.split()[:-1] if not name.startswith("--")]
            elif word == "USER":
                image.user = rest
            elif word == "CMD":
                image.command = json.loads(rest)
            elif word == "VOLUME":
                image.volumes = json.loads(rest)
            elif word == "HEALTHCHECK":
                image.health = json.loads(rest[rest.index("CMD") + len("CMD") :])
        return image

    @property
    def uid(self) -> int:
        return int(self.user.partition(":")[0])


def compose_file(name: str) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load((ROOT / name).read_text("utf-8"))
    return content


def compose(*files: str) -> dict[str, Any]:
    """The services of these compose files, the later ones laid over the earlier ones."""
    services: dict[str, Any] = {}
    for name in files:
        for service, content in compose_file(name)["services"].items():
            services[service] = _laid_over(services.get(service, {}), content)
    return services


def _laid_over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = {**under, **over}
    if "environment" in under and "environment" in over:
        merged["environment"] = {**under["environment"], **over["environment"]}
    return merged


def container_environment(
    image: Image, service: Mapping[str, Any], *, env_file: str = "", shell: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a container of this service finds in its environment, beside what Docker itself puts there.

    env_file: the text of the ``.env`` beside the compose file. shell: the environment of ``docker compose up``.
    """
    given = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(env_file)).items()}
    known = {**given, **(shell or {})}
    declared = {name: _expanded(str(value), known) for name, value in service["environment"].items()}
    # That of the repository's folder, by its way from the compose file.
    path = {".": ".env", "..": "../.env"}[service["build"]]
    assert service["env_file"] == [{"path": path, "required": False}]
    return {"PATH": USUAL_PATH, "HOME": "/data", **image.environment, **given, **declared}


def _expanded(text: str, known: Mapping[str, str]) -> str:
    """``${NAME:-default}``, where empty is as good as unset; ``${NAME:?what to do}`` where there is no default."""
    assert not re.search(r"\$(?!\{[A-Z_]+:[-?][^}]*\})", text), text

    def value(found: re.Match[str]) -> str:
        name, sign, rest = found.groups()
        if not known.get(name) and sign == "?":
            raise ValueError(f"{name}: {rest}")
        return known.get(name) or rest

    return re.sub(r"\$\{([A-Z_]+):([-?])([^}]*)\}", value, text)


def unit(name: str) -> dict[str, list[str]]:
    """The assignments of a systemd unit in their order, section names left out."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "deploy" / name).read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def unit_environment(content: Mapping[str, list[str]]) -> dict[str, str]:
    """What the unit and systemd put into the environment of its process."""
    declared = dict(pair.split("=", 1) for line in content["Environment"] for pair in shlex.split(line))
    user = content["User"][0]
    state = f"/var/lib/{content['StateDirectory'][0]}"
    return {"PATH": USUAL_PATH, "HOME": "/", "USER": user, "LOGNAME": user, "STATE_DIRECTORY": state, **declared}


def folder_with(folder: Path, names: list[str]) -> Path:
    """A folder that holds these of the repository, and nothing else: above all no ``.env``."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(ROOT / name)
    return folder


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that another user can enter, which pytest's cannot be."""
    made = Path(tempfile.mkdtemp(prefix="bridge-way-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@cache
def user_like(uid: int) -> Mapping[str, Any]:
    """How to start a process as this user; as ourselves where that cannot be."""
    if os.geteuid() != 0:
        return {}
    how: dict[str, Any] = {"user": uid, "group": uid, "extra_groups": []}
    try:
        # A Python in root's own folder, say, is closed to others.
        subprocess.run([sys.executable, "-c", "import flask, app"], cwd=ROOT, capture_output=True, check=True, **how)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return how


def data_for(folder: Path, how: Mapping[str, Any]) -> str:
    """A folder for the state, which is that user's own."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    if how:
        os.chown(data, how["user"], how["group"])
    return str(data)


def here(env: dict[str, str], **moved: str) -> dict[str, str]:
    """This environment, but for what has to be elsewhere on this machine; `python` is the one that runs the tests."""
    return {**env, "PATH": f"{Path(sys.executable).parent}:{env['PATH']}", "HOST": "127.0.0.1", **moved}


@contextmanager
def started(
    command: list[str],
    env: dict[str, str],
    folder: Path,
    port: int,
    *,
    ends_with: int = 0,
    log_file: Path | None = None,
    **how: Any,
) -> Iterator[int]:
    """The service, once it answers; its process id. It is stopped by SIGTERM, and then ends with this code.

    log_file: where what it says is kept, behind what stands there.
    """
    with log_file.open("a+b") if log_file else tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how
        )
        try:
            with requests.Session() as session:
                patience = Retry(total=None, connect=80, read=0, status=0, backoff_factor=0.02, backoff_max=0.5)
                session.mount("http://", requests.adapters.HTTPAdapter(max_retries=patience))
                try:
                    session.get(f"http://127.0.0.1:{port}/livez", timeout=30).raise_for_status()
                except requests.RequestException as problem:
                    log.seek(0)
                    raise AssertionError(f"it did not start:\n{log.read().decode()}") from problem
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
    assert code == ends_with
