"""Merging into files that people already have: theirs stays, ours is said once, and doubt is a refusal."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from app.clients.files.merge import Merged, MergeError, merge, render
from app.clients.record import ConfigFile, Entries, Format, IfAbsent


def put(format: Format, tree: Any, existing: str | None) -> Merged:
    done = merge(ConfigFile("f", format, tree), existing)
    again = merge(ConfigFile("f", format, tree), done.text)
    assert again == Merged(done.text, (), ()), "a second run must find nothing to do"
    return done


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_keeps_the_users_keys_order_and_comments() -> None:
    before = '{\n  "z": 1, // mine\n  "env": { "BASE_URL": "https://old", "FOO": "b" },\n  "a": [3]\n}\n'
    done = put("json", {"env": {"BASE_URL": "http://new", "KEY": "k"}}, before)
    assert done.text == (
        '{\n  "z": 1, // mine\n  "env": { "BASE_URL": "http://new", "FOO": "b", "KEY": "k" },\n  "a": [3]\n}\n'
    )
    assert (done.added, done.changed) == (("env.KEY",), ("env.BASE_URL",))


@pytest.mark.parametrize("nothing", [None, "", " \n\t\n"])
def test_a_missing_or_blank_file_is_written_whole(nothing: str | None) -> None:
    done = put("json", {"env": {"A": "1"}}, nothing)
    assert done.text == '{\n  "env": {\n    "A": "1"\n  }\n}\n'
    assert done.added == ("env",)


def test_a_file_that_is_right_already_is_returned_as_it_is() -> None:
    text = '{"b":   {"c":1},\r\n "a": 2}'
    assert merge(ConfigFile("f", "json", {"b": {"c": 1}}), text) == Merged(text, (), ())


def test_a_byte_order_mark_stays() -> None:
    assert put("json", {"a": 1}, '\ufeff{"b": 2}').text == '\ufeff{"b": 2, "a": 1}'


def test_lists_of_known_entries_keep_the_users_own() -> None:
    tree = {"models": Entries(("id",), ({"id": "ours", "size": 2}, {"id": "new"}))}
    before = json.dumps({"models": [{"id": "theirs"}, {"id": "ours", "size": 1, "note": "mine"}]})
    done = put("json", tree, before)
    assert json.loads(done.text)["models"] == [
        {"id": "theirs"},
        {"id": "ours", "size": 2, "note": "mine"},
        {"id": "new"},
    ]
    assert (done.added, done.changed) == (("models.new",), ("models.ours",))


def test_defaults_are_written_only_where_nothing_is() -> None:
    tree = {"version": IfAbsent(1), "x": 1}
    assert json.loads(put("json", tree, '{"version": 7}').text) == {"version": 7, "x": 1}
    assert json.loads(put("json", tree, "{}").text) == {"version": 1, "x": 1}


@pytest.mark.parametrize(
    ("before", "tree", "problem"),
    [
        ('{"env": []}', {"env": {"A": "1"}}, "“env” holds a single value"),
        ('{"env": "text"}', {"env": {"A": "1"}}, "“env” holds"),
        ("[]", {"env": {}}, "The file holds"),
        ("3", {"env": {}}, "The file holds"),
        ('{"models": {}}', {"models": Entries(("id",), ({"id": "x"},))}, "“models” is not a list"),
        ('{"a": 1', {"env": {}}, "not valid JSON: see line 1, column 8"),
    ],
)
def test_what_cannot_be_merged_is_refused(before: str, tree: Any, problem: str) -> None:
    with pytest.raises(MergeError, match=problem):
        merge(ConfigFile("f", "json", tree), before)


# ── TOML ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_TOML = """\
# my codex
model = "gpt-5" # the one I like
approval_policy = "on-request"

[mcp_servers.docs]
command = "docs"   # odd   spacing

