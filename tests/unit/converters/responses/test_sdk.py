"""The official OpenAI SDK accumulates every stream, normalized or converted, into the expected final object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from app.converters.codec import NativeRequest
from app.converters.neutral import events as ev
from app.converters.neutral.model_limits import ModelLimits
from app.converters.responses.client.request import decode_request
from app.converters.responses.client.response import encode_response
from app.converters.responses.client.stream import StreamEncoder
from app.converters.responses.native.request import prepare
from app.converters.responses.native.response import normalize_response
from app.converters.responses.native.stream import StreamNormalizer
from app.converters.responses.upstream.response import decode_response
from app.errors import UpstreamStatusError
from tests.support.identities import identity_of
from tests.support.rows import rows
from tests.unit.converters.responses.grammar import FIXTURES, fixture, fixture_json, frames

CASES = sorted(path.name.removesuffix(".stream.sse") for path in FIXTURES.glob("*.stream.sse"))
each_case = pytest.mark.parametrize("case", CASES)
IDENTITY = identity_of("asked-for", created=1111, fallback_id="resp_fallback")


@contextmanager
def sdk(content: bytes, kind: str = "text/event-stream") -> Iterator[openai.OpenAI]:
    headers = {"content-type": kind}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=content))
    with (
        httpx2.Client(transport=transport) as http,
        openai.OpenAI(api_key="k", base_url="http://bridge.test/v1", http_client=http, max_retries=0) as client,
    ):
        yield client


def accumulate(content: bytes) -> Response:
    """Through ``responses.stream()`` and, event by event, strictly through the models of the spec."""
    with sdk(content) as client, client.responses.stream(model="m", input="x") as stream:
        told = list(stream)
    assert told[0].type == "response.created"
    with sdk(content) as client:
        plain = list(client.responses.create(model="m", input="x", stream=True))
    for event in plain:
        # Strict: a missing key raises here, where the SDK itself would construct and hope.
        type(event).model_validate(event.to_dict())
    last = plain[-1]
    assert last.type in ("response.completed", "response.incomplete")
    return last.response


def converted(case: str) -> tuple[bytes, dict[str, Any]]:
    request = decode_request(fixture_json(f"{case}.request.json"))
    answer = decode_response(fixture_json(f"{case}.response.json"))
    encoder = StreamEncoder(request, model="asked-for")
    stream = b"".join(encoder.feed(event) for event in [*ev.explode(answer)[:1], ev.Ping(), *ev.explode(answer)[1:]])
    return stream, encode_response(answer, request, model="asked-for")


def normalized(case: str) -> tuple[bytes, dict[str, Any]]:
    raw = fixture(f"{case}.request.json")
    restore = prepare(NativeRequest(raw=raw, body=json.loads(raw), model="m", limits=ModelLimits())).restore
    normalizer = StreamNormalizer(IDENTITY, restore=restore)
    stream = normalizer.feed(fixture(f"{case}.stream.sse")) + normalizer.finish()
    return stream, json.loads(normalize_response(fixture(f"{case}.response.json"), IDENTITY, restore=restore))


@rows()
@each_case
@pytest.mark.parametrize("path", [converted, normalized])
def test_sdk_accumulates_what_the_whole_answer_says(case: str, path: Any) -> None:
    stream, whole = path(case)
    response = accumulate(stream)
    with sdk(json.dumps(whole).encode(), "application/json") as client:
        expected = client.responses.create(model="m", input="x")
    Response.model_validate(whole)
    assert response.output == expected.output
    assert response.output_text == expected.output_text
    assert response.usage == expected.usage
    assert (response.id, response.status, response.model) == (expected.id, expected.status, "asked-for")


def test_sdk_parses_structured_output() -> None:
    class Person(BaseModel):
        name: str

    stream, whole = converted("structured_output")
    with sdk(json.dumps(whole).encode(), "application/json") as client:
        assert client.responses.parse(model="m", input="x", text_format=Person).output_parsed == Person(name="Ada")
    with sdk(stream) as client, client.responses.stream(model="m", input="x", text_format=Person) as events:
        assert events.get_final_response().output_parsed == Person(name="Ada")


def test_sdk_raises_where_the_stream_broke() -> None:
    normalizer = StreamNormalizer(IDENTITY)
    pieces = frames(fixture("text.stream.sse"))
    broken = normalizer.feed(b"".join(pieces[:6])) + normalizer.finish()
    with sdk(broken) as client, pytest.raises(openai.APIError, match="broke off"):
        list(client.responses.create(model="m", input="x", stream=True))
    with (
        sdk(broken) as client,
        client.responses.stream(model="m", input="x") as events,
        pytest.raises(openai.APIError, match="broke off"),
    ):
        events.get_final_response()


def test_sdk_raises_where_the_conversion_broke() -> None:
    request = decode_request(fixture_json("text.request.json"))
    answer = decode_response(fixture_json("text.response.json"))
    error = ev.StreamError(UpstreamStatusError("Too many.", status=429, code="rate_limit_exceeded"))
    encoder = StreamEncoder(request, model="m")
    broken = b"".join(encoder.feed(event) for event in [*ev.explode(answer)[:3], error])
    with sdk(broken) as client, pytest.raises(openai.APIError, match="Too many"):
        list(client.responses.create(model="m", input="x", stream=True))


def test_what_the_sdk_feeds_back_is_taken() -> None:
    """``to_input_list`` style: the items of an answer, ids, nulls and all, as input of the next turn."""
    for case in CASES:
        stream, _ = normalized(case)
        items = [item.to_dict() for item in accumulate(stream).output]
        results = [
            {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "ok"}
            for item in items
            if str(item["type"]) in ("function_call", "custom_tool_call")
        ]
        body = {"model": "m", "input": [{"role": "user", "content": "x"}, *items, *results]}
        prepared = prepare(NativeRequest(raw=json.dumps(body).encode(), body=body, model="m", limits=ModelLimits()))
        for item in json.loads(prepared.body)["input"]:
            assert "id" not in item
            kind = item.get("type", "message").removesuffix("_output")
            assert kind in ("message", "reasoning", "function_call", "custom_tool_call")
        assert decode_request(body).messages
