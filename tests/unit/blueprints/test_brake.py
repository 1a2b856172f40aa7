"""Guessing keys: the API and the pages tell to wait, and a right key from the same address is let in."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from app.auth.brake import MOST_FAILURES
from tests.support.secrets import API_KEY

BROWSER = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


def guess(client: FlaskClient, times: int) -> None:
    for number in range(times):
        client.get("/v1/models", headers={"Authorization": f"Bearer wrong-{number}"})


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"])
def test_guesses_are_told_to_wait_in_the_dialect(client: FlaskClient, path: str) -> None:
    guess(client, MOST_FAILURES)
    refused = client.post(path, json={}, headers={"x-api-key": "one-more"})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    error = refused.json["error"]
    assert "wrong API keys" in error["message"]
    assert error["type"] == ("rate_limit_error" if path == "/v1/messages" else error["type"])


@pytest.mark.parametrize(
    "way", [{"headers": {"Authorization": "Bearer x"}}, {"headers": {"x-api-key": "x"}}, {"query_string": "api_key=x"}]
)
def test_every_way_to_show_a_key_counts(client: FlaskClient, way: dict[str, object]) -> None:
    statuses = [client.get("/usage", **way).status_code for _ in range(MOST_FAILURES + 1)]
    assert statuses == [401] * MOST_FAILURES + [429]


def test_the_form_for_the_key_counts_with_the_api(client: FlaskClient) -> None:
    guess(client, MOST_FAILURES - 1)
    answers = [client.post("/auth/key", data={"api_key": "wrong"}, headers=BROWSER) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [401, 429]
    assert answers[1].mimetype == "text/html"


def test_a_right_key_from_the_same_address_is_let_in(client: FlaskClient) -> None:
    guess(client, MOST_FAILURES * 3)
    for headers in ({"Authorization": f"Bearer {API_KEY}"}, {"x-api-key": API_KEY, "Authorization": "Bearer sk-dummy"}):
        assert client.get("/admin/mapping", headers=headers).status_code == 200
    assert client.post("/auth/key", data={"api_key": API_KEY}, headers=BROWSER).status_code == 303


def test_no_key_at_all_is_no_guess(client: FlaskClient) -> None:
    assert {client.get("/v1/models").status_code for _ in range(MOST_FAILURES * 2)} == {401}
