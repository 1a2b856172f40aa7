"""Nothing that upstream or GitHub can send is a 500: mutated answers, heads and framings against the whole app.

A case follows from its number: ``pytest tests/integration/test_hostile_answers.py`` tells which failed.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask

from app import create_app
from app.settings import Settings
from tests.support import dialects
from tests.support.dialects import DOORS, PROTOCOLS, UPSTREAM_PATHS
from tests.support.hostile import FIXTURES, HostileGitHub, hostile_json, hostile_stream
from tests.support.raw_upstream import Asked, RawUpstream
from tests.support.secrets import API_KEY

SEED = 20260301
CALLS = 360
"""Over all pairs of dialects, half of them streams."""
EXCHANGES = 50
"""Half of them for the token, half for the model list."""

MODELS = [
    {
        "id": f"{protocol}-model",
        "name": "Model",
        "vendor": "OpenAI",
        "version": "1",
        "model_picker_enabled": True,
        "policy": {"state": "enabled", "terms": "t"},
        "billing": {"is_premium": True, "multiplier": 1, "restricted_to": ["pro"]},
        "supported_endpoints": [path],
        "request_headers": {"X-Model": "a"},
        "capabilities": {
            "type": "chat",
            "family": "gpt",
            "tokenizer": "o200k_base",
            "limits": {"max_output_tokens": 1000, "max_prompt_tokens": 9000, "max_inputs": 5, "vision": {"a": 1}},
            "supports": {"streaming": True, "tool_calls": True, "reasoning_effort": ["low"], "vision": True},
        },
    }
    for protocol, path in UPSTREAM_PATHS.items()
]


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileGitHub]:
    with HostileGitHub(MODELS) as running:
        yield running


class Bugs(logging.Handler):
    """What the service itself calls a bug."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0]:
            self.found.append(logging.Formatter().format(record))


@pytest.fixture
def bugs() -> Iterator[Bugs]:
    handler, logger = Bugs(), logging.getLogger("copilot_bridge")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@contextlib.contextmanager
def serving(hostile: RawUpstream, folder: Path) -> Iterator[Flask]:
    """An app with a state of its own; nothing of it is left afterwards."""
    env = {
        **hostile.environment(),
        "API_KEY": API_KEY,
        "DATA_DIR": str(folder),
        "COPILOT_CONFIG_DIR": str(folder / "none"),
        "UPSTREAM_RETRIES": "0",
        "UPSTREAM_IDLE_TIMEOUT_S": "2",
        "GITHUB_TIMEOUT_S": "2",
        "WARM_UP": "false",
    }
    app = create_app(Settings.from_env(env))
    yield app
    app.extensions["gateway"].close()


def good_answers(protocol: str) -> tuple[list[Any], list[bytes]]:
    folder = FIXTURES / protocol
    whole = [orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.response.json"))]
    streams = [path.read_bytes() for path in sorted(folder.glob("*.stream.sse"))]
    return whole, streams


HEADERS = {"Authorization": f"Bearer {API_KEY}"}


def judge(answer: Any, bugs: Bugs, what: str) -> None:
    text = answer.get_data()
    assert not bugs.found, f"{what}\n{bugs.found[0]}"
    assert answer.status_code != 500, f"{what}\n{text[:300]!r}"
    assert b"internal_error" not in text, what
    for name, value in answer.headers:
        assert value.isprintable(), (what, name, value)
        assert value.isascii(), (what, name, value)


@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("client", PROTOCOLS)
def test_no_answer_of_upstream_is_a_500(
    hostile: HostileGitHub, tmp_path: Path, bugs: Bugs, client: str, upstream: str
) -> None:
    whole, streams = good_answers(upstream)
    with serving(hostile, tmp_path) as app:
        for number in range(CALLS // 9):
            stream = number % 2 == 1
            chance = random.Random(f"{SEED} {client} {upstream} {number}")

            def answer(asked: Asked, stream: bool = stream, chance: random.Random = chance) -> list[bytes]:
                if stream:
                    return hostile_stream(chance.choice(streams), chance)
                return hostile_json(chance.choice(whole), chance)

            hostile.answer = answer
            body = dialects.request(client, f"{upstream}-model", "hi", stream=stream)
            told = app.test_client().post(DOORS[client], json=body, headers=HEADERS, buffered=True)
            judge(told, bugs, f"{client} → {upstream}, {number}")


def test_no_answer_to_embeddings_is_a_500(hostile: HostileGitHub, tmp_path: Path, bugs: Bugs) -> None:
    good = {"data": [{"embedding": [0.5, 1.0], "index": 0, "object": "e"}], "usage": {"prompt_tokens": 1}, "model": "m"}
    with serving(hostile, tmp_path) as app:
        for number in range(40):
            chance = random.Random(f"{SEED} embeddings {number}")
            hostile.answer = lambda asked, chance=chance: hostile_json(good, chance)  # type: ignore[misc]
            body = {"model": "text", "input": "a", "encoding_format": "base64" if number % 2 else "float"}
            judge(
                app.test_client().post("/v1/embeddings", json=body, headers=HEADERS, buffered=True),
                bugs,
                f"embeddings, {number}",
            )


@pytest.mark.parametrize("path", ["/copilot_internal/v2/token", "/models"])
def test_no_answer_of_github_is_a_500(hostile: HostileGitHub, tmp_path: Path, bugs: Bugs, path: str) -> None:
    hostile.answer = lambda asked: dialects.answer("chat", "hi", stream=False)
    try:
        for number in range(EXCHANGES // 2):
            chance = random.Random(f"{SEED} {path} {number}")
            hostile.spoil = lambda asked, good, chance=chance: (  # type: ignore[misc]
                hostile_json(good, chance) if asked == path else None
            )
            with serving(hostile, tmp_path / str(number)) as app:
                client = app.test_client()
                for method, where, body in (
                    ("POST", "/v1/chat/completions", dialects.request("chat", "chat-model", "hi", stream=False)),
                    ("GET", "/v1/models", None),
                    ("GET", "/readyz", None),
                ):
                    told = client.open(where, method=method, json=body, headers=HEADERS, buffered=True)
                    judge(told, bugs, f"{path}, {number}, {where}")
    finally:
        hostile.spoil = lambda asked, good: None
