from __future__ import annotations

import importlib
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from flask import Flask

from app.doctor import network, starting
from app.doctor.examination import Check, examine
from app.doctor.finding import Finding, note, ok, problem
from app.errors import StoreError

# Not `from app.cli import doctor`, which is the command of that name.
command = importlib.import_module("app.cli.doctor")


def broken() -> Iterator[Finding]:
    yield ok("first", "was fine")
    raise ZeroDivisionError("quotes ghu_test_leak")


def refused() -> Iterator[Finding]:
    raise StoreError("The disk is full.")
    yield


def test_a_check_that_fails_stops_no_other() -> None:
    found = list(examine([Check("A", broken), Check("B", refused), Check("C", lambda: [ok("last", "too")])]))
    assert [(check, finding.status) for check, finding in found] == [
        ("A", "ok"),
        ("A", "problem"),
        ("B", "problem"),
        ("C", "ok"),
    ]
    assert "ZeroDivisionError at test_command.py:" in found[1][1].what
    assert "ghu_test" not in str(found)
    assert found[2][1].what == "The disk is full."


@pytest.fixture
def report(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command with these findings: ``report([ok(…)], "--json")``."""

    def run(findings: list[Finding], *arguments: str, charset: str = "utf-8") -> Any:
        monkeypatch.setattr(command, "checks_for", lambda *_, **__: [Check("Network", lambda: findings)])
        return app.test_cli_runner(charset=charset).invoke(args=["doctor", *arguments])

    return run


ALL = [
    ok("GitHub", "answers"),
    note("clock", "is late", "Wind it up."),
    problem("stream", "held back", "Add:\n    a b;"),
]


@pytest.mark.parametrize(("count", "exit_code"), [(1, 0), (2, 0), (3, 1)])
def test_exit_code(report: Any, count: int, exit_code: int) -> None:
    assert report(ALL[:count]).exit_code == exit_code


def test_text(report: Any) -> None:
    assert report(ALL, "--public-url", "https://bridge.example.com").output.splitlines() == [
        "Network",
        "  ✓ ok       GitHub               answers",
        "  ! note     clock                is late",
        "                                  → Wind it up.",
        "  ✗ problem  stream               held back",
        "                                  → Add:",
        "                                        a b;",
        "",
        "1 problem, 1 note, 1 in order.",
    ]


def test_long_text_is_wrapped_and_lines_to_copy_are_not(report: Any) -> None:
    line = "    proxy_set_header " + "x" * 120 + ";"
    shown = report([note("a title that is longer than its column", "word " * 60, "word " * 60 + "\n" + line)]).output
    lines = shown.splitlines()
    assert lines[1] == "  ! note     a title that is longer than its column"
    assert all(len(each) <= 108 for each in lines if "proxy_set_header" not in each)
    assert any(each.endswith(line) for each in lines)


def test_json(report: Any) -> None:
    told = json.loads(report(ALL, "--json").output)
    assert told["status"] == "problem"
    assert told["findings"][1] == {
        "check": "Network",
        "status": "note",
        "title": "clock",
        "what": "is late",
        "advice": "Wind it up.",
    }
    assert json.loads(report(ALL[:1], "--json").output)["status"] == "ok"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_nothing_secret_is_shown(report: Any, app: Flask, arguments: tuple[str, ...]) -> None:
    [key] = app.extensions["gateway"].settings.secrets
    leak = f"a proxy quoted ghu_test_leak, {key} and Bearer tid=0f1e2d3c4b5a"
    shown = report([problem(leak, leak, leak)], *arguments).output
    assert "***" in shown
    assert "ghu_test" not in shown
    assert key not in shown
    assert "0f1e2d3c4b5a" not in shown


def test_terminal_sequences_of_others_are_not_passed_on(report: Any) -> None:
    shown = report([problem("x", "a proxy said \x1b[2J\x9b2J\r", "do\n    \x07this")]).output
    assert not {"\x1b", "\x9b", "\x07", "\r"} & set(shown)
    assert "        ?this" in shown


def test_terminal_without_check_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    command._say("✗ “x” → y – 中…")
    out.flush()
    assert out.buffer.getvalue().strip() == b'x "x" -> y - ?...'


# ── asking before calling ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Click's runner brings an input of its own, which is no terminal; people's is one."""
    monkeypatch.setattr(command, "_is_terminal", lambda: True)


@pytest.fixture
def asked(
    upstream: responses.RequestsMock, signed_in: None, catalogue: Any, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Run the whole command on an account with one model that answers; the chat calls that it made."""
    monkeypatch.setattr(network, "_reach", lambda *_: None)  # no DNS: the hosts are mocked
    monkeypatch.setattr(starting, "check_starting", lambda: iter(()))  # no process of its own
    for url in ("https://github.test/", "https://api.github.test/", "https://copilot.test/_ping"):
        upstream.get(url, json={})
    catalogue({"id": "gpt-5", "vendor": "OpenAI", "billing": {"multiplier": 1}})
    upstream.get("https://api.github.test/copilot_internal/user", json={"chat_enabled": True})
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "OK"}, "finish_reason": "stop"}]}
    calls = upstream.post("https://copilot.test/chat/completions", json=answer)

    def run(*arguments: str, input: str = "") -> tuple[str, int]:
        output = app.test_cli_runner().invoke(args=["doctor", *arguments], input=input).output
        return output, calls.call_count

    return run


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("reply", "made"), [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_calls_are_announced_with_their_price_and_asked_for(asked: Any, reply: str, made: int) -> None:
    output, calls = asked(input=reply)
    announced, asked_for = output.index("chat with gpt-5 (1 premium request)"), output.index("Make them? [y/N]")
    assert announced < asked_for
    assert calls == made
    assert ("gpt-5 answered in" in output) is bool(made)


@pytest.mark.parametrize(
    ("arguments", "made"), [((), 0), (("--calls", "no"), 0), (("--calls", "yes"), 1), (("--yes",), 1), (("--json",), 0)]
)
def test_calls_are_not_asked_for_without_a_terminal_or_when_told(
    asked: Any, arguments: tuple[str, ...], made: int
) -> None:
    output, calls = asked(*arguments)
    assert "Make them?" not in output
    assert calls == made


@pytest.mark.usefixtures("terminal")
def test_ctrl_c_at_the_question_ends_the_command(asked: Any) -> None:
    output, calls = asked(input="")  # the end of the input is told like Ctrl-C
    assert calls == 0
    assert "Aborted!" in output
    assert " in order." not in output


@pytest.mark.usefixtures("terminal")
def test_json_asks_nothing_on_a_terminal_either(asked: Any) -> None:
    output, calls = asked("--json")
    assert calls == 0
    json.loads(output)
