"""Who is measured: this checkout, another commit of it, nginx, and another gateway where it is installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.rig.processes import ROOT
from tests.support.nginx import NGINX
from tests.support.ports import free_port

OWN = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
COPILOTS = {"chat": "/chat/completions", "messages": "/v1/messages", "responses": "/responses"}
BRIDGE, OTHER, YARDSTICK = "bridge", "copilot-api", "nginx"


@dataclass(frozen=True)
class Road:
    """Where the upstream is, and which certificates prove it."""

    github: str
    copilot: str
    authority: Path
    bundle: Path
    folder: Path


@dataclass(frozen=True)
class Target:
    """How to start one. command: what to run, on a port, with the upstream there; and its environment.

    leaves_out: loads that it is spared.
    """

    name: str
    command: Callable[[int, Road], tuple[list[str], Mapping[str, str]]]
    paths: Mapping[str, str]
    converts: bool = True
    cwd: Path = ROOT
    health: str = "/health"
    leaves_out: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)


def bridge(name: str = BRIDGE, checkout: Path = ROOT, python: Path = Path(sys.executable), workers: int = 1) -> Target:
    def command(port: int, road: Road) -> tuple[list[str], Mapping[str, str]]:
        env = {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "API_KEY": "bench-key",
            "WEB_CONCURRENCY": str(workers),
            "GH_COPILOT_TOKEN": "ghu_test_bench",
            "GITHUB_BASE_URL": road.github,
            "GITHUB_API_BASE_URL": road.github,
            "COPILOT_API_BASE_URL": road.copilot,
            "REQUESTS_CA_BUNDLE": str(road.bundle),
            "DATA_DIR": tempfile.mkdtemp(dir=road.folder),
            "PYTHONPATH": str(checkout),
        }
        own_server = (checkout / "app" / "serving" / "__main__.py").exists()
        server = ["-m", "app.serving"] if own_server else ["-m", "gunicorn", "wsgi:app"]
        return [str(python), *server], env

    return Target(name, command, OWN, cwd=checkout)


def nginx() -> Target | None:
    """The yardstick: it passes everything on and converts nothing."""
    if NGINX is None:
        return None

    def command(port: int, road: Road) -> tuple[list[str], Mapping[str, str]]:
        folder = Path(tempfile.mkdtemp(dir=road.folder))
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        scheme, _, host = road.copilot.partition("://")
        (folder / "nginx.conf").write_text(
            f"worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events { worker_connections 8192; }\n"
            "http { access_log off; keepalive_requests 1000000;\n"
            "client_max_body_size 64m; client_body_buffer_size 16m;\n"
            + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
            + f"upstream copilot {{ server {host}; keepalive 1024; keepalive_requests 1000000; }}\n"
            f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass {scheme}://copilot;\n"
            'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;\n'
            f"proxy_ssl_verify on; proxy_ssl_name 127.0.0.1; proxy_ssl_trusted_certificate {road.bundle};\n"
            "} } }\n"
        )
        return [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")], {}

    return Target(YARDSTICK, command, COPILOTS, converts=False, health="/user")


# It knows GitHub's and Copilot's addresses by heart.
_REDIRECT = """
const send = globalThis.fetch;
const roads = [["https://api.githubcopilot.com", process.env.BENCH_COPILOT],
               ["https://api.github.com", process.env.BENCH_GITHUB], ["https://github.com", process.env.BENCH_GITHUB],
               ["https://aur.archlinux.org", process.env.BENCH_GITHUB]];
globalThis.fetch = (to, how) => {
  const road = roads.find(([from]) => String(to).startsWith(from));
  return send(road ? road[1] + String(to).slice(road[0].length) : to, how);
};
"""


def copilot_api() -> Target | None:
    """The fastest other gateway that is known, if `copilot-api` (npm) is on the PATH."""
    program = shutil.which("copilot-api")
    if program is None:
        return None
    script = os.path.realpath(program)

    def command(port: int, road: Road) -> tuple[list[str], Mapping[str, str]]:
        folder = Path(tempfile.mkdtemp(dir=road.folder))
        redirect = folder / "redirect.mjs"
        redirect.write_text(_REDIRECT)
        env = {"BENCH_GITHUB": road.github, "BENCH_COPILOT": road.copilot, "NODE_EXTRA_CA_CERTS": str(road.authority)}
        env |= {"HOME": str(folder)}
        words = ["start", "--port", str(port), "--github-token", "ghu_test_bench"]
        return ["node", "--import", str(redirect), script, *words], env

    paths = {name: path for name, path in OWN.items() if name != "responses"}
    # It counts the tokens of an image's base64, which takes it more than half a minute for one.
    return Target(OTHER, command, paths, health="/", leaves_out=("image",))


def checkout(ref: str, folder: Path) -> Target:
    """Another commit, in a folder of its own, with its own requirements if they are others.

    Raises: subprocess.CalledProcessError if there is no such commit.
    """
    packed = subprocess.run(["git", "archive", ref], cwd=ROOT, check=True, capture_output=True).stdout
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    requirements = (folder / "requirements.txt").read_bytes()
    python = Path(sys.executable)
    if requirements != (ROOT / "requirements.txt").read_bytes():
        digest = hashlib.sha256(requirements).hexdigest()[:16]
        venv = Path(tempfile.gettempdir()) / f"copilot-bridge-bench-{os.getuid()}-{digest}"
        python = venv / "bin" / "python"
        if not (venv / ".installed").exists():
            print(f"Installing the requirements of {ref} into {venv} …", flush=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, "-r", str(folder / "requirements.txt")], check=True)
            (venv / ".installed").touch()
    return bridge(ref, folder, python)
