"""The sequencer: any order in, one part open at a time out."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.converters.neutral.events import Event, PartDelta, PartEnd, PartStart, ResponseEnd, ResponseStart, check
from app.converters.neutral.part_sequencer import PartSequencer, _ObjectScan
from app.converters.neutral.vocabulary import Annotation, Opaque, Part, Reasoning, Text, ToolCall
from app.errors import UpstreamProtocolError
from tests.support.effort import tries

A, B = ToolCall("call_a", "get"), ToolCall("call_b", "get")


def ended(events: list[Event]) -> list[Part]:
    return [event.part for event in events if isinstance(event, PartEnd)]


def sound(events: list[Event]) -> list[Part]:
    check([ResponseStart("i", "m"), *events, ResponseEnd("stop")])
    return ended(events)


def test_the_worked_example_of_the_architecture() -> None:
    parts = PartSequencer()
    assert parts.start("text", Text()) == [PartStart(0, Text())]
    assert parts.delta("text", "text", "Checking") == [PartDelta(0, "text", "Checking")]
    assert parts.start(0, A) == [PartEnd(0, Text("Checking")), PartStart(1, A)]
    assert parts.delta(0, "arguments", '{"city":') == [PartDelta(1, "arguments", '{"city":')]
    assert parts.start(1, B) == []
    assert parts.delta(0, "arguments", '"Oslo"}') == [
        PartDelta(1, "arguments", '"Oslo"}'),
        PartEnd(1, ToolCall("call_a", "get", '{"city":"Oslo"}')),
        PartStart(2, B),
    ]
    assert parts.delta(1, "arguments", '{"city":"Rome"}') == [PartDelta(2, "arguments", '{"city":"Rome"}')]
    assert parts.flush() == [PartEnd(2, ToolCall("call_b", "get", '{"city":"Rome"}'))]
    assert parts.flush() == []


def test_held_call_starts_after_first_ends_with_all_it_gathered() -> None:
    parts = PartSequencer()
    parts.start(0, A)
    parts.start(1, B)
    assert parts.delta(1, "arguments", '{"x"') == []
    assert parts.delta(1, "arguments", ":1}") == []
    assert parts.end(1) == []
    assert parts.end(0)[1:] == [
        PartStart(1, B),
        PartDelta(1, "arguments", '{"x":1}'),
        PartEnd(1, ToolCall("call_b", "get", '{"x":1}')),
    ]


def test_what_is_known_at_the_start_is_told_as_deltas() -> None:
    parts = PartSequencer()
    assert parts.start(0, ToolCall("a", "f", '{"x"')) == [
        PartStart(0, ToolCall("a", "f")),
        PartDelta(0, "arguments", '{"x"'),
    ]


def test_an_empty_object_is_told_when_it_was_all() -> None:
    parts = PartSequencer()
    assert parts.start(0, ToolCall("a", "f", "{}")) == [PartStart(0, ToolCall("a", "f"))]
    assert parts.flush() == [PartDelta(0, "arguments", "{}"), PartEnd(0, ToolCall("a", "f", "{}"))]


def test_text_that_goes_on_after_a_call_is_a_new_part() -> None:
    parts = PartSequencer()
    events = parts.start("t", Text()) + parts.delta("t", "text", "one") + parts.start(0, A)
    assert parts.delta("t", "text", "two") == []
    assert parts.delta("t", "text", "!") == []
    assert parts.is_open("t")
    events += parts.delta(0, "arguments", "{}") + parts.flush()
    assert sound(events) == [Text("one"), ToolCall("call_a", "get", "{}"), Text("two!")]
    assert not parts.is_open("t")
    assert not parts.is_open("unheard of")


def test_a_call_without_arguments_waits_for_the_end() -> None:
    parts = PartSequencer()
    events = parts.start(0, A) + parts.start(1, B)
    assert ended(events) == []
    assert sound(events + parts.flush()) == [A, B]


def test_a_custom_call_is_never_guessed_to_be_over() -> None:
    custom = ToolCall("c", "patch", kind="custom")
    parts = PartSequencer()
    events = parts.start(0, custom) + parts.delta(0, "arguments", "{}") + parts.start(1, Text())
    assert ended(events) == []
    assert sound(events + parts.delta(0, "arguments", "more") + parts.flush())[0] == ToolCall(
        "c", "patch", "{}more", kind="custom"
    )


def test_white_space_after_a_call_is_over_is_no_error_but_more_is() -> None:
    parts = PartSequencer()
    parts.start(0, ToolCall("a", "f", "{}"))
    parts.start(1, B)
    assert parts.delta(0, "arguments", " \n") == []
    assert parts.delta(0, "arguments", "") == []
    with pytest.raises(UpstreamProtocolError):
        parts.delta(0, "arguments", "{}")


def test_empty_deltas_say_nothing() -> None:
    parts = PartSequencer()
    parts.start(0, Text())
    assert parts.delta(0, "text", "") == []


@pytest.mark.parametrize(
    ("told", "final", "expected"),
    [
        ("", '{"a":1}', '{"a":1}'),
        ('{"a"', '{"a":1}', '{"a":1}'),
        ('{"a": 1}', '{"a":1}', '{"a": 1}'),
        ('{"a":1}', "", '{"a":1}'),
    ],
)
def test_the_finished_part_completes_the_deltas(told: str, final: str, expected: str) -> None:
    parts = PartSequencer()
    events = parts.start(0, A) + parts.delta(0, "arguments", told)
    events += parts.end(0, ToolCall("call_a", "get", final, id="fc_1"))
    assert sound(events) == [ToolCall("call_a", "get", expected, id="fc_1")]
    assert parts.end(0) == []


def test_the_finished_part_replaces_what_was_held() -> None:
    parts = PartSequencer()
    events = parts.start(0, A) + parts.start(1, B) + parts.delta(1, "arguments", "ciphertext")
    events += parts.end(1, ToolCall("call_b", "get", "{}")) + parts.end(0, ToolCall("call_a", "get", "{}"))
    assert [part.arguments for part in sound(events) if isinstance(part, ToolCall)] == ["{}", "{}"]


def test_the_finished_part_brings_what_is_not_streamed() -> None:
    parts = PartSequencer()
    note = Annotation("url", "https://x")
    events = parts.start(0, Reasoning()) + parts.delta(0, "text", "hm")
    events += parts.end(0, Reasoning("", "proof", "responses", "rs_1"))
    events += parts.start(1, Text()) + parts.delta(1, "text", "told") + parts.end(1, Text("else", (note,)))
    opaque = Opaque("messages", {"type": "x"})
    events += parts.start(2, opaque) + parts.end(2)
    assert sound(events) == [Reasoning("hm", "proof", "responses", "rs_1"), Text("told", (note,)), opaque]


def test_whether_a_thought_is_redacted_is_settled_when_it_begins() -> None:
    parts = PartSequencer()
    events = parts.start(0, A) + parts.start(1, Reasoning())
    events += parts.end(1, Reasoning("", "proof", "messages", redacted=True)) + parts.flush()
    assert sound(events) == [A, Reasoning("", "proof", "messages")]


def test_contradictions_are_errors() -> None:
    parts = PartSequencer()
    parts.start(0, A)
    parts.delta(0, "arguments", "gAAAA")
    with pytest.raises(UpstreamProtocolError, match="two different arguments"):
        parts.end(0, ToolCall("call_a", "get", "{}"))
    misuses: list[Callable[[], list[Event]]] = [
        lambda: parts.end(0, Text("a")),
        lambda: parts.start(0, A),
        lambda: parts.delta(7, "text", "a"),
        lambda: parts.end(7),
        lambda: parts.delta(0, "text", "a"),
    ]
    for misuse in misuses:
        with pytest.raises(UpstreamProtocolError):
            misuse()
    parts.start(1, B)
    with pytest.raises(UpstreamProtocolError):
        parts.delta(1, "text", "held")
    parts = PartSequencer()
    parts.start(0, Text())
    parts.end(0)
    with pytest.raises(UpstreamProtocolError):
        parts.delta(0, "arguments", "over")
    assert parts.start(0, Text()) == [PartStart(1, Text())]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\{}[]é', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\}{', max_size=3), inner, max_size=3),
    max_leaves=6,
)
_OBJECTS = st.dictionaries(st.text('ab"\\', max_size=3), _JSON, max_size=3).map(json.dumps)


@settings(derandomize=True, database=None, deadline=None)
@given(_OBJECTS, st.data())
def test_an_object_is_complete_at_its_last_brace_and_not_before(text: str, data: Any) -> None:
    scan, pieces = _ObjectScan(), list[str]()
    position = 0
    while position < len(text):
        cut = data.draw(st.integers(position + 1, len(text)))
        pieces.append(text[position:cut])
        assert scan.feed(text[position:cut], pieces) == (cut == len(text))
        position = cut
    assert scan.feed("", pieces)
    assert scan.feed(" \n", pieces)
    assert not scan.feed("x", pieces)


@pytest.mark.parametrize("text", ["[1]", "}", "{]", "1", '"{}"', "{} {}"])
def test_what_is_no_object_is_never_complete(text: str) -> None:
    assert not _ObjectScan().feed(text, [text])


_STEPS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["delta", "delta", "delta", "end"])), max_size=40)


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@settings(max_examples=tries(400), derandomize=True, database=None, deadline=None)
@given(st.lists(st.sampled_from(["text", "thought", "call", "custom"]), max_size=5), _STEPS, st.integers(1, 9))
@example(["call", "text", "call", "thought", "call"], [(4, "delta"), (0, "delta"), (1, "end"), (2, "delta")], 3)
def test_any_interleaving_keeps_grammar_content_and_order(
    kinds: list[str], steps: list[tuple[int, str]], size: int
) -> None:
    wanted: dict[Hashable, str] = {}
    todo: dict[int, list[str]] = {}
    blanks: dict[int, Part] = {}
    for key, kind in enumerate(kinds):
        whole = json.dumps({"k": key, "s": 'a"}{\\' * key}) if kind == "call" else f"<{key}:{'x}' * key}>"
        wanted[key], todo[key] = whole, _pieces(whole, size)
        made: dict[str, Part] = {
            "text": Text(id=str(key)),
            "thought": Reasoning(id=str(key)),
            "call": ToolCall(str(key), "f"),
            "custom": ToolCall(str(key), "f", kind="custom"),
        }
        blanks[key] = made[kind]
    parts, events, started = PartSequencer(), list[Event](), list[int]()

    def step(key: int, action: str) -> None:
        nonlocal events
        if key not in started:
            started.append(key)
            events += parts.start(key, blanks[key])
        if todo[key]:
            field = "arguments" if isinstance(blanks[key], ToolCall) else "text"
            events += parts.delta(key, field, todo[key].pop(0))
        elif action == "end":
            events += parts.end(key)

    for key, action in steps:
        if key in blanks:
            step(key, action)
    for key in blanks:
        while todo[key] or key not in started:
            step(key, "delta")
    events += parts.flush()

    finished = sound(events)
    told: dict[int, str] = {}
    for part in finished:
        if isinstance(part, ToolCall):
            assert int(part.call_id) not in told, "a call must stay in one piece"
            told[int(part.call_id)] = part.arguments
        elif isinstance(part, Text | Reasoning):
            key = int(part.id or "")
            told[key] = told.get(key, "") + part.text
    assert told == wanted
    assert list(told) == started


def test_long_interleaved_arguments_do_not_take_quadratic_time() -> None:
    parts = PartSequencer()
    whole = json.dumps({str(number): {"a": {}} for number in range(20_000)})
    events = parts.start(0, A) + parts.start(1, B)
    for piece in _pieces(whole, 8):
        events += parts.delta(0, "arguments", piece)
    assert ended(events) == [ToolCall("call_a", "get", whole)]


def test_a_finished_text_that_had_to_make_room_is_not_told_twice() -> None:
    parts = PartSequencer()
    events = parts.start("text", Text())
    events += parts.delta("text", "text", "one ")
    events += parts.start(0, A)
    events += parts.delta("text", "text", "two ")
    events += parts.end(0, ToolCall("call_a", "get", "{}"))
    events += parts.end("text", Text("one two three"))
    assert sound(events) == [Text("one "), ToolCall("call_a", "get", "{}"), Text("two three")]


def test_a_text_that_makes_room_many_times_is_measured_against_all_that_was_told() -> None:
    parts = PartSequencer()
    events = parts.start("a", Text()) + parts.start("b", Text())
    for word in "1234":
        events += parts.delta("a", "text", word) + parts.delta("b", "text", word)
    events += parts.end("a", Text("12345")) + parts.end("b", Text("12345"))
    told = "".join(part.text for part in sound(events + parts.flush()) if isinstance(part, Text))
    assert sorted(told) == sorted("12345" * 2)


def test_a_proof_that_comes_with_the_end_of_a_thought_is_kept_when_the_thought_had_to_make_room() -> None:
    parts = PartSequencer()
    events = parts.start(0, Reasoning()) + parts.delta(0, "text", "hm")
    events += parts.start(1, Text()) + parts.delta(1, "text", "so")
    events += parts.end(0, Reasoning("hm", "proof", "responses"))
    events += parts.end(0, Reasoning("hm", "proof", "responses"))
    assert sound(events + parts.flush()) == [
        Reasoning("hm"),
        Text("so"),
        Reasoning("", "proof", "responses"),
    ]


def test_a_finished_text_that_contradicts_what_was_told_changes_nothing() -> None:
    parts = PartSequencer()
    events = parts.start(0, Text()) + parts.delta(0, "text", "one") + parts.start(1, Text())
    events += parts.end(0, Text("other")) + parts.delta(1, "text", "two")
    assert sound(events + parts.flush()) == [Text("one"), Text("two")]
