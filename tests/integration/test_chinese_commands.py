"""Who has a Chinese terminal meets no English sentence: the help of every command, what they say, and their errors."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click
import pytest
from click.testing import CliRunner

from app import create_app
from app.cli import command as own
from app.cli.main import main
from app.doctor import starting
from app.settings import VARIABLES, Settings, faults
from app.terminal import in_words, phrase
from tests.support.english import SENTENCE

LOG: Final = re.compile(r'^\{"ts": |^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d')
CHINESE: Final = re.compile("[\u4e00-\u9fff]")
QUOTED: Final = (
    # What somebody else has said stays as it was said, and what is to be typed.
    *('secrets; print(secrets.token_urlsafe(32))"', "uv tool install", "flask --app wsgi"),
    *("300 premium requests per month", "This model is currently degraded.", "file is not a database"),
)


def walk(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, *path, name)


ALL: Final = tuple(walk(main))


def at(path: tuple[str, ...]) -> click.Command:
    found: click.Command = main
    for name in path:
        assert isinstance(found, click.Group)
        found = found.commands[name]
    return found


def english(said: str) -> list[str]:
    lines = [line for line in said.splitlines() if not LOG.match(line)]
    for quoted in QUOTED:
        lines = [line.replace(quoted, "…") for line in lines]
    return [line for line in lines if SENTENCE.search(line)]


@pytest.fixture(autouse=True)
def _folders_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command says in the environment where its folders are."""
    for name in VARIABLES | {"ENV_FILE", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")


# ── help ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_word_of_the_help_is_translated(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    command = at(path)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    words = list(own.own_words(command))
    texts = [
        inspect.cleandoc(text) for text in (command.help, *(getattr(it, "help", None) for it in shown(command))) if text
    ]
    assert set(texts) <= set(words)
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert [text for text in words if not CHINESE.search(phrase(text))] == []
    help_text = CliRunner().invoke(main, [*path, "--help"]).output
    assert help_text.startswith("用法：")
    assert english(help_text) == []
    assert not re.search(r"\[OPTIONS\]|^(Usage|Options|Commands):|TEXT|INTEGER|Show this", help_text, re.MULTILINE)


def shown(command: click.Command) -> list[click.Parameter]:
    return [param for param in command.params if not getattr(param, "hidden", False)]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_and_option_can_speak_chinese(path: tuple[str, ...]) -> None:
    """One that is made by click's own decorators could not; take those of `app.cli.command`."""
    command = at(path)
    assert isinstance(command, own.Command)
    assert [param.name for param in shown(command) if not isinstance(param, own.Option | own.Argument)] == []


@pytest.mark.parametrize("path", ALL, ids=" ".join)
@pytest.mark.parametrize("locale", ["C", "en_US.UTF-8"])
def test_in_english_all_is_as_click_has_it(path: tuple[str, ...], locale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    told = CliRunner().invoke(main, [*path, "--help"]).output
    for kind in (own.Command, own.Option, own.Argument):
        for name in {"get_help_option", "collect_usage_pieces", "make_metavar"} & set(vars(kind)):
            monkeypatch.delattr(kind, name)
    # But for the first sentence of a command in a list, which click would cut off.
    whole = click.Command.get_short_help_str
    monkeypatch.setattr(own.Command, "get_short_help_str", lambda it, limit=45: whole(it, max(limit, 200)))
    monkeypatch.setattr(own._Context, "formatter_class", click.HelpFormatter)
    assert told == CliRunner().invoke(main, [*path, "--help"]).output
    assert not CHINESE.search(told)


def test_lines_are_as_wide_as_english_ones(chinese: None) -> None:
    from app.cli.columns import width

    for path in ALL:
        for line in CliRunner().invoke(main, [*path, "--help"]).output.splitlines():
            # Only what is one word may be longer: a choice of many.
            assert width(line) <= 80 or "|" in line, line


# ── what they say ───────────────────────────────────────────────────────────────────────────────────────────────────

Run = Callable[..., click.testing.Result]


@pytest.fixture
def run(lone_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chinese: None) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting, "check_starting", lambda: iter(()))

    def invoke(*arguments: str, **changes: str) -> click.testing.Result:
        app = create_app(Settings.from_env({**lone_env, **changes}))
        try:
            return app.test_cli_runner().invoke(args=list(arguments))
        finally:
            app.extensions["gateway"].close()

    return invoke


def nothing_english(results: list[tuple[tuple[str, ...], int, click.testing.Result]]) -> None:
    for arguments, code, result in results:
        assert result.exit_code == code, (arguments, result.output, result.exception)
        assert english(result.output) == [], arguments


def each(run: Run, *lines: tuple[int, str], **changes: str) -> None:
    """Exit codes and command lines, one after the other."""
    nothing_english(
        [
            (words := tuple(line.split("␣") if "␣" in line else line.split()), code, run(*words, **changes))
            for code, line in lines
        ]
    )


def test_keys(run: Run) -> None:
    each(
        run,
        (0, "keys list"),
        (0, "keys new a"),
        (1, "keys new a"),
        (1, "keys␣new␣ "),
        (0, "keys␣new␣b␣--role␣admin␣--note␣y␣--expires␣30d␣--model␣gpt*␣--concurrent␣2␣--budget␣5 credits per day"),
        (0, "keys list"),
        (0, "keys edit a --concurrent 2 --requests-per-minute 9"),
        (0, "keys edit a --concurrent none"),
        (2, "keys edit a"),
        (1, "keys edit nobody --concurrent 2"),
        (2, "keys edit a --expires sometime"),
        (2, "keys edit a --requests-per-minute many"),
        (2, "keys edit a --budget much"),
        (1, "keys␣edit␣a␣--budget␣5 credits per day␣--budget␣6 credits per day"),
        (1, "keys edit a --requests-per-minute 0"),
        (1, "keys␣edit␣a␣--owner␣x\ny"),
        (0, "keys invite a"),
        (2, "keys invite a --url nonsense"),
        (1, "keys invite nobody"),
        (0, "keys unbind a"),
        (0, "keys revoke a"),
        (1, "keys revoke nobody"),
    )  # fmt: skip


def test_usage_and_settings(run: Run) -> None:
    each(
        run,
        (0, "usage"), (0, "usage --group model"), (2, "usage --group x"), (1, "usage --from x"),
        (1, "usage --from 2026-12-01 --to 2026-11-01"), (1, "usage --from 1800-01-01"),
        (0, "settings"), (0, "settings --markdown"), (0, "protocols"), (0, "database migrate"),
    )  # fmt: skip


def test_mapping_and_learned(run: Run) -> None:
    each(
        run,
        (0, "mapping show"), (0, "mapping set a gpt-4.1"), (1, "mapping␣set␣ ␣b"),
        (0, "mapping add x* gpt-4.1 --purpose title --key k --fall-back --note n"), (0, "mapping show"),
        (1, "mapping␣add␣x␣ "), (2, "mapping add x"), (2, "mapping add x y --purpose dinner"), (1, "mapping remove 9"),
        (0, "mapping remove 1"), (0, "mapping history"), (0, "mapping undo"), (1, "mapping undo 99"),
        (1, "mapping delete nobody"), (0, "mapping delete a"), (0, "mapping dry-run gpt-4.1 --key k --purpose title"),
        (0, "mapping dry-run nothing"), (0, "learned list"), (1, "learned forget x"), (1, "learned forget x y"),
        (0, "learned limits"), (0, "learned limits --forget"),
    )  # fmt: skip


def test_the_state(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("a b")
    (tmp_path / "empty").touch()
    (tmp_path / "cut").write_text('{"format":"copilot-bridge backup"')
    (tmp_path / "state.db").write_text("this is no database at all")
    each(
        run,
        (1, "backup new"), (0, "mapping set a b"), (0, "keys new a"), (0, "backup new"), (0, "backup new"),
        (1, "backup other"), (1, "backup other/where"), (0, "restore new"), (1, "restore other"), (1, "restore empty"),
        (1, "restore cut"), (2, "restore nowhere"), (2, "restore ."), (2, "restore"), (1, "store copy x y"),
        (1, "store copy sqlite redis"), (1, "store copy state.db sqlite"), (1, "store copy no/state.db sqlite"),
        (1, "store copy sqlite sqlite"), (2, "store copy sqlite"),
    )  # fmt: skip


def test_the_configuration_of_clients(run: Run, tmp_path: Path) -> None:
    home = f"--home␣{tmp_path}/home"
    broken = tmp_path / "broken/.claude"
    broken.mkdir(parents=True)
    (broken / "settings.json").write_text("{ nonsense")
    each(
        run,
        (0, "configure"), (0, "configure claude-code"), (2, "configure nobody"), (2, "configure codex --write --undo"),
        (0, f"configure␣claude-code␣--write␣{home}"), (0, f"configure␣claude-code␣--write␣{home}"),
        (0, f"configure␣claude-code␣--undo␣{home}"), (0, f"configure␣claude-code␣--undo␣{home}"),
        (1, f"configure␣claude-code␣--write␣--home␣{tmp_path}/broken"), (1, "configure cursor --write"),
        (2, "configure cursor --undo"), (1, "configure cursor --shell bash"), (0, "configure claude-code --shell bash"),
        (1, "configure claude-code --model nothing"), (2, "configure claude-code --url x"),
    )  # fmt: skip
    each(run, (1, "configure claude-code"), GH_COPILOT_TOKEN="")


def test_the_explanations_follow_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "合并到" in run("configure", "claude-code").output
    assert "Merge into" in run("configure", "claude-code", "--language", "en").output
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert "Merge into" in run("configure", "claude-code").output


def test_signing_out_and_misuse(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("{}")
    each(
        run,
        (0, "logout"), (1, "replay bundle"), (2, "replay nowhere"), (2, "replay"), (2, "settings --no"),
        (2, "settings more"), (2, "keys --frobnicate"), (2, "keys frobnicate"), (2, "mapping remove x"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"GH_COPILOT_TOKEN": ""}, {"GH_COPILOT_TOKEN": "ghp_test_classic"},
        {"GH_COPILOT_TOKEN": "ghu_test_exhausted"}, {"GH_COPILOT_TOKEN": "ghu_test_revoked"},
        {"API_KEY": "", "HOST": "0.0.0.0", "WEB_CONCURRENCY": "64", "MAX_BODY_BYTES": "9999"},
        {"API_KEY": "short", "WEB_SEARCH_MODEL": "off"}, {"WEB_SEARCH_MODEL": "nothing"},
        {"MODEL_MAPPING": '{"x": "nothing"}', "COPILOT_API_BASE_URL": "http://127.0.0.1:1"},
        {"GITHUB_API_BASE_URL": "http://127.0.0.1:1"},
    ],
    ids=str,
)  # fmt: skip
def test_the_doctor(run: Run, changes: dict[str, str]) -> None:
    # What a call is refused with is told as a client of the API gets it, in English.
    calls = "no" if "exhausted" in str(changes) else "yes"
    result = run("doctor", "--calls", calls, **changes)
    assert english(result.output) == []
    assert "项正常" in result.output


def test_the_doctor_of_a_public_url(run: Run) -> None:
    for url in ("nonsense", "http://127.0.0.1:1", "https://127.0.0.1:1/v1"):
        assert english(run("doctor", "--calls", "no", "--public-url", url).output) == []


def test_what_programs_read_stays_english(run: Run) -> None:
    assert not CHINESE.search(run("doctor", "--json", "--calls", "no").output)
    assert not CHINESE.search(run("usage", "--csv").output)


# ── those that start something ──────────────────────────────────────────────────────────────────────────────────────


def whole(*arguments: str) -> click.testing.Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chinese: None) -> Path:
    """With a systemctl that does what it is told, and nothing else. Gives the folder of its programs."""
    module = importlib.import_module("app.cli.service")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "systemctl").write_text("#!/bin/sh\n")
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "is_installed", lambda: True)
    monkeypatch.setattr(sys, "platform", "linux")
    return programs


