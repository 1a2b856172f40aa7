"""Editing JSON in place: what is not meant to change keeps every byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.files import jsonc

_WITH_COMMENTS = """\
// mine
{
    "theme": "dark",   // keep
    /* a block
       of words */
    "env": {
        "A": "1", // one
        "B": "http://x//y" /* not a comment inside */
    },
    "list": [1, 2,],
}
"""


def test_comments_and_layout_stay() -> None:
    wanted = {"theme": "dark", "env": {"A": "2", "B": "http://x//y", "C": "3"}, "list": [1, 2], "new": {"x": [True]}}
    assert (
        jsonc.rewrite(_WITH_COMMENTS, wanted)
        == """\
// mine
{
    "theme": "dark",   // keep
    /* a block
       of words */
    "env": {
        "A": "2", // one
        "B": "http://x//y", /* not a comment inside */
        "C": "3"
    },
    "list": [1, 2,],
    "new": {
        "x": [
            true
        ]
    }
}
"""
    )


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ("{}", {"a": 1}, '{\n  "a": 1\n}'),
        ("{ }\n", {"a": {}}, '{\n  "a": {} \n}\n'.replace(" \n}", "\n }")),
        ('{"a": 1}', {"a": 1, "b": 2}, '{"a": 1, "b": 2}'),
        ('{"a": 1,}', {"a": 1, "b": 2}, '{"a": 1, "b": 2}'),
        ('{\n\t"a": 1\n}', {"a": 1, "b": {"c": 2}}, '{\n\t"a": 1,\n\t"b": {\n\t\t"c": 2\n\t}\n}'),
        ('{\r\n  "a": 1\r\n}', {"a": 1, "b": 2}, '{\r\n  "a": 1,\r\n  "b": 2\r\n}'),
        ('{\n  "a": 1 // last\n}', {"a": 1, "b": 2}, '{\n  "a": 1, // last\n  "b": 2\n}'),
        ('{\n  // empty\n}', {"b": 2}, '{\n  // empty\n  "b": 2\n}'),
        ('{"a": {"b": [{"c": 1}]}}', {"a": {"b": [{"c": 2}, 3]}}, '{"a": {"b": [{"c": 2}, 3]}}'),
        ('{"a": 1, "a": 2}', {"a": 3}, '{"a": 1, "a": 3}'),
        ('{"a": true}', {"a": 1}, '{"a": 1}'),
    ],
)  # fmt: skip
def test_edits(before: str, wanted: Any, after: str) -> None:
    found = jsonc.rewrite(before, wanted)
    assert jsonc.parse(found).value == wanted
    assert found.split() == after.split()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1, column 1"),
        ('{"a": 1', "line 1, column 8"),
        ('{"a" 1}', "line 1, column 6"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3"),
        ('{"a": nul}', "line 1, column 7"),
        ('{"a": "x\ny"}', "line 1, column 7"),
        ('{"a": 01}', "line 1, column 7"),
        ("{} {}", "line 1, column 4"),
        ("{'a': 1}", "line 1, column 2"),
        ("[" * 300, "line 1, column 201"),
        ('{"a": 1} /* open', "line 1, column 10"),
        (",", "line 1, column 1"),
        ("{,}", "line 1, column 2"),
        ('{"a": 1, "\\q": 2}', "line 1, column 10"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(jsonc.NotJsonError, match=where):
        jsonc.parse(text)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(_VALUES, st.sampled_from([None, 1, "\t"]))
def test_reads_what_json_reads(value: Any, indent: Any) -> None:
    assert jsonc.parse(json.dumps(value, indent=indent)).value == value


@given(st.dictionaries(st.text(max_size=4), _VALUES), _VALUES, st.sampled_from([None, 2, "\t"]))
def test_any_value_can_be_put_into_any_text(before: Any, value: Any, indent: Any) -> None:
    wanted = {"a": value, "b": {"c": value}}
    found = jsonc.rewrite(json.dumps(before, indent=indent), wanted)
    assert json.loads(found) == merged(before, wanted)
    assert jsonc.rewrite(found, wanted) == found


def merged(before: Any, wanted: Any) -> Any:
    """What there was and is not asked for stays, however deep; a list that gets shorter is another list."""
    if isinstance(before, dict) and isinstance(wanted, dict):
        return {**before, **{name: merged(before.get(name), value) for name, value in wanted.items()}}
    if isinstance(before, list) and isinstance(wanted, list) and len(wanted) >= len(before):
        return [*map(merged, before, wanted), *wanted[len(before) :]]
    return wanted


@given(st.dictionaries(st.text(max_size=4), _VALUES), st.sampled_from([None, 2]))
def test_saying_the_same_again_changes_no_byte(value: Any, indent: Any) -> None:
    text = json.dumps(value, indent=indent) + "\n"
    assert jsonc.rewrite(text, value) == text
