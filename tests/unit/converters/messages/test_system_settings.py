"""What system messages within a Messages conversation say of themselves and of the answer holds at every upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.messages.system_settings import applied
from tests.support.exchanges import PROTOCOLS, exchange_between
from tests.support.rows import rows

Json = dict[str, Any]
USER: Json = {"role": "user", "content": "hi"}
SAID: Json = {"role": "assistant", "content": "hello"}
CALL: Json = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "t", "input": {}}]}
RESULT: Json = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "done"}]}
TOOL: Json = {"name": "t", "input_schema": {"type": "object", "properties": {}}}


def note(content: str | None = "pears", **settings: Any) -> Json:
    return {"role": "system", **({"content": content} if content is not None else {}), **settings}


def effort(level: str | None) -> Json:
    return note(output_config={"effort": level})


CLEARED = note(clear_at="next_user_message")
STAYS: dict[str, tuple[list[Json], bool]] = {
    "its turn": ([USER, CLEARED], True),
    "the turn before": ([USER, CLEARED, SAID, USER], False),
    "before the user": ([CLEARED, USER], False),
    "never": ([USER, note(clear_at="never"), SAID, USER], True),
    "not said": ([USER, note(clear_at=None), SAID, USER], True),
}


@rows("upstream")
@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("case", STAYS)
def test_a_message_is_cleared_when_it_wants_to_be(upstream: str, case: str) -> None:
    messages, stays = STAYS[case]
    told = exchange_between("messages", upstream, body_of(messages)).payload().body.decode()
    assert ("pears" in told) is stays
    assert "clear_at" not in told


EFFORTS: dict[str, tuple[list[Json], str | None]] = {
    "for this turn": ([USER, effort("low")], "low"),
    "before the user": ([USER, SAID, effort("low"), USER], "low"),
    "for a turn before": ([USER, effort("low"), SAID, USER], None),
    "within a turn with tools": ([USER, effort("low"), CALL, RESULT], "low"),
    "the last of the turn": ([USER, effort("high"), CALL, RESULT, effort("low")], "low"),
    "nothing said": ([USER, effort("low"), effort(None)], "low"),
}


@pytest.mark.parametrize("case", EFFORTS)
def test_an_effort_holds_for_its_turn(case: str) -> None:
    messages, level = EFFORTS[case]
    body = applied(body_of(messages))
    assert body.get("output_config", {}).get("effort") == level
    assert all(message.keys() == {"role", "content"} for message in body["messages"])


@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_an_effort_arrives(upstream: str) -> None:
    body = body_of([USER, note(None, output_config={"effort": "low"})])
    told = json.loads(exchange_between("messages", upstream, body).payload().body)
    assert "output_config" not in json.dumps(told["input" if upstream == "responses" else "messages"])
    if upstream != "chat":  # the usual model there does not think
        assert '"low"' in json.dumps(told)


@pytest.mark.parametrize("messages", [[], None, "hi", ["hi"], [note(output_config="low"), USER], [{}]])
def test_other_shapes_stay_for_others_to_tell(messages: Any) -> None:
    body = {"model": "m", "messages": messages}
    assert applied(body).get("output_config") is None


def test_what_asks_for_nothing_is_the_same() -> None:
    body = body_of([USER, note(), SAID, USER])
    assert applied(body) is body


def body_of(messages: list[Json]) -> Json:
    return {"model": "m", "max_tokens": 99, "tools": [TOOL], "messages": messages}
