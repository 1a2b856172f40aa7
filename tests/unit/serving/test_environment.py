"""The env file and the environment: what is read, what is read again, and what an empty value means."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from app.settings import Environment, Settings, SettingsError, differences, env_file


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`Environment` writes to it, so it is put back whole."""
    before = dict(os.environ)
    for name in before:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", before["PATH"])
    monkeypatch.chdir(tmp_path)


def test_file_is_read_again_and_what_it_no_longer_names_is_forgotten(tmp_path: Path) -> None:
    environment = Environment()
    (tmp_path / ".env").write_text("KEEP_ALIVE_S=3\nLOG_LEVEL=DEBUG\nHTTPS_PROXY=http://proxy.test\n")
    first = environment.load()
    assert (first.keep_alive_s, first.log_level, os.environ["HTTPS_PROXY"]) == (3, "DEBUG", "http://proxy.test")
    (tmp_path / ".env").write_text("KEEP_ALIVE_S=4\n")
    second = environment.load()
    assert (second.keep_alive_s, second.log_level) == (4, "INFO")
    assert "HTTPS_PROXY" not in os.environ
    assert differences(first, second) == ["KEEP_ALIVE_S", "LOG_LEVEL"]


def test_environment_wins_over_the_file_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEEP_ALIVE_S", "7")
    (tmp_path / ".env").write_text("KEEP_ALIVE_S=3\n")
    environment = Environment()
    assert [environment.load().keep_alive_s for _ in range(2)] == [7, 7]


def test_file_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    environment = Environment()
    (tmp_path / ".env").write_text("KEEP_ALIVE_S=3\nLOG_LEVEL=DEBUG\n")
    environment.load()
    before = dict(os.environ)
    (tmp_path / ".env").write_text("KEEP_ALIVE_S=soon\nPORT=1\n")
    with pytest.raises(SettingsError, match="KEEP_ALIVE_S"):
        environment.load()
    assert dict(os.environ) == before
    (tmp_path / ".env").write_text("KEEP_ALIVE_S=5\n")
    assert environment.load().log_level == "INFO"


def test_going_back_brings_the_environment_before_the_last_reading(tmp_path: Path) -> None:
    environment = Environment()
    (tmp_path / ".env").write_text("KEEP_ALIVE_S=3\n")
    environment.load()
    (tmp_path / ".env").write_text("KEEP_ALIVE_S=4\nLOG_LEVEL=DEBUG\n")
    environment.load()
    environment.go_back()
    assert os.environ["KEEP_ALIVE_S"] == "3"
    assert "LOG_LEVEL" not in os.environ
    (tmp_path / ".env").write_text("")
    assert environment.load().keep_alive_s == 10


def test_file_that_is_gone_takes_no_key_with_it(tmp_path: Path) -> None:
    environment = Environment()
    (tmp_path / ".env").write_text("API_KEY=a-test-key-of-ones-own\n")
    environment.load()
    (tmp_path / ".env").unlink()
    with pytest.raises(SettingsError, match="is gone"):
        environment.load()
    assert os.environ["API_KEY"] == "a-test-key-of-ones-own"


def test_another_file_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEEP_ALIVE_S=3\n")
    (tmp_path / "other").write_text("KEEP_ALIVE_S=4\n")
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "other"))
    assert Settings.load().keep_alive_s == 4
    found = env_file()
    assert found is not None
    assert found.path == tmp_path / "other"


def test_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without it there would be the well-known key again, unnoticed."""
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match=r"ENV_FILE: .*gone cannot be read by this user \(No such file"):
        Settings.load()
    assert env_file() is None


@pytest.mark.parametrize("name", [field.metadata["env"] for field in dataclasses.fields(Settings)])
def test_each_setting_given_empty_is_as_if_not_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Environment().load()
    monkeypatch.setenv(name, "")
    empty = Environment().load()
    assert differences(plain, empty) == (["API_KEY"] if name == "API_KEY" else [])


def test_empty_names_that_gunicorn_reads_are_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEB_CONCURRENCY", "PORT", "LISTEN_FDS", "LISTEN_PID"):
        monkeypatch.setenv(name, " ")
    Environment().load()
    assert not {"WEB_CONCURRENCY", "PORT", "LISTEN_FDS", "LISTEN_PID"} & os.environ.keys()
