"""The right answers that faults spoil: the simulator's, recorded once, with another word in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import requests

from tests.simulator.client import Simulator
from tests.support.dialects import UPSTREAM_PATHS

Shape = Literal["text", "tools"]
SHAPES: Final[tuple[Shape, ...]] = ("text", "tools")
_WORD: Final = "wordmark"  # stands for the word of a cell, which is as long
_TEXT: Final = f"{_WORD} Hällo wörld, 你好 🎉 and so on for quite some words more."
_CITIES: Final = (f"{_WORD} Zürich", "Oslo 你好")
TOOL: Final = "get_weather"
PARAMETERS: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_PATHS: Final = {
    "chat": ("/chat/completions", "gpt-4.1"),
    "messages": ("/v1/messages", "claude-haiku-4.5"),
    "responses": ("/responses", "gpt-5.4"),
}

MODELS: Final = [
    {
        "id": f"{protocol}-model",
        "vendor": "OpenAI",
        "supported_endpoints": [path],
        "capabilities": {"type": "chat", "supports": {"streaming": True, "tool_calls": True}},
    }
    for protocol, path in UPSTREAM_PATHS.items()
]
"""One for each protocol, that speaks no other."""

Answers = Mapping[tuple[str, bool, Shape], bytes]
"""By protocol, whether it is a stream, and shape: the payload."""


def text_of(word: str) -> str:
    return _TEXT.replace(_WORD, word)


def cities_of(word: str, shape: Shape) -> list[str]:
    """The argument of each call of the tool."""
    return [city.replace(_WORD, word) for city in _CITIES] if shape == "tools" else []


def with_word(payload: bytes, word: str) -> bytes:
    assert len(word) == len(_WORD)
    return payload.replace(_WORD.encode(), word.encode())


def record() -> Answers:
    with Simulator.start() as simulator:
        return dict(_recorded(simulator))


def _recorded(simulator: Simulator) -> Iterator[tuple[tuple[str, bool, Shape], bytes]]:
    host = simulator.settings_env()["GITHUB_API_BASE_URL"]
    asking = {"Authorization": "token ghu_test_individual", "User-Agent": "test"}
    token = requests.get(f"{host}/copilot_internal/v2/token", headers=asking, timeout=30).json()
    headers = {
        "Authorization": f"Bearer {token['token']}",
        "Editor-Version": "vscode/1.121.0",
        "Copilot-Integration-Id": "vscode-chat",
        "X-GitHub-Api-Version": "2026-06-01",
    }
    for protocol, (path, model) in _PATHS.items():
        for shape in SHAPES:
            for stream in (False, True):
                body = _request(protocol, model, shape) | {"stream": stream}
                answer = requests.post(token["endpoints"]["api"] + path, headers=headers, json=body, timeout=30)
                assert answer.status_code == 200, answer.text
                yield (protocol, stream, shape), answer.content


def _request(protocol: str, model: str, shape: Shape) -> dict[str, Any]:
    prompt = f"[[say: {_TEXT}]]"
    if shape == "tools":
        prompt += "".join(f' [[tool: {TOOL} {{"city": "{city}"}}]]' for city in _CITIES)
    spoken = {"input": prompt} if protocol == "responses" else {"messages": [{"role": "user", "content": prompt}]}
    limit = {"max_tokens": 500} if protocol == "messages" else {}
    return {"model": model, "tools": [tool_of(protocol)], **spoken, **limit}


def tool_of(protocol: str) -> dict[str, Any]:
    """The tool as a client of this dialect declares it."""
    if protocol == "messages":
        return {"name": TOOL, "input_schema": PARAMETERS}
    function = {"name": TOOL, "parameters": PARAMETERS}
    return {"type": "function", "function": function} if protocol == "chat" else {"type": "function", **function}
