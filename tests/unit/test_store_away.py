"""While the store is away, calls go on with what the worker knows; and rows that nobody can read count as absent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.auth.device import SignIn
from app.errors import StoreError
from app.gateway import Gateway
from app.settings import Settings
from tests.support.secrets import API_KEY
from tests.unit.conftest import ENVELOPE, TOKEN_URL

KEY = {"Authorization": f"Bearer {API_KEY}"}
HOST = "https://copilot.test"
ANSWER = {
    "id": "1",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
}


class Away:
    """A store none of whose methods works."""

    def close(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            raise StoreError("The store at nowhere cannot be used.")

        return call


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WARM_UP": "false"}


@pytest.fixture
def client(
    signed_in: None, catalogue: Callable[..., None], app: Flask, upstream: responses.RequestsMock
) -> FlaskClient:
    catalogue({"id": "gpt-4.1", "vendor": "OpenAI"})
    upstream.post(f"{HOST}/chat/completions", json=ANSWER)
    return app.test_client()


def chat(client: FlaskClient, model: str = "gpt-4.1", **more: Any) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
    return client.post("/v1/chat/completions", json=body, headers=KEY).status_code


def leave(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.store, "_inner", Away())


def test_calls_go_on_with_what_the_worker_has_in_memory(
    client: FlaskClient, gateway: Gateway, upstream: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put("/admin/mapping/mine", json={"to": "gpt-4.1"}, headers=KEY)
    assert chat(client, "mine") == 200
    calls = len(upstream.calls)
    leave(gateway, monkeypatch)
    assert chat(client, "mine") == 200
    assert client.get("/v1/models", headers=KEY).status_code == 200
    later = {call.request.url for call in list(upstream.calls)[calls:]}
    assert not later & {TOKEN_URL, f"{HOST}/models"}  # those are in memory


def test_worker_without_a_memory_gets_a_token_and_a_list_of_its_own(
    client: FlaskClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(gateway, monkeypatch)
    assert chat(client) == 200
    assert client.get("/readyz").status_code == 200


def test_token_that_copilot_refuses_is_renewed_without_the_store(
    client: FlaskClient, gateway: Gateway, upstream: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chat(client) == 200
    leave(gateway, monkeypatch)
    upstream.replace(responses.GET, TOKEN_URL, json={**ENVELOPE, "token": "tid=another;exp=1:mac"})
    upstream.replace(responses.POST, f"{HOST}/chat/completions", status=401, body="token expired")
    upstream.post(f"{HOST}/chat/completions", json=ANSWER)
    assert chat(client) == 200


def test_change_is_refused_with_the_name_of_the_store_and_goes_through_once_it_is_back(
    client: FlaskClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        leave(gateway, away)
        answer = client.put("/admin/mapping/mine", json={"to": "gpt-4.1"}, headers=KEY)
        assert answer.status_code == 503
        assert "The store at nowhere" in answer.json["error"]["message"]
    monkeypatch.setattr(gateway.store, "_clock", lambda: float("inf"))  # the moment has passed
    assert client.put("/admin/mapping/mine", json={"to": "gpt-4.1"}, headers=KEY).status_code == 200


@pytest.mark.parametrize(
    "row",
    ["{", "\x00", "null", "7", "[]", "{}", '"x"', '{"value": 1}', '{"value": "x", "new_field": 1}', '{"data": []}'],
)
def test_row_that_nobody_can_read_counts_as_absent_and_is_healed(
    client: FlaskClient, gateway: Gateway, row: str
) -> None:
    token = gateway.github_tokens.current()
    assert token is not None
    keys = [f"copilot-token:{token.fingerprint}", f"catalog:{token.fingerprint}", "device-sign-in"]
    for key in [*keys, "refused:/chat/completions:gpt-4.1"]:
        gateway.store.put(key, row)
    assert client.get("/readyz").status_code == 503
    assert chat(client) == 200
    assert client.get("/auth/device", headers=KEY).status_code == 200
    assert client.get("/readyz").status_code == 200
    for key in keys[:2]:
        assert gateway.store.get(key) != row


def test_rows_of_a_newer_version_are_read_as_far_as_they_are_known() -> None:
    sign_in = SignIn("id", "pending", "ABCD", "https://github.test/login/device", 1.0, 2.0, 5.0)
    told = json.loads(sign_in.to_json())
    assert SignIn.from_json(json.dumps({**told, "new_field": 1})) == sign_in
    assert SignIn.from_json(json.dumps({**told, "expires_at": "soon"})) is None
    del told["user_code"]
    assert SignIn.from_json(json.dumps(told)) is None


# ── ready, and signed in ────────────────────────────────────────────────────────────────────────────────────────────


def test_readiness_needs_no_key_and_fetches_what_is_missing_behind_its_answer(
    client: FlaskClient, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gateway._PREPARE_PAUSE_S", 0.0)
    client = create_app(Settings.from_env({**environment, "WARM_UP": "true"})).test_client()
    gateway: Gateway = client.application.extensions["gateway"]
    before = client.get("/readyz")
    assert (before.status_code, before.json["signed_in"], before.json["catalog_known"]) == (503, True, False)
    with gateway.warming:  # until the fetching is over
        pass
    ready = {"status": "ok", "signed_in": True, "catalog_known": True, "store": "ok", "database": "ok"}
    ready["ledger"] = {"waiting": 0, "dropped": 0}
    assert client.get("/readyz").json == ready
    gateway.close()


def test_revoked_token_of_the_environment_is_not_shown_as_signed_in(
    client: FlaskClient, gateway: Gateway, upstream: responses.RequestsMock
) -> None:
    upstream.replace(responses.GET, TOKEN_URL, status=401, json={"message": "Bad credentials"})
    assert gateway.copilot_tokens.is_signed_in()
    assert chat(client) == 403
    assert not gateway.copilot_tokens.is_signed_in()
    assert client.get("/readyz").json["signed_in"] is False
    upstream.replace(responses.GET, TOKEN_URL, json=ENVELOPE)
    gateway.copilot_tokens._failure = gateway.catalog._failure = None  # a few seconds later
    assert chat(client) == 200
    assert gateway.copilot_tokens.is_signed_in()
