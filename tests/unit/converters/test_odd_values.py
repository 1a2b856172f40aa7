"""Whatever stands where: a request gets an answer or a refusal, an answer is told or told to be broken.

Every odd JSON value in the place of every value: of all requests that the fixtures hold, through all that the relay
calls for one, and of all answers, whole and streamed. `make test` gives each place a few of the values, in turns; `make
fuzz` all of them. Models, agents and refusals take turns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle
from typing import Any, Final

import pytest

from app import tokens
from app.converters import cursor
from app.converters.codec import ClientCodec, Identity, NativeRequest
from app.converters.exchange import Exchange, converted_exchange, exchange_for, whole_or_stream
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.token_text import countable
from app.converters.probe_answer import answer_probe
from app.converters.refusal import next_try
from app.converters.registry import CLIENTS, UPSTREAMS
from app.converters.request_purpose import is_mere_probe, purpose_of
from app.converters.wire import json_bytes
from app.errors import ClientError, GatewayError
from app.schemas.base import check
from app.schemas.chat import CHAT_REQUEST, INPUT_REQUEST
from app.schemas.messages import MESSAGES_REQUEST
from app.schemas.responses import RESPONSES_REQUEST
from tests.support import grammar
from tests.support.effort import IS_THOROUGH
from tests.support.exchanges import (
    PAIRS,
    PIXEL,
    PROTOCOLS,
    answer_of,
    cases,
    exchange_between,
    limits_of,
    request_of,
    requests,
    stream_of,
)
from tests.support.fuzzing import rich
from tests.support.odd_values import ODD, Place, places

Json = dict[str, Any]

AT_A_TIME: Final = len(ODD) if IS_THOROUGH else 2
pytestmark = pytest.mark.timeout(3600 if IS_THOROUGH else 120)

SCHEMAS: Final = {
    "chat": CHAT_REQUEST,
    "messages": MESSAGES_REQUEST,
    "responses": RESPONSES_REQUEST,
    "cursor": INPUT_REQUEST,
}
_ABLE: Final = {"tool_search": True, "adaptive_thinking": True, "reasoning_effort": ["low", "high", "max"]}
MODELS: Final = {
    "chat": [limits_of(name) for name in ("gpt-4.1", "claude-sonnet-4.5", "gemini-3.1-pro-preview")],
    "messages": [
        *(limits_of(name) for name in ("claude-sonnet-4.6", "claude-sonnet-4.5")),
        ModelLimits.of({"id": "claude-opus-5", "vendor": "Anthropic", "capabilities": {"supports": _ABLE}}),
    ],
    "responses": [
        limits_of("gpt-5.3-codex"),
        ModelLimits.of({"id": "gpt-5.6", "vendor": "OpenAI", "capabilities": {"supports": _ABLE}}),
        ModelLimits.of({"id": "grok-4.5", "vendor": "xAI", "capabilities": {}}),
    ],
}
TYPED: Final = [
    {"type": "bash_20250124", "name": "bash", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 100},
    {"type": "memory_20250818", "name": "memory"},
    {"type": "computer_20250124", "name": "computer", "display_width_px": 9, "display_height_px": 9},
    {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25", "defer_loading": False},
    {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 1, "citations": {"enabled": True}},
]
"""Anthropic's own tools, of which some fixtures hold one."""
AGENTS: Final = ("", "claude-cli/2.1", "opencode/1.0", "QwenCode/1.0")
"""Clients whose requests are looked into for what they are for."""
HEADERS: Final = {"anthropic-beta": "context-management-2025-06-27,advanced-tool-use-2025-11-20"}
REFUSALS: Final = (
    b'{"error":{"message":"Unsupported parameter: \'tools[0].strict\'","param":"tools[0].strict"}}',
    b'{"error":{"message":"Invalid value: \'custom\'. tools[0].type","param":"tools[0].type"}}',
    b'{"error":{"message":"Unsupported value: \'high\' is not supported. Supported values are: \'low\'."}}',
    b'{"error":{"message":"Invalid `signature` in `thinking` block"}}',
    b'{"error":{"message":"`temperature` and `top_p` cannot both be specified for this model."}}',
)


