"""The cache doctor's page: switched on by a form of ours, findings for administrators, no text in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from tests.support.secrets import API_KEY
from tests.unit.blueprints.test_pages import CHINESE, HTML, assert_chinese

KEY = {"Authorization": f"Bearer {API_KEY}"}
PAGE = KEY | HTML
AT = "/admin/cache"
WORD = "ghjkmnpq"
URL = "https://copilot.test/chat/completions"
PRICED = {
    "id": "gpt-4.1",
    "vendor": "OpenAI",
    "billing": {"token_prices": {"default": {"input_price": 300, "output_price": 800, "cache_price": 30}}},
}


@pytest.fixture
def ask(
    signed_in: None, catalogue: Callable[..., None], upstream: responses.RequestsMock, client: FlaskClient
) -> Callable[..., None]:
    catalogue(PRICED)

    def call(cached: int, tool: str = "read", **headers: str) -> None:
        usage = {"prompt_tokens": 9000, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": cached}}
        message = {"role": "assistant", "content": WORD}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        upstream.upsert("POST", URL, json={"choices": [choice], "usage": usage})
        tools = [{"type": "function", "function": {"name": tool, "parameters": {"type": "object"}}}]
        body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": WORD}], "tools": tools}
        with client.post("/v1/chat/completions", json=body, headers=KEY | headers) as answer:
            assert answer.status_code == 200

    return call


def send(client: FlaskClient, **form: str) -> Any:
    [token] = set(re.findall(r'name="token" value="(\w+)"', client.get(AT, headers=PAGE).text))
    return client.post(AT, data={"token": token, **form}, headers=PAGE)


def told(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get(AT, headers=KEY).get_json()
    return found


def test_nothing_is_watched_until_switched_on(ask: Callable[..., None], client: FlaskClient) -> None:
    ask(8000)
    ask(0, tool="other")
    assert told(client) == {"watched_until": None, "findings": []}


def test_a_lost_cache_is_told_with_field_cause_and_cost(ask: Callable[..., None], client: FlaskClient) -> None:
    assert send(client, action="start", hours="2").status_code == 303
    ask(8000)
    ask(0, tool="other")
    [finding] = told(client)["findings"]
    assert (finding["field"], finding["by"], finding["lost"]) == ("tools[0]", "client", 8000)
    assert finding["cost"] == pytest.approx(8000 * 270 / 1_000_000)
    for headers in (KEY, PAGE):
        answer = client.get(AT, headers=headers)
        assert answer.status_code == 200
        assert WORD not in answer.text
    assert "the client changed it" in client.get(AT, headers=PAGE).text
    assert "prefix" not in client.get("/requests", headers=KEY).get_json()["calls"][0]
    assert send(client, action="stop").status_code == 303
    assert told(client)["watched_until"] is None


@pytest.mark.parametrize(
    "form", [{}, {"action": "x"}, *({"action": "start", "hours": h} for h in ("0", "25", "", "x"))]
)
def test_a_form_that_makes_no_sense_changes_nothing(client: FlaskClient, form: dict[str, str]) -> None:
    assert send(client, **form).status_code == 400
    assert told(client)["watched_until"] is None


def test_a_foreign_form_changes_nothing(client: FlaskClient) -> None:
    client.get(f"{AT}?api_key={API_KEY}", headers=HTML)
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        form = {"action": "start", "hours": "2"}
        assert client.post(AT, data=form, headers=HTML | headers).status_code == 403
    assert told(client)["watched_until"] is None


def test_a_client_key_reaches_none_of_it(client: FlaskClient) -> None:
    made = client.post("/admin/keys", json={"name": "laptop"}, headers=KEY).get_json()
    laptop = {"Authorization": f"Bearer {made['secret']}"}
    assert client.get(AT, headers=laptop).status_code == 403
    assert client.post(AT, data={"action": "stop"}, headers=laptop).status_code == 403


def test_the_page_in_chinese(ask: Callable[..., None], client: FlaskClient) -> None:
    assert_chinese(client.get(AT, headers=CHINESE | KEY).text)
    send(client, action="start", hours="2")
    ask(8000)
    ask(0, tool="other")
    answer = client.get(AT, headers=CHINESE | KEY)
    assert answer.status_code == 200
    assert "tools[0]" in answer.text
    assert_chinese(answer.text)


def test_stored_text_never_runs(ask: Callable[..., None], client: FlaskClient) -> None:
    send(client, action="start", hours="2")
    hostile = {"User-Agent": "<script>alert/1 <img/onerror"}
    ask(8000, **hostile)
    ask(0, tool="<script>alert(1)</script>"[:20], **hostile)
    answer = client.get(AT, headers=PAGE)
    assert answer.text.count("the client changed it") == 1
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
