"""One client dialect more is a folder (``tests/support/toy``) and one line: nothing else of the app has to change."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from marshmallow import fields

from app.blueprints._generation import generates
from app.schemas.base import Boundary, Name
from tests.support import toy
from tests.support.secrets import API_KEY

KEY = {"x-api-key": API_KEY}
HOST = "https://copilot.test"
BODY = {"to": "chat-only", "say": "Hi"}

ANSWERS: dict[str, dict[str, Any]] = {
    "/chat/completions": {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
    },
    "/v1/messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "x",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 2, "output_tokens": 3},
    },
    "/responses": {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}],
    },
}
STREAM = b"".join(
    b"data: "
    + json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}).encode()
    + b"\n\n"
    for delta, reason in (({"content": "Hel"}, None), ({"content": "lo"}, None), ({}, "stop"))
)


class ToyRequest(Boundary):
    to = Name(required=True)
    bit_by_bit = fields.Boolean()


@pytest.fixture
def client(
    signed_in: None, catalogue: Callable[..., None], app: Flask, upstream: responses.RequestsMock
) -> FlaskClient:
    catalogue(
        {"id": "chat-only", "vendor": "OpenAI"},
        {"id": "messages-only", "vendor": "Anthropic", "supported_endpoints": ["/v1/messages"]},
        {"id": "responses-only", "vendor": "OpenAI", "supported_endpoints": ["/responses"]},
    )
    bp = Blueprint("toy", __name__)
    generates(bp, toy.CLIENT, ToyRequest(), "/toy")  # the one line
    app.register_blueprint(bp)
    return app.test_client()


def read(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame.removeprefix(b"data: ")) for frame in stream.split(b"\n\n") if frame.startswith(b"data: ")]


@pytest.mark.parametrize(
    ("model", "path"),
    [("chat-only", "/chat/completions"), ("messages-only", "/v1/messages"), ("responses-only", "/responses")],
)
@pytest.mark.parametrize("bit_by_bit", [False, True])
def test_it_is_answered_by_every_model(
    client: FlaskClient, upstream: responses.RequestsMock, model: str, path: str, bit_by_bit: bool
) -> None:
    upstream.post(HOST + path, json=ANSWERS[path])
    answer = client.post("/toy", json={**BODY, "to": model, "bit_by_bit": bit_by_bit}, headers=KEY)
    assert answer.status_code == 200
    if bit_by_bit:
        assert answer.mimetype == "text/event-stream"
        assert read(answer.data) == [{"bit": "Hello"}, {"over": "stop", "from": model}]
    else:
        assert (answer.json["from"], answer.json["said"]) == (model, "Hello")


def test_its_stream_comes_as_upstream_s_does(client: FlaskClient, upstream: responses.RequestsMock) -> None:
    upstream.post(f"{HOST}/chat/completions", body=STREAM, content_type="text/event-stream")
    answer = client.post("/toy", json={**BODY, "bit_by_bit": True}, headers=KEY)
    assert read(answer.data) == [{"bit": "Hel"}, {"bit": "lo"}, {"over": "stop", "from": "chat-only"}]


def test_a_stream_that_breaks_off_says_so_in_its_words(client: FlaskClient, upstream: responses.RequestsMock) -> None:
    upstream.post(f"{HOST}/chat/completions", body=STREAM.split(b"\n\n")[0] + b"\n\n", content_type="text/event-stream")
    answer = client.post("/toy", json={**BODY, "bit_by_bit": True}, headers=KEY)
    first, last = read(answer.data)
    assert first == {"bit": "Hel"}
    assert last.keys() == {"sorry", "code"}


def test_every_refusal_is_told_in_its_words(client: FlaskClient, upstream: responses.RequestsMock) -> None:
    upstream.post(f"{HOST}/chat/completions", status=429, json={"error": {"code": "rate_limited", "message": "Slow"}})
    told = [
        client.post("/toy", json=BODY),
        client.post("/toy", json={**BODY, "to": ""}, headers=KEY),
        client.post("/toy", json={**BODY, "say": 5}, headers=KEY),
        client.post("/toy", json=BODY, headers=KEY),
        client.get("/toy", headers=KEY),
        client.post("/toy/below", json=BODY, headers=KEY),
    ]
    assert [(answer.status_code, sorted(answer.json or ())) for answer in told] == [
        (status, ["code", "sorry"]) for status in (401, 400, 400, 429, 405, 404)
    ]


def test_its_line_in_the_log_names_it(
    client: FlaskClient, upstream: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.post(f"{HOST}/v1/messages", json=ANSWERS["/v1/messages"])
    with caplog.at_level(logging.INFO, logger="copilot_bridge"):
        client.post("/toy", json={**BODY, "to": "messages-only"}, headers=KEY).close()
    line = next(record.fields for record in caplog.records if record.msg == "request")  # type: ignore[attr-defined]
    assert (line["protocol"], line["upstream"], line["purpose"]) == ("toy", "messages", "turn")
