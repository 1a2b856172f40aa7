"""Whatever a client or upstream sends: an answer or one of our errors, never a crash."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.converters.codec import NativeRequest, UpstreamRequest
from app.converters.messages.client.request import decode_request
from app.converters.messages.client.response import encode_response
from app.converters.messages.client.stream import StreamEncoder
from app.converters.messages.native.request import prepare, prepare_count
from app.converters.messages.native.response import normalize_response, response_to_stream
from app.converters.messages.native.stream import StreamNormalizer
from app.converters.messages.traits import image_urls, traits
from app.converters.messages.upstream.request import encode_request
from app.converters.messages.upstream.response import decode_response
from app.converters.neutral.events import check
from app.converters.neutral.losses import Losses
from app.converters.neutral.token_text import countable
from app.converters.refusal import repairs
from app.errors import ClientError, GatewayError
from tests.support.identities import identity_of
from tests.unit.converters.messages.conftest import CASES, OLDER, SONNET, Accumulated, decode, frames_of, load, stream

JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**30, "", "x", [], {}, [None], [{}], {"type": "text"}, {"type": []}, {"a": None}, [[1]]]
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with every key in it."""
    found: list[tuple[Any, Any]] = []
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found.append((value, key))
        found += places(value[key])
    return found


def mutate(value: Any, picks: list[tuple[int, Any]]) -> Any:
    value = copy.deepcopy(value)
    for pick, junk in picks:
        spots = places(value)
        if spots:
            holder, key = spots[pick % len(spots)]
            holder[key] = copy.deepcopy(junk)
    return value


PICKS = st.lists(st.tuples(st.integers(0, 10_000), JUNK), min_size=1, max_size=3)
EXTRAS = {
    "thinking": {"type": "adaptive", "display": "omitted"},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    "metadata": {"user_id": "u"},
    "cache_control": {"type": "ephemeral"},
    "tool_choice": {"type": "auto"},
}


@given(case=st.sampled_from(CASES), picks=PICKS, with_extras=st.booleans(), limits=st.sampled_from([SONNET, OLDER]))
def test_requests(case: str, picks: list[tuple[int, Any]], with_extras: bool, limits: Any) -> None:
    body = load(case, "request")
    body = mutate({**EXTRAS, **body} if with_extras else body, picks)
    traits(body)
    image_urls(body)
    raw = json.dumps(body).encode()
    headers = {"anthropic-beta": "context-management-2025-06-27"}
    for make in (prepare, prepare_count):
        try:
            request = NativeRequest(raw=raw, body=body, model="m", limits=limits, headers=headers)
            json.loads(make(request).body)
        except ClientError:
            continue
    with suppress(ClientError):
        decoded = decode_request(body)
        countable(decoded)
        encode_request(decoded, limits, Losses())


@given(case=st.sampled_from(CASES), picks=PICKS)
def test_whole_answers(case: str, picks: list[tuple[int, Any]]) -> None:
    body = mutate(load(case, "response"), picks)
    request = decode_request(load(case, "request"))
    with suppress(GatewayError):
        json.dumps(encode_response(decode_response(body), request, model="m"))
    raw = json.dumps(body).encode()
    for make in (normalize_response, response_to_stream):
        with suppress(GatewayError):
            make(raw, identity_of("m", fallback_id="msg_f"))
    list(repairs(400, raw, UpstreamRequest(raw)))


@given(case=st.sampled_from(CASES), pick=st.integers(0, 99), picks=PICKS)
def test_streams(case: str, pick: int, picks: list[tuple[int, Any]]) -> None:
    frames = [(name, data) for name, data in frames_of(stream(case)) if name]
    at = pick % len(frames)
    event = json.dumps(mutate(json.loads(frames[at][1]), picks))
    frames[at] = (frames[at][0], event)
    raw = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in frames).encode()
    events = decode(raw)
    check(events)
    encoder = StreamEncoder(decode_request(load(case, "request")), model="m")
    Accumulated(b"".join(encoder.feed(event) for event in events))
    normalizer = StreamNormalizer(identity_of("m", fallback_id="msg_f"))
    out = normalizer.feed(raw) + normalizer.finish()
    assert normalizer.ended
    assert out.count(b"event: message_stop") + out.count(b"event: error") == 1
