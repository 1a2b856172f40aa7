"""The models page: what each can do and costs, why one cannot be used, and accepting its terms."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from tests.support.secrets import API_KEY
from tests.unit.blueprints.test_pages import CHINESE, HTML, assert_chinese, text_of

KEY = {"Authorization": f"Bearer {API_KEY}"}
PAGE = KEY | HTML
POLICY = "https://copilot.test/models/claude-x/policy"
FULL: dict[str, Any] = {
    "id": "gpt-4.1",
    "name": "GPT-4.1",
    "vendor": "OpenAI",
    "preview": True,
    "supported_endpoints": ["/chat/completions", "/responses"],
    "billing": {
        "restricted_to": ["pro", "max"],
        "token_prices": {"default": {"input_price": 200, "output_price": 800, "cache_price": 50}},
    },
    "capabilities": {
        "type": "chat",
        "limits": {"max_context_window_tokens": 128000, "max_output_tokens": 16384, "vision": {"max_prompt_images": 3}},
        "supports": {"tool_calls": True, "vision": True, "reasoning_effort": ["low", "high"]},
    },
}
UNSET = {"id": "claude-x", "vendor": "Anthropic", "policy": {"state": "unconfigured", "terms": "Be <b>nice</b>."}}
DISABLED = {"id": "claude-y", "policy": {"state": "disabled"}}
STRANGE = {"id": "talker", "supported_endpoints": ["ws:/responses"]}
NOT_OURS = {"id": "odd-1", "capabilities": {"limits": 7, "supports": []}, "billing": "free", "policy": []}


@pytest.fixture
def page(signed_in: None, catalogue: Callable[..., None], client: FlaskClient) -> Callable[..., str]:
    catalogue(FULL, UNSET, DISABLED, STRANGE, NOT_OURS)

    def get(query: str = "", **headers: str) -> str:
        answer = client.get("/catalogue" + query, headers=PAGE | headers)
        assert answer.status_code == 200
        return answer.text

    return get


def send(client: FlaskClient, **form: str) -> Any:
    [token] = set(re.findall(r'name="token" value="(\w+)"', client.get("/catalogue", headers=PAGE).text))
    return client.post("/catalogue", data={"token": token, **form}, headers=PAGE)


def test_a_model_is_told_with_sizes_abilities_and_prices(page: Callable[..., str]) -> None:
    text = text_of(page())
    for words in ("GPT-4.1", "128,000", "16,384", "sees images", "calls tools", "reasons", "preview", "low, high"):
        assert words in text
    for words in ("Chat, Responses", "200 in, 800 out; 50 from the cache", "pro, max", "up to 3 in a call"):
        assert words in text


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gpt-4.1", "gpt-4.1 means gpt-4.1, which can be used."),
        ("openai/GPT-4.1", "openai/GPT-4.1 means gpt-4.1, which can be used."),
        ("claude-x", "claude-x means claude-x. Its terms have not been accepted yet."),
        ("claude-y", "It is disabled by a policy of the account or its organisation."),
        ("talker", "It is served in a way that the bridge does not speak."),
        ("gpt-4.2", "Close to it: gpt-4.1"),
        ("zzzzzz", "Copilot does not list zzzzzz for this account"),
    ],
)
def test_why_a_model_is_missing(page: Callable[..., str], name: str, why: str) -> None:
    assert why in text_of(page(f"?name={name}"))


def test_for_programs_it_is_the_list(page: Callable[..., str], client: FlaskClient) -> None:
    told = client.get("/catalogue", headers=KEY).get_json()
    assert [model["id"] for model in told["data"]] == ["gpt-4.1", "claude-x", "claude-y", "talker", "odd-1"]


def test_accepting_terms_enables_a_model(
    page: Callable[..., str], client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    assert "Be &lt;b&gt;nice" in page()
    asked = upstream.post(POLICY, json={})
    upstream.replace(
        "GET", "https://copilot.test/models", json={"data": [FULL, UNSET | {"policy": {"state": "enabled"}}]}
    )
    assert send(client, model="claude-x", accept="yes").status_code == 303
    assert json.loads(asked.calls[0].request.body) == {"state": "enabled"}
    assert "claude-x means claude-x, which can be used." in text_of(page("?name=claude-x"))


@pytest.mark.parametrize(
    ("form", "upstream_status", "status", "says"),
    [
        ({"model": "claude-x"}, 200, 400, "Confirm that you accept"),
        ({"model": "claude-z", "accept": "yes"}, 200, 400, "has no model"),
        ({"model": "../models", "accept": "yes"}, 200, 400, "has no model"),
        ({"model": "claude-x", "accept": "yes"}, 403, 403, "organisation decides"),
        ({"model": "claude-x", "accept": "yes"}, 404, 502, "HTTP 404"),
    ],
)
def test_what_is_not_enabled_is_told(
    page: Callable[..., str],
    client: FlaskClient,
    upstream: responses.RequestsMock,
    form: dict[str, str],
    upstream_status: int,
    status: int,
    says: str,
) -> None:
    upstream.post(POLICY, status=upstream_status, body="no")
    answer = send(client, **form)
    assert answer.status_code == status
    assert says in answer.text


def test_a_foreign_form_enables_nothing(
    page: Callable[..., str], client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    asked = upstream.post(POLICY, json={})
    client.get(f"/catalogue?api_key={API_KEY}", headers=HTML)
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        answer = client.post("/catalogue", data={"model": "claude-x", "accept": "yes"}, headers=HTML | headers)
        assert answer.status_code == 403
    assert not asked.calls


def test_a_client_sees_what_its_key_may_use_and_enables_nothing(
    page: Callable[..., str], client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    asked = upstream.post(POLICY, json={})
    made = client.post("/admin/keys", json={"name": "laptop", "models": ["gpt-*"]}, headers=KEY).get_json()
    laptop = {"Authorization": f"Bearer {made['secret']}"}
    text = client.get("/catalogue", headers=HTML | laptop).text
    assert "Accept its terms" not in text
    assert text_of(text).count("Your key may not use it.") == 4
    assert client.post("/catalogue", data={"model": "claude-x", "accept": "yes"}, headers=laptop).status_code == 403
    assert not asked.calls


def test_without_a_list_the_page_says_why(client: FlaskClient) -> None:
    answer = client.get("/catalogue", headers=PAGE)
    assert answer.status_code == 200
    assert "Not signed in" in answer.text or "sign in" in answer.text.lower()
    assert client.get("/catalogue", headers=KEY).status_code == 403


def test_the_page_in_chinese(page: Callable[..., str]) -> None:
    for query in ("", "?name=gpt-4.1", "?name=claude-x", "?name=gpt-4.2", "?name=zzzz"):
        assert_chinese(page(query, **CHINESE))


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def test_stored_text_never_runs(signed_in: None, catalogue: Callable[..., None], client: FlaskClient) -> None:
    billing = {"restricted_to": [HOSTILE]}
    supports = {"reasoning_effort": [HOSTILE]}
    hostile = {"id": HOSTILE, "name": HOSTILE, "vendor": HOSTILE, "billing": billing, "supported_endpoints": [HOSTILE]}
    hostile |= {"policy": {"state": HOSTILE, "terms": HOSTILE}, "capabilities": {"supports": supports, "type": HOSTILE}}
    catalogue(hostile)
    client.application.extensions["gateway"].mapping.set(HOSTILE[:60], HOSTILE, by="test")
    answer = client.get("/catalogue", query_string={"name": HOSTILE}, headers=PAGE)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
