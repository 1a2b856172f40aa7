"""Backup under load, wipe, restore: the same state, in a running service, as another user, and through Redis."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import backup as backups
from app.store import open_store
from tests.simulator.client import Simulator
from tests.support.bridge import ROOT, Bridge
from tests.support.redis_server import REDIS_PASSWORD

NOBODY = 65534
# Imports all it needs before it becomes another user, whom the folder of the tests may be closed to.
AS_ANOTHER_USER = """
import os, sys
import redis, wsgi, app.cli.registry, app.store.sqlite, app.store.redis
for become in (os.setgid, os.setuid) if os.getuid() == 0 else ():
    become(int(sys.argv[1]))
wsgi.app.cli.main(args=sys.argv[2:], prog_name="flask")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that another user can reach, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="bridge-backup-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def own_environment(simulator: Simulator, data_dir: Path) -> dict[str, str]:
    """Of a service that finds its sign-in in DATA_DIR."""
    data_dir.mkdir(mode=0o700)
    (data_dir / "hosts.json").write_text(json.dumps({"127.0.0.1": {"oauth_token": "ghu_test_individual"}}))
    return simulator.settings_env()


Flask = Callable[..., bytes]


@pytest.fixture
def flask(flask_command: list[str]) -> Flask:
    """Runs a command of the service; what it printed."""

    def run(env: dict[str, str], *arguments: str, stdin: bytes = b"", user: int | None = None) -> bytes:
        start = (
            [*flask_command, "--app", "wsgi"] if user is None else [sys.executable, "-c", AS_ANOTHER_USER, str(user)]
        )
        done = subprocess.run([*start, *arguments], cwd=ROOT, env=env, input=stdin, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


def state_of(env: dict[str, str]) -> dict[str, Any]:
    """What a service with this environment would find, less what changes by itself."""
    data_dir = Path(env["DATA_DIR"])
    with contextlib.closing(open_store(data_dir=data_dir, redis_url=env.get("REDIS_URL"))) as store:
        taken = backups.take(store, data_dir)
    return {"files": taken.files, "entries": {one.key: (one.value, one.ttl_s is None) for one in taken.entries}}


def files_in(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (oct(stat.S_IMODE(path.stat().st_mode)), path.stat().st_uid)
        for path in folder.iterdir()
        if path.is_file()
    }


def wipe(data_dir: Path) -> None:
    for path in data_dir.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


class Writers:
    """Three clients that change the mapping, each in an order of its own, until told to stop."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._stop = threading.Event()
        self.begun: list[str] = []
        self.done: list[str] = []
        self._busy = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(3)]

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            name = f"writer{writer}-{number}"
            self.begun.append(name)
            self._bridge.call("PUT", f"/admin/mapping/{name}", json={"to": "gpt-4.1"}).raise_for_status()
            self.done.append(name)
            self._busy.release()
            number += 1

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def wait_for_more(self) -> None:
        for _ in range(20):
            assert self._busy.acquire(timeout=60)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def test_a_backup_under_load_brings_everything_back_into_the_running_service(
    simulator: Simulator, folder: Path, flask: Flask
) -> None:
    data_dir, file = folder / "data", folder / "state.backup"
    with Bridge(own_environment(simulator, data_dir), data_dir, workers=2) as bridge:
        assert bridge.chat("hello").status_code == 200
        with Writers(bridge) as writers:
            done_before = set(writers.done)
            flask(bridge.env, "backup", str(file))
            begun_by_then = set(writers.begun)
            writers.wait_for_more()
        entries = {key: value for key, value, _ in json.loads(file.read_bytes())["state"]["entries"]}
        kept = json.loads(entries["model_mapping"])
        written = {name for name in kept if name.startswith("writer")}
        assert done_before <= written <= begun_by_then
        assert oct(stat.S_IMODE(file.stat().st_mode)) == "0o600"
        # Whoever adds a file to DATA_DIR adds it to the backup as well, or here with the reason why not.
        assert set(files_in(data_dir)) == {"hosts.json", "state.db", "state.db-wal", "state.db-shm"}

        wipe(data_dir)
        assert bridge.get("/admin/mapping").json().keys().isdisjoint(kept.keys() & written)
        flask(bridge.env, "restore", str(file))
        assert bridge.get("/admin/mapping").json() == kept
        assert bridge.chat("hello again").status_code == 200
        assert bridge.get("/readyz").status_code == 200
        assert simulator.state()["exchanges"] == 1, "the Copilot token came back as well"
        assert {mode for mode, _ in files_in(data_dir).values()} == {"0o600"}


def test_another_user_restores_on_a_machine_of_their_own(simulator: Simulator, folder: Path, flask: Flask) -> None:
    data_dir = folder / "data"
    with Bridge(own_environment(simulator, data_dir), data_dir) as bridge:
        bridge.get("/admin/mapping/set?from=mine&to=gpt-4.1").raise_for_status()
        bridge.chat("hello").raise_for_status()
        env = bridge.env
    content = flask(env, "backup", "-")
    before = state_of(env)
    theirs = folder / "theirs"
    theirs.mkdir(mode=0o700)
    user = NOBODY if os.getuid() == 0 else os.getuid()
    os.chown(theirs, user, -1)
    env["DATA_DIR"] = str(theirs / "data")

    flask(env, "restore", "-", stdin=content, user=user)
    assert files_in(theirs / "data") == dict.fromkeys(("hosts.json", "state.db"), ("0o600", user))
    assert state_of(env) == before

    # Root, with sudo, restores and backs up in the service's folder, and leaves nothing that the service cannot use.
    wipe(theirs / "data")
    (folder / "state.backup").write_bytes(content)
    flask(env, "restore", str(folder / "state.backup"))
    flask(env, "backup", str(folder / "new.backup"))
    assert files_in(theirs / "data") == dict.fromkeys(("hosts.json", "state.db"), ("0o600", user))
    assert state_of(env) == before


def test_the_state_moves_to_redis_and_back(
    simulator: Simulator, folder: Path, redis_url: str, flask: Flask, flask_command: list[str]
) -> None:
    data_dir = folder / "data"
    with Bridge(own_environment(simulator, data_dir), data_dir) as bridge:
        bridge.get("/admin/mapping/set?from=mine&to=gpt-4.1").raise_for_status()
        bridge.chat("hello").raise_for_status()
        env = bridge.env
    before = state_of(env)
    assert len(before["entries"]) >= 3, "a mapping, a token, a model list"
    in_redis = {**env, "REDIS_URL": redis_url}

    flask(in_redis, "store", "copy", "sqlite", "redis")
    assert state_of(in_redis) == before
    content = flask(in_redis, "backup", "-")
    with Bridge({**simulator.settings_env(), "REDIS_URL": redis_url}, data_dir) as bridge:
        assert bridge.get("/admin/mapping").json()["mine"] == "gpt-4.1"
        bridge.chat("hello").raise_for_status()
        bridge.get("/admin/mapping/set?from=later&to=gpt-4.1").raise_for_status()
    assert simulator.state()["exchanges"] == 1, "the token came along"

    back = data_dir / "back" / "state.db"
    flask(in_redis, "store", "copy", "redis", str(back))
    after = state_of({**env, "DATA_DIR": str(back.parent)})
    assert json.loads(after["entries"]["model_mapping"][0]) == {
        **json.loads(before["entries"]["model_mapping"][0]),
        "later": "gpt-4.1",
    }

    # Nothing is lost by mistake, and no password is shown.
    refused = subprocess.run(
        [*flask_command, "--app", "wsgi", "store", "copy", "sqlite", redis_url],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    assert REDIS_PASSWORD not in refused.stderr + refused.stdout

    # A backup of one kind is restored into the other.
    flask(in_redis, "restore", "-", stdin=content)
    assert state_of(in_redis) == before
    (data_dir / "state.db").unlink()
    flask(env, "restore", "-", stdin=content)
    assert state_of(env) == before
