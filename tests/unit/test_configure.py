"""``configure``: what the command prints, writes and refuses."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from app import create_app
from app.clients.registry import CLIENTS, files_of
from app.errors import SignInRequiredError
from app.settings import DEFAULT_API_KEY, Settings
from tests.support.secrets import API_KEY
from tests.unit.clients.models import observed


@pytest.fixture(autouse=True)
def _catalogue(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(app.extensions["gateway"].catalog), "models", lambda _: tuple(observed()))


def configure(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["configure", *arguments])


def with_key(environment: dict[str, str], key: str) -> Flask:
    return create_app(Settings.from_env({**environment, "API_KEY": key}))


def test_without_a_client_all_are_listed(app: Flask) -> None:
    listed = configure(app)
    assert listed.exit_code == 0
    assert [line.strip() for line in listed.output.splitlines() if line.startswith("  ")] == list(CLIENTS)


def test_an_unknown_client_is_refused_with_the_list(app: Flask) -> None:
    refused = configure(app, "emacs")
    assert refused.exit_code == 2
    assert "'emacs'" in refused.output
    assert "claude-code, codex" in refused.output


@pytest.mark.parametrize("client", CLIENTS)
def test_a_key_of_ones_own_is_not_printed(app: Flask, client: str) -> None:
    printed = configure(app, client)
    assert printed.exit_code == 0, printed.output
    assert API_KEY not in printed.output
    assert "--show-key prints it" in printed.output
    assert API_KEY in configure(app, client, "--show-key").output
    assert ("read it from COPILOT_BRIDGE_KEY" in printed.output) == ('"$COPILOT_BRIDGE_KEY"' in printed.output)


def test_the_well_known_key_is_printed(environment: dict[str, str]) -> None:
    printed = configure(with_key(environment, DEFAULT_API_KEY), "claude-code").output
    assert f'"ANTHROPIC_AUTH_TOKEN": "{DEFAULT_API_KEY}"' in printed
    assert "--show-key" not in printed


def test_of_several_keys_the_first_is_used(environment: dict[str, str]) -> None:
    printed = configure(with_key(environment, "test-first,test-second"), "codex", "--show-key").output
    assert "COPILOT_BRIDGE_KEY=test-first\n" in printed
    assert "test-second" not in printed


def test_a_bridge_without_a_key_gives_clients_something_to_send(environment: dict[str, str]) -> None:
    assert '"ANTHROPIC_AUTH_TOKEN": "no-key-needed"' in configure(with_key(environment, ""), "claude-code").output


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ([], "http://localhost:8000"),
        (["--url", "https://ai.example.com/bridge/"], "https://ai.example.com/bridge"),
        (["--url", "http://10.0.0.5:9/v1"], "http://10.0.0.5:9"),
    ],
)
def test_the_address(app: Flask, given: list[str], used: str) -> None:
    assert f'"ANTHROPIC_BASE_URL": "{used}"' in configure(app, "claude-code", *given).output


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://u:p@x", "http://x?y"])
def test_an_address_that_is_none_is_refused(app: Flask, url: str) -> None:
    refused = configure(app, "claude-code", "--url", url)
    assert refused.exit_code == 2
    assert "--url" in refused.output
    assert "http://localhost:8000" in refused.output


def test_models_can_be_chosen(app: Flask) -> None:
    env = json.loads(
        configure(app, "claude-code", "--model", "claude-opus-4-6", "--small-model", "gpt-5-mini").output.split("\n\n")[
            2
        ]
    )["env"]
    assert (env["ANTHROPIC_MODEL"], env["ANTHROPIC_DEFAULT_HAIKU_MODEL"]) == ("claude-opus-4.6", "gpt-5-mini")


def test_a_renamed_model_is_what_it_leads_to(environment: dict[str, str]) -> None:
    app = create_app(Settings.from_env({**environment, "MODEL_MAPPING": '{"best": "claude-opus-4.6"}'}))
    assert '"ANTHROPIC_MODEL": "claude-opus-4.6"' in configure(app, "claude-code", "--model", "best").output


def test_a_model_that_is_none_is_refused(app: Flask, tmp_path: Path) -> None:
    refused = configure(app, "codex", "--model", "gpt-9", "--write", "--home", str(tmp_path))
    assert refused.exit_code == 1
    assert "no model 'gpt-9'" in refused.output
    assert list(tmp_path.iterdir()) == [] or [p.name for p in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", 'export ANTHROPIC_AUTH_TOKEN="$COPILOT_BRIDGE_KEY"'),
        ("zsh", "export ANTHROPIC_MODEL=claude-sonnet-4.6"),
        ("powershell", "$env:ANTHROPIC_AUTH_TOKEN = $env:COPILOT_BRIDGE_KEY"),
    ],
)
def test_shell_variables_alone(app: Flask, shell: str, line: str) -> None:
    printed = configure(app, "claude-code", "--shell", shell)
    assert line in printed.stdout.splitlines()
    assert all(each.startswith(("export ", "$env:")) for each in printed.stdout.splitlines()), "to be evaluated"
    assert "--show-key" in printed.stderr
    assert API_KEY in configure(app, "claude-code", "--shell", shell, "--show-key").stdout


@pytest.mark.parametrize("client", ["codex", "openai-python"])
def test_what_is_evaluated_leaves_the_key_alone(app: Flask, client: str) -> None:
    printed = configure(app, client, "--shell", "bash")
    script = f"export COPILOT_BRIDGE_KEY=mine\n{printed.stdout}\nprintenv COPILOT_BRIDGE_KEY OPENAI_API_KEY"
    read = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
    assert set(read.stdout.split()) == {"mine"}
    assert "COPILOT_BRIDGE_KEY" in printed.stderr


def test_a_client_without_variables_says_so(app: Flask) -> None:
    refused = configure(app, "cursor", "--shell", "bash")
    assert refused.exit_code == 1
    assert "no shell variables" in refused.output
    assert configure(app, "codex", "--shell", "bash", "--write").exit_code == 2


def test_writing(app: Flask, tmp_path: Path) -> None:
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{\n  "theme": "dark", // mine\n  "env": {"ANTHROPIC_AUTH_TOKEN": "test-former-secret"}\n}\n')
    settings.chmod(0o600)
    done = configure(app, "claude-code", "--write", "--home", str(tmp_path), "--url", "http://b.test:1")
    assert done.exit_code == 0, done.output
    text = settings.read_text()
    assert '"theme": "dark", // mine' in text
    assert f'"ANTHROPIC_AUTH_TOKEN": "{API_KEY}"' in text
    (backup,) = settings.parent.glob("settings.json.bak-*")
    assert "test-former-secret" in backup.read_text()
    assert f"{settings}: updated" in done.output
    assert "  + env.ANTHROPIC_BASE_URL\n" in done.output
    assert "  ~ env.ANTHROPIC_AUTH_TOKEN\n" in done.output
    assert str(backup) in done.output
    assert API_KEY not in done.output
    assert "test-former-secret" not in done.output
    assert "chmod" not in done.output

    again = configure(app, "claude-code", "--write", "--home", str(tmp_path), "--url", "http://b.test:1")
    assert "nothing changed" in again.output
    assert list(settings.parent.glob("*.bak-*")) == [backup]


@pytest.mark.parametrize("client", [name for name in CLIENTS if files_of(name)])
def test_undo_restores_every_file_that_write_changed(app: Flask, client: str, tmp_path: Path) -> None:
    paths = [tmp_path / file.path for file in files_of(client)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert configure(app, client, "--write", "--home", str(tmp_path)).exit_code == 0
    assert all(path.read_text() for path in paths)
    done = configure(app, client, "--undo", "--home", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert not any(path.read_text() for path in paths)
    assert done.output.count("restored from") == len(paths)
    assert API_KEY not in done.output


@pytest.mark.parametrize("client", [name for name in CLIENTS if files_of(name)])
def test_undo_removes_every_file_that_write_made(app: Flask, client: str, tmp_path: Path) -> None:
    paths = [tmp_path / file.path for file in files_of(client)]
    assert configure(app, client, "--write", "--home", str(tmp_path)).exit_code == 0
    assert all(path.exists() for path in paths)
    done = configure(app, client, "--undo", "--home", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert not any(path.exists() for path in paths)
    assert done.output.count("was new, and is removed") == len(paths)


@pytest.mark.parametrize("is_there", [True, False])
def test_undo_says_what_it_left_alone(app: Flask, is_there: bool, tmp_path: Path) -> None:
    settings = tmp_path / ".claude" / "settings.json"
    if is_there:
        settings.parent.mkdir()
        settings.write_text("{}")
    done = configure(app, "claude-code", "--undo", "--home", str(tmp_path))
    assert f"{settings}: has no backup, nothing to undo." in done.output
    assert "没有备份" in configure(app, "claude-code", "--undo", "--home", str(tmp_path), "--language", "zh").output
    assert settings.exists() == is_there


def test_undo_of_a_client_without_files_says_that_there_is_nothing(app: Flask, tmp_path: Path) -> None:
    done = configure(app, "cursor", "--undo", "--home", str(tmp_path))
    assert done.exit_code == 2
    assert "nothing to undo" in done.output


def test_a_file_that_others_can_read_is_pointed_out(app: Flask, tmp_path: Path) -> None:
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text("{}")
    settings.chmod(0o644)
    done = configure(app, "claude-code", "--write", "--home", str(tmp_path))
    assert f"chmod 600 {settings}" in done.output
    assert stat.S_IMODE(settings.stat().st_mode) == 0o644


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_is_written_or_says_why_not(app: Flask, client: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = configure(app, client, "--write", "--home", str(home))
    files = [path for path in home.rglob("*") if path.is_file()]
    if files:
        assert done.exit_code == 0, done.output
        assert any(API_KEY in path.read_text() for path in files)
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert "nothing changed" in configure(app, client, "--write", "--home", str(home)).output
    else:
        assert done.exit_code == 1
        assert "no file to write" in done.output


def test_a_broken_file_is_left_alone_and_the_text_shown(app: Flask, tmp_path: Path) -> None:
    config = tmp_path / ".codex" / "config.toml"
    config.parent.mkdir()
    config.write_text("model = \n")
    refused = configure(app, "codex", "--write", "--home", str(tmp_path))
    assert refused.exit_code == 1
    assert "not valid TOML" in refused.output
    assert "[model_providers.copilot-bridge]" in refused.output
    assert config.read_text() == "model = \n"
    assert list(config.parent.iterdir()) == [config]


def test_what_is_shown_to_put_in_by_hand_hides_the_key(app: Flask, tmp_path: Path) -> None:
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text("{")
    refused = configure(app, "claude-code", "--write", "--home", str(tmp_path))
    assert "ANTHROPIC_BASE_URL" in refused.output
    assert API_KEY not in refused.output


def test_chinese(app: Flask, tmp_path: Path) -> None:
    assert "合并到 ~/.codex/config.toml" in configure(app, "codex", "--language", "zh").output
    assert "已创建" in configure(app, "codex", "--language", "zh", "--write", "--home", str(tmp_path)).output


def test_without_a_sign_in_it_says_what_to_do(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> Any:
        raise SignInRequiredError("Not signed in to GitHub yet. Open /auth/device in a browser to sign in.")

    monkeypatch.setattr(type(app.extensions["gateway"].catalog), "models", refuse)
    refused = configure(app, "codex")
    assert refused.exit_code == 1
    assert "Not signed in" in refused.output
    assert "flask --app wsgi login" in refused.output
    assert "/setup" in refused.output, "for those whose bridge has other settings"


def test_a_moved_folder_is_written_where_it_is(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, moved = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(moved / "xdg"))
    monkeypatch.setenv("CODEX_HOME", str(moved / "codex"))
    monkeypatch.setenv("LLM_USER_PATH", str(moved / "llm"))
    for client in ("codex", "opencode", "llm", "qwen-code"):
        done = configure(app, client, "--write")
        assert done.exit_code == 0, done.output
    assert (moved / "codex" / "config.toml").is_file()
    assert (moved / "codex" / ".env").is_file()
    assert (moved / "xdg" / "opencode" / "opencode.json").is_file()
    assert (moved / "llm" / "keys.json").is_file()
    assert [path.name for path in home.iterdir()] == [".qwen"]


def test_a_home_that_was_asked_for_is_meant_as_a_whole(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "elsewhere"))
    configure(app, "codex", "--write", "--home", str(tmp_path / "home"))
    assert (tmp_path / "home" / ".codex" / "config.toml").is_file()
    assert not (tmp_path / "elsewhere").exists()
