"""The page of the settings in force: all of them, in both languages, and of secrets nothing but that they are set."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.blueprints.configuration import GROUPS
from app.settings import Secret, Settings, SettingsError, rows
from tests.support.secrets import API_KEY
from tests.unit.blueprints.test_pages import CHINESE, HTML, assert_chinese

AT = "/admin/settings"
KEY = {"Authorization": f"Bearer {API_KEY}"}
FIELDS = {field.metadata["env"]: field for field in dataclasses.fields(Settings)}
WORD = "hunter2hunter2"
SEALING = base64.b64encode(b"hunter2hunter2hunter2hunter2test").decode()
HIDDEN = {
    "API_KEY": f"sk-{WORD}, {API_KEY}",
    "GH_COPILOT_TOKEN": f"ghu_{WORD}",
    "REDIS_URL": f"redis://user:{WORD}@localhost:6379/0",
    "DATABASE_URL": f"postgresql://bridge:{WORD}@localhost/bridge",
    "STORED_RESPONSES_KEY": SEALING,
    "ACCOUNT_TOKENS_KEY": SEALING,
}


def test_every_setting_stands_there_with_what_is_in_force(client: FlaskClient, settings: Settings) -> None:
    page = client.get(AT, headers=KEY | HTML).text
    told = client.get(AT, headers=KEY).get_json()["settings"]
    assert [row["name"] for row in told] == list(FIELDS)
    assert re.findall(r'<tr id="(\w+)">', page) == list(FIELDS)
    by_name = {row["name"]: row for row in told}
    assert by_name["PORT"] == {
        "name": "PORT", "value": "8000", "default": "8000", "is_set": False, "needs_restart": True,
        "meaning": "port to listen on",
    }  # fmt: skip
    assert by_name["DATA_DIR"]["value"] == str(settings.data_dir)
    assert {name for name, row in by_name.items() if row["is_set"]} == {
        "API_KEY", "DATA_DIR", "COPILOT_CONFIG_DIR", "GITHUB_BASE_URL", "GITHUB_API_BASE_URL", "COPILOT_API_BASE_URL",
    }  # fmt: skip
    assert {name for name, row in by_name.items() if row["needs_restart"]} == {"HOST", "PORT"}
    assert "6 settings differ from their defaults." in page


def test_a_default_that_follows_from_another_setting_is_one() -> None:
    given = {"API_KEY": "sk-test", "GITHUB_HOST": "tenant.ghe.com"}
    assert {row.env for row in rows(Settings.from_env(given)) if row.is_set} == {"API_KEY", "GITHUB_HOST"}


def test_the_table_of_hidden_settings_has_every_secret() -> None:
    assert {name for name, field in FIELDS.items() if "Secret" in str(field.type)} == set(HIDDEN)


def in_force(tmp_path: Path, **given: str) -> Any:
    settings = Settings.from_env({"DATA_DIR": str(tmp_path), "COPILOT_CONFIG_DIR": str(tmp_path), **given})
    # What cannot be reached is not asked for: the service is made without the servers that it names.
    served = dataclasses.replace(settings, redis_url=None, database_url=None)
    app = create_app(served)
    app.extensions["gateway"] = dataclasses.replace(app.extensions["gateway"], settings=settings)
    return app


@pytest.mark.parametrize("name", HIDDEN)
def test_a_secret_is_told_to_be_set_and_nothing_else_of_it(tmp_path: Path, name: str) -> None:
    app = in_force(tmp_path, **{"API_KEY": API_KEY, name: HIDDEN[name]})
    client = app.test_client()
    for accept in ("text/html", "application/json"):
        answer = client.get(AT, headers={"Accept": accept, **KEY})
        assert answer.status_code == 200
        for piece in (WORD, SEALING, HIDDEN[name], API_KEY, WORD[:6], str(len(HIDDEN[name])) + " char"):
            assert piece not in answer.text, piece
    [row] = [row for row in client.get(AT, headers=KEY).get_json()["settings"] if row["name"] == name]
    assert (row["value"], row["is_set"]) == (None, True)
    shown = client.get(AT, headers=KEY | HTML).text.partition(f'<tr id="{name}">')[2].partition("</tr>")[0]
    assert "set, and not shown" in shown
    assert "***" not in shown  # not even how many keys there are
    app.extensions["gateway"].close()


# A path with two slashes in a row is one with one: no address.
@pytest.mark.parametrize("name", sorted(it for it in set(FIELDS) - set(HIDDEN) if "Path" not in str(FIELDS[it].type)))
@pytest.mark.parametrize("text", [f"https://user:{WORD}@host.test/x", f"ghu_{WORD}", f"cb-{WORD * 3}x"])
def test_what_looks_like_a_secret_is_shown_in_no_setting(name: str, text: str) -> None:
    """Whatever somebody puts into the wrong variable: it is refused, or masked where it is shown."""
    shown = ""
    with contextlib.suppress(SettingsError):
        shown = "".join(row.value for row in rows(Settings.from_env({name: text})))
    assert WORD not in shown


def test_the_key_that_everybody_knows_is_shown(tmp_path: Path) -> None:
    app = in_force(tmp_path)
    default = next(row for row in rows(app.extensions["gateway"].settings) if row.env == "API_KEY")
    assert (default.value, default.is_set, default.is_secret) == (default.default, False, True)
    assert isinstance(app.extensions["gateway"].settings.api_keys[0], Secret)
    app.extensions["gateway"].close()


def test_a_client_key_sees_nothing_of_it(client: FlaskClient) -> None:
    made = client.post("/admin/keys", json={"name": "laptop"}, headers=KEY).get_json()
    laptop = {"Authorization": f"Bearer {made['secret']}"}
    for accept in ({}, HTML):
        answer = client.get(AT, headers=laptop | accept)
        assert answer.status_code == 403
        assert "WEB_CONCURRENCY" not in answer.text
    assert client.get(AT).status_code == 401


def test_the_page_in_chinese(client: FlaskClient) -> None:
    assert_chinese(client.get(AT, headers=CHINESE | KEY).text)


def test_groups_are_those_of_the_example_file() -> None:
    example = (Path(__file__).parents[3] / ".env.example").read_text("utf-8")
    firsts = [re.findall(r"^# ([A-Z_]+)=", part, re.M)[0] for part in re.split(r"^# ── .*$", example, flags=re.M)[1:]]
    assert firsts == list(GROUPS)


def test_stored_text_never_runs(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    app = in_force(tmp_path, API_KEY=API_KEY, EDITOR_VERSION=hostile, MODEL_MAPPING=json.dumps({hostile: "x"}))
    page = app.test_client().get(AT, headers=KEY | HTML).text
    assert "&lt;script&gt;alert" in page
    assert "<script>alert" not in page
    app.extensions["gateway"].close()
