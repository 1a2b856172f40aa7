"""The calls of a run, and the comparison of the books with the bills."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge

ACCOUNT = "ghu_test_credits"
_PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
_MODELS = ("gpt-5.2", "gpt-5.3-codex", "claude-sonnet-4.6", "claude-haiku-4.5", "gemini-3.1-pro-preview", "gpt-4.1")
_AT_ONCE = 6
GOVERNED = {
    "MAX_UPSTREAM_CALLS": "3",
    "UPSTREAM_INTERVAL_MS": "5",
    "LONGEST_LIMIT_S": "1",
    "GRACEFUL_TIMEOUT_S": "40",  # on a busy machine it takes a while to read an answer of many MB
}
"""Settings under which half of the calls that are made at once have to wait, and what Copilot limits is heeded."""
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
_MAY_BE_UNKNOWN = ("cut", "client_gone", "stopped", "refused")


@dataclass(frozen=True, slots=True)
class Call:
    """One call. fate: what is to become of it."""

    number: int
    fate: str
    client: str
    model: str

    @property
    def id(self) -> str:
        return f"run-{self.number}"


def calls_of(count: int, seed: int) -> list[Call]:
    chance = random.Random(seed)
    fates = chance.choices(list(_FATES), weights=list(_FATES.values()), k=count)
    return [
        Call(number, fate, chance.choice(list(_PATHS)), chance.choice(_MODELS)) for number, fate in enumerate(fates)
    ]


def run(
    bridge: Bridge,
    simulator: Simulator,
    calls: list[Call],
    *,
    in_the_middle: Callable[[], object] = lambda: None,
) -> None:
    """Make all of them, some at a time. in_the_middle: is done when half of them have been made, beside the others."""
    half = len(calls) // 2
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda call: _make(bridge, simulator, call), calls[:half]))
        rest = [pool.submit(_make, bridge, simulator, call) for call in calls[half:]]
        in_the_middle()
        for one in rest:
            one.result()


def _make(bridge: Bridge, simulator: Simulator, call: Call) -> None:
    headers = {"x-request-id": call.id}
    if call.fate == "embeddings":
        body: dict[str, Any] = {"model": "text-embedding-3-small", "input": ["a text", "another one"] * call.number}
        body["input"] = body["input"] or ["one"]
        bridge.post("/v1/embeddings", json=body, headers=headers)
        return
    if call.fate == "counted":
        body = {"model": call.model, "messages": [{"role": "user", "content": "How many?"}]}
        bridge.post("/v1/messages/count_tokens", json=body, headers=headers)
        return
    if call.fate == "repeated":
        simulator.fault("internal_500", times=1)
    body = _body(call)
    if call.fate in ("cut", "hung up", "streamed"):
        _stream(bridge, call, body | {"stream": True}, headers)
    else:
        bridge.post(_PATHS[call.client], json=body, headers=headers)


def _stream(bridge: Bridge, call: Call, body: dict[str, Any], headers: dict[str, str]) -> None:
    with bridge.post(_PATHS[call.client], json=body, headers=headers, stream=True) as response:
        pieces = response.iter_content(None)
        with contextlib.suppress(requests.RequestException):
            if call.fate == "hung up":
                next(pieces, None)
            else:
                for _ in pieces:
                    pass


def _body(call: Call) -> dict[str, Any]:
    prompt = {
        "cut": f"[[cut: {call.number % 7 + 1} {('reset', 'abrupt')[call.number % 2]}]] Tell me a lot, {call.number}.",
        "hung up": "[[chunks: 200]] [[pace: 400/s]]",
        "refused": f"[[error: {(429, 400)[call.number % 2]}]]",
    }.get(call.fate, f"Tell me something about {call.number}. " * (call.number % 5 + 1))
    turns = [{"role": "user", "content": prompt}]
    if call.fate == "not read":
        return {"model": call.model}
    if call.client == "responses":
        return {"model": call.model, "input": turns, "store": False}
    limit = {"max_tokens": 2000} if call.client == "messages" else {}
    return {"model": call.model, "messages": turns, **limit}


@dataclass(frozen=True, slots=True)
class Waits:
    """How the calls fared with the governor."""

    waited: int
    longest_ms: int
    told_of_limits: int

    def __str__(self) -> str:
        return (
            f"{self.waited} calls waited for a place, {self.longest_ms} ms at most; {self.told_of_limits} were not "
            "sent, for Copilot had said to wait"
        )


def waits(log: str) -> Waits:
    """log: the service's, as JSON."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    waited = [line["waited_ms"] for line in lines if line.get("waited_ms") is not None]
    limited = [line for line in lines if "GitHub Copilot limits" in line["event"]]
    return Waits(len(waited), max(waited, default=0), len(limited))


@dataclass(frozen=True, slots=True)
class Comparison:
    """billed = exact + billed_unknown, in nano-credits. faults: what is not as it should be."""

    calls: int
    outcomes: dict[str, int]
    billed: int
    exact: int
    unknown: int
    billed_unknown: int
    faults: list[str]

    def __str__(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        return (
            f"{self.calls} calls: {told}\n"
            f"billed {self.billed} = booked {self.exact} + {self.billed_unknown} nano-credits of {self.unknown} calls "
            "that were cut off before Copilot told their cost"
        )


def compare(data_dir: Path, bills: dict[str, int], calls: list[Call]) -> Comparison:
    """The books, when the service has ended, with the bills."""
    with contextlib.closing(sqlite3.connect(data_dir / "bridge.db")) as db:
        db.row_factory = sqlite3.Row
        rows = [dict(row) for row in db.execute("SELECT * FROM ledger_calls WHERE request_id LIKE 'run-%'")]
        days = dict(db.execute("SELECT SUM(calls) AS calls, SUM(exact_nano) AS nano FROM ledger_days").fetchone())
        all_ = dict(
            db.execute(
                "SELECT COUNT(*) AS calls, SUM(CASE WHEN is_estimated THEN 0 ELSE nano_credits END) AS nano"
                " FROM ledger_calls"
            ).fetchone()
        )
    exact = [row for row in rows if row["nano_credits"] is not None and not row["is_estimated"]]
    others = [row for row in rows if row not in exact]
    faults = [*_faults(rows, bills, calls)]
    if days != all_:
        faults.append(f"the sums of the days are {days}, those of the calls {all_}")
    billed_unknown = sum(bills.get(row["request_id"], 0) for row in others)
    found = Comparison(
        calls=len(rows),
        outcomes=dict(Counter(row["outcome"] for row in rows)),
        billed=sum(bills.values()),
        exact=sum(row["nano_credits"] for row in exact),
        unknown=len(others),
        billed_unknown=billed_unknown,
        faults=faults,
    )
    if found.billed != found.exact + found.billed_unknown:
        faults.append(f"billed {found.billed}, booked {found.exact} and {found.billed_unknown} unknown")
    return found


def _faults(rows: list[dict[str, Any]], bills: dict[str, int], calls: list[Call]) -> Iterator[str]:
    count = Counter(row["request_id"] for row in rows)
    for call in calls:
        if count[call.id] != 1:
            yield f"{call} is booked {count[call.id]} times"
    for row in rows:
        bill = bills.get(row["request_id"], 0)
        is_exact = row["nano_credits"] is not None and not row["is_estimated"]
        if is_exact and row["nano_credits"] != bill:
            yield f"{row} was billed {bill}"
        if not is_exact and row["outcome"] not in _MAY_BE_UNKNOWN:
            yield f"{row} has no exact cost; it was billed {bill}"
