"""``STORED_RESPONSES_TTL_S=0``: nothing is stored, and everybody who relies on it is told so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient

from tests.support.secrets import API_KEY

KEY = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture
def nothing_stored(environment: dict[str, str]) -> None:
    environment["STORED_RESPONSES_TTL_S"] = "0"


@pytest.fixture
def client(nothing_stored: None, signed_in: None, catalogue: Callable[..., None], app: Flask) -> FlaskClient:
    catalogue("gpt-4.1")
    return app.test_client()


def test_addresses_of_stored_things_say_that_nothing_is(client: FlaskClient) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
        answer = client.open(f"/v1/responses/resp_1{path}", method=method, headers=KEY)
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "unknown_route")
        assert "Nothing is stored" in answer.json["error"]["message"]


def test_what_refers_to_an_answer_is_refused_and_no_answer_is_told_as_stored(
    client: FlaskClient, upstream: responses.RequestsMock, environment: dict[str, str]
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    upstream.post("https://copilot.test/chat/completions", json={"id": "1", "model": "m", "choices": [choice]})

    def ask(**fields: Any) -> Any:
        return client.post("/v1/responses", json={"model": "gpt-4.1", "input": "hi", **fields}, headers=KEY)

    assert ask(store=True).json["store"] is False
    refused = ask(previous_response_id="resp_1")
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "previous_response_not_found")
    named = ask(input=[{"type": "item_reference", "id": "rs_1"}])
    assert (named.status_code, named.json["error"]["param"]) == (400, "input[0]")
    assert not (Path(environment["DATA_DIR"]) / "bridge.db").exists()
