"""A small team as one would like to see it on a page: keys, rules, a month of figures, and calls of today."""

from __future__ import annotations

import random
import time
from typing import Any, Final

from tests.simulator.client import Simulator
from tests.support.bridge import LocalBridge
from tests.unit.ledger.test_entries import booking

ACCOUNT: Final = "octocat"
TOKEN: Final = "ghu_test_individual"
_DAY_S: Final = 86_400
_WORDS: Final = 20_000
"""What a call of today brings along, as the files of a project do: it is seen in the budgets."""
_KEYS: Final[tuple[dict[str, Any], ...]] = (
    {"name": "alice-laptop", "owner": "Alice Chen", "budgets": [{"amount": 200, "unit": "credits", "per": "month"}]},
    {"name": "bob-editor", "owner": "Bob Martin", "models": ["gpt-*", "claude-*"]},
    {"name": "ci-nightly", "owner": "Platform", "note": "reviews of pull requests",
     "budgets": [{"amount": 500_000, "unit": "tokens", "per": "day"}]},
)  # fmt: skip
_RULES: Final[tuple[dict[str, Any], ...]] = (
    {"match": "claude-haiku-*", "to": ["gpt-4.1"], "purposes": ["title", "summary"], "note": "titles need no Claude"},
    {"match": "claude-opus-*", "to": ["claude-opus-4.6", "claude-sonnet-4.6"], "fall_back": True},
    {"match": "*", "to": ["gpt-5-mini"], "keys": ["ci-*"]},
)
# model, its share of the calls, credits of a call
_MODELS: Final = (
    ("claude-sonnet-4.6", 9, 4.8), ("gpt-5.3-codex", 6, 3.1), ("gpt-4.1", 5, 0.8), ("claude-opus-4.6", 2, 10.5),
    ("gemini-3.1-pro-preview", 2, 2.8),
)  # fmt: skip
# key, its share of the calls, the program that it is used by
_CALLERS: Final = (("alice-laptop", 6, "claude-cli"), ("bob-editor", 4, "codex_cli_rs"), ("ci-nightly", 2, "opencode"))


def settle(bridge: LocalBridge, simulator: Simulator) -> dict[str, str]:
    """Make all of it; the secrets of the keys by their names."""
    simulator.set_account(TOKEN, premium={"entitlement": 300, "remaining": 181.4})
    secrets = {key["name"]: made(bridge, key) for key in _KEYS}
    for rule in _RULES:
        bridge.post("/admin/mapping/rules", json=rule).raise_for_status()
    write_month(bridge)
    call_all(bridge, simulator, secrets)
    return secrets


def made(bridge: LocalBridge, key: dict[str, Any]) -> str:
    """The secret of a new key."""
    answer = bridge.post("/admin/keys", json=key)
    assert answer.ok, answer.text
    return str(answer.json()["secret"])


def write_month(bridge: LocalBridge, *, calls_a_day: int = 24) -> None:
    """Figures of thirty days, fewer at weekends; the same whenever it is called, but for the dates."""
    dice, now = random.Random(7), time.time()
    models = [it for it in _MODELS for _ in range(it[1])]
    callers = [it for it in _CALLERS for _ in range(it[1])]
    rows = []
    for day in range(30):
        for _ in range(round(calls_a_day * (0.3 if day % 7 in (1, 2) else 1) * dice.uniform(0.5, 1.2))):
            (model, _, credits_), (key, _, client) = dice.choice(models), dice.choice(callers)
            tokens = dice.randrange(4_000, 60_000)
            rows.append(
                booking(
                    ended_at=now - day * _DAY_S - 60,
                    key=key,
                    client=client,
                    model=model,
                    served_model=model,
                    account=ACCOUNT,
                    nano_credits=round(credits_ * dice.uniform(0.2, 1.4) * 10**9),
                    input_tokens=tokens,
                    cached_input_tokens=round(tokens * dice.uniform(0.4, 0.9)),
                    output_tokens=dice.randrange(100, 3_000),
                    outcome="refused" if dice.random() < 0.03 else "finished",
                )
            )
    bridge.gateway.ledger.write(rows)


def call_all(bridge: LocalBridge, simulator: Simulator, secrets: dict[str, str]) -> None:
    """Calls in every dialect, and of every fate."""
    alice, bob, nightly = (
        {"Authorization": f"Bearer {secrets[key]}", "User-Agent": f"{client}/1.0.44"} for key, _, client in _CALLERS
    )
    say = "word " * _WORDS + "[[say: The tests pass now. The cause was a clock that two workers did not share.]]"

    def chat(who: dict[str, str], model: str, **fields: Any) -> None:
        body = {"model": model, "messages": [{"role": "user", "content": say}], **fields}
        bridge.call("POST", "/v1/chat/completions", headers=who, json=body)

    def message(who: dict[str, str], model: str, **fields: Any) -> None:
        body = {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": say}], **fields}
        bridge.call("POST", "/v1/messages", headers=who, json=body)

    def respond(who: dict[str, str], model: str, **fields: Any) -> None:
        bridge.call("POST", "/v1/responses", headers=who, json={"model": model, "input": say, **fields})

    message(alice, "claude-sonnet-4.6")
    respond(bob, "gpt-5.3-codex", stream=True)
    chat(nightly, "gpt-4.1")
    chat(bob, "claude-haiku-4.5", logit_bias={"50256": -100})
    simulator.fault("rate_limited_429", endpoint="/chat/completions")
    chat(bob, "gpt-4.1")
    message(alice, "claude-opus-4.6", stream=True)
    refusal = {"error": {"message": "Unsupported parameter: 'seed' is not supported.", "code": "unsupported_value"}}
    simulator.fault(endpoint="/chat/completions", status=400, body=refusal)
    chat(nightly, "gpt-4.1", seed=7)
    chat(bob, "gpt-4.2")
    message(alice, "gpt-4.1")
    respond(bob, "gpt-5.3-codex", stream=True)
    message(alice, "claude-sonnet-4.6", stream=True)
