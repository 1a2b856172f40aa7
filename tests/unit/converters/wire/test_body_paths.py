"""The one grammar of paths into a body."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.wire.body_paths import LONGEST_PATH, find, general, steps, with_value, without
from tests.support.rows import rows

BODY: dict[str, Any] = {
    "seed": 1,
    "text": {"format": {"type": "x"}, "verbosity": "low"},
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "user", "content": [{"type": "text", "text": "hi", "citations": []}, {"type": "image", "source": {}}]},
    ],
    "tools": [{"name": "t", "lazy": True}, {"function": {"strict": False}}],
}


@rows()
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("seed", "seed"),
        ("$.seed", "seed"),
        ("/seed", "seed"),
        ("body.seed", "seed"),
        ("'seed'", "seed"),
        ("text.verbosity", "text.verbosity"),
        ("text/verbosity", "text.verbosity"),
        ("text['verbosity']", "text.verbosity"),
        ("tools.0.custom.lazy", "tools[].lazy"),
        ("tools[1].function.strict", "tools[].function.strict"),
        ("tools.[0].lazy", "tools[].lazy"),
        ("/messages/1/content/0/citations", "messages[].content[].citations"),
        ("messages.1.content.0.text.citations", "messages[].content[].citations"),
        ("messages[].content[].source", "messages[].content[].source"),
        ("tools.seed", None),
        ("tools.0.custom.seed", None),
        ("text.seed", None),
        ("nowhere", None),
        ("", None),
        ("0", None),
        ("[]", None),
        (".".join(["messages"] * 11), None),
        ("seed" * 100, None),
    ],
)
def test_a_path_of_any_upstream_leads_to_what_the_body_has(path: str, found: str | None) -> None:
    assert find(BODY, path) == found
    assert (without(BODY, path) is BODY) == (found is None)
    if found is not None:
        assert find(BODY, found) == found
        assert without(BODY, found) == without(BODY, path)


def test_what_goes_goes_everywhere_and_nothing_else_changes() -> None:
    shorter = without(BODY, "messages.content.citations")
    assert shorter["messages"][1]["content"] == [{"type": "text", "text": "hi"}, {"type": "image", "source": {}}]
    assert shorter["messages"][0] is BODY["messages"][0]
    assert shorter["tools"] is BODY["tools"]
    assert BODY["messages"][1]["content"][0]["citations"] == []


def test_an_emptied_object_goes_too_but_not_out_of_a_list() -> None:
    assert without({"a": {"b": {"c": 1}}, "d": 1}, "a.b.c") == {"d": 1}
    assert without({"a": [{"b": 1}]}, "a.b") == {"a": [{}]}
    assert without({"a": {}}, "a") == {}


def test_a_value_is_put_where_the_path_leads() -> None:
    assert with_value(BODY, "text.verbosity", "high")["text"] == {"format": {"type": "x"}, "verbosity": "high"}
    assert with_value(BODY, "text.verbosity", "low") is BODY
    assert with_value(BODY, "text.nowhere", "low") is BODY


def test_indexes_are_forgotten() -> None:
    assert general("input[3].content[0].x") == "input[].content[].x"
    assert general("messages.3.name") == "messages[].name"
    assert steps("input[3].content.0.x") == ["input", "content", "x"]
    assert steps("a" * (LONGEST_PATH + 1)) == []