def odd(place_number: int) -> list[Any]:
    """The values that this place is given: all of them, or a few, so that its neighbours are given others."""
    start = place_number * AT_A_TIME
    return [ODD[at % len(ODD)] for at in range(start, start + AT_A_TIME)]


def fail_for(wrong: list[str]) -> None:
    assert not wrong, "\n".join([f"{len(wrong)} of them:", *wrong[:30]])


# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────


def codec_of(client: str) -> ClientCodec:
    return cursor.CLIENT if client == "cursor" else CLIENTS[client]


def bodies(client: str) -> list[Json]:
    protocol = "responses" if client == "cursor" else client
    found = [*(request_of(protocol, case) for case in requests(protocol)), *rich(protocol)]
    found += [{**found[0], "tools": TYPED}] if client == "messages" else []
    return [{**body, "model": "m"} for body in found]


def serve(name: str, body: Json, upstream: str, limits: ModelLimits, agent: str, refusal: bytes) -> None:
    """All that the bridge does with a request, but for calls. Raises: ClientError."""
    client, codec = codec_of(name), UPSTREAMS[upstream]
    raw = json_bytes.unicode_only(json.dumps(body).encode())
    body = json.loads(raw)
    check(SCHEMAS[name], body)
    traits = client.traits(body)
    headers = {**HEADERS, "user-agent": agent, "x-codex-turn-metadata": '{"window_number":1}'}
    purpose_of(client.name, headers, body, traits.initiator)
    identity = Identity(traits.model, 1, "id_1")
    if is_mere_probe(body):
        answer_probe(client, body, traits=traits, identity=identity)
    inlined = dict.fromkeys(client.image_urls(body), PIXEL)

    def native_request(body: Json) -> NativeRequest:
        return NativeRequest(raw=raw, body=body, model=limits.model, limits=limits, inlined=inlined, headers=headers)

    def as_it_is() -> Exchange:
        return exchange_for(client, codec, native_request(body), traits=traits, identity=identity)

    def with_search() -> Exchange | None:
        search = client.search
        if search is None:
            return None
        if (answer := search.unavailable(body, identity)) is not None:
            whole_or_stream(client, answer, client.decode_request(body), identity=identity, traits=traits)
        served = search.served(body) if search.hosted_at != codec.path else None
        if served is None:
            return None
        return converted_exchange(client, codec, native_request(served[0]), traits=traits, identity=identity)

    def counted() -> None:
        counting = client.native.count_tokens if client.native is not None else None
        if counting is not None:
            json.loads(counting.prepare(native_request(body)).body)
            tokens.count(countable(client.decode_request(body)))

    # One that refuses the request must not keep the others from being tried.
    problems = [answered(make, upstream, refusal, is_stream=traits.stream) for make in (as_it_is, with_search)]
    counted()
    for problem in problems:
        if problem is not None:
            raise problem


def answered(
    make: Callable[[], Exchange | None], upstream: str, refusal: bytes, *, is_stream: bool
) -> ClientError | None:
    """The request is made, refused and made again, and a good answer to it becomes one for the client."""
    try:
        exchange = make()
        if exchange is None:
            return None
        prepared = exchange.payload()
        json.loads(prepared.body)
        assert all(value.isascii() and value.isprintable() for value in prepared.headers.values())
        next_try(exchange, frozenset(), prepared, 400, refusal)
    except ClientError as error:
        return error
    if is_stream:
        transformer = exchange.transformer()
        transformer.feed(stream_of(upstream, "tool_parallel"))
        transformer.finish()
        assert transformer.ended
    else:
        json.loads(exchange.whole(answer_of(upstream, "tool_parallel")))
    return None


