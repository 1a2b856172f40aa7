"""Talking to a model from a page: three dialects, guarded by the word of our forms, booked like any other call."""

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
STREAM = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}\n\ndata: [DONE]\n\n'
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "messages": {"max_tokens": 10, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    "responses": {"store": False, "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]},
}


@pytest.fixture
def browser(
    signed_in: None, catalogue: Callable[..., None], upstream: responses.RequestsMock, client: FlaskClient
) -> FlaskClient:
    """A browser that has shown the key once."""
    catalogue("gpt-4.1", {"id": "emb", "capabilities": {"type": "embeddings"}})
    upstream.post("https://copilot.test/chat/completions", body=STREAM + USAGE, content_type="text/event-stream")
    client.get(f"/try?api_key={API_KEY}", headers=HTML)
    return client


def token(browser: FlaskClient) -> str:
    [found] = set(re.findall(r'data-token="(\w+)"', browser.get("/try", headers=HTML).text))
    return str(found)


def send(browser: FlaskClient, dialect: str = "chat", **headers: str) -> Any:
    body = {"model": "gpt-4.1", "stream": True, **BODIES[dialect]}
    return browser.post(f"/try/{dialect}", json=body, headers=headers)


@pytest.mark.parametrize("dialect", BODIES)
def test_a_model_answers_in_each_dialect_and_the_call_is_booked(browser: FlaskClient, dialect: str) -> None:
    with send(browser, dialect, **{"x-form-token": token(browser)}) as answer:
        assert answer.status_code == 200
        assert b"hello" in answer.get_data()
        id = answer.headers["x-request-id"]
    [row] = browser.get("/requests").get_json()["calls"]
    assert (row["request_id"], row["dialect"], row["input_tokens"]) == (id, dialect, 5)


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-form-token": ""}, {"x-form-token": "0" * 64}, {"x-form-token": "é"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_without_the_word_of_the_form_nothing_is_spent(
    browser: FlaskClient, upstream: responses.RequestsMock, headers: dict[str, str]
) -> None:
    assert send(browser, **headers).status_code == 403
    assert not [call for call in upstream.calls if call.request.url.endswith("/chat/completions")]


def test_the_word_of_another_browser_counts_for_nothing(browser: FlaskClient) -> None:
    word = token(browser)
    other = browser.application.test_client()
    other.get(f"/try?api_key={API_KEY}", headers=HTML)
    assert send(other, **{"x-form-token": word}).status_code == 403


def test_a_wrong_body_is_told_in_the_dialect(browser: FlaskClient) -> None:
    word = {"x-form-token": token(browser)}
    answer = browser.post("/try/messages", json={"model": "gpt-4.1"}, headers=word)
    assert answer.status_code == 400
    assert answer.get_json()["type"] == "error"
    answer = browser.post("/try/chat", data=b"{", headers=word)
    assert answer.status_code == 400


def test_a_client_key_talks_within_its_limits(browser: FlaskClient) -> None:
    made = browser.post("/admin/keys", json={"name": "laptop", "models": ["gpt-5*"]}, headers=KEY).get_json()
    other = browser.application.test_client()
    other.get(f"/try?api_key={made['secret']}", headers=HTML)
    page = other.get("/try", headers=HTML)
    assert page.status_code == 200
    assert "<option>gpt-4.1</option>" not in page.text
    assert send(other, **{"x-form-token": token(other)}).status_code == 403


def test_models_for_conversations_are_offered(browser: FlaskClient) -> None:
    page = browser.get("/try?model=gpt-4.1", headers=HTML).text
    assert "<option selected>gpt-4.1</option>" in page
    assert "emb" not in re.findall(r"<option[^>]*>([^<]*)<", page)
    assert len(page) < 150 * 1024


def test_without_a_list_the_page_says_why(client: FlaskClient) -> None:
    answer = client.get("/try", headers=PAGE)
    assert answer.status_code == 200
    assert "disabled" in answer.text


def test_the_page_in_chinese(browser: FlaskClient) -> None:
    answer = browser.get("/try", headers=CHINESE)
    assert answer.status_code == 200
    assert_chinese(answer.text)
    assert "等待回答" in answer.text.replace("\\u7b49\\u5f85\\u56de\\u7b54", "等待回答")


def test_stored_text_never_runs(signed_in: None, catalogue: Callable[..., None], client: FlaskClient) -> None:
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    catalogue(hostile)
    answer = client.get("/try", query_string={"model": hostile}, headers=PAGE)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text


ZH = {"Accept-Language": "zh-CN"}
HAN = re.compile(r"[\u4e00-\u9fff]")
OWN_ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "a model for something else": (400, {"model": "emb"}),
    "no model": (400, {"model": ""}),
    "a field of the wrong kind": (400, {"stream": "yes"}),
}


@pytest.mark.parametrize("dialect", BODIES)
@pytest.mark.parametrize("case", OWN_ERRORS)
def test_our_errors_are_told_in_the_language_of_the_page(browser: FlaskClient, case: str, dialect: str) -> None:
    status, fields = OWN_ERRORS[case]
    body, word = {"model": "gpt-4.1", **BODIES[dialect], **fields}, {"x-form-token": token(browser)}
    chinese = browser.post(f"/try/{dialect}", json=body, headers=word | ZH)
    english = browser.post(f"/try/{dialect}", json=body, headers=word)
    program = browser.post({"chat": "/v1/chat/completions"}.get(dialect, f"/v1/{dialect}"), json=body, headers=KEY | ZH)
    assert {answer.status_code for answer in (chinese, english, program)} == {status}
    assert HAN.search(chinese.get_json()["error"]["message"])
    # A program is told what it always was, whatever its languages are.
    assert english.get_json()["error"]["message"] == program.get_json()["error"]["message"]
    assert not HAN.search(english.get_json()["error"]["message"])


def test_a_form_that_has_expired_is_told_in_the_language_of_the_page(browser: FlaskClient) -> None:
    assert HAN.search(send(browser, **{"x-form-token": "0", **ZH}).get_json()["error"]["message"])


def test_what_copilot_says_stays_as_it_is(browser: FlaskClient, upstream: responses.RequestsMock) -> None:
    said = "The pears of this request are not ripe."
    refusal = {"error": {"message": said, "code": "unripe"}}
    upstream.replace("POST", "https://copilot.test/chat/completions", json=refusal, status=400)
    answer = send(browser, **{"x-form-token": token(browser), **ZH})
    assert (answer.status_code, said in answer.get_json()["error"]["message"]) == (400, True)


def test_a_model_that_copilot_does_not_know_is_told_in_both_tongues(
    browser: FlaskClient, upstream: responses.RequestsMock
) -> None:
    """Copilot's words within ours, and what it may have been."""
    refusal = {"error": {"message": "The requested model is not supported.", "code": "model_not_supported"}}
    upstream.replace("POST", "https://copilot.test/chat/completions", json=refusal, status=400)
    body, word = {"model": "gpt-4.2", **BODIES["chat"]}, {"x-form-token": token(browser)}
    answer = browser.post("/try/chat", json=body, headers=word | ZH)
    assert answer.status_code == 404
    told = answer.get_json()["error"]["message"]
    assert told.startswith("Copilot 不向此账号提供模型 'gpt-4.2'：")
    assert "The requested model is not supported." in told
    assert told.endswith("您是指：gpt-4.1？")
