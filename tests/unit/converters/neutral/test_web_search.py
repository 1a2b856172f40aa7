"""One answer made of several: what the client is told while the model searches, and what the model goes on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.converters.neutral.events import Event, Ping, ResponseEnd, StreamError, accumulate, check, explode
from app.converters.neutral.search_citations import Citations
from app.converters.neutral.vocabulary import (
    Message,
    Opaque,
    Part,
    Reasoning,
    Response,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from app.converters.neutral.web_search import (
    LONGEST_QUERY,
    MOST_ROUNDS,
    Failure,
    Findings,
    SearchTool,
    SearchTurn,
    Source,
    Wanted,
)
from app.errors import UpstreamProtocolError

TOOL = SearchTool("web_search", max_uses=2)
FOUND = Findings((Source("https://kites.test/", "Kites", "They fly."),))
THOUGHT = Reasoning("Hm.", "proof", "messages")


def blocks(wanted: Wanted, outcome: Findings | Failure | None) -> tuple[dict[str, Any], str]:
    if outcome is None:
        return {"use": wanted.query}, ""
    return {"result": wanted.id}, outcome.code if isinstance(outcome, Failure) else outcome.sources[0].text


def search(query: str = "kites", call_id: str = "call_0") -> ToolCall:
    return ToolCall(call_id, "web_search", f'{{"query":"{query}"}}')


def own(call_id: str = "call_1") -> ToolCall:
    return ToolCall(call_id, "get_weather", '{"city":"Kiel"}')


def answer(*parts: Part, finish: Any = None) -> list[Event]:
    calls = any(isinstance(part, ToolCall) for part in parts)
    usage = Usage(input_tokens=10, output_tokens=3)
    return explode(Response("msg_1", "m", None, parts, finish or ("tool_calls" if calls else "stop"), usage=usage))


def run(
    *rounds: list[Event],
    tool: SearchTool = TOOL,
    outcome: Callable[[str], Findings | Failure] = lambda query: FOUND,
    citing: Citations | None = None,
) -> tuple[Response, list[tuple[Message, ...]]]:
    """The client's whole answer (its grammar is checked), and what the model got after each round.

    citing: for a dialect that tells of a search by nothing else.
    """
    turn = SearchTurn(tool, "messages" if citing is None else None, blocks, citing)
    events: list[Event] = []
    sent: list[tuple[Message, ...]] = []
    for one in rounds:
        assert not turn.ended
        events += turn.feed(one)
        if turn.ended:
            break
        for wanted in turn.wanted:
            events += turn.begin(wanted)
            result = turn.judge(wanted) or outcome(wanted.query)
            events += turn.finish(wanted, result)
        told, messages = turn.go_on()
        events += told
        if messages:
            sent.append(messages)
    check(events)
    return accumulate(events), sent


def told(response: Response) -> list[Any]:
    """Its parts, in short."""
    return [part.value if isinstance(part, Opaque) else part for part in response.parts]


def test_without_a_search_the_answer_is_as_it_was() -> None:
    events = answer(THOUGHT, Text("Hi"), own())
    turn = SearchTurn(TOOL, "messages", blocks)
    assert turn.feed(events) == events
    assert turn.ended


def test_a_search_in_the_middle_of_an_answer() -> None:
    found, sent = run(answer(THOUGHT, Text("Let me see."), search()), answer(Text("They fly.")))
    (block_id,) = [part.value["result"] for part in found.parts if isinstance(part, Opaque) and "result" in part.value]
    assert block_id.startswith("srvtoolu_")
    assert told(found) == [THOUGHT, Text("Let me see."), {"use": "kites"}, {"result": block_id}, Text("They fly.")]
    assert found.finish_reason == "stop"
    call = ToolCall(block_id, "web_search", '{"query":"kites"}')
    result = ToolResult(block_id, (Text("They fly."),))
    assert sent == [(Message("assistant", (THOUGHT, Text("Let me see."), call)), Message("user", (result,)))]


def test_usage_is_that_of_all_rounds() -> None:
    found, _ = run(answer(search()), answer(Text("They fly.")))
    assert found.usage == Usage(input_tokens=20, output_tokens=6)
    assert found.extra == {"messages": {"server_tool_use": {"web_search_requests": 1}}}


def test_two_searches_at_once_get_ids_of_their_own() -> None:
    found, sent = run(answer(search("kites"), search("string", "call_0")), answer(Text("Done.")))
    kinds = [next(iter(value)) for value in told(found)[:4]]
    assert kinds == ["use", "result", "use", "result"]
    calls = sent[0][0].calls
    assert len({call.call_id for call in calls}) == 2
    assert [result.call_id for result in sent[0][1].results] == [call.call_id for call in calls]


def test_ids_differ_from_round_to_round() -> None:
    _, sent = run(answer(search()), answer(search()), answer(Text("Done.")))
    first, second = (messages[0].calls[0].call_id for messages in sent)
    assert first != second


def test_a_call_of_the_clients_own_tool_ends_the_answer_with_the_search_done() -> None:
    found, sent = run(answer(Text("Both."), search(), own()))
    assert [type(part) for part in found.parts] == [Text, Opaque, Opaque, ToolCall]
    assert found.parts[-1] == own()
    assert found.finish_reason == "tool_calls"
    assert sent == []


def test_a_call_before_the_search_is_told_at_once() -> None:
    turn = SearchTurn(TOOL, "messages", blocks)
    events = answer(own(), search())
    at = next(at for at, event in enumerate(events) if getattr(event, "part", None) == search())
    assert turn.feed(events[: at - 2]) == events[: at - 2]


def test_more_than_the_client_allows_is_refused_in_its_place() -> None:
    asked: list[str] = []

    def outcome(query: str) -> Findings:
        asked.append(query)
        return FOUND

    rounds = [answer(search(f"q{number}")) for number in range(3)]
    found, sent = run(*rounds, answer(Text("Done.")), outcome=outcome)
    assert asked == ["q0", "q1"]
    assert sent[2][1].results[0].is_error
    assert sent[2][1].results[0].text == "max_uses_exceeded"
    assert found.extra["messages"]["server_tool_use"] == {"web_search_requests": 2}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("", "invalid_tool_input"),
        ("{", "invalid_tool_input"),
        ('{"query":7}', "invalid_tool_input"),
        ('{"query":"  "}', "invalid_tool_input"),
        (f'{{"query":"{"x" * (LONGEST_QUERY + 1)}"}}', "query_too_long"),
    ],
)
def test_a_call_that_cannot_be_run_is_told_to_the_model(arguments: str, code: str) -> None:
    found, sent = run(answer(ToolCall("c", "web_search", arguments)), answer(Text("Sorry.")))
    assert sent[0][1].results[0].text == code
    assert "messages" not in found.extra


def test_a_failed_search_is_a_result_and_not_counted() -> None:
    found, sent = run(answer(search()), answer(Text("Sorry.")), outcome=lambda query: Failure("unavailable"))
    assert sent[0][1].results[0].is_error
    assert found.extra["messages"]["server_tool_use"] == {"web_search_requests": 0}
    assert found.parts[-1] == Text("Sorry.")


def test_it_pauses_before_it_goes_on_for_ever() -> None:
    tool = SearchTool("web_search")
    found, sent = run(*(answer(search()) for _ in range(MOST_ROUNDS)), tool=tool)
    assert found.finish_reason == "pause"
    assert len(sent) == MOST_ROUNDS - 1


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal"])
def test_an_answer_that_was_cut_off_is_not_searched_for(finish: str) -> None:
    found, sent = run(answer(Text("Let me"), search(), own(), finish=finish))
    assert found.parts == (Text("Let me"), own())
    assert found.finish_reason == finish
    assert sent == []


def test_an_upstream_that_says_stop_beside_a_call_is_searched_for_all_the_same() -> None:
    found, _ = run(answer(search(), finish="stop"), answer(Text("They fly.")))
    assert found.parts[-1] == Text("They fly.")


def test_a_failure_of_upstream_ends_it_and_pings_pass() -> None:
    turn = SearchTurn(TOOL, "messages", blocks)
    error = StreamError(UpstreamProtocolError("torn"))
    assert turn.feed([Ping(), error, ResponseEnd("stop")]) == [Ping(), error]
    assert turn.ended


@pytest.mark.parametrize(
    ("url", "allowed", "blocked", "expected"),
    [
        ("https://kites.test/a", (), (), True),
        ("https://kites.test/a", ("kites.test",), (), True),
        ("https://www.kites.test/a", ("kites.test",), (), True),
        ("https://evilkites.test/a", ("kites.test",), (), False),
        ("https://KITES.test/blog/1", ("kites.test/blog",), (), True),
        ("https://kites.test/shop", ("kites.test/blog",), (), False),
        ("https://kites.test/shop", ("https://kites.test",), (), True),
        ("https://kites.test/shop", ("*.kites.test",), (), True),
        ("https://kites.test/a", (), ("kites.test",), False),
        ("https://other.test/a", (), ("kites.test",), True),
        ("https://[", ("kites.test",), (), False),
    ],
)
def test_domains(url: str, allowed: tuple[str, ...], blocked: tuple[str, ...], expected: bool) -> None:
    assert SearchTool("s", allowed_domains=allowed, blocked_domains=blocked).allows(url) is expected


# ── a dialect that tells of a search by what its texts cite ─────────────────────────────────────────────────────────


def test_texts_cite_what_was_found_and_nothing_else_tells_of_the_search() -> None:
    response, (messages,) = run(
        answer(Text("I look."), search()), answer(Text("They fly."), Text(" Indeed.")), citing=Citations()
    )
    before, cited, after = response.parts
    assert before == Text("I look.")
    assert isinstance(cited, Text)
    assert cited.text == "\n\nThey fly."
    assert [(note.url, note.title) for note in cited.annotations] == [("https://kites.test/", "Kites")]
    assert after == Text(" Indeed.")
    assert messages[0].parts[0] == Text("I look.")
    assert response.extra == {}


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        ((), (Text("They fly."),), ["They fly."]),
        ((Text(""),), (Text("They fly."),), ["", "They fly."]),
        ((Text("I look."),), (Text(""), Text("They fly.")), ["I look.", "", "\n\nThey fly."]),
        ((Text("I look.", phase="commentary"),), (Text("Yes.", phase="final_answer"),), ["I look.", "Yes."]),
        ((THOUGHT, Text("I look.")), (THOUGHT, Text("Yes.")), ["I look.", "\n\nYes."]),
        ((Text("I "), Text("look.")), (Text("Yes."),), ["I ", "look.", "\n\nYes."]),
    ],
)
def test_the_words_of_two_rounds_stay_apart(first: tuple[Part, ...], then: tuple[Part, ...], told: list[str]) -> None:
    response, _ = run(answer(*first, search()), answer(*then), citing=Citations())
    assert [part.text for part in response.parts if isinstance(part, Text)] == told
