"""Who observes requests is told of each once, when its answer has ended, however it ended."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import responses
from flask.testing import FlaskClient
from gevent import GreenletExit

from app.errors import ClientGone
from app.gateway import Gateway
from app.relay import Relay
from app.reply import Ended
from tests.support.secrets import API_KEY

KEY = {"Authorization": f"Bearer {API_KEY}"}
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def told(gateway: Gateway) -> list[Ended]:
    found: list[Ended] = []
    gateway.observers.append(found.append)
    return found


def test_a_finished_call(
    signed_in: None,
    catalogue: Callable[..., None],
    upstream: responses.RequestsMock,
    client: FlaskClient,
    told: list[Ended],
) -> None:
    catalogue("gpt-4.1")
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
    upstream.post("https://copilot.test/chat/completions", json=answer)
    before = time.time()
    client.post("/v1/chat/completions", json=BODY, headers=KEY | {"User-Agent": "OpenAI/Python 1.0"}).close()
    (ended,) = told
    assert (ended.method, ended.path, ended.status, ended.client) == (
        "POST",
        "/v1/chat/completions",
        200,
        "OpenAI/Python",
    )
    assert ended.record.served_model == "gpt-4.1"
    assert before - 1 <= ended.started_at <= ended.ended_at <= time.time() + 1


@pytest.mark.parametrize(("path", "status"), [("/v1/chat/completions", 401), ("/nothing", 404), ("/livez", 200)])
def test_all_other_requests(client: FlaskClient, told: list[Ended], path: str, status: int) -> None:
    client.open(path, method="POST" if status == 401 else "GET").close()
    assert [ended.status for ended in told] == [status]


@pytest.mark.parametrize(("problem", "error"), [(ClientGone, "client_gone"), (GreenletExit, "restarting")])
def test_one_that_is_ended_before_there_is_an_answer(
    client: FlaskClient,
    told: list[Ended],
    monkeypatch: pytest.MonkeyPatch,
    problem: type[BaseException],
    error: str,
) -> None:
    def end(*_: object) -> None:
        raise problem

    monkeypatch.setattr(Relay, "answer", end)
    with pytest.raises(problem):
        client.post("/v1/chat/completions", json=BODY, headers=KEY)
    assert [(ended.status, ended.record.error) for ended in told] == [(499, error)]


def test_one_that_fails_does_no_harm(client: FlaskClient, gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    found: list[Ended] = []
    gateway.observers.extend([lambda _: {}["nothing"], found.append])
    client.get("/livez").close()
    assert len(found) == 1
    assert "observer failed" in caplog.messages
