"""The page that switches recording on: for administrators, by a form of ours, for one key and a limited time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from app.gateway import Gateway
from tests.support.secrets import API_KEY
from tests.unit.blueprints.test_pages import CHINESE, HTML, assert_chinese

KEY = {"Authorization": f"Bearer {API_KEY}"}
PAGE = KEY | HTML
AT = "/admin/recording"
WORD = "ghjkmnpq"
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": WORD}]}
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": WORD}, "finish_reason": "stop"}]}


@pytest.fixture
def at_once(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.recorder, "_run", lambda work: work())


@pytest.fixture
def ask(
    signed_in: None,
    catalogue: Callable[..., None],
    upstream: responses.RequestsMock,
    client: FlaskClient,
    at_once: None,
) -> Callable[[], None]:
    catalogue("gpt-4.1")
    upstream.post("https://copilot.test/chat/completions", json=ANSWER)

    def call() -> None:
        with client.post("/v1/chat/completions", json=BODY, headers=KEY):
            pass

    return call


def send(client: FlaskClient, **form: str) -> Any:
    page = client.get(AT, headers=PAGE).text
    [token] = set(re.findall(r'name="token" value="(\w+)"', page))
    return client.post(AT, data={"token": token, **form}, headers=PAGE)


def start(client: FlaskClient, minutes: str = "10") -> Any:
    [name] = client.application.extensions["gateway"].keys.names()
    return send(client, action="start", key=name, minutes=minutes)


def test_from_switching_on_to_the_file(ask: Callable[[], None], client: FlaskClient) -> None:
    ask()
    assert start(client).status_code == 303
    ask()
    page = client.get(AT, headers=PAGE).text
    assert "Calls are being recorded." in page
    told = client.get(AT, headers=KEY).get_json()
    assert told["recording"]["key"]
    [kept] = told["bundles"]
    file = client.get(f"{AT}/{kept['id']}", headers=KEY)
    assert file.headers["Content-Disposition"] == f'attachment; filename="call-{kept["id"]}.json"'
    assert WORD not in file.text
    assert json.loads(file.text)["outcome"]["status"] == 200
    assert send(client, action="stop").status_code == 303
    ask()
    assert len(client.get(AT, headers=KEY).get_json()["bundles"]) == 1
    assert send(client, action="forget", id=kept["id"]).status_code == 303
    assert client.get(f"{AT}/{kept['id']}", headers=KEY).status_code == 404


@pytest.mark.parametrize("minutes", ["0", "61", "-1", "x", "", "1.5", "９", "9" * 30])
def test_it_lasts_an_hour_at_most(client: FlaskClient, minutes: str) -> None:
    assert start(client, minutes).status_code == 400
    assert client.get(AT, headers=KEY).get_json()["recording"] is None


@pytest.mark.parametrize(
    "form",
    [
        {"action": "start", "key": "nobody", "minutes": "5"},
        {"action": "start", "minutes": "5"},
        {"action": "dance"},
        {},
    ],
)
def test_a_form_that_makes_no_sense_changes_nothing(client: FlaskClient, form: dict[str, str]) -> None:
    assert send(client, **form).status_code == 400
    assert client.get(AT, headers=KEY).get_json()["recording"] is None


@pytest.mark.parametrize("id", ["x", "0" * 16, "../recording", "%2e%2e", "0" * 15, "G" * 16])
def test_what_is_not_there_is_gone(client: FlaskClient, id: str) -> None:
    assert client.get(f"{AT}/{id}", headers=KEY).status_code == 404


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({}, {"token": "wrong"}),
        ({}, {}),
        ({"Origin": "http://evil.example"}, {}),
        ({"Sec-Fetch-Site": "cross-site"}, {}),
    ],
)
def test_a_foreign_form_changes_nothing(client: FlaskClient, headers: dict[str, str], form: dict[str, str]) -> None:
    [name] = client.application.extensions["gateway"].keys.names()
    client.get(f"{AT}?api_key={API_KEY}", headers=HTML)  # the browser is known
    answer = client.post(AT, data={"action": "start", "key": name, "minutes": "5", **form}, headers=HTML | headers)
    assert answer.status_code == 403
    assert client.get(AT, headers=KEY).get_json()["recording"] is None


def test_a_client_key_reaches_none_of_it(client: FlaskClient) -> None:
    made = client.post("/admin/keys", json={"name": "laptop"}, headers=KEY).get_json()
    laptop = {"Authorization": f"Bearer {made['secret']}"}
    for answer in (
        client.get(AT, headers=laptop),
        client.get(f"{AT}/{'0' * 16}", headers=laptop),
        client.post(AT, data={"action": "stop"}, headers=laptop),
    ):
        assert answer.status_code == 403


def test_the_page_in_chinese(ask: Callable[[], None], client: FlaskClient) -> None:
    assert_chinese(client.get(AT, headers=CHINESE | KEY).text)
    start(client)
    ask()
    page = client.get(AT, headers=CHINESE | KEY)
    assert page.status_code == 200
    assert_chinese(page.text)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_stored_text_never_runs(client: FlaskClient, gateway: Gateway, name: str) -> None:
    client.post("/admin/keys", json={"name": name}, headers=KEY)
    gateway.recorder.start(name, for_s=60, by=name)
    gateway.store.put("bundle-head:" + "0" * 16, json.dumps(
        {"request_id": name, "model": name, "outcome": name, "error": name, "made_at": 1.0, "gone_at": 2.0, "size": 1}
    ))  # fmt: skip
    page = client.get(AT, headers=PAGE)
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
