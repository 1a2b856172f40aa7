"""The page of what Copilot refused: shown with its end, forgotten by a form of ours, exported as JSON."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.gateway import Gateway
from tests.support.secrets import API_KEY
from tests.unit.blueprints.test_pages import CHINESE, HTML, assert_chinese

KEY = {"Authorization": f"Bearer {API_KEY}"}
PAGE = KEY | HTML
AT = "/admin/learned"


@pytest.fixture
def learned(gateway: Gateway) -> Gateway:
    for model, path, name in (
        ("gpt-4.1", "/chat/completions", "seed"),
        ("gpt-4.1", "/chat/completions", "logit_bias"),
        ("gpt-4.1", "/responses", "seed"),
        ("claude-x", "/v1/messages", "top_k"),
    ):
        gateway.refusals.learn(model, path, name)
    return gateway


def send(client: FlaskClient, **form: str) -> Any:
    [token] = set(re.findall(r'name="token" value="(\w+)"', client.get("/admin/mapping", headers=PAGE).text))
    return client.post(AT, data={"token": token, **form}, headers=PAGE)


def rows(client: FlaskClient) -> list[tuple[str, str, list[str]]]:
    return [(row["model"], row["path"], row["names"]) for row in client.get(AT, headers=KEY).get_json()["learned"]]


def test_what_was_learned_is_told_with_its_end(client: FlaskClient, learned: Gateway) -> None:
    assert rows(client) == [
        ("claude-x", "/v1/messages", ["top_k"]),
        ("gpt-4.1", "/chat/completions", ["logit_bias", "seed"]),
        ("gpt-4.1", "/responses", ["seed"]),
    ]
    page = client.get(AT, headers=PAGE).text
    assert page.count("tried anew after") == 3
    assert all(row["expires_at"] for row in client.get(AT, headers=KEY).get_json()["learned"])


def test_one_name_or_all_of_a_model_are_forgotten(client: FlaskClient, learned: Gateway) -> None:
    assert send(client, model="gpt-4.1", name="seed").status_code == 303
    assert rows(client) == [("claude-x", "/v1/messages", ["top_k"]), ("gpt-4.1", "/chat/completions", ["logit_bias"])]
    assert send(client, model="gpt-4.1").status_code == 303
    assert rows(client) == [("claude-x", "/v1/messages", ["top_k"])]


@pytest.mark.parametrize(
    ("form", "status"), [({}, 400), ({"model": "x"}, 404), ({"model": "claude-x", "name": "n"}, 404)]
)
def test_what_is_not_there_is_told(client: FlaskClient, learned: Gateway, form: dict[str, str], status: int) -> None:
    assert send(client, **form).status_code == status
    assert len(rows(client)) == 3


def test_a_foreign_form_forgets_nothing(client: FlaskClient, learned: Gateway) -> None:
    client.get(f"{AT}?api_key={API_KEY}", headers=HTML)
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        assert client.post(AT, data={"model": "gpt-4.1"}, headers=HTML | headers).status_code == 403
    assert len(rows(client)) == 3


def test_it_is_exported_as_a_file(client: FlaskClient, learned: Gateway) -> None:
    answer = client.get(AT + "?format=json", headers=PAGE)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="learned.json"'
    assert len(answer.get_json()["learned"]) == 3


def test_a_client_key_reaches_none_of_it(client: FlaskClient, learned: Gateway) -> None:
    made = client.post("/admin/keys", json={"name": "laptop"}, headers=KEY).get_json()
    laptop = {"Authorization": f"Bearer {made['secret']}"}
    assert client.get(AT, headers=laptop).status_code == 403
    assert client.post(AT, data={"model": "gpt-4.1"}, headers=laptop).status_code == 403


def test_the_page_in_chinese_empty_and_full(client: FlaskClient, gateway: Gateway) -> None:
    assert_chinese(client.get(AT, headers=CHINESE | KEY).text)
    gateway.refusals.learn("gpt-4.1", "/responses", "seed")
    assert_chinese(client.get(AT, headers=CHINESE | KEY).text)


def test_stored_text_never_runs(client: FlaskClient, gateway: Gateway) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    gateway.store.put(f"refused:/{hostile}:{hostile}", '["seed"]')
    answer = client.get(AT, headers=PAGE)
    assert answer.status_code == 200
    assert "seed" in answer.text
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
