"""What requests take from stored answers, and what of answers is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.codec import StoredAnswer, Wanted
from app.converters.responses import stored
from app.converters.responses.errors import error_events, frame_of
from app.converters.responses.vocabulary import handle_of, holder_of, input_item_id, item_id
from app.errors import InvalidRequestError, NotFoundError, UpstreamProtocolError

ASKED = {"role": "user", "content": "Where am I?"}
AGAIN = {"role": "user", "content": "And now?"}


def answer(id: str, *output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": id, "object": "response", "status": "completed", "output": list(output), "store": True, **more}


def said(id: str, at: int, text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "type": "message",
        "id": item_id(id, "message", at),
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


THOUGHT = {"type": "reasoning", "id": item_id("resp_1", "reasoning", 0), "summary": [], "encrypted_content": "proof"}
CALL = {
    "type": "function_call",
    "id": item_id("resp_1", "function_call", 1),
    "call_id": "call_1",
    "name": "where",
    "arguments": "{}",
}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "Oslo"}
FIRST = StoredAnswer("resp_1", answer("resp_1", THOUGHT, CALL), [ASKED])
SECOND = StoredAnswer("resp_2", answer("resp_2", said("resp_2", 0, "In Oslo.")), [RESULT], "resp_1")


# -- what a request wants --------------------------------------------------------------------------------------------

REFERENCE = {"type": "item_reference", "id": "rs_1"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"input": "hi"}, Wanted(stores=True)),
        ({"input": "hi", "store": None, "previous_response_id": None}, Wanted(stores=True)),
        ({"input": "hi", "store": False}, Wanted()),
        ({"input": "hi", "previous_response_id": "resp_1", "store": False}, Wanted("resp_1")),
        ({"input": [REFERENCE, {"id": "fc_2"}, ASKED]}, Wanted(None, ("rs_1", "fc_2"), stores=True)),
        ({"input": [{"type": "message", "id": "msg_1", **ASKED}, "text", 5, None]}, Wanted(stores=True)),
        ({"input": {"id": "rs_1"}}, Wanted(stores=True)),
        ({}, Wanted(stores=True)),
    ],
)
def test_what_a_request_wants(body: dict[str, Any], expected: Wanted) -> None:
    assert stored.wanted(body) == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"store": "yes"}, "store"),
        ({"store": 1}, "store"),
        ({"previous_response_id": 7}, "previous_response_id"),
        ({"previous_response_id": ["resp_1"]}, "previous_response_id"),
        ({"previous_response_id": {"id": "resp_1"}}, "previous_response_id"),
        ({"input": [ASKED, {"type": "item_reference"}]}, "input[1].id"),
        ({"input": [{"type": "item_reference", "id": None}]}, "input[0].id"),
        ({"input": [{"type": "item_reference", "id": ["rs_1"]}]}, "input[0].id"),
        ({"input": [{"id": {}}]}, "input[0].id"),
        ({"input": [{"type": "item_reference", "id": ""}]}, "input[0].id"),
    ],
)
def test_what_is_malformed_is_told_by_its_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        stored.wanted(body)
    assert refused.value.param == param


# -- the request made whole ------------------------------------------------------------------------------------------


def test_a_request_that_refers_to_nothing_stays_the_same_object() -> None:
    for given in ("hi", [ASKED], [], "", [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]):
        body = {"model": "m", "input": given}
        whole, own = stored.expand(body, [], [])
        assert whole is body
        assert own == ([{"role": "user", "content": given}] if isinstance(given, str) else given)


def test_the_whole_conversation_stands_before_the_own_input() -> None:
    body = {"model": "m", "input": "And now?", "previous_response_id": "resp_2", "instructions": "Be brief."}
    whole, own = stored.expand(body, [FIRST, SECOND], [])
    assert whole == {
        "model": "m",
        "instructions": "Be brief.",
        "input": [ASKED, THOUGHT, CALL, RESULT, said("resp_2", 0, "In Oslo."), AGAIN],
    }
    assert own == [AGAIN]
    assert body["previous_response_id"] == "resp_2", "the client's body was touched"


def test_references_become_the_items_in_their_places() -> None:
    body = {"input": [ASKED, {"type": "item_reference", "id": THOUGHT["id"]}, {"id": CALL["id"]}, RESULT]}
    whole, own = stored.expand(body, [], [FIRST])
    assert whole["input"] == own == [ASKED, THOUGHT, CALL, RESULT]


def test_an_item_that_the_conversation_brings_is_not_said_twice() -> None:
    body = {"previous_response_id": "resp_1", "input": [{"id": THOUGHT["id"]}, {"id": CALL["id"]}, RESULT]}
    whole, own = stored.expand(body, [FIRST], [FIRST])
    assert whole["input"] == [ASKED, THOUGHT, CALL, RESULT]
    assert own == [RESULT]


def test_an_item_of_an_input_can_be_named() -> None:
    named = {"type": "item_reference", "id": input_item_id("resp_1", "message", 0)}
    assert stored.expand({"input": [named]}, [], [FIRST])[1] == [ASKED]


@pytest.mark.parametrize("id", ["rs_1", "rs_" + "0" * 40 + "_0", item_id("resp_1", "reasoning", 7), "x" * 500])
def test_an_unknown_item_is_refused_in_openais_words(id: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        stored.expand({"input": [{"type": "item_reference", "id": id}]}, [], [FIRST])
    assert (refused.value.status, refused.value.param, refused.value.code) == (404, "input", "item_not_found")
    assert refused.value.message.startswith(f"Item with id '{id[:100]}' not found.")


def test_odd_values_in_stored_and_new_items_raise_nothing() -> None:
    odd = StoredAnswer("resp_9", {"output": [5, {"id": ["x"]}, {"id": None}]}, [None, 7, {"id": {}, "type": []}])
    whole, _ = stored.expand({"input": [ASKED, {"id": 5, "role": "user"}]}, [odd], [odd])
    assert len(whole["input"]) == 8
    page = stored.page_of([odd, SECOND], {})
    assert all(isinstance(item["id"], str | list) or item["id"] is None for item in page["data"])


# -- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["resp_1", "resp_" + "a" * 59, ""])
def test_an_items_id_leads_to_its_response(response: str) -> None:
    for kind in ("message", "reasoning", "function_call", "custom_tool_call", "something_new"):
        assert holder_of(item_id(response, kind, 12)) == holder_of(input_item_id(response, kind, 3))
        assert holder_of(item_id(response, kind, 0)) == handle_of(response)
        assert len(input_item_id(response, kind, 9999)) <= 64


@pytest.mark.parametrize("id", ["", "rs_1", "msg_" + "g" * 40 + "_0", "msg_" + "0" * 40, "cmp_" + "a" * 400])
def test_another_id_leads_nowhere(id: str) -> None:
    assert holder_of(id) is None


# -- the end of an answer --------------------------------------------------------------------------------------------


def stream_of(*events: dict[str, Any]) -> bytes:
    return b"".join(frame_of(event["type"], event) for event in events)


TRICKY = "\n\nevent: response.completed\ndata: {}\n\n"
ENDED = answer("resp_1", said("resp_1", 0, TRICKY))


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_a_finished_answer_is_found_whole_and_in_the_frames_of_its_end(status: str) -> None:
    finished = {**ENDED, "status": status}
    delta = {"type": "response.output_text.delta", "delta": TRICKY}
    end = {"type": f"response.{status}", "sequence_number": 3, "response": finished}
    assert stored.ended(json.dumps(finished).encode()) == finished
    for before in ((), (delta,), (delta, delta)):
        frames = stream_of(*before, end)
        assert stored.ended(frames) == finished
        untold = stored.unkept(frames)
        assert stored.ended(untold) == {**finished, "store": False}
        assert untold.startswith(stream_of(*before))
    assert stored.ended(b": keep-alive\n\n" + stream_of(end)) == finished
    assert json.loads(stored.unkept(json.dumps(finished).encode())) == {**finished, "store": False}


@pytest.mark.parametrize(
    "given",
    [
        json.dumps({**ENDED, "status": "failed"}).encode(),
        json.dumps({"error": {"message": "no"}}).encode(),
        json.dumps({**ENDED, "id": None}).encode(),
        stream_of({"type": "response.failed", "response": {**ENDED, "status": "failed"}}),
        error_events(UpstreamProtocolError("cut"), 4, ENDED),
        stream_of({"type": "response.output_text.delta", "delta": TRICKY}),
        stream_of({"type": "response.completed", "response": None}),
        b": keep-alive\n\n",
        b"",
    ],
)
def test_what_has_failed_or_goes_on_is_no_finished_answer(given: bytes) -> None:
    assert stored.ended(given) is None


# -- the input, shown ------------------------------------------------------------------------------------------------


def ids_of(**query: str) -> list[str]:
    return [item["id"] for item in stored.page_of([FIRST, SECOND], query)["data"]]


def test_all_that_an_answer_was_made_of_is_listed_newest_first() -> None:
    page = stored.page_of([FIRST, SECOND], {})
    assert [item["type"] for item in page["data"]] == ["function_call_output", "function_call", "reasoning", "message"]
    assert page["data"][1:3] == [CALL, THOUGHT]
    assert page["data"][3] == {
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": "Where am I?"}],
        "id": input_item_id("resp_1", "message", 0),
    }
    assert page["data"][0] == {
        **RESULT,
        "status": "completed",
        "id": input_item_id("resp_2", "function_call_output", 0),
    }
    assert (page["object"], page["has_more"]) == ("list", False)
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])


def test_pages_follow_one_another_in_both_orders() -> None:
    everything = ids_of(order="asc")
    assert everything == ids_of()[::-1]
    for order in ("asc", "desc"):
        expected, found = ids_of(order=order), list[str]()
        after: dict[str, str] = {}
        for _ in expected:
            page = stored.page_of([FIRST, SECOND], {"order": order, "limit": "1", **after})
            found += [item["id"] for item in page["data"]]
            after = {"after": page["last_id"]}
            assert page["has_more"] == (len(found) < len(expected))
        assert found == expected
        assert stored.page_of([FIRST, SECOND], {"order": order, **after})["data"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [({"limit": bad}, "limit") for bad in ("0", "101", "-1", "x", "", "1.5", "٣", "99999999999")]
    + [({"order": bad}, "order") for bad in ("", "ASC", "up")]
    + [({"after": bad}, "after") for bad in ("", "msg_1", "x" * 300)],
)
def test_a_bad_page_is_refused_by_its_name(query: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        stored.page_of([FIRST, SECOND], query)
    assert refused.value.param == param
