"""Stop sequences for upstreams that have none: whole and streamed, cut at the same place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converters.neutral.events import (
    Event,
    PartDelta,
    PartEnd,
    PartStart,
    Ping,
    ResponseEnd,
    ResponseStart,
    accumulate,
    check,
)
from app.converters.neutral.token_text import estimate, estimate_input
from app.converters.neutral.vocabulary import (
    FinishReason,
    Image,
    Message,
    Reasoning,
    Request,
    Response,
    Text,
    Tool,
    ToolCall,
    Usage,
)
from app.converters.stop_sequences import StreamCutter, cut_response
from tests.support.exchanges import answer_of, exchange_between, request_of, stream_of, transformed
from tests.support.exchanges import streamed as asking_for_stream

USAGE = Usage(10, 0, 0, 20, 0)


def answer(*texts: str, finish_reason: FinishReason = "stop") -> Response:
    return Response("r", "m", 1, tuple(map(Text, texts)), finish_reason, usage=USAGE)


def asked(*stops: str) -> Request:
    return Request(model="m", messages=(Message("user", (Text("four letters"),)),), stop=stops)


def streamed(pieces: list[str], *stops: str) -> list[Event]:
    """The events of one text in these pieces, through the cutter."""
    events: list[Event] = [ResponseStart("r", "m", 1), PartStart(0, Text(""))]
    events += [PartDelta(0, "text", piece) for piece in pieces if piece]
    events += [Ping(), PartEnd(0, Text("".join(pieces))), ResponseEnd("stop", None, USAGE)]
    cutter = StreamCutter(asked(*stops))
    return [passed for event in events for passed in cutter.feed(event)]


@pytest.mark.parametrize(
    ("text", "stops", "kept", "stop"),
    [
        ("one STOP two", ("STOP",), "one ", "STOP"),
        ("one STOP two", ("HALT", "STOP"), "one ", "STOP"),
        ("STOP", ("STOP",), "", "STOP"),
        ("a b", ("b", "a"), "", "a"),  # which comes first, not which stands first
        ("aSb", ("aSb", "S"), "a", "S"),  # complete first
        ("aS", ("S", "aS"), "", "aS"),
        ("abab", ("ab",), "", "ab"),
        ("STO STOP", ("STOP",), "STO ", "STOP"),
        ("SSTOP", ("STOP",), "S", "STOP"),
        ("停止在这里吧", ("在",), "停止", "在"),
    ],
)
def test_whole_answer_ends_where_a_stop_sequence_begins(
    text: str, stops: tuple[str, ...], kept: str, stop: str
) -> None:
    cut = cut_response(answer(text), stops)
    assert (cut.text, cut.finish_reason, cut.stop_sequence) == (kept, "stop_sequence", stop)
    assert cut.usage == USAGE


def test_nothing_changes_without_a_stop_sequence_in_the_text() -> None:
    whole = answer("one two", finish_reason="length")
    assert cut_response(whole, ("STOP", "")) is whole
    events = streamed(["one S", "TO two ST"], "STOP")
    assert accumulate(events).text == "one STO two ST"
    assert isinstance(events[-1], ResponseEnd)
    assert (events[-1].finish_reason, events[-1].usage) == ("stop", USAGE)


def test_what_comes_later_is_gone_and_thoughts_do_not_count() -> None:
    thought, call = Reasoning("I shall say STOP"), ToolCall("c", "f", "{}")
    whole = Response("r", "m", 1, (thought, Text("a STOP b"), call, Text("c")), "tool_calls")
    assert cut_response(whole, ("STOP",)).parts == (thought, Text("a "))


def test_stream_ends_at_once_with_an_estimate_of_its_usage() -> None:
    events = streamed(["one S", "T", "OP", " two", " three"], "STOP")
    check(events)
    end = events[-1]
    assert end == ResponseEnd("stop_sequence", "STOP", Usage(input_tokens=3, output_tokens=1))
    assert accumulate(events).text == "one "


def test_calls_and_thoughts_of_a_stream_pass() -> None:
    events: list[Event] = [
        ResponseStart("r", "m"),
        PartStart(0, Reasoning("")),
        PartDelta(0, "text", "STOP"),
        PartEnd(0, Reasoning("STOP")),
        PartStart(1, ToolCall("c", "f", "")),
        PartDelta(1, "arguments", '"STOP"'),
        PartEnd(1, ToolCall("c", "f", '"STOP"')),
        ResponseEnd("tool_calls"),
    ]
    cutter = StreamCutter(asked("STOP"))
    assert [passed for event in events for passed in cutter.feed(event)] == events


@given(
    pieces=st.lists(st.text("abS T", max_size=4), max_size=12),
    stops=st.lists(st.text("abST", min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_stream_is_cut_where_the_whole_answer_is(pieces: list[str], stops: list[str]) -> None:
    whole = cut_response(answer("".join(pieces)), stops)
    events = streamed(pieces, *stops)
    check(events)
    given = accumulate(events)
    assert given.text == whole.text
    assert (given.finish_reason, given.stop_sequence) == (whole.finish_reason, whole.stop_sequence)


@pytest.mark.parametrize("upstream", ["chat", "messages", "responses"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_read_on_after_the_cut_it_is_known_what_upstreams_answer_came_to(upstream: str, size: int) -> None:
    """Nothing of it is given out: the client has its end already."""
    body = asking_for_stream("chat", {**request_of("chat", "text"), "stop": ["o"]})
    exchange = exchange_between("chat", upstream, body)
    exchange.payload(frozenset({"stop", "stop_sequences"}))
    account = {"token_details": [], "total_nano_aiu": 2500}
    stream = with_account(upstream, stream_of(upstream, "text"), account)
    transformer = exchange.transformer()
    at = 0
    while not transformer.ended:
        transformer.feed(stream[at : at + size])
        at += size
    assert transformer.is_cut
    estimated = exchange.outcome(transformer)
    if at < len(stream):
        assert estimated.nano_credits is None
    assert b"".join(transformer.feed(stream[at : at + size]) for at in range(at, len(stream), size)) == b""
    known = exchange.outcome(transformer)
    assert (known.nano_credits, known.finish_reason) == (2500, "stop_sequence")
    assert known.usage is not None
    assert known.usage["output_tokens"] == outcome_of_uncut(upstream)["output_tokens"]


def outcome_of_uncut(upstream: str) -> dict[str, int]:
    exchange = exchange_between("chat", upstream, asking_for_stream("chat", request_of("chat", "text")))
    exchange.payload()
    transformer = exchange.transformer()
    transformer.feed(stream_of(upstream, "text"))
    usage = exchange.outcome(transformer).usage
    assert usage is not None
    return usage


def with_account(upstream: str, stream: bytes, account: dict[str, object]) -> bytes:
    """The stream with an account in its last event that is none of the mere marks of an end."""
    lines = stream.decode().split("\n")
    wanted = {"chat": '"usage"', "messages": '"message_delta"', "responses": '"response.completed"'}[upstream]
    at = max(at for at, line in enumerate(lines) if line.startswith("data: {") and wanted in line)
    lines[at] = "data: " + json.dumps(json.loads(lines[at][6:]) | {"copilot_usage": account})
    return "\n".join(lines).encode()


def test_estimate_is_a_token_for_four_bytes() -> None:
    assert estimate("") == 0
    assert estimate("four") == 1
    assert estimate("fours") == 2
    assert estimate("中文中文") == 3
    request = Request(
        model="m",
        messages=(Message("user", (Text("word " * 8), Image(data="x"))),),
        tools=(Tool("look", schema={"type": "object"}),),
    )
    assert estimate_input(request) == 10 + 1000 + 1 + 5


STOPS = {"chat": "stop", "messages": "stop_sequences", "responses": "stop"}


@pytest.mark.parametrize("client", ["chat", "messages"])
@pytest.mark.parametrize("upstream", ["chat", "messages"])
def test_stop_sequences_hold_where_a_model_refuses_the_field(client: str, upstream: str) -> None:
    """Natively too: leaving the field out would give the client what stands behind its stop sequence."""
    body = {**request_of(client, "text"), STOPS[client]: ["o"]}
    for stream in (False, True):
        exchange = exchange_between(client, upstream, asking_for_stream(client, body) if stream else body)
        assert STOPS[upstream] in json.loads(exchange.payload().body)
        assert STOPS[upstream] not in json.loads(exchange.payload(frozenset({STOPS[upstream]})).body)
        if stream:
            told = transformed(exchange, stream_of(upstream, "text")).decode()
        else:
            told = exchange.whole(answer_of(upstream, "text")).decode()
        assert "Hell" in told
        assert "Hello" not in told
        assert ('"stop_sequence"' if client == "messages" else '"finish_reason":"stop"') in told
