"""Words for what happens in a run, so that the clients' tests read alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.clients.troubles import WRONG_KEY
from tests.simulator.client import Simulator
from tests.support.secrets import API_KEY

SAID = "one two three four five six seven eight nine ten."


def tool(name: str, **arguments: object) -> str:
    """Let the model call this tool."""
    return f"[[tool: {name} {json.dumps(arguments, ensure_ascii=False)}]]"


def rounds(*each: str) -> str:
    """One directive per call of the model within a turn."""
    return " [[next]] ".join(each)


def say(text: str) -> str:
    return f"[[say: {text}]]"


def assert_one_turn(calls: list[dict[str, Any]], path: str, model: str, count: int) -> None:
    """These are the calls upstream for one prompt of a person's: one premium request, whatever their number."""
    assert [(call["path"], call["status"], call["json"]["model"]) for call in calls] == [(path, 200, model)] * count
    assert [call["header"]["x-initiator"] for call in calls] == ["user"] + ["agent"] * (count - 1)
    assert len({call["header"]["x-interaction-id"] for call in calls}) == 1


def booked(simulator: Simulator) -> int:
    """How many premium requests of a person the simulator has booked so far."""
    return int(simulator.ledger()["user_requests"])


def statuses(calls: list[dict[str, Any]]) -> list[int]:
    return [call["status"] for call in calls]


def put_wrong_key(file: Path) -> None:
    """Spoil the key in a file that `configure` wrote."""
    text = file.read_text("utf-8")
    assert API_KEY in text
    file.write_text(text.replace(API_KEY, WRONG_KEY), "utf-8")
