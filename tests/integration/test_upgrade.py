"""A DATA_DIR of version 0.1 goes on to serve, with all that is in it; and version 0.1 goes on with it afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.client import Simulator
from tests.support.bridge import ROOT, Bridge
from tests.support.postgres_server import PostgresServer
from tests.support.releases import BEFORE_THE_DATABASE, RELEASED, OldBridge, checked_out
from tests.support.waiting import until

FIXTURES = ROOT / "tests/fixtures/data_dir_0_1"
RECORDED_AT = 1796061760.0
TOKEN = "ghu_test_device_0001"
MAPPING = {"gpt-o4-mini": "claude-opus-4.6", "gpt-4o-mini": "claude-sonnet-4.5", "mine": "gpt-4.1"}
PATIENCE_S = 60


def left_by(state: str, simulator: Simulator, folder: Path) -> Path:
    """DATA_DIR as a killed service left it a moment ago: all that it wrote last is in the log beside ``state.db``."""
    simulator.set_account(TOKEN, kind="ok")
    folder.mkdir(mode=0o700)
    made = folder.with_name("made.db")
    with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.executescript((FIXTURES / f"{state}.sql").read_text("utf-8"))
        db.execute("UPDATE entries SET expires_at = expires_at + ?", (time.time() - RECORDED_AT,))
        db.execute("UPDATE entries SET value = replace(value, 'http://copilot.test', ?)", (simulator.capi,))
        for file in made.parent.glob("made.db*"):
            shutil.copyfile(file, folder / file.name.replace("made", "state"))
    shutil.copyfile(FIXTURES / "hosts.json", folder / "hosts.json")
    for file in folder.iterdir():
        file.chmod(0o600)
    return folder


def chat(bridge: Bridge, model: str, **fields: Any) -> int:
    return bridge.chat("hi", model=model, **fields).status_code


def calls_booked(bridge: Bridge) -> int:
    return int(bridge.get("/usage/ledger").json()["total"]["calls"])


def assert_comes_to(bridge: Bridge, calls: int) -> None:
    """A call is booked soon after its answer."""
    until(lambda: calls_booked(bridge) == calls)


def assert_mapping_is(bridge: Bridge, wanted: dict[str, str]) -> None:
    assert bridge.get("/admin/mapping").json() == wanted


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return {"DATABASE_URL": server.new_database()}


@pytest.mark.parametrize("state", ["released", "later"])
def test_a_state_of_version_0_1_is_all_there(
    simulator: Simulator, tmp_path: Path, database: dict[str, str], state: str
) -> None:
    folder = left_by(state, simulator, tmp_path / "data")
    with Bridge({**simulator.settings_env(), **database}, folder, workers=2) as bridge:
        # The mapping, names that were only set by then included, and the sign-in: the token is that of hosts.json.
        assert_mapping_is(bridge, MAPPING)
        assert [chat(bridge, name) for name in ("mine", "gpt-4o-mini", "gpt-o4-mini")] == [200, 200, 200]
        ready = bridge.get("/readyz")
        assert (ready.status_code, ready.json()["store"], ready.json()["database"]) == (200, "ok", "ok"), ready.text
        assert bridge.get("/usage").status_code == 200
        assert json.loads((folder / "hosts.json").read_text())["127.0.0.1"]["oauth_token"] == TOKEN
        if state == "later":  # what Copilot refused is still left out, without asking
            asked = len(simulator.requests("/chat/completions"))
            answer = bridge.chat("hi", model="mine", seed=1)
            assert (answer.status_code, answer.headers["x-bridge-dropped"]) == (200, "seed")
            assert len(simulator.requests("/chat/completions")) == asked + 1
            assert "seed" not in simulator.last_request("/chat/completions")["json"]
        # The database is made: calls are booked, keys can be given out.
        assert_comes_to(bridge, 4 if state == "later" else 3)
        made = bridge.post("/admin/keys", json={"name": "alice"})
        assert made.status_code == 200
        assert bridge.call("PUT", "/admin/mapping/new", json={"to": "gpt-4.1"}).status_code == 200
    assert (folder / "bridge.db").exists() == (not database)
    # And again: what came since then is there beside what was.
    with Bridge({**simulator.settings_env(), **database}, folder) as bridge:
        assert_mapping_is(bridge, {**MAPPING, "new": "gpt-4.1"})
        assert [key["name"] for key in bridge.get("/admin/keys").json()["keys"]] == ["alice"]


@pytest.mark.parametrize("commit", [RELEASED, BEFORE_THE_DATABASE])
def test_version_0_1_goes_on_with_what_this_one_has_left(simulator: Simulator, tmp_path: Path, commit: str) -> None:
    """There and back: each finds what the other has changed, nobody signs in again, and what only one knows stays."""
    tree, folder, env = checked_out(commit, tmp_path), tmp_path / "data", simulator.settings_env()
    simulator.config(device_interval_s=1)
    with OldBridge(tree, env, folder) as before:
        assert before.post("/auth/device/start").status_code == 200
        simulator.approve_device()
        wait_for(folder / "hosts.json")
        assert before.get("/admin/mapping/set?from=mine&to=gpt-4.1").status_code == 200
        assert chat(before, "mine") == 200
        kill(before)
    with Bridge(env, folder) as now:
        assert chat(now, "mine") == 200
        assert simulator.state()["exchanges"] == 1, "the Copilot token serves on"
        assert now.call("PUT", "/admin/mapping/new", json={"to": "gpt-4.1"}).status_code == 200
        rules = {"rules": [{"match": "rule-*", "to": ["gpt-4.1"]}]}
        assert now.call("PUT", "/admin/mapping/rules", json=rules).status_code == 200
        secret = now.post("/admin/keys", json={"name": "alice"}).json()["secret"]
        assert_comes_to(now, 1)
        kill(now)
    with OldBridge(tree, env, folder) as back:
        assert [chat(back, name) for name in ("mine", "new")] == [200, 200]
        assert back.get("/admin/mapping/set?from=newest&to=gpt-4.1").status_code == 200
        assert back.get("/readyz").status_code == 200
        kill(back)
    with Bridge(env, folder) as again:
        assert [chat(again, name) for name in ("mine", "new", "newest", "rule-1")] == [200] * 4
        alice = {"Authorization": f"Bearer {secret}"}
        assert again.get("/v1/models", headers=alice).status_code == 200
        assert_comes_to(again, 1 + 4)
    assert simulator.state()["exchanges"] == 1


def test_every_setting_of_version_0_1_is_still_one(tmp_path: Path) -> None:
    names = [
        set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", (tree / ".env.example").read_text("utf-8"), re.M))
        for tree in (checked_out(RELEASED, tmp_path), ROOT)
    ]
    assert names[0]
    assert names[0] <= names[1]


def wait_for(file: Path) -> None:
    until(file.exists)


def kill(bridge: Bridge) -> None:
    """Without a chance to tidy up. `Bridge.stop` then finds nobody."""
    for pid in (*bridge.workers, bridge.pid):
        os.kill(pid, signal.SIGKILL)
