"""A real nginx in front of a bridge, with the configuration that deploy/ ships, or with one that somebody spoiled."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import requests
from urllib3.util import Retry

from tests.support.bridge import ROOT, Bridge
from tests.support.ports import free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

# Started by root, nginx gives its workers to another user, who may not enter the folders of a test.
_AS_US = f"user {getpass.getuser()};\n" if os.geteuid() == 0 else ""


class Nginx:
    """nginx in the foreground, with deploy/nginx.conf pointed at a bridge, and its files in a folder of its own.

    change: makes another configuration of the site's; the text it is given already names the right ports.
    connections: nginx's own limit, those to the bridge included.
    """

    def __init__(
        self, bridge: Bridge, folder: Path, change: Callable[[str], str] = str, *, connections: int = 256
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        site = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
        site = site.replace("127.0.0.1:8000", f"127.0.0.1:{bridge.port}")
        site = re.sub(r"listen 80;", f"listen 127.0.0.1:{self.port};", site)
        site = change(site.replace("/var/log/nginx", str(folder)))
        self.config = folder / "nginx.conf"
        self.config.write_text(
            f"{_AS_US}daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
            f"events {{ worker_connections {connections}; }}\nhttp {{\n"
            + "".join(
                f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + site
            + "}\n"
        )
        self.folder = folder
        assert NGINX is not None
        self.command = [NGINX, "-p", str(folder), "-c", str(self.config)]

    def __enter__(self) -> Nginx:
        checked = subprocess.run([*self.command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        session = requests.Session()
        # Bounded waiting for the port; the adapter's own retries on a refused connection.
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=_until_it_listens()))
        with session:
            session.get(f"{self.url}/livez", timeout=10, allow_redirects=False)
        return self

    def finish(self) -> None:
        """End in order. It writes its log lines after the answers; once it has ended, all of them are there."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)


def _until_it_listens() -> Retry:
    return Retry(total=None, connect=60, read=0, redirect=0, status=0, backoff_factor=0.02, backoff_max=0.2)