[model_providers.other]
name = "Other"
"""
_CODEX = {
    "model": "gpt-5.3-codex",
    "model_provider": "copilot-bridge",
    "model_providers": {"copilot-bridge": {"base_url": "http://x/v1", "supports_websockets": False}},
}


def test_toml_keeps_comments_and_foreign_tables() -> None:
    done = put("toml", _CODEX, _TOML)
    for line in ("# my codex", "# the one I like", 'command = "docs"   # odd   spacing', "[mcp_servers.docs]"):
        assert line in done.text
    read = tomllib.loads(done.text)
    assert read["model"] == "gpt-5.3-codex"
    assert read["model_provider"] == "copilot-bridge", "a key behind a table would belong to that table"
    assert read["mcp_servers"] == {"docs": {"command": "docs"}}
    assert read["model_providers"] == {
        "other": {"name": "Other"},
        "copilot-bridge": {"base_url": "http://x/v1", "supports_websockets": False},
    }
    assert (done.added, done.changed) == (("model_provider", "model_providers.copilot-bridge"), ("model",))


@pytest.mark.parametrize(
    "before",
    [
        "[a]\nb = 1\n",
        'model_providers = { other = { name = "x" } }\n',
        'model_providers.other.name = "x"\n[z]\n',
        '[model_providers."copilot-bridge"]\nbase_url = "old"\nmine = 1\n[[hooks]]\na = 1\n',
        "[[hooks]]\na = 1\n\n[[hooks]]\na = 2\n",
        "a = 1\r\n[b]\r\nc = 2\r\n",
        "# only a comment",
        "date = 2026-01-01\n[x.y]\nz = [\n  1, # one\n]\n",
    ],
)
def test_toml_of_many_forms(before: str) -> None:
    old, new = tomllib.loads(before.replace("\r\n", "\n")), tomllib.loads(put("toml", _CODEX, before).text)
    assert {name: new[name] for name in old if name != "model_providers"} == {
        name: value for name, value in old.items() if name != "model_providers"
    }
    for provider, settings in old.get("model_providers", {}).items():
        assert settings.keys() <= new["model_providers"][provider].keys()
    assert new["model_providers"]["copilot-bridge"]["base_url"] == "http://x/v1"


def test_broken_toml_is_refused() -> None:
    with pytest.raises(MergeError, match="not valid TOML"):
        merge(ConfigFile("f", "toml", _CODEX), "model = \n")


# ── YAML ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_YAML = """\
# mine
name: "My config"   # quoted
models:
  # the first
  - name: Theirs
    provider: ollama
