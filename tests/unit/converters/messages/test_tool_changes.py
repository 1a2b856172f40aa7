"""Tools that are added and removed within the conversation hold at its end, at every upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.messages.tool_changes import settled
from tests.support.exchanges import PROTOCOLS, exchange_between, sent
from tests.support.rows import rows

Json = dict[str, Any]


def tool(name: str, **more: Any) -> Json:
    return {"name": name, "input_schema": {"type": "object", "properties": {}}, **more}


def added(name: str) -> Json:
    return {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool(name)}}


def shown(name: str) -> Json:
    return {"type": "tool_addition", "tool": {"type": "tool_reference", "name": name}}


def removed(name: str) -> Json:
    return {"type": "tool_removal", "tool": {"type": "tool_reference", "name": name}}


CASES: dict[str, tuple[list[Json], list[Json], list[str]]] = {
    "none": ([tool("a")], [], ["a"]),
    "one more": ([tool("a")], [added("b")], ["a", "b"]),
    "the first": ([], [added("b")], ["b"]),
    "one less": ([tool("a"), tool("b")], [removed("a")], ["b"]),
    "the last": ([tool("a")], [removed("a")], []),
    "added, then removed": ([tool("a")], [added("b"), removed("b")], ["a"]),
    "removed, then added": ([tool("a"), tool("b")], [removed("a"), added("a")], ["b", "a"]),
    "replaced": ([tool("a"), tool("b")], [added("a")], ["b", "a"]),
    "held back until now": ([tool("a"), tool("b", defer_loading=True)], [shown("b")], ["a", "b"]),
    "unknown names": ([tool("a")], [removed("x"), shown("y")], ["a"]),
}


def body_of(tools: list[Json], changes: list[Json]) -> Json:
    turns: list[Json] = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}]
    for change in changes:
        turns += [{"role": "system", "content": [change]}]
    turns += [{"role": "user", "content": [{"type": "text", "text": "go on"}]}]
    return {"model": "m", "max_tokens": 99, "messages": turns} | ({"tools": tools} if tools else {})


@rows("upstream")
@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("case", [case for case, (_, changes, _) in CASES.items() if changes])
def test_the_changes_of_a_compacted_range_hold_too(upstream: str, case: str) -> None:
    tools, changes, names = CASES[case]
    summary = {"type": "compaction", "content": "We spoke of pears.", "tool_changes": changes}
    body = body_of(tools, [])
    body["messages"][1]["content"] = [summary]
    told = sent(exchange_between("messages", upstream, body))
    offered = [one.get("name") or one["function"]["name"] for one in told.get("tools", [])]
    assert offered == names
    assert "We spoke of pears." in json.dumps(told)
    assert "tool_changes" not in json.dumps(told)


@rows("upstream")
@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("case", CASES)
def test_the_tools_at_the_end_are_offered(upstream: str, case: str) -> None:
    tools, changes, names = CASES[case]
    told = sent(exchange_between("messages", upstream, body_of(tools, changes)))
    assert [one.get("name") or one["function"]["name"] for one in told.get("tools", [])] == names
    text = json.dumps(told)
    assert "tool_addition" not in text
    assert "tool_removal" not in text
    assert "go on" in text


def test_a_body_without_changes_is_left_alone() -> None:
    for body in (body_of([tool("a")], []), {}, {"messages": None}, {"messages": [1, {"content": [{"type": "x"}, 2]}]}):
        assert settled(body) is body
    odd = {
        "messages": [{"role": "system", "content": [{"type": "tool_addition", "tool": 1}, {"type": "tool_removal"}]}]
    }
    assert settled(odd) is odd


@pytest.mark.parametrize("may_pass", [True, False])
def test_an_edit_that_compacts_does_not_go_without_its_beta(may_pass: bool) -> None:
    edits = [{"type": "compact_20260112"}, {"type": "clear_tool_uses_20250919"}]
    body = body_of([], []) | {"context_management": {"edits": edits}}
    betas = {"anthropic-beta": "compact-2026-01-12,context-management-2025-06-27"}
    prepared = exchange_between("messages", "messages", body, headers=betas, may_pass=may_pass).payload()
    assert json.loads(prepared.body)["context_management"] == {"edits": edits[1:]}
    assert "context_management.edits[].compact" in prepared.dropped
