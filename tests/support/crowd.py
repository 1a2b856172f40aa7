"""More than one would like on a page: many keys, models, calls and rules, with the longest names that are allowed, wide
numbers, Chinese, and writing from right to left."""

from __future__ import annotations

import random
import time
from typing import Any, Final

from app.caching.prefix import Prefix
from app.reply import Attempt, Ended, Record
from tests.simulator.client import Simulator
from tests.support.bridge import LocalBridge
from tests.unit.ledger.test_entries import booking

LONG: Final = "a-name-that-somebody-made-as-long-as-it-may-be-0123456789.abcdefg"[:64]
UNBROKEN: Final = "W" * 64
OWNERS: Final = (
    "王小明（平台组，负责夜间构建与代码评审的全部流水线）", "فريق المنصة في المقر الرئيسي", "צוות התשתיות",
    "Dr. Maximiliane von und zu Hohenlohe-Waldenburg-Schillingsfürst, Abteilung für Qualitätssicherung und Prozesse",
    "x" * 200, "",
)  # fmt: skip
NOTES: Final = ("", "为每晚的代码评审准备；如有问题，请先联系平台组。", "ملاحظة طويلة إلى حد ما", "note, " * 30)
MODELS: Final = 100
KEYS: Final = 50
CALLS: Final = 300
RULES: Final = 30
_DAY_S: Final = 86_400
_VENDORS: Final = ("OpenAI", "Anthropic", "Google", "xAI", "智谱 AI", "Vendor-Whose-Name-Has-Many-Words Incorporated")


def list_models(simulator: Simulator) -> None:
    """A hundred of them beside the usual ones; some deprecated, some that cannot be used."""
    simulator.catalogue(add=[_model(number) for number in range(MODELS)])


