"""Variables in the words of a shell, tried out in the shells that this machine has."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from app.clients.files.shell import exports

VALUES = {"PLAIN": "http://x:1/v1", "SPACES": "a b", "QUOTES": 'it\'s "$HOME" `id` \\ !', "EMPTY": ""}


@pytest.mark.parametrize("shell", [shell for shell in ("bash", "zsh") if shutil.which(shell)])
def test_posix_shells_read_back_what_was_meant(shell: str) -> None:
    program = shutil.which(shell) or shell
    script = exports(VALUES, shell) + "".join(f'\nprintf "%s\\n" "${name}"' for name in VALUES)
    read = subprocess.run([program, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert read.stdout.splitlines() == list(VALUES.values())


def test_powershell_doubles_its_quotes() -> None:
    assert exports({"A": "it's $x"}, "powershell") == "$env:A = 'it''s $x'"
    # It takes each of these for a quote too (about_Quoting_Rules).
    assert exports({"A": "\u2018; calc; \u2019\u201a\u201b"}, "powershell") == (
        "$env:A = '\u2018\u2018; calc; \u2019\u2019\u201a\u201a\u201b\u201b'"
    )


def test_a_hidden_key_is_read_from_a_variable() -> None:
    hidden = {"<key>": "MY_KEY"}
    assert exports({"A": "<key>"}, "bash", key_from=hidden) == 'export A="$MY_KEY"'
    assert exports({"A": "<key>"}, "powershell", key_from=hidden) == "$env:A = $env:MY_KEY"
    assert exports({"MY_KEY": "<key>"}, "zsh", key_from=hidden) == "export MY_KEY='<key>'", "not from itself"
