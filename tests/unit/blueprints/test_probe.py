from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.reply import EVENT_STREAM
from app.settings import Settings
from tests.support.secrets import API_KEY

KEY = {"Authorization": f"Bearer {API_KEY}"}


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n") if event]


def test_stream_is_like_a_real_answer_and_tells_when_it_sent_what(client: FlaskClient) -> None:
    answer = client.post("/v1/probe/stream?events=3&interval_ms=10", headers=KEY, data=b"{}")
    assert {name: answer.headers[name] for name in EVENT_STREAM} == EVENT_STREAM
    assert "Content-Length" not in answer.headers
    events = events_of(answer.text)
    assert [event["n"] for event in events] == [0, 1, 2]
    # sleep() never returns early, so the lower bound holds on any machine
    assert [event["sent_ms"] >= 10 * event["n"] for event in events] == [True] * 3
    assert events[0]["seen"]["base"] == "http://localhost"
    assert "seen" not in events[1]


def test_stream_tells_what_became_of_the_request(environment: dict[str, str], tmp_path: Path) -> None:
    app = create_app(Settings.from_env({**environment, "TRUSTED_PROXIES": "1", "MAX_BODY_BYTES": "4096"}))
    headers = {
        **KEY,
        "X-Forwarded-For": "198.51.100.7, 10.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "bridge.example.com",
        "X-Forwarded-Prefix": "/ai",
    }
    answer = app.test_client().post("/v1/probe/stream?events=1", headers=headers)
    assert events_of(answer.text)[0]["seen"] == {
        "http": "HTTP/1.1",
        "base": "https://bridge.example.com/ai",
        "forwarded_for": 2,
        "trusted_proxies": 1,
        "max_body_bytes": 4096,
    }
    app.extensions["gateway"].close()


@pytest.mark.parametrize(
    "query", ["events=0", "events=61", "events=x", "events=²", "interval_ms=9", "interval_ms=1001", "events="]
)
def test_stream_is_bounded(client: FlaskClient, query: str) -> None:
    answer = client.post(f"/v1/probe/stream?{query}", headers=KEY)
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"]["param"] == query.split("=")[0]


def test_body_is_counted(client: FlaskClient) -> None:
    answer = client.post("/v1/probe/body", headers=KEY, data=b"\0" * 12345)
    assert answer.json == {"received_bytes": 12345}


def test_body_that_is_cut_is_not_counted_but_refused(environment: dict[str, str]) -> None:
    """Without a length it is read up to the limit, and no further."""
    app = create_app(Settings.from_env({**environment, "MAX_BODY_BYTES": "4096"}))
    answer = app.test_client().post(
        "/v1/probe/body", headers=KEY, input_stream=BytesIO(b"x" * 5000), environ_base={"wsgi.input_terminated": True}
    )
    assert answer.status_code == 413
    app.extensions["gateway"].close()


@pytest.mark.parametrize("path", ["/v1/probe/stream", "/v1/probe/body"])
def test_probes_need_a_key(client: FlaskClient, path: str) -> None:
    assert client.post(path).status_code == 401
    assert client.post(path, headers={"x-api-key": "wrong"}).status_code == 401
    assert client.get(path, headers=KEY).status_code == 405
