"""Events, their grammar, and the bridges between stream and whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.converters.neutral.events import (
    Event,
    GrammarError,
    PartDelta,
    PartEnd,
    PartStart,
    Ping,
    ResponseEnd,
    ResponseStart,
    StreamError,
    accumulate,
    check,
    explode,
)
from app.converters.neutral.vocabulary import (
    Annotation,
    Audio,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)
from app.errors import UpstreamProtocolError, UpstreamTimeoutError
from tests.support.rows import rows

START = ResponseStart("id", "model", 1)
END = ResponseEnd("stop")
ERROR = StreamError(UpstreamTimeoutError("late"))


def one(index: int, text: str = "hi") -> list[Event]:
    return [PartStart(index, Text()), PartDelta(index, "text", text), PartEnd(index, Text(text))]


_PARTS = st.one_of(
    st.builds(Text, st.text(), st.just((Annotation("url", "https://x"),))),
    st.builds(Refusal, st.text()),
    st.builds(Reasoning, st.text(), st.none() | st.text(min_size=1), st.none(), st.none(), st.booleans()),
    st.builds(ToolCall, st.text(), st.text(), st.text()),
    st.builds(Audio, st.text()),
    st.builds(Opaque, st.just("messages"), st.just({"type": "server_tool_use"})),
)


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(_PARTS, max_size=6))
def test_exploded_answers_are_sound_and_add_up(parts: list[Part]) -> None:
    response = Response("id", "model", 1, tuple(parts), "stop", usage=Usage(3, None, None, 4), extra={"chat": {"a": 1}})
    events = explode(response)
    check(events)
    assert accumulate(events) == response


def test_a_redacted_thought_is_whole_from_its_start() -> None:
    part = Reasoning(signature="data", origin="messages", redacted=True)
    assert explode(Response("i", "m", None, (part,), "stop"))[1:-1] == [PartStart(0, part), PartEnd(0, part)]


def test_usage_of_the_end_completes_that_of_the_start() -> None:
    events: list[Event] = [
        ResponseStart("i", "m", usage=Usage(7, 2)),
        ResponseEnd("stop", usage=Usage(output_tokens=5)),
    ]
    assert accumulate(events).usage == Usage(7, 2, None, 5)


def test_a_failed_stream_raises_its_error_and_a_cut_one_too() -> None:
    with pytest.raises(UpstreamTimeoutError):
        accumulate([START, *one(0), ERROR])
    cuts: list[list[Event]] = [[], [START], [START, *one(0)], [END]]
    for cut in cuts:
        with pytest.raises(UpstreamProtocolError):
            accumulate(cut)


@pytest.mark.parametrize(
    "events",
    [
        [ERROR],
        [START, END],
        [START, ERROR],
        [START, Ping(), *one(0), Ping(), *one(1), END],
        [START, PartStart(0, Text()), Ping(), PartDelta(0, "text", "a"), ERROR],
    ],
)
def test_sound_streams_pass(events: list[Event]) -> None:
    check(events)


@rows()
@pytest.mark.parametrize(
    "events",
    [
        [],
        [START],
        [START, START, END],
        [*one(0), END],
        [Ping(), START, END],
        [END],
        [START, END, END],
        [START, ERROR, Ping()],
        [START, *one(1), END],
        [START, *one(0), *one(0), END],
        [START, PartStart(0, Text()), END],
        [START, PartStart(0, Text()), PartStart(1, Text()), END],
        [START, PartStart(0, Text("early")), PartEnd(0, Text("early")), END],
        [START, PartStart(0, Text()), PartDelta(0, "text", "a"), PartEnd(0, Text("b")), END],
        [START, PartStart(0, Text()), PartDelta(0, "arguments", "a"), PartEnd(0, Text()), END],
        [START, PartStart(0, Text()), PartDelta(0, "text", ""), PartEnd(0, Text()), END],
        [START, PartStart(0, Text()), PartDelta(1, "text", "a"), PartEnd(0, Text("a")), END],
        [START, PartStart(0, Text()), PartEnd(0, Refusal()), END],
        [START, PartDelta(0, "text", "a"), END],
        [START, PartEnd(0, Text()), END],
    ],
)
def test_unsound_streams_do_not(events: list[Event]) -> None:
    with pytest.raises(GrammarError):
        check(events)
