"""A backup holds all of the state, and what is restored is that state or nothing."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner

from app import backup as backups
from app import create_app
from app.errors import StoreError
from app.gateway import Gateway
from app.store import Entry, Store, open_store
from app.store.sqlite import SqliteStore

HOSTS = '{"github.com": {"oauth_token": "ghu_test_backup", "user": "octocat"}}'

FILES = ("hosts.json", "state.db", "state.db-wal", "state.db-shm")


@pytest.fixture
def runner(app: Flask) -> FlaskCliRunner:
    return app.test_cli_runner()


@pytest.fixture
def data_dir(gateway: Gateway) -> Path:
    return gateway.settings.data_dir


def fill(store: Store, data_dir: Path) -> None:
    store.put("model_mapping", '{"gpt-4": "gpt-4.1"}')
    store.put("copilot-token:abc", "tid=0123456789abcdef;exp=1", ttl_s=1000)
    data_dir.mkdir(exist_ok=True)
    (data_dir / "hosts.json").write_text(HOSTS)


def state(store: Store, data_dir: Path) -> tuple[dict[str, tuple[str, bool]], str | None]:
    hosts = data_dir / "hosts.json"
    entries = {entry.key: (entry.value, entry.ttl_s is None) for entry in store.dump()}
    return entries, hosts.read_text() if hosts.exists() else None


def made(**changes: Any) -> bytes:
    document = json.loads(backups.to_bytes(backups.Backup(0.0, {"hosts.json": HOSTS}, (Entry("a", "b", None),))))
    return json.dumps(document | changes).encode()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_backed_up_comes_back_on_an_empty_folder(
    runner: FlaskCliRunner, gateway: Gateway, data_dir: Path, tmp_path: Path
) -> None:
    fill(gateway.store, data_dir)
    before = state(gateway.store, data_dir)
    file = tmp_path / "elsewhere" / "state.backup"
    file.parent.mkdir()

    written = runner.invoke(args=["backup", str(file)])
    assert written.exit_code == 0, written.output
    assert mode(file) == 0o600
    assert "ghu_test" not in written.output
    for path in data_dir.iterdir():
        path.unlink()
    data_dir.rmdir()

    restored = runner.invoke(args=["restore", str(file)])
    assert restored.exit_code == 0, restored.output
    assert state(gateway.store, data_dir) == before
    with closing(open_store(data_dir=data_dir, redis_url=None)) as running:
        assert state(running, data_dir) == before
        assert {path.name: oct(mode(path)) for path in data_dir.iterdir()} == dict.fromkeys(
            ("hosts.json", "state.db", "state.db-wal", "state.db-shm"), "0o600"
        )
    assert mode(data_dir) == 0o700


def test_restoring_replaces_what_came_later(
    runner: FlaskCliRunner, gateway: Gateway, data_dir: Path, tmp_path: Path
) -> None:
    """The fault that this is for: a file that is copied back is overrun by the write-ahead log beside it."""
    fill(gateway.store, data_dir)
    before = state(gateway.store, data_dir)
    runner.invoke(args=["backup", str(tmp_path / "state.backup")])
    gateway.store.put("model_mapping", "{}")
    gateway.store.put("later", "value")
    (data_dir / "hosts.json").write_text("{}")
    assert (data_dir / "state.db-wal").stat().st_size > 0
    runner.invoke(args=["restore", str(tmp_path / "state.backup")])
    with closing(SqliteStore(data_dir / "state.db")) as other:
        assert state(other, data_dir) == before


def test_restoring_after_a_crash_is_not_undone_by_what_the_crash_left(
    runner: FlaskCliRunner, gateway: Gateway, data_dir: Path, tmp_path: Path
) -> None:
    fill(gateway.store, data_dir)
    before = state(gateway.store, data_dir)
    runner.invoke(args=["backup", str(tmp_path / "state.backup")])
    gateway.store.put("model_mapping", "{}")
    crashed = tmp_path / "crashed"
    shutil.copytree(data_dir, crashed)  # with a write-ahead log that nobody has open
    with closing(SqliteStore(crashed / "state.db")) as store:
        backups.restore(backups.from_bytes((tmp_path / "state.backup").read_bytes()), store, crashed)
    assert not (crashed / "state.db-wal").exists()
    with closing(SqliteStore(crashed / "state.db")) as store:
        assert state(store, crashed) == before


def test_who_was_signed_out_at_the_time_is_signed_out_after(
    runner: FlaskCliRunner, gateway: Gateway, data_dir: Path, tmp_path: Path
) -> None:
    gateway.store.put("key", "value")
    runner.invoke(args=["backup", str(tmp_path / "state.backup")])
    fill(gateway.store, data_dir)
    restored = runner.invoke(args=["restore", str(tmp_path / "state.backup")])
    assert "Nobody was signed in" in restored.output
    assert state(gateway.store, data_dir) == ({"key": ("value", True)}, None)


def test_lifetimes_go_on_while_a_backup_lies_about(gateway: Gateway, data_dir: Path) -> None:
    gateway.store.put("short", "value", ttl_s=100)
    gateway.store.put("long", "value", ttl_s=1000)
    gateway.store.put("lasting", "value")
    taken = backups.from_bytes(backups.to_bytes(backups.take(gateway.store, data_dir, clock=lambda: 5000.0)))
    backups.restore(taken, gateway.store, data_dir, clock=lambda: 5600.0)
    left = {entry.key: entry.ttl_s and round(entry.ttl_s, -1) for entry in gateway.store.dump()}
    assert left == {"lasting": None, "long": 400}


def test_a_backup_goes_through_pipes(runner: FlaskCliRunner, gateway: Gateway, data_dir: Path) -> None:
    fill(gateway.store, data_dir)
    before = state(gateway.store, data_dir)
    piped = runner.invoke(args=["backup", "-"])
    gateway.store.load([])
    restored = runner.invoke(args=["restore", "-"], input=piped.stdout_bytes)
    assert restored.exit_code == 0, restored.output
    assert state(gateway.store, data_dir) == before


def test_where_there_is_nothing_no_backup_is_made(runner: FlaskCliRunner, tmp_path: Path) -> None:
    """Somebody is in the wrong folder, and would find out when the backup is needed."""
    refused = runner.invoke(args=["backup", str(tmp_path / "state.backup")])
    assert refused.exit_code == 1
    assert "environment of the service" in refused.output
    assert not (tmp_path / "state.backup").exists()


def test_only_an_older_backup_is_replaced(
    runner: FlaskCliRunner, gateway: Gateway, data_dir: Path, tmp_path: Path
) -> None:
    fill(gateway.store, data_dir)
    file = tmp_path / "state.backup"
    assert runner.invoke(args=["backup", str(file)]).exit_code == 0
    assert runner.invoke(args=["backup", str(file)]).exit_code == 0
    precious = tmp_path / ".env"
    precious.write_text("API_KEY=mine")
    refused = runner.invoke(args=["backup", str(precious)])
    assert refused.exit_code == 1
    assert "is there already" in refused.output
    assert precious.read_text() == "API_KEY=mine"


def test_what_a_backup_leaves_out_is_named(runner: FlaskCliRunner, gateway: Gateway, data_dir: Path) -> None:
    fill(gateway.store, data_dir)
    (data_dir / "notes.txt").write_text("mine")
    assert "Not in it: notes.txt in" in runner.invoke(args=["backup", str(data_dir.parent / "state.backup")]).output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"{}", "no backup of copilot-bridge"),
        (b"[1]", "no backup of copilot-bridge"),
        (b"SQLite format 3\0 and more", "remove state.db-wal"),
        (backups.to_bytes(backups.Backup(0.0, {}, ()))[:-20], "cut off"),
        (made(version=3), "format version 3"),
        (made(version=None), "format version None"),
        (made(checksum="sha256:0"), "checksum"),
        (made(state={"files": {}, "entries": []}), "checksum"),
        (made(state=None), "checksum"),
        (made(made_at="yesterday"), "damaged"),
        (made(made_at=5), "damaged"),
    ],
)
def test_what_cannot_be_read_is_refused_and_changes_nothing(
    runner: FlaskCliRunner, gateway: Gateway, data_dir: Path, tmp_path: Path, content: bytes, says: str
) -> None:
    fill(gateway.store, data_dir)
    before = state(gateway.store, data_dir)
    (tmp_path / "state.backup").write_bytes(content)
    refused = runner.invoke(args=["restore", str(tmp_path / "state.backup")])
    assert refused.exit_code == 1
    assert says in refused.output
    assert state(gateway.store, data_dir) == before


@pytest.mark.parametrize("name", ["../hosts.json", "/etc/passwd", "state.db", ""])
def test_no_file_but_those_of_the_state_is_written(name: str) -> None:
    with pytest.raises(StoreError, match="damaged"):
        backups.from_bytes(backups.to_bytes(backups.Backup(0.0, {name: "text"}, ())))


@pytest.mark.parametrize("entry", [["a", "b"], ["a", "b", "soon"], "a", None])
def test_entries_of_another_form_are_refused(entry: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "_checksum", lambda state: "right")
    with pytest.raises(StoreError, match="damaged"):
        backups.from_bytes(made(state={"files": {}, "entries": [entry]}, checksum="right"))


def _cannot_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: object, target: object) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr("app.store.private_file.os.replace", fail)


def _cannot_create(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**arguments: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("app.store.private_file.tempfile.mkstemp", fail)


def _cannot_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, entries: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(SqliteStore, "load", fail)


@pytest.mark.parametrize("break_it", [_cannot_replace, _cannot_create, _cannot_load])
def test_a_restore_that_fails_midway_changes_nothing(
    runner: FlaskCliRunner,
    gateway: Gateway,
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[pytest.MonkeyPatch], None],
) -> None:
    fill(gateway.store, data_dir)
    runner.invoke(args=["backup", str(tmp_path / "state.backup")])
    gateway.store.put("model_mapping", '{"another": "one"}')
    (data_dir / "hosts.json").write_text("{}")
    before = state(gateway.store, data_dir)
    with monkeypatch.context() as broken:
        break_it(broken)
        failed = runner.invoke(args=["restore", str(tmp_path / "state.backup")])
    assert failed.exit_code == 1
    assert failed.exception is None or isinstance(failed.exception, SystemExit)
    assert state(gateway.store, data_dir) == before
    assert not [path.name for path in data_dir.iterdir() if path.name.startswith(".")]


def test_a_damaged_store_is_told_and_not_written_to(
    runner: FlaskCliRunner, gateway: Gateway, data_dir: Path, tmp_path: Path
) -> None:
    fill(gateway.store, data_dir)
    runner.invoke(args=["backup", str(tmp_path / "state.backup")])
    gateway.store.close()
    (data_dir / "state.db").write_bytes(b"no database" * 1000)
    failed = runner.invoke(args=["restore", str(tmp_path / "state.backup")])
    assert failed.exit_code == 1
    assert "Move the file away" in failed.output
    (data_dir / "state.db").rename(tmp_path / "damaged.db")
    again = create_app(gateway.settings)  # another process: this one remembers the failure for a moment
    assert again.test_cli_runner().invoke(args=["restore", str(tmp_path / "state.backup")]).exit_code == 0
    assert again.extensions["gateway"].mapping.all() == {"gpt-4": "gpt-4.1"}
    again.extensions["gateway"].close()


# --- store copy ---


def test_a_store_is_copied_from_one_file_to_another(
    runner: FlaskCliRunner, gateway: Gateway, data_dir: Path, tmp_path: Path
) -> None:
    fill(gateway.store, data_dir)
    target = tmp_path / "other" / "state.db"
    copied = runner.invoke(args=["store", "copy", "sqlite", str(target)])
    assert copied.exit_code == 0, copied.output
    with closing(SqliteStore(target)) as other:
        assert state(other, data_dir) == state(gateway.store, data_dir)

    again = runner.invoke(args=["store", "copy", "sqlite", str(target)])
    assert again.exit_code == 1
    assert "--replace" in again.output
    assert runner.invoke(args=["store", "copy", "sqlite", str(target), "--replace"]).exit_code == 0


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("redis", "sqlite", "REDIS_URL is not set"),
        ("sqlite", "redis", "REDIS_URL is not set"),
        ("nowhere/state.db", "sqlite", "There is no nowhere/state.db"),
        ("sqlite", "hosts.json", "is no store"),
        ("sqlite", "redis://user:hunter2-hunter2@127.0.0.1:1/0", "cannot be used"),
        ("sqlite", "redis://user:hunter2-hunter2@127.0.0.1:port/0", "malformed"),
        ("postgres://user:hunter2-hunter2@host/db", "sqlite", "is no store"),
    ],
)
def test_a_place_that_is_no_store_is_named_without_its_password(
    runner: FlaskCliRunner, gateway: Gateway, data_dir: Path, source: str, target: str, says: str
) -> None:
    fill(gateway.store, data_dir)
    failed = runner.invoke(args=["store", "copy", source, target])
    assert failed.exit_code == 1
    assert says in failed.output
    assert "hunter2" not in failed.output
    assert len(gateway.store.dump()) == 2
