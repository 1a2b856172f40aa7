"""Installs the pinned clients beside this file: ``python -m tests.clients.install [NAME …]`` (default: all of them).

A client that is there in the pinned version is left as it is, so a second run takes no time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
NPM, PIP = HERE / "npm", HERE / "pip"
_STAMP = ".installed"


def names() -> list[str]:
    """Every pinned client or group of them, as its folder or requirements file is called."""
    return sorted([folder.name for folder in NPM.iterdir() if (folder / "package.json").exists()]) + sorted(
        file.stem for file in PIP.glob("*.txt")
    )


def home_of(name: str) -> Path:
    """The folder that holds an installed client: ``node_modules`` or a virtual environment is in it."""
    return NPM / name if (NPM / name).is_dir() else PIP / name


def bin_of(name: str) -> Path:
    """Where an installed client's programs are."""
    return home_of(name) / ("node_modules/.bin" if (NPM / name).is_dir() else "bin")


def is_installed(name: str) -> bool:
    """Whether it is there in the pinned version."""
    stamp = home_of(name) / _STAMP
    return stamp.exists() and stamp.read_text("utf-8") == _wanted(name)


def install(name: str) -> None:
    """Install one. Raises: subprocess.CalledProcessError; what npm or pip said is in its ``output``."""
    home = home_of(name)
    if home.parent == NPM:
        # Their install scripts have to run: some fetch nothing but put the program of this platform in its place.
        # Not `npm ci`: it wants the programs of all other platforms in the lock file, and not every registry has them.
        # This keeps to the lock file as well, and does not write it.
        _run(["npm", "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], home)
    else:
        shutil.rmtree(home, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(home)], PIP)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip.append("--no-compile")  # most of it is never imported
        _run([*pip, "-r", str(PIP / f"{name}.txt")], PIP)
    (home / _STAMP).write_text(_wanted(name), "utf-8")


def _wanted(name: str) -> str:
    home = home_of(name)
    pins = home / "package-lock.json" if home.parent == NPM else PIP / f"{name}.txt"
    return hashlib.sha256(pins.read_bytes()).hexdigest()


def _run(command: list[str], folder: Path) -> None:
    # Browsers and the like that a client would fetch on the side are not needed.
    env = {**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1", "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"}
    subprocess.run(
        command, cwd=folder, env=env, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def main(wanted: list[str]) -> int:
    if unknown := [name for name in wanted if name not in names()]:
        print(f"There is no {', '.join(unknown)}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    missing = [name for name in wanted or names() if not is_installed(name)]
    with ThreadPoolExecutor(2) as pool:  # one waits for the network while another one unpacks
        return max(pool.map(_reported, missing), default=0)


def _reported(name: str) -> int:
    """Install one and say so; 1 if it failed."""
    started_at = time.monotonic()
    try:
        install(name)
    except (subprocess.CalledProcessError, OSError) as problem:
        print(f"Installing {name} failed.\n{getattr(problem, 'output', None) or problem}", file=sys.stderr, flush=True)
        return 1
    print(f"Installed {name} in {time.monotonic() - started_at:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