def test_the_service(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(code: int, *arguments: str) -> None:
        nothing_english([(arguments, code, whole("service", *arguments))])

    said(1, "status")
    said(0, "uninstall")
    said(0, "install")
    said(0, "status")
    said(0, "uninstall")
    (machine / "systemctl").write_text("#!/bin/sh\necho 'connect to bus' >&2\nexit 1\n")
    said(1, "install")
    (machine / "systemctl").unlink()
    said(1, "install")
    monkeypatch.setattr(importlib.import_module("app.cli.service"), "is_installed", lambda: False)
    said(1, "install")


def test_a_client_that_cannot_be_started(machine: Path) -> None:
    for code, arguments in ((2, "run nobody"), (2, "run cursor"), (1, "run claude-code"), (2, "run --port x")):
        nothing_english([((arguments,), code, whole(*arguments.split()))])


def test_a_demo_without_a_port(machine: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        nothing_english([(("demo",), 1, whole("demo", "--port", str(taken.getsockname()[1])))])


@pytest.mark.parametrize("wants_sign_in", [True, False])
def test_what_a_demo_says_first(chinese: None, wants_sign_in: bool) -> None:
    hints = importlib.import_module("app.cli.demo")._hints(8000, {"control": "http://c"}, wants_sign_in, Path("env"))
    assert english(hints) == []
    assert "桥接服务运行在" in hints


def test_every_setting_that_cannot_be_read(chinese: None) -> None:
    names = [field.metadata["env"] for field in dataclasses.fields(Settings)]
    told = [
        in_words(fault)
        for value in ("\x01 \n", "-1", "{", "[]", "a://b?c")
        for fault in faults(dict.fromkeys(names, value))
    ]
    assert len(told) > len(names)
    assert [line for line in told if english(line) or not CHINESE.search(line)] == []


def test_a_setting_ends_a_command(chinese: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "env"
    file.write_text("PORT=many\n")
    monkeypatch.chdir(tmp_path)
    for arguments in (("--env-file", str(file), "settings"), ("--env-file", str(tmp_path / "none"), "settings")):
        result = whole(*arguments)
        assert result.exit_code in (1, 2)
        assert english(result.output) == []


def test_an_english_sentence_would_be_found() -> None:
    assert english("用法：\n  This one was left here\n") == ["  This one was left here"]
