"""The package as people install it: built once, put into an empty virtual environment, started outside the tree."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import requests

from app.settings import DEFAULT_API_KEY
from app.version import VERSION
from tests.simulator.client import Simulator
from tests.support.ports import free_port
from tests.support.program import Program, person

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))
LOCK = str(ROOT / "requirements.txt")


def uv(*words: str, cwd: Path) -> None:
    """Packages come from uv's cache once it has them."""
    done = subprocess.run([UV, *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(folder), str(ROOT), cwd=folder)
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in a virtual environment that had nothing in it before."""
    folder = tmp_path_factory.mktemp("venv")
    uv("venv", "--quiet", "--python", sys.executable, str(folder / "venv"), cwd=folder)
    python = folder / "venv/bin/python"
    uv("pip", "install", "--quiet", "--python", str(python), "--constraint", LOCK, str(wheel), cwd=folder)
    return folder / "venv/bin/copilot-bridge"


def streamed(port: int, key: str = DEFAULT_API_KEY) -> str:
    """The text of an answer that came in pieces."""
    body = {"model": "claude-haiku-4.5", "stream": True, "messages": [{"role": "user", "content": "[[say: Grüezi]]"}]}
    with requests.post(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json=body,
        headers={"Authorization": f"Bearer {key}"},
        stream=True,
        timeout=30,
    ) as response:
        assert response.status_code == 200, response.text
        chunks = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith(b"data: {")]
    pieces = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    assert len(pieces) > 1
    return "".join(filter(None, pieces))


def test_the_wheel_has_what_the_service_reads_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        str(file.relative_to(ROOT)) for file in (ROOT / "app").rglob("*") if file.is_file() and file.suffix != ".pyc"
    }
    simulator = {
        f"app/simulator/{file.name}" for file in (ROOT / "tests/simulator").iterdir() if file.suffix in (".py", ".json")
    }
    assert ours | simulator <= names
    assert {name.split("/")[0] for name in names} == {"app", f"copilot_bridge_server-{VERSION}.dist-info"}
    assert not [name for name in names if name.endswith((".pyc", ".env", ".db"))]


def test_the_sdist_has_what_the_wheel_is_built_from(dist: Path) -> None:
    (file,) = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "requirements.txt", "app/templates/base.html"} <= names
    assert "tests/simulator/catalogue.json" in names


def test_the_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed, "--version"], env=person(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"copilot-bridge, version {VERSION}\n"


@pytest.mark.parametrize(("shell", "word"), [("bash", "1"), ("zsh", "1"), ("fish", "")])
def test_the_installed_command_completes_words(installed: Path, tmp_path: Path, shell: str, word: str) -> None:
    """word: the number of the word that is being typed; fish gives the word itself."""
    env = person(tmp_path, _COPILOT_BRIDGE_COMPLETE=f"{shell}_complete", COMP_WORDS="copilot-bridge ", COMP_CWORD=word)
    done = subprocess.run([installed], env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {"run", "demo", "doctor"} <= set(done.stdout.replace(",", "\n").split())


def test_run_from_an_empty_environment_streams_and_keeps_its_state_in_the_data_folder(
    installed: Path, simulator: Simulator, tmp_path: Path
) -> None:
    port = free_port()
    # Somebody else's, where the command happens to be called.
    (tmp_path / ".env").write_text("PORT=1\nAPI_KEY=key-test-of-somebody-else\n")
    env = person(tmp_path / "home", simulator)
    with Program([str(installed), "run", "--port", str(port)], env, tmp_path) as service:
        service.wait_for(f"copilot-bridge {VERSION} listens on ")
        service.wait_for("signed in by GH_COPILOT_TOKEN; the settings for your tools are on ")
        assert streamed(port) == "Grüezi"
        assert service.end() == 0
    assert (tmp_path / "home/.local/share/copilot-bridge").is_dir()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".env", "home"]


def test_the_env_file_of_the_configuration_folder_counts(installed: Path, simulator: Simulator, tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "home/.config/copilot-bridge"
    config.mkdir(parents=True)
    (config / "env").write_text(f"PORT={port}\nAPI_KEY=key-test-from-the-file\nDATA_DIR={tmp_path}/state\n")
    with Program([str(installed), "run"], person(tmp_path / "home", simulator), tmp_path) as service:
        service.wait_for("listens on")
        assert streamed(port, "key-test-from-the-file") == "Grüezi"
        text = (config / "env").read_text()
        (config / "env").write_text(text.replace("key-test-from-the-file", "key-test-another-one"))
        service.send(signal.SIGHUP)
        service.wait_for("settings are read anew")
        assert '"changed": ["API_KEY"]' in service.output.splitlines()[-1]
        assert service.end() == 0
    assert (tmp_path / "state").is_dir()
    assert not (tmp_path / "home/.local").exists()


def test_open_shows_the_page_in_the_browser_once_the_service_answers(
    installed: Path, simulator: Simulator, tmp_path: Path
) -> None:
    port = free_port()
    told, browser = tmp_path / "told", tmp_path / "browser"
    os.mkfifo(told)
    browser.write_text(f'#!/bin/sh\necho "$1" > {told}\n')
    browser.chmod(0o755)
    env = person(tmp_path / "home", simulator, BROWSER=f"{browser} %s")
    with Program([str(installed), "run", "--open", "--port", str(port)], env, tmp_path) as service:
        service.wait_for("listens on")
        assert told.read_text() == f"http://127.0.0.1:{port}\n"  # waits for the browser
        assert requests.get(f"http://127.0.0.1:{port}/livez", timeout=30).status_code == 200
        assert service.end() == 0


def test_the_installed_demo_needs_nothing_from_the_tree(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    with Program([str(installed), "demo", "--port", str(port)], person(tmp_path), tmp_path) as demo:
        demo.wait_for("Ctrl-C stops both")
        assert "  copilot-bridge --env-file" in demo.output
        assert (told := re.search(r"^(/.+README\.md)$", demo.output, re.M))
        assert Path(told[1]).is_file()
        assert streamed(port) == "Grüezi"
        assert demo.end() == 0
    assert "nothing is left behind" in demo.output
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="session")
def uv_settings() -> dict[str, str]:
    """What uv needs of this machine, e.g. its cache: somebody with an empty home folder would fetch all of it anew."""
    cache = subprocess.run([UV, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    own = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_CERT_"))}
    return own | {"UV_CACHE_DIR": cache}


def test_an_isolated_run_streams(
    wheel: Path, simulator: Simulator, tmp_path: Path, uv_settings: dict[str, str]
) -> None:
    """As uvx does it: in an environment that is made for this one call."""
    uvx = [UV, "tool", "run", "--python", sys.executable, "--constraints", LOCK, "--from", str(wheel)]
    port = free_port()
    env = person(tmp_path / "home", simulator) | uv_settings
    command = [*uvx, "copilot-bridge", "run", "--port", str(port)]
    with Program(command, env, tmp_path) as service:
        service.wait_for("listens on")
        assert streamed(port) == "Grüezi"
