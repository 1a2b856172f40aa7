from __future__ import annotations

import os
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest
import requests
import responses

from app.doctor.listening import check_port
from app.doctor.state import check_folder, check_store
from app.errors import StoreError
from app.settings import Settings
from app.store import open_store
from tests.support.secrets import API_KEY


def test_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    [finding] = check_folder(tmp_path / "a" / "b")
    assert finding.status == "ok"
    assert not (tmp_path / "a").exists()


def test_folder_that_cannot_be_made_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by its mode: the superuser, whom these tests may run as, writes everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert [finding.status for finding in check_folder(tmp_path / "a")] == ["problem"]
    assert [finding.status for finding in check_folder(tmp_path)] == ["problem"]


def test_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    [finding] = check_folder(tmp_path / "data")
    assert finding.status == "problem"
    assert "is a file" in finding.what


def test_modes(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "hosts.json").write_text("{}")
    (tmp_path / "hosts.json").chmod(0o644)
    found = {finding.title: finding for finding in check_folder(tmp_path)}
    assert found["folder mode"].status == "note"
    assert found["hosts.json"].status == "problem"
    assert f"chmod 600 {tmp_path}/hosts.json" in found["hosts.json"].advice
    tmp_path.chmod(0o700)
    (tmp_path / "hosts.json").chmod(0o600)
    assert [finding.status for finding in check_folder(tmp_path)] == ["ok"]


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 100, 5 * 1024**2))
    [finding] = check_folder(tmp_path)
    assert finding.what.startswith("5 MiB are left")


def test_store(tmp_path: Path) -> None:
    store = open_store(data_dir=tmp_path, redis_url=None)
    [finding] = check_store(store, redis=False)
    assert finding.status == "ok"
    assert store.scan("doctor") == {}  # nothing stays behind
    store.close()


class Away:
    """A store that cannot be reached."""

    def put(self, *_: object, **__: object) -> None:
        raise StoreError("Redis cannot be reached.")


class Forgetful:
    """A store that evicts at once."""

    def put(self, *_: object, **__: object) -> None: ...

    def get(self, _: str) -> None: ...

    def delete(self, _: str) -> None: ...


@pytest.mark.parametrize(("store", "words"), [(Away(), "cannot be reached"), (Forgetful(), "lost a value")])
def test_store_that_fails(store: object, words: str) -> None:
    [finding] = check_store(store, redis=True)  # type: ignore[arg-type]
    assert finding.status == "problem"
    assert words in finding.what


# ── the port ────────────────────────────────────────────────────────────────────────────────────────────────────────


def settings(**env: str) -> Settings:
    return Settings.from_env({"HOST": "127.0.0.1", "API_KEY": API_KEY, **env})


def echo(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
    return 200, {"x-request-id": str(request.headers["x-request-id"])}, '{"status":"ok"}'


@pytest.fixture
def bridge(upstream: responses.RequestsMock) -> responses.RequestsMock:
    upstream.add_callback(responses.GET, "http://127.0.0.1:8000/livez", callback=echo)
    return upstream


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (200, {}, "ok", "is ready"),
        (503, {"signed_in": True}, "ok", "with the first request"),
        (503, {"signed_in": False}, "note", "nobody is signed in"),
    ],
)
def test_running_bridge(
    bridge: responses.RequestsMock, status: int, body: dict[str, object], expected: str, words: str
) -> None:
    bridge.get("http://127.0.0.1:8000/admin/mapping", json={})
    bridge.get("http://127.0.0.1:8000/readyz", status=status, json=body)
    [finding] = check_port(settings(), signed_in=True)
    assert finding.status == expected
    assert words in finding.what
    assert API_KEY not in str(finding)


def test_running_bridge_of_another_key(bridge: responses.RequestsMock) -> None:
    bridge.get("http://127.0.0.1:8000/admin/mapping", status=401, json={})
    [finding] = check_port(settings(), signed_in=True)
    assert finding.status == "note"
    assert "does not take the API_KEY" in finding.what
    assert API_KEY not in str(finding)


def test_running_bridge_of_other_settings(bridge: responses.RequestsMock) -> None:
    bridge.get("http://127.0.0.1:8000/admin/mapping", json={})
    bridge.get("http://127.0.0.1:8000/readyz", json={})
    [finding] = check_port(settings(), signed_in=False)
    assert finding.status == "note"
    assert "started with others" in finding.what


def test_another_program_gets_no_key(upstream: responses.RequestsMock) -> None:
    upstream.get("http://127.0.0.1:8000/livez", json={"status": "ok"}, headers={"Server": "other/1.0"})
    [finding] = check_port(settings(), signed_in=True)
    assert finding.status == "problem"
    assert "Another program (other/1.0)" in finding.what
    assert len(upstream.calls) == 1


def test_free_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    [finding] = check_port(settings(PORT=str(port)), signed_in=False)
    assert finding.status == "ok"
    assert "is free" in finding.what


def test_program_that_speaks_no_http() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))  # bound, and not listening: connections are refused
        [finding] = check_port(settings(PORT=str(other.getsockname()[1])), signed_in=False)
    assert finding.status == "problem"
    assert "Another program holds it" in finding.what


def test_address_of_another_machine(upstream: responses.RequestsMock) -> None:
    import requests

    upstream.get("http://192.0.2.1:8000/livez", body=requests.ConnectionError())
    [finding] = check_port(settings(HOST="192.0.2.1"), signed_in=False)
    assert finding.status == "problem"
    assert "no address of this machine" in finding.what
