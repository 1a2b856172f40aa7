"""The calls of a run: what is asked, by which key, and what is to become of it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
_MODELS = ("gpt-5.2", "gpt-5.3-codex", "claude-sonnet-4.6", "claude-haiku-4.5", "gemini-3.1-pro-preview", "gpt-4.1")
# What becomes of a call, and how often.
_FATES = {
    "whole": 30,
    "streamed": 30,
    "cut": 8,
    "hung up": 8,
    "refused": 6,
    "repeated": 4,
    "not read": 4,
    "embeddings": 6,
    "counted": 4,
}
# Whose they are: the keys of `tests.ledger_run.keys`; "" is API_KEY.
_KEYS = {"": 20, "plenty": 30, "several": 15, "many-at-a-time": 15, "few-at-a-time": 10, "near-its-end": 10}
_TURNS = 60
_EMBEDDINGS = "text-embedding-3-small"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. fate: what is to become of it. key: the name of the one that it shows."""

    number: int
    fate: str
    client: str
    model: str
    key: str

    @property
    def id(self) -> str:
        return f"run-{self.number}"

    @property
    def path(self) -> str:
        match self.fate:
            case "embeddings":
                return "/v1/embeddings"
            case "counted":
                return "/v1/messages/count_tokens"
            case _:
                return PATHS[self.client]

    @property
    def is_streamed(self) -> bool:
        return self.fate in ("cut", "hung up", "streamed")

    @property
    def served_model(self) -> str:
        return _EMBEDDINGS if self.fate == "embeddings" else self.model

    @property
    def asks_for(self) -> int | None:
        """The most tokens of an answer."""
        return self.fields.get("max_tokens")

    @property
    def body(self) -> bytes:
        return json.dumps(self.fields).encode()

    @property
    def fields(self) -> dict[str, Any]:
        if self.fate == "embeddings":
            return {"model": _EMBEDDINGS, "input": ["a text", "another one"] * self.number or ["one"]}
        if self.fate == "counted":
            return {"model": self.model, "messages": [{"role": "user", "content": "How many?"}]}
        if self.fate == "not read":
            return {"model": self.model}
        kind = ("reset", "abrupt")[self.number % 2]
        prompt = {
            "cut": f"[[cut: {self.number % 7 + 1} {kind}]] Tell me a lot, {self.number}.",
            "hung up": "[[chunks: 200]] [[pace: 400/s]]",
            "refused": f"[[error: {(429, 400)[self.number % 2]}]]",
        }.get(self.fate, f"Tell me something about {self.number}. " * (self.number % 5 + 1))
        turns = [{"role": "user", "content": prompt}]
        stream = {"stream": True} if self.is_streamed else {}
        if self.client == "responses":
            return {"model": self.model, "input": turns, "store": False, **stream}
        limit = {"max_tokens": 2000} if self.client == "messages" else {}
        return {"model": self.model, "messages": turns, **limit, **stream}


def calls_of(count: int, seed: int) -> list[Call]:
    chance = random.Random(seed)
    fates = chance.choices(list(_FATES), weights=list(_FATES.values()), k=count)
    # Some calls of one key after another, so that it is used a lot for a while.
    turn = max(1, count // _TURNS)
    keys = chance.choices(list(_KEYS), weights=list(_KEYS.values()), k=count // turn + 1)
    return [
        Call(number, fate, chance.choice(list(PATHS)), chance.choice(_MODELS), keys[number // turn])
        for number, fate in enumerate(fates)
    ]