rules:
- one
- two
"""


def test_yaml_keeps_comments_quotes_and_foreign_entries() -> None:
    tree = {"name": IfAbsent("x"), "models": Entries(("name",), ({"name": "Copilot · A", "roles": ["chat"]},))}
    done = put("yaml", tree, _YAML)
    for line in ("# mine", 'name: "My config"   # quoted', "# the first", "provider: ollama"):
        assert line in done.text
    read = YAML(typ="safe").load(done.text)
    assert read["models"] == [
        {"name": "Theirs", "provider": "ollama"},
        {"name": "Copilot · A", "roles": ["chat"]},
    ]
    assert read["rules"] == ["one", "two"]
    assert done.added == ("models.Copilot · A",)


def test_a_yaml_file_can_be_one_list() -> None:
    tree = Entries(("model_id",), ({"model_id": "a", "x": 1},))
    done = put("yaml", tree, "# mine\n- model_id: z # last\n")
    assert YAML(typ="safe").load(done.text) == [{"model_id": "z"}, {"model_id": "a", "x": 1}]
    assert "# last" in done.text
    assert YAML(typ="safe").load(put("yaml", tree, None).text) == [{"model_id": "a", "x": 1}]


def test_a_yaml_file_of_comments_keeps_them() -> None:
    assert put("yaml", {"model": "m"}, "# model: x\n# y").text == "# model: x\n# y\nmodel: m\n"


def test_yaml_anchors_stay_or_it_is_refused() -> None:
    before = "base: &b\n  x: 1\nother: *b\n"
    assert put("yaml", {"new": 1}, before).text == before + "new: 1\n"
    with pytest.raises(MergeError, match="without touching other settings"):
        merge(ConfigFile("f", "yaml", {"other": {"x": 2}}), before)


@pytest.mark.parametrize("before", ["a: [1\n", "a: 1\n---\nb: 2\n", "a: !custom x\n", "\ta: 1\n"])
def test_yaml_that_cannot_be_read_is_refused(before: str) -> None:
    with pytest.raises(MergeError, match="not valid YAML"):
        merge(ConfigFile("f", "yaml", {"b": 1}), before)


def test_numbers_and_flags_may_be_names_in_yaml() -> None:
    before = "8080: x\ntrue: y\nports: {1: a, 2: b, 7: c}\n"
    assert put("yaml", {"b": 1}, before).text == before + "b: 1\n"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("format", "before", "after"),
    [
        ("yaml", "a: 1\r\n# c\r\nl:\r\n  - q\r\n", "b: 1\r\n"),
        ("toml", "a = 1\r\n# c\r\n", "b = 1\r\n"),
        ("yaml", "a: 1\n", "b: 1\n"),
        ("toml", "a = 1\n", "b = 1\n"),
    ],
)
def test_files_from_windows_keep_their_form(format: Format, before: str, after: str, mark: str) -> None:
    assert put(format, {"b": 1}, mark + before).text == mark + before + after


@pytest.mark.parametrize("before", ["a: &a [*a]\n", "a: " + "[" * 1000 + "]" * 1000])
def test_yaml_without_end_is_refused(before: str) -> None:
    with pytest.raises(MergeError, match="nested too deeply"):
        merge(ConfigFile("f", "yaml", {"b": 1}), before)


def test_unlikely_values_of_yaml_are_no_change() -> None:
    before = "day: 2026-01-01\nnan: .nan\nyes: no\noct: 010\ntext: |\n  two\n  lines\n"
    assert put("yaml", {"b": 1}, before).text == before + "b: 1\n"


# ── .env ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_env_keeps_every_other_line() -> None:
    before = "# mine\nexport A='1'\n\nKEY = old # no comment in .env\nB=2"
    done = put("env", {"KEY": "new", "C": "x y"}, before)
    assert done.text == "# mine\nexport A='1'\n\nKEY = new\nB=2\nC='x y'\n"
    assert (done.added, done.changed) == (("C",), ("KEY",))


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("k-1", "K=k-1\n"),
        ('a"b $c `d` \\ #', "K='a\"b $c `d` \\ #'\n"),
        ('it\'s "$x" \\n', 'K="it\'s \\"\\$x\\" \\\\n"\n'),
    ],
)
def test_env_quotes_what_readers_would_take_apart(value: str, line: str) -> None:
    assert put("env", {"K": value}, "A=1\n").text == "A=1\n" + line


def test_env_with_line_ends_of_windows() -> None:
    assert put("env", {"KEY": "n"}, "A=1\r\nKEY=o\r\n").text == "A=1\r\nKEY=n\r\n"


# ── all ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_KEYS = st.text("abcxyz-_", min_size=1, max_size=4)
_VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text("ab \"'#\\:{}é", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("format", ["json", "toml", "yaml"])
@given(before=st.dictionaries(_KEYS, _VALUES, max_size=4), tree=st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=3))
def test_whatever_was_there_is_still_there(format: Format, before: dict[str, Any], tree: dict[str, Any]) -> None:
    text = render(ConfigFile("f", format, before))
    try:
        done = put(format, tree, text)
    except MergeError:
        return  # a refusal loses nothing
    readers: dict[str, Callable[[str], Any]] = {
        "json": json.loads,
        "toml": tomllib.loads,
        "yaml": YAML(typ="safe", pure=True).load,
    }
    reread = readers[format](done.text) or {}
    for name, value in before.items():
        if name not in tree:
            assert reread[name] == value
        elif isinstance(value, dict) and isinstance(tree[name], dict):
            assert {k: reread[name][k] for k in value if k not in tree[name]} == {
                k: v for k, v in value.items() if k not in tree[name]
            }
    for name, value in tree.items():
        if not isinstance(value, dict):
            assert reread[name] == value
