from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import responses
from click.testing import CliRunner
from flask import Flask

from app import create_app
from app.cli.main import main
from app.settings import Settings
from tests.support.secrets import API_KEY


def test_settings_are_shown_with_secrets_masked(app: Flask) -> None:
    shown = app.test_cli_runner().invoke(args=["settings"])
    assert shown.exit_code == 0
    assert API_KEY not in shown.output
    assert "* API_KEY" in shown.output
    assert "***" in shown.output
    assert "  PORT" in shown.output


def test_settings_document_is_up_to_date(app: Flask) -> None:
    table = app.test_cli_runner().invoke(args=["settings", "--markdown"]).output.strip()
    document = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    assert table in document, "run: make docs"


def test_protocols_document_is_up_to_date(app: Flask) -> None:
    tables = app.test_cli_runner().invoke(args=["protocols"]).output.strip()
    document = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text("utf-8")
    assert tables in document, "run: make docs"


@pytest.fixture
def device(upstream: responses.RequestsMock) -> responses.RequestsMock:
    upstream.post(
        "https://github.test/login/device/code",
        json={
            "device_code": "2db2896418a92f046216caef1598aa5b5a93d650",
            "user_code": "K7QF-2MZD",
            "verification_uri": "https://github.test/login/device",
            "expires_in": 899,
            "interval": 0,
        },
    )
    return upstream


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("", "backup "),
        ("keys", "invite "),
        ("mapping", "add "),
        ("learned", "forget "),
        ("store", "copy "),
        ("service", "install "),
    ],
)
def test_no_list_of_commands_cuts_a_sentence_off(name: str, one: str) -> None:
    # The group itself: by way of main it would put settings into this process's environment.
    group = main.commands[name] if name else main
    commands = CliRunner().invoke(group, ["--help"]).output.partition("Commands:")[2]
    assert one in commands
    assert "..." not in commands


def test_what_is_as_by_default_is_not_marked_as_set(tmp_path: Path) -> None:
    app = create_app(Settings.from_env({"GITHUB_HOST": "tenant.ghe.com", "DATA_DIR": str(tmp_path)}))
    shown = app.test_cli_runner().invoke(args=["settings"]).output
    marked = {line.split()[1] for line in shown.splitlines() if line.startswith("* ") and line.split()[1].isupper()}
    assert "GITHUB_HOST" in marked
    assert not marked & {"COPILOT_CONFIG_DIR", "GITHUB_BASE_URL", "GITHUB_API_BASE_URL"}
    assert "WEB_SEARCH_MODEL" in shown
    assert not [line for line in shown.splitlines() if line.strip() == "WEB_SEARCH_MODEL"]


def test_login_and_logout(app: Flask, device: responses.RequestsMock) -> None:
    poll = "https://github.test/login/oauth/access_token"
    device.post(poll, json={"error": "authorization_pending"})
    device.post(poll, json={"access_token": "ghu_test_cli", "token_type": "bearer"})
    device.get("https://api.github.test/copilot_internal/user", json={"login": "octocat"})
    runner = app.test_cli_runner()

    signed_in = runner.invoke(args=["login"])
    assert signed_in.exit_code == 0, signed_in.output
    assert "K7QF-2MZD" in signed_in.output
    assert "Signed in as octocat" in signed_in.output
    assert "ghu_test" not in signed_in.output
    tokens: Any = app.extensions["gateway"].github_tokens
    assert tokens.current().secret.reveal() == "ghu_test_cli"

    assert "Signed out" in runner.invoke(args=["logout"]).output
    assert tokens.current() is None
    assert "no sign-in" in runner.invoke(args=["logout"]).output


def test_login_that_fails_says_why(app: Flask, device: responses.RequestsMock) -> None:
    device.post("https://github.test/login/oauth/access_token", json={"error": "access_denied"})
    failed = app.test_cli_runner().invoke(args=["login"])
    assert failed.exit_code == 1
    assert "cancelled" in failed.output