def turns(client: str) -> Iterator[tuple[Place, Any, str, ModelLimits, str, bytes]]:
    """Each place with its values, and who is asked by whom."""
    asked = cycle([(upstream, model) for upstream in PROTOCOLS for model in MODELS[upstream]])
    agents, refusals = cycle(AGENTS), cycle(REFUSALS)
    for number, place in enumerate(places(bodies(client))):
        for value in odd(number):
            yield place, value, *next(asked), next(agents), next(refusals)


@pytest.mark.parametrize("client", SCHEMAS)
def test_an_odd_value_in_a_request_is_answered_or_refused(client: str) -> None:
    wrong: list[str] = []
    for place, value, upstream, limits, agent, refusal in turns(client):
        try:
            serve(client, place.holding(value), upstream, limits, agent, refusal)
        except ClientError as error:
            json_bytes.dumps(codec_of(client).encode_error(error, "req_1"))
        except Exception as error:
            wrong.append(f"{place.name} = {value!r:.60}, to {limits.model}: {error!r:.200}")
    fail_for(wrong)


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

# A call that upstream gives no name stays one: the client tells the model that there is no such tool.
NAMELESS: Final = ("a call without name", "a call without id or name")


@cache
def asking(client: str, upstream: str) -> Exchange:
    exchange = exchange_between(client, upstream, {**request_of(client, "tool_parallel"), "stream": True})
    exchange.payload()
    return exchange


@cache
def answers(upstream: str) -> list[Json]:
    return [json.loads(answer_of(upstream, case)) for case in cases(upstream)]


@cache
def events(upstream: str) -> list[tuple[Json, list[bytes], list[bytes]]]:
    """Each event of each stream, with the frames before and behind it; those of short streams first."""
    found: list[tuple[Json, list[bytes], list[bytes]]] = []
    for stream in sorted((stream_of(upstream, case) for case in cases(upstream)), key=len):
        frames = stream.strip().split(b"\n\n")
        for at, frame in enumerate(frames):
            data = frame[frame.index(b"data: ") + 6 :]
            if data != b"[DONE]":
                found.append((json.loads(data), frames[:at], frames[at + 1 :]))
    return found


def is_told(client: str, upstream: str, raw: bytes) -> None:
    """A stream is one for this client: by its grammar where the bridge has made all of it, else as JSON."""
    if client != upstream:
        try:
            grammar.read(client, raw)
        except grammar.BrokenGrammar as broken:
            if str(broken) not in NAMELESS:
                raise
    for line in raw.split(b"\n"):
        if line.startswith(b"data: {"):
            json.loads(line[6:])


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_odd_value_in_an_answer_is_told_or_told_to_be_broken(client: str, upstream: str) -> None:
    exchange = asking(client, upstream)
    wrong: list[str] = []
    for number, place in enumerate(places(answers(upstream))):
        for value in odd(number):
            content = json.dumps(place.holding(value)).encode()
            try:
                json.loads(exchange.whole(content))
                exchange.outcome()
                is_told(client, upstream, exchange.whole_as_stream(content))
            except GatewayError as error:
                json_bytes.dumps(CLIENTS[client].encode_error(error, "req_1"))
            except Exception as error:
                wrong.append(f"{place.name} = {value!r:.60}: {error!r:.200}")
    fail_for(wrong)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_odd_value_in_an_event_is_told_or_told_to_be_broken(client: str, upstream: str) -> None:
    exchange = asking(client, upstream)
    around = {id(event): (before, behind) for event, before, behind in events(upstream)}
    wrong: list[str] = []
    for number, place in enumerate(places(event for event, _, _ in events(upstream))):
        before, behind = around[id(place.body)]
        for value in odd(number):
            event = b"data: " + json.dumps(place.holding(value)).encode()
            try:
                transformer = exchange.transformer()
                told = transformer.feed(b"\n\n".join([*before, event, *behind, b""])) + transformer.finish()
                assert transformer.ended
                exchange.outcome(transformer)
                is_told(client, upstream, told)
            except Exception as error:
                wrong.append(f"{place.name} = {value!r:.60}: {error!r:.200}")
    fail_for(wrong)