def _model(number: int) -> dict[str, Any]:
    name = (f"model-{number:03}", f"{LONG}-{number:03}", f"{UNBROKEN}{number:03}", f"vendor/模型-{number:03}")[
        number % 4
    ]
    state = ("enabled", "enabled", "enabled", "unconfigured", "disabled")[number % 5]
    many = 10 ** (3 + number % 8)
    entry: dict[str, Any] = {
        "id": name,
        "object": "model",
        "name": f"{'Model' if number % 2 else '模型'} {number:03} {'very long-named ' * (number % 3)}",
        "vendor": _VENDORS[number % len(_VENDORS)],
        "version": name,
        "model_picker_enabled": number % 7 != 0,
        "preview": number % 6 == 0,
        "policy": {"state": state, "terms": "Enable access to this model. [Learn more](https://gh.io/terms). " * 3},
        "billing": {
            "token_prices": {
                "default": {"input_price": many, "output_price": many * 8, "cache_price": many // 10},
                "long_context": {"input_price": many * 2, "output_price": many * 16, "max_prompt_tokens": many * 100},
            },
            "restricted_to": ["pro", "pro_plus", "business", "enterprise", "max"],
        },
        "capabilities": {
            "family": "family",
            "type": "chat",
            "object": "model_capabilities",
            "tokenizer": "o200k_base",
            "limits": {
                "max_context_window_tokens": 10**7,
                "max_prompt_tokens": 10**7,
                "max_output_tokens": 10**6,
                "vision": {"max_prompt_images": 10, "max_prompt_image_size": 3145728, "supported_media_types": []},
            },
            "supports": {
                "tool_calls": True,
                "streaming": number % 4 != 0,
                "vision": True,
                "structured_outputs": True,
                "reasoning_effort": ["none", "minimal", "low", "medium", "high", "xhigh"],
            },
        },
    }
    if number % 10 == 0:
        message = "This model will be deprecated on 2026-12-31. " * 3 + f"Use {LONG} instead."
        entry["warning_messages"] = [{"code": "model_deprecated", "message": message}]
    return entry


def make_keys(bridge: LocalBridge) -> None:
    """With all limits that there are, of all roles, expired and revoked ones among them."""
    for number in range(KEYS):
        name = (f"key-{number:02}", f"{LONG[:60]}-{number:02}", f"{UNBROKEN[:60]}-{number:02}")[number % 3]
        body: dict[str, Any] = {"name": name, "owner": OWNERS[number % len(OWNERS)], "note": NOTES[number % len(NOTES)]}
        if number % 4 == 0:
            body["role"] = "admin"
        if number % 2:
            body |= {"requests_per_minute": 10**6, "concurrent": 1, "models": ["gpt-*", f"{LONG}*", "模型-*"] * 3}
        if number % 5 == 0:
            units, periods = ("credits", "premium_requests", "tokens"), ("day", "month", "total")
            body["budgets"] = [{"amount": 10**9, "unit": unit, "per": per} for unit in units for per in periods]
        bridge.post("/admin/keys", json=body).raise_for_status()
        if number % 11 == 7:
            bridge.call("DELETE", f"/admin/keys/{name}").raise_for_status()


def book_years(bridge: LocalBridge) -> None:
    """Sums of billions, by more names than a table shows."""
    dice, now = random.Random(11), time.time()
    keys = ("alice", f"{LONG[:60]}-01", f"{UNBROKEN[:60]}-00", "")
    clients = ("codex", "客户端", "عميل طويل الاسم", UNBROKEN)
    models = ("gpt-4.1", f"{LONG}-001", f"{UNBROKEN}002")
    bridge.gateway.ledger.write(
        [
            booking(
                ended_at=now - number % 90 * _DAY_S - 60,
                key=f"key-{number % 40}" if number % 5 == 4 else keys[number % 5],
                client=f"tool-{number % 120}" if number % 5 == 4 else clients[number % 5],
                served_model=f"model-{number % 120:03}" if number % 4 == 3 else models[number % 4],
                account="octocat",
                nano_credits=dice.randrange(10**9, 10**14),
                is_estimated=number % 3 == 0,
                input_tokens=dice.randrange(10**6, 10**12),
                cached_input_tokens=dice.randrange(10**5, 10**6),
                output_tokens=dice.randrange(10**6, 10**10),
                outcome="refused" if number % 4 == 0 else "finished",
            )
            for number in range(600)
        ]
    )


def call_often(bridge: LocalBridge) -> None:
    """As many calls as the list keeps, and what can be said of one said of many."""
    dice, now = random.Random(13), time.time()
    outcomes = (
        ("finished", 200, ""), ("finished", 200, ""), ("refused", 429, "rate_limit_exceeded"),
        ("cut", 200, "upstream_connection_lost"), ("client_gone", 499, ""), ("stopped", 503, "restarting"),
    )  # fmt: skip
    for number in range(CALLS):
        outcome, status, error = outcomes[number % len(outcomes)]
        took = dice.randrange(20, 900_000)
        model = (f"model-{number % 50:03}", f"{LONG}-001", f"{UNBROKEN}002", "vendor/模型-003")[number % 4]
        record = Record(f"req_{number:028}", protocol=("chat", "messages", "responses")[number % 3])
        record.rule = number % 30 if number % 3 == 0 else None
        record.finish_reason = ("stop", "tool_calls", "content_filter")[number % 3]
        if number % 2:
            record.dropped = ("logit_bias", "tools[3].function.parameters.properties.a_rather_long_name.oneOf")
            record.losses = tuple((path, "not known there, so left out") for path in record.dropped)
        for attempt in range(1 + number % 3):
            began = record.began + took / 4000 * attempt
            record.attempts.append(
                Attempt(
                    model, began, began + took / 5000, 200 if attempt else 503, f"ABCD:{number:040X}",
                    ["connection reset", "HTTP 503"] * (number % 2),
                )
            )  # fmt: skip
        tools = [{"name": "read", "number": number if number % 3 else 0}]
        record.prefix = Prefix({"model": model, "tools": tools, "messages": []}, b"a key of hashes!")
        booked = booking(
            ended_at=now - number,
            request_id=record.request_id,
            conversation=f"conversation-{number % 4}",
            upstream_request_id=f"ABCD:{number:040X}",
            key=("alice", LONG, UNBROKEN, "")[number % 4],
            client=("claude-cli", "客户端", "عميل طويل الاسم", UNBROKEN)[number % 4],
            dialect=record.protocol,
            upstream=("chat", "responses")[number % 2],
            model=f"{model}-as-asked-for",
            served_model=model,
            purpose=("", "title")[number // 8 % 2],
            initiator=("user", "agent")[number % 2],
            streamed=number % 2 == 0,
            input_tokens=dice.randrange(10**9),
            cached_input_tokens=dice.randrange(10**8) if number // 4 % 2 else 0,
            cache_write_tokens=dice.randrange(10**8),
            output_tokens=dice.randrange(10**8),
            reasoning_tokens=dice.randrange(10**7),
            nano_credits=dice.randrange(10**6, 10**12),
            is_estimated=number % 5 == 0,
            first_byte_ms=took // 2,
            duration_ms=took,
            outcome=outcome,
            status=status,
            error=error,
        )
        ended = Ended(
            record, "POST", "/v1/chat/completions", status, "127.0.0.1", booked.client, now - number - took / 1000, took
        )
        bridge.gateway.metrics.observe(ended, booked)


def make_rules(bridge: LocalBridge) -> None:
    """And names; of both a history."""
    for number in range(RULES):
        to = ("claude-opus-4.6", f"{UNBROKEN}002", f"{LONG}-001", "vendor/模型-003")
        rule = {
            "match": (f"claude-{number}-*", f"{UNBROKEN}{number}*", f"模型-{number}-*")[number % 3],
            "to": [to[number % 4], *to[: number % 4]],
            "keys": [f"{LONG[:60]}-*", "ci-*"] * (number % 3),
            "purposes": ["title", "summary"] if number % 2 else [],
            "fall_back": number % 2 == 0,
            "note": (NOTES[number % len(NOTES)] * 2)[:200].strip(),
        }
        bridge.post("/admin/mapping/rules", json=rule).raise_for_status()
    for number in range(25):
        source = (f"gpt-{number}", f"{LONG}-{number}", f"{UNBROKEN}{number}", f"模型 {number}")[number % 4]
        target = ("gpt-4.1", f"{LONG}-001", "not-in-the-list")[number % 3]
        bridge.call("PUT", f"/admin/mapping/{source}", json={"to": target}).raise_for_status()


def learn_much(bridge: LocalBridge) -> None:
    for number in range(12):
        model = (f"gpt-{number}", f"{UNBROKEN}{number:03}", f"{LONG}-{number:03}")[number % 3]
        for name in ["seed", "logit_bias", "a_field_with_a_name_that_is_longer_than_one_would_think_possible", "top_k"]:
            path = ("/chat/completions", "/responses", "/v1/messages")[number % 3]
            bridge.gateway.refusals.learn(model, path, name)
