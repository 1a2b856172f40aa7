"""The last requests as a page and as JSON: what became of each, for whom it may concern, and nothing that was said."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from app.blueprints.calls import phases_of
from app.gateway import Gateway
from tests.support.secrets import API_KEY
from tests.unit.blueprints.test_pages import CHINESE, HTML, assert_chinese

KEY = {"Authorization": f"Bearer {API_KEY}"}
PAGE = KEY | HTML
URL = "https://copilot.test/chat/completions"
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "my secret illness"}]}
ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a secret cure"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    "copilot_usage": {"token_details": [], "total_nano_aiu": 1_500_000_001},
}


@pytest.fixture
def ask(
    signed_in: None, catalogue: Callable[..., None], upstream: responses.RequestsMock, client: FlaskClient
) -> Callable[..., int]:
    catalogue("gpt-4.1", "gpt-5")

    def call(answer: Any = ANSWER, status: int = 200, headers: dict[str, str] | None = None, **more: Any) -> int:
        upstream.post(URL, json=answer, status=status, headers={"x-github-request-id": "0A1B:2"})
        sent = KEY | {"User-Agent": "OpenAI/Python 1.0"} | (headers or {})
        with client.post("/v1/chat/completions", json=BODY | more, headers=sent) as response:
            return response.status_code

    return call


def calls(client: FlaskClient, query: str = "", headers: dict[str, str] = KEY) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/requests" + query, headers=headers).get_json()["calls"]
    return found


def test_a_call_is_told_with_what_became_of_it(ask: Callable[..., int], client: FlaskClient) -> None:
    assert ask() == 200
    [row] = calls(client)
    expected = {
        "dialect": "chat", "upstream": "chat", "model": "gpt-4.1", "served_model": "gpt-4.1", "outcome": "finished",
        "status": 200, "input_tokens": 12, "output_tokens": 3, "nano_credits": 1_500_000_001, "is_estimated": False,
        "upstream_request_id": "0A1B:2", "client": "OpenAI/Python", "path": "/v1/chat/completions", "error": "",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    [attempt] = row["attempts"]
    assert (attempt["model"], attempt["status"], attempt["request_id"]) == ("gpt-4.1", 200, "0A1B:2")
    assert 0 <= attempt["began_ms"] <= attempt["answered_ms"] <= row["duration_ms"]
    assert "key_id" not in row


def test_a_repair_is_seen_as_two_calls_and_its_loss_has_a_reason(
    ask: Callable[..., int], client: FlaskClient, upstream: responses.RequestsMock
) -> None:
    refusal = {"error": {"message": "Unknown parameter: 'seed'.", "code": "unknown_parameter", "param": "seed"}}
    upstream.post(URL, json=refusal, status=400)
    assert ask(seed=7) == 200
    [row] = calls(client)
    assert [attempt["status"] for attempt in row["attempts"]] == [400, 200]
    assert row["dropped"] == ["seed"]
    [[path, reason]] = row["losses"]
    assert path == "seed"
    assert reason
    page = client.get("/requests", headers=PAGE).text
    assert reason in page.replace("&#39;", "'").replace("&amp;", "&")
    assert "retried" in page
    chinese = client.get("/requests", headers=CHINESE | KEY).text
    assert reason not in chinese
    assert "上游对该模型拒绝此项" in chinese


def test_nothing_that_was_said_is_told(ask: Callable[..., int], client: FlaskClient) -> None:
    ask()
    ask(status=400, answer={"error": {"message": "no secret please", "code": "bad"}})
    for headers in (KEY, PAGE):
        assert "secret" not in client.get("/requests", headers=headers).text


@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        ("", [429, 200]),
        ("?error=any", [429]),
        ("?error=refused", [429]),
        ("?error=finished", [200]),
        ("?model=gpt-5", [429]),
        ("?model=gpt-5&error=finished", []),
        ("?model=nowhere", []),
        ("?key=nobody", []),
    ],
)
def test_calls_are_filtered(ask: Callable[..., int], client: FlaskClient, query: str, statuses: list[int]) -> None:
    ask()
    ask(status=429, answer={"error": {"message": "slow down", "code": "rate_limited"}}, model="gpt-5")
    assert [row["status"] for row in calls(client, query)] == statuses
    page = client.get("/requests" + query, headers=PAGE).text
    assert page.count('<details class="call"') == len(statuses)
    assert f"Calls: {len(statuses)}" in page


def test_filter_by_key_and_a_client_sees_its_own_alone(ask: Callable[..., int], client: FlaskClient) -> None:
    made = client.post("/admin/keys", json={"name": "laptop"}, headers=KEY).get_json()
    laptop = {"Authorization": f"Bearer {made['secret']}"}
    ask()
    ask(headers=laptop)
    assert len(calls(client)) == 2
    assert [row["key"] for row in calls(client, "?key=laptop")] == ["laptop"]
    for query in ("", "?key=", "?error=finished", "?key_id="):
        assert [row["key"] for row in calls(client, query, laptop)] == ["laptop"]
    [others] = {row["key"] for row in calls(client)} - {"laptop"}
    assert calls(client, f"?key={others}", laptop) == []
    page = client.get("/requests", headers=HTML | laptop).text
    assert f"<option>{others}</option>" not in page
    assert page.count('<details class="call"') == 1


def test_without_a_key_nothing_is_told(client: FlaskClient) -> None:
    assert client.get("/requests").status_code == 401
    assert client.get("/requests", headers=HTML).status_code == 401


@pytest.mark.parametrize("page", ["0", "-1", "x", "1.5", "１", ""])
def test_a_page_is_a_number(client: FlaskClient, page: str) -> None:
    assert client.get("/requests", headers=PAGE, query_string={"page": page}).status_code == 400


def test_many_calls_are_shown_in_pages(ask: Callable[..., int], client: FlaskClient) -> None:
    for _ in range(41):
        ask()
    first = client.get("/requests", headers=PAGE).text
    assert first.count('<details class="call"') == 40
    assert "Older" in first
    assert "Newer" not in first
    assert len(first) < 150 * 1024
    last = client.get("/requests?page=99", headers=PAGE).text
    assert last.count('<details class="call"') == 1


REFRESH = '<noscript><meta http-equiv="refresh" content="5"></noscript>'


def test_it_is_refreshed_without_a_script_when_asked_for(client: FlaskClient) -> None:
    plain, live = (client.get(f"/requests{query}", headers=PAGE).text for query in ("", "?live=1"))
    assert REFRESH not in plain
    assert REFRESH in live


def test_there_is_a_script_when_it_is_asked_for_and_on_the_first_page_alone(
    ask: Callable[..., int], client: FlaskClient
) -> None:
    for _ in range(41):
        ask()
    pages = {query: client.get("/requests" + query, headers=PAGE).text for query in ("", "?live=1", "?live=1&page=2")}
    assert {query: "EventSource" in page for query, page in pages.items()} == {
        "": False, "?live=1": True, "?live=1&page=2": False,
    }  # fmt: skip
    assert [page.count("<script") for page in pages.values()] == [0, 1, 0]
    assert re.search('<script nonce="[0-9a-f]{32}">', pages["?live=1"])


def test_the_page_in_chinese(ask: Callable[..., int], client: FlaskClient) -> None:
    for _ in range(3):
        page = client.get("/requests", headers=CHINESE | KEY)
        assert page.status_code == 200
        assert_chinese(page.text)
        ask()
        ask(status=429, answer={"error": {"message": "slow down", "code": "rate_limited"}})


def test_a_recording_is_said_to_those_whose_calls_it_is_and_to_the_operator(
    ask: Callable[..., int], client: FlaskClient, gateway: Gateway
) -> None:
    keys = {}
    for name in ("laptop", "phone"):
        secret = client.post("/admin/keys", json={"name": name}, headers=KEY).get_json()["secret"]
        keys[name] = HTML | {"Authorization": f"Bearer {secret}"}
    says = "Calls are being recorded."
    pages = (PAGE, keys["laptop"], keys["phone"])
    assert [says in client.get("/requests", headers=it).text for it in pages] == [False, False, False]
    gateway.recorder.start("laptop", for_s=60, by="test")
    assert [says in client.get("/requests", headers=it).text for it in pages] == [True, True, False]
    assert_chinese(client.get("/requests", headers=CHINESE | KEY).text)


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("place", ["model", "user-agent", "x-github-request-id", "key", "filter"])
def test_stored_text_never_runs(
    ask: Callable[..., int], client: FlaskClient, upstream: responses.RequestsMock, place: str
) -> None:
    query: dict[str, str] = {}
    if place == "model":
        ask(model=HOSTILE[:90])
    elif place == "user-agent":
        ask(headers={"User-Agent": "<script>/1.0 <img/onerror=1> " + HOSTILE})
    elif place == "x-github-request-id":
        upstream.post(URL, json=ANSWER, headers={"x-github-request-id": HOSTILE})
        ask()
    elif place == "key":
        name = HOSTILE[:60]
        made = client.post("/admin/keys", json={"name": name}, headers=KEY)
        if made.status_code == 200:
            ask(headers={"Authorization": f"Bearer {made.get_json()['secret']}"})
        query = {"key": name}
    else:
        ask()
        query = {"model": HOSTILE, "key": HOSTILE, "error": HOSTILE}
    for more in ({}, query):
        response = client.get("/requests", headers=PAGE, query_string=more)
        assert response.status_code == 200
        assert "<script" not in response.text
        assert "<img" not in response.text


@pytest.mark.parametrize(
    ("row", "bars"),
    [
        ({"duration_ms": 0, "first_byte_ms": None, "attempts": []}, []),
        ({"duration_ms": 100, "first_byte_ms": None, "attempts": []}, [("bridge", 0, 100)]),
        (
            {"duration_ms": 100, "first_byte_ms": 60, "attempts": [{"began_ms": 10, "answered_ms": 50}]},
            [("bridge", 0, 10), ("wait", 10, 40), ("first", 50, 10), ("rest", 60, 40)],
        ),
        (
            {"duration_ms": 100, "first_byte_ms": None, "attempts": [{"began_ms": 10, "answered_ms": None}]},
            [("bridge", 0, 10), ("wait", 10, 90)],
        ),
        (
            {"duration_ms": 100, "first_byte_ms": 900, "attempts": [{"began_ms": 10, "answered_ms": 500}]},
            [("bridge", 0, 10), ("wait", 10, 90)],
        ),
    ],
)
def test_a_waterfall_never_leaves_its_box(row: dict[str, Any], bars: list[tuple[str, float, float]]) -> None:
    assert phases_of(row) == bars


def test_waterfall_is_drawn_without_inline_style(ask: Callable[..., int], client: FlaskClient) -> None:
    ask()
    page = client.get("/requests", headers=PAGE).text
    assert re.search(r'<rect class="(bridge|wait|first|rest)" x="[\d.]+%" width="[\d.]+%"', page)
    assert " style=" not in page.partition("</style>")[2]
