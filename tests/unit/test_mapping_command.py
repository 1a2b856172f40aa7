"""``mapping``: names, rules, what was changed, and what a call would get, from the terminal."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from click.testing import Result
from flask import Flask

from app.errors import Sentence
from app.terminal import in_words

Run = Callable[..., Result]


@pytest.fixture
def run(signed_in: None, catalogue: Callable[..., None], app: Flask) -> Run:
    catalogue("gpt-4.1", "gpt-5-mini")
    app.extensions["gateway"].mapping.reset()
    for name in app.extensions["gateway"].mapping.all():
        app.extensions["gateway"].mapping.remove(name)
    return lambda *arguments: app.test_cli_runner().invoke(args=["mapping", *arguments])


def test_rules_and_names_are_set_shown_and_taken_back(run: Run) -> None:
    assert run("show").output == "Nothing is mapped: every name passes as it is.\n"
    assert run("set", "a", "gpt-4.1").output.endswith("a → gpt-4.1\n")
    added = run("add", "claude-*", "gpt-5-mini", "gpt-4.1", "--fall-back", "--key", "ci", "--purpose", "title")
    assert added.output.endswith("rule 1: claude-* → gpt-5-mini, gpt-4.1; keys ci; purposes title; falls back\n")
    assert run("add", "*", "gpt-4.1", "--at", "1", "--note", "first").output.endswith("rule 1: * → gpt-4.1 (first)\n")
    shown = run("show").output.splitlines()
    assert [line.partition(":")[0] for line in shown] == ["rule 1", "rule 2", "a → gpt-4.1"]
    assert run("remove", "1").output.endswith("Removed: rule 1.\n")
    assert run("delete", "a").output.endswith("Deleted: a.\n")
    history = run("history").output.splitlines()
    assert [line.rpartition("  ")[2] for line in history] == [
        "a deleted",
        "rule 1 deleted",
        "rule for * added",
        "rule for claude-* added",
        "a → gpt-4.1",
    ]
    assert all("  cli:" in line for line in history)
    assert "before change 5 (a deleted)" in run("undo").output
    assert "a → gpt-4.1" in run("show").output
    assert run("undo", "1").exit_code == 0
    assert run("show").output == "Nothing is mapped: every name passes as it is.\n"


def test_a_dry_run(run: Run) -> None:
    run("add", "x*", "unknown", "gpt-5-mini")
    said = run("dry-run", "x1", "--key", "ci").output
    assert said.startswith("A client with key ci that asks for x1 gets gpt-5-mini, by rule 1,")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("remove", "1"), "no rule 1"),
        (("delete", "nobody"), "not in the table"),
        (("undo",), "no such change"),
        (("set", "a", "line\nbreak"), "printable"),
        (("set", " ", "b"), "printable"),
        (("add", "x", "line\nbreak"), "'to'"),
        (("add", " ", "y"), "'match'"),
        (("add", "x", "y", "--note", "n" * 201), "'note'"),
        (("add", "x", *["y"] * 11), "'to'"),
        (("add", "x", "y", "--purpose", "dinner"), "dinner"),
        (("dry-run", " "), "printable"),
    ],
)
def test_mistakes_are_told(run: Run, arguments: tuple[str, ...], words: str) -> None:
    failed = run(*arguments)
    assert failed.exit_code != 0
    assert words in failed.output
    assert run("history").output == "Nothing was changed.\n"


CHINESE = {
    ("show",): "没有任何映射：所有名称原样传递。",
    ("add", "x*", "gpt-4.1"): "规则 1：x* → gpt-4.1",
    ("remove", "1"): "已移除：规则 1。",
    ("remove", "2"): "没有规则 2",
    ("set", "a", "gpt-4.1"): "a → gpt-4.1",
    ("delete", "a"): "已删除：a。",
    ("delete", "b"): "表中没有 'b'",
    ("history",): "已添加 x* 的规则",
    ("undo", "2"): "已恢复到更改",
    ("undo", "99"): "没有这项更改",
}


@pytest.mark.parametrize("variable", ["LC_ALL", "LC_MESSAGES", "LANG"])
def test_a_chinese_terminal_is_told_in_chinese(run: Run, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "zh_CN.UTF-8")
    for arguments, words in CHINESE.items():
        assert words in run(*arguments).output


def test_the_first_variable_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert run("show").output == "Nothing is mapped: every name passes as it is.\n"


def test_a_terminal_without_chinese_letters_is_told_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert in_words(Sentence("Nothing is mapped: every name passes as it is.")).startswith("Nothing")
