"""``copilot-bridge run CLIENT``: the bridge behind it, its settings for one time, its exit code, and no trace."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.client import Simulator
from tests.support.bridge import ROOT, Bridge
from tests.support.ports import free_port
from tests.support.program import Program, person

CLAUDE = """\
import json, os, sys, urllib.request
url, token = os.environ["ANTHROPIC_BASE_URL"], os.environ["ANTHROPIC_AUTH_TOKEN"]
prompt = {"role": "user", "content": "[[say: ja]]"}
body = {"model": os.environ["ANTHROPIC_MODEL"], "max_tokens": 50, "messages": [prompt]}
headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json", "anthropic-version": "2023-06-01"}
request = urllib.request.Request(url + "/v1/messages", json.dumps(body).encode(), headers)
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
    answer = json.load(response)
print(json.dumps({"url": url, "text": answer["content"][0]["text"], "arguments": sys.argv[1:], "pid": os.getpid()}))
"""
WAITS = """\
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("runs", flush=True)
signal.sigwait([signal.SIGTERM])
print("told to end")
sys.exit(3)
"""
CODEX = """\
import os, pathlib, sys, tomllib
home = pathlib.Path(os.environ["CODEX_HOME"])
config = tomllib.loads((home / "config.toml").read_text())
print(config["model_provider"], config["approval_policy"], (home / "history.jsonl").read_text(), home)
print(oct((home / "config.toml").stat().st_mode), os.environ["COPILOT_BRIDGE_KEY"])
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def program(folder: Path, name: str, code: str) -> None:
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{code}")
    file.chmod(0o755)


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path, programs: Path) -> dict[str, str]:
    env = person(tmp_path / "home", simulator, PORT=str(free_port()), PYTHONPATH=str(ROOT))
    return env | {"PATH": f"{programs}:{env['PATH']}"}


def run(env: dict[str, str], cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", "run", *words],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def everything(home: Path) -> dict[str, bytes]:
    """All files but the bridge's own state."""
    files = [path for path in home.rglob("*") if path.is_file() and ".local" not in path.parts]
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def running(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    settings = {"GITHUB_BASE_URL": simulator_process.web, "GITHUB_API_BASE_URL": simulator_process.api}
    with Bridge({**settings, "GH_COPILOT_TOKEN": "ghu_test_individual"}, tmp_path_factory.mktemp("state")) as bridge:
        yield bridge


def test_a_client_is_started_with_a_bridge_behind_it_and_its_exit_code_passed_on(
    env: dict[str, str], programs: Path, tmp_path: Path
) -> None:
    program(programs, "claude", CLAUDE + "sys.exit(7)")
    done = run(env, tmp_path, "claude-code", "--print", "--help", "words of mine")
    assert done.returncode == 7, done.stderr
    told = json.loads(done.stdout)
    assert told["text"] == "ja"
    assert told["url"] == f"http://127.0.0.1:{env['PORT']}"
    assert told["arguments"] == ["--print", "--help", "words of mine"]
    assert not everything(tmp_path / "home")
    assert "listens on" not in done.stderr


def test_the_bridge_that_runs_is_used_and_stays(
    env: dict[str, str], programs: Path, tmp_path: Path, running: Bridge
) -> None:
    program(programs, "claude", CLAUDE)
    done = run(env | {"PORT": str(running.port), "API_KEY": running.api_key}, tmp_path, "claude-code")
    assert json.loads(done.stdout)["text"] == "ja"
    assert done.returncode == 0
    assert "/v1/messages" in running.log


def test_a_bridge_that_takes_another_key_is_told(
    env: dict[str, str], programs: Path, tmp_path: Path, running: Bridge
) -> None:
    program(programs, "claude", CLAUDE)
    done = run(env | {"PORT": str(running.port), "API_KEY": "key-test-another"}, tmp_path, "claude-code")
    assert done.returncode == 1
    assert "does not take the API_KEY of these settings" in done.stderr


def test_another_program_at_the_port_is_told(
    env: dict[str, str], programs: Path, tmp_path: Path, simulator: Simulator
) -> None:
    program(programs, "claude", CLAUDE)
    port = simulator.web.rpartition(":")[2]
    done = run(env | {"PORT": port}, tmp_path, "claude-code")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Another program listens at http://127.0.0.1:{port}." in done.stderr


def test_a_client_with_files_gets_them_for_this_time_beside_the_persons_own(
    env: dict[str, str], programs: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").write_text('approval_policy = "never"\nmodel_provider = "mine"\n')
    (home / ".codex/history.jsonl").write_text("my history")
    before = everything(home)
    program(programs, "codex", CODEX)
    done = run(env, tmp_path, "codex")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("copilot-bridge never my history ")
    assert second == "0o100600 github-copilot-openai-api-key"
    assert not Path(first.split()[-1]).exists()
    assert everything(home) == before


def test_what_ends_the_command_ends_the_client(env: dict[str, str], programs: Path, tmp_path: Path) -> None:
    program(programs, "claude", WAITS)
    with Program([sys.executable, "-m", "app", "run", "claude-code"], env, tmp_path) as started:
        started.wait_for("runs")
        assert started.end(signal.SIGTERM) == 3, started.output
    assert "told to end" in started.output


def test_a_client_that_a_signal_ended_is_told_as_a_shell_would(
    env: dict[str, str], programs: Path, tmp_path: Path
) -> None:
    program(programs, "claude", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert run(env, tmp_path, "claude-code").returncode == 128 + signal.SIGKILL


def test_a_client_that_is_not_installed_is_told_before_anything_starts(env: dict[str, str], tmp_path: Path) -> None:
    done = run(env | {"PATH": "/nowhere"}, tmp_path, "claude-code")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: claude is not installed here (no such program on the PATH). Get it: https://")


def test_without_a_sign_in_it_says_how_to_sign_in(env: dict[str, str], programs: Path, tmp_path: Path) -> None:
    program(programs, "claude", CLAUDE)
    del env["GH_COPILOT_TOKEN"]
    done = run(env, tmp_path, "claude-code")
    assert done.returncode == 1
    assert "login" in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [("cursor", "no program of the terminal"), ("kursor", "no such client: 'kursor'. There are: claude-code, codex")],
)
def test_what_cannot_be_started_is_told(env: dict[str, str], tmp_path: Path, name: str, words: str) -> None:
    done = run(env, tmp_path, name)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
