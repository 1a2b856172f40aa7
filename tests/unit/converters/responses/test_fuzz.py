"""Upstream may say anything: nothing crashes, no grammar breaks, and no half answer looks whole."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.converters.neutral import events as ev
from app.converters.responses.native.response import normalize_response, response_to_stream
from app.converters.responses.native.stream import StreamNormalizer
from app.converters.responses.upstream.response import decode_response
from app.converters.responses.upstream.stream import StreamDecoder
from app.errors import GatewayError
from tests.support.effort import tries
from tests.support.identities import identity_of
from tests.support.streams import sse_event
from tests.unit.converters.responses.grammar import FIXTURES, events, fixture_json, named

CASES = sorted(path.name.removesuffix(".stream.sse") for path in FIXTURES.glob("*.stream.sse"))
STREAMS = {case: named((FIXTURES / f"{case}.stream.sse").read_bytes()) for case in CASES}
IDENTITY = identity_of("m", created=1, fallback_id="resp_f")

words = ["message", "function_call", "custom_tool_call", "reasoning", "refusal", "output_text", "completed", "failed"]
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=4) | st.sampled_from(words),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "text", "item", "id", "delta", "error"]), inner, max_size=2)
    ),
    max_leaves=4,
)
changes = st.lists(st.tuples(st.integers(0, 10**6), junk | st.just("<drop>")), min_size=1, max_size=4)


def places(value: Any) -> list[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def mutate(value: Any, made: list[tuple[int, Any]]) -> None:
    for at, change in made:
        found = places(value)
        if found:
            container, key = found[at % len(found)]
            if change == "<drop>":
                del container[key]
            else:
                container[key] = change


@settings(max_examples=tries(300), deadline=None)
@given(st.sampled_from(CASES), changes)
def test_mutated_streams(case: str, made: list[tuple[int, Any]]) -> None:
    told: list[Any] = [[name, json.loads(data)] for name, data in STREAMS[case]]
    mutate(told, made)
    told = [pair for pair in told if isinstance(pair, list) and len(pair) == 2]
    frames = [(name if isinstance(name, str) else "", json.dumps(data)) for name, data in told]

    decoder = StreamDecoder()
    found = [event for name, data in frames for event in decoder.feed_bytes(sse_event(name, data))] + decoder.finish()
    ev.check(found)

    normalizer = StreamNormalizer(IDENTITY)
    raw = "".join(f"event: {name.strip()}\ndata: {data}\n\n" for name, data in frames if name.isprintable()).encode()
    out = normalizer.feed(raw) + normalizer.finish()
    given_out = events(out)
    assert [event["sequence_number"] for event in given_out] == list(range(len(given_out)))
    ends = [event["type"] for event in given_out if event["type"] in ("response.completed", "response.incomplete")]
    assert len(ends) == (normalizer.error is None)
    assert given_out[-1]["type"] in ("error", "response.failed", *ends)
    assert len({event["response"]["id"] for event in given_out if "response" in event}) <= 1


@settings(max_examples=tries(300), deadline=None)
@given(st.sampled_from(CASES), changes)
def test_mutated_answers(case: str, made: list[tuple[int, Any]]) -> None:
    body = fixture_json(f"{case}.response.json")
    mutate(body, made)
    raw = json.dumps(body).encode()
    with contextlib.suppress(GatewayError):
        ev.check(ev.explode(decode_response(body)))
    with contextlib.suppress(GatewayError):
        json.loads(normalize_response(raw, IDENTITY))
    with contextlib.suppress(GatewayError):
        events(response_to_stream(raw, IDENTITY))
