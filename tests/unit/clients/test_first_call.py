"""The command for a first answer, as it is pasted."""

from __future__ import annotations

import json
import shlex

import pytest

from app.clients.first_call import first_call
from app.clients.models import select
from app.clients.record import Facts, Platform
from app.clients.text import PLACEHOLDER
from tests.unit.clients.models import model

MODELS = select([model("gpt-4.1")])


def facts(key: str, platform: Platform = "linux", url: str = "http://localhost:8000") -> Facts:
    return Facts(url, key, MODELS, platform)


@pytest.mark.parametrize("prompt", ["Say hello.", "It's 5 o'clock", '"quoted" $HOME `id` \\ \n', "用一句话打个招呼。"])
@pytest.mark.parametrize("key", ["k", "it's", "a b$c"])
def test_a_shell_reads_it_as_meant(key: str, prompt: str) -> None:
    words = shlex.split(first_call(facts(key), prompt).replace("\\\n", ""))
    assert words[:3] == ["curl", "-sS", "http://localhost:8000/v1/chat/completions"]
    assert f"Authorization: Bearer {key}" in words
    asked = json.loads(words[-1])
    assert asked == {"model": "gpt-4.1", "messages": [{"role": "user", "content": prompt}]}


def test_a_hidden_key_is_asked_for() -> None:
    command = first_call(facts(PLACEHOLDER), "hi")
    assert command.startswith("printf 'API key: ' && read -r KEY && curl ")
    assert '-H "Authorization: Bearer $KEY"' in command
    assert PLACEHOLDER not in command
    windows = first_call(facts(PLACEHOLDER, "win32"), "hi")
    assert "Read-Host" in windows
    assert PLACEHOLDER not in windows


def test_an_address_stays_one_word() -> None:
    command = first_call(facts("k", url="http://x';id;'"), "hi")
    assert shlex.split(command.replace("\\\n", ""))[2] == "http://x';id;'/v1/chat/completions"


def test_powershell_gets_a_body_in_plain_letters() -> None:
    command = first_call(facts("it's", "win32"), "用一句话 it's")
    assert command.isascii()
    assert "'Bearer it''s'" in command
    assert "it''s" in command.partition("-Body")[2]
