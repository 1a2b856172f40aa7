"""The named keys of a run, and the comparison of what their budgets have counted with the bills."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.converters.neutral.cost import estimated_nano
from app.converters.neutral.price_list import PriceList
from app.database import Database
from app.keys.account import Admitted
from app.keys.key import PER_UNIT, UNITS, Unit
from app.keys.registry import KeyRegistry
from app.keys.spending import Spending
from app.keys.standing import ALIVE_S
from tests.ledger_run.calls import Call
from tests.support.bridge import Bridge

Amounts = dict[Unit, int]

NEAR: Final = "near-its-end"
_PLENTY: Final = (
    {"amount": 10**9, "unit": "tokens", "per": "total"},
    {"amount": 10**6, "unit": "credits", "per": "total"},
)
LIMITS: Final[Mapping[str, Mapping[str, Any]]] = {
    "plenty": {"budgets": _PLENTY},
    "several": {"budgets": [*_PLENTY, {"amount": 10**6, "unit": "premium_requests", "per": "month"}]},
    "many-at-a-time": {"budgets": _PLENTY, "concurrent": 40},
    "few-at-a-time": {"budgets": _PLENTY, "concurrent": 2},
    NEAR: {"budgets": [{"amount": 10**6, "unit": "credits", "per": "total"}]},  # and one of tokens
}
"""Of each key, by its name."""
_TOKENS_A_CALL: Final = 20
"""Of the budget that comes to its end: fewer than its calls cost."""
_HELD_AHEAD: Final = (
    "SELECT DISTINCT client_keys.name FROM key_calls JOIN client_keys ON client_keys.id = key_calls.key_id"
    " WHERE key_calls.id LIKE 'ahead:%'"
)
_USUAL_OUTPUT: Final = 4096
_UNKNOWN_PRICE: Final = PER_UNIT["credits"]
_USUAL_PREMIUM: Final = PER_UNIT["premium_requests"]


@dataclass(frozen=True, slots=True)
class Bills:
    """What the simulator billed to each request, by its id: nano-credits and tokens."""

    nano: Mapping[str, int]
    tokens: Mapping[str, int]


def make_keys(bridge: Bridge, calls: list[Call]) -> dict[str, str]:
    """The keys themselves, by their names; "" is API_KEY."""
    secrets = {"": bridge.api_key}
    for name, limits in LIMITS.items():
        made = dict(limits)
        if name == NEAR:
            amount = _TOKENS_A_CALL * sum(call.key == name for call in calls)
            made["budgets"] = [*limits["budgets"], {"amount": amount, "unit": "tokens", "per": "total"}]
        answer = bridge.post("/admin/keys", json={"name": name, **made})
        assert answer.status_code == 200, answer.text
        secrets[name] = answer.json()["secret"]
    return secrets


@contextlib.contextmanager
def leases_seen(data_dir: Path) -> Iterator[set[str]]:
    """The names of keys for which some worker held something ahead meanwhile."""
    seen: set[str] = set()
    is_over = threading.Event()

    def watch() -> None:
        with contextlib.closing(sqlite3.connect(data_dir / "bridge.db", timeout=30)) as db:
            while not is_over.wait(0.1):
                seen.update(name for (name,) in db.execute(_HELD_AHEAD))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def entries_of(bridge: Bridge) -> dict[str, dict[str, Any]]:
    """The models of the account, by their ids."""
    return {entry["id"]: entry for entry in bridge.get("/v1/models").json()["data"]}


@dataclass(frozen=True, slots=True)
class KeyComparison:
    """faults: what is not as it should be. left: rows of a killed worker, which were booked as they stood."""

    faults: list[str]
    refused: int
    left: int
    unknown: int

    def __str__(self) -> str:
        return (
            f"named keys: {self.refused} calls refused at the end of a budget, {self.unknown} counted as reserved; "
            f"{self.left} reservations were left behind"
        )


def compare_keys(
    data_dir: Path, bills: Bills, calls: list[Call], entries: Mapping[str, Mapping[str, Any]], *, was_killed: bool
) -> KeyComparison:
    """What the keys' budgets have counted, when the service has ended, with what was billed to their calls.

    To the nano-credit and the token; for a key of whose calls a killed worker took some along no more than was billed,
    and no less once what that worker left reserved is booked.
    """
    with contextlib.closing(sqlite3.connect(data_dir / "bridge.db")) as db:
        db.row_factory = sqlite3.Row
        rows = {row["request_id"]: dict(row) for row in db.execute("SELECT * FROM ledger_calls")}
        left = [dict(row) for row in db.execute("SELECT * FROM key_calls WHERE id NOT LIKE 'recall:%'")]
        ids = dict(db.execute("SELECT name, id FROM client_keys").fetchall())
        spent = {tuple(row[:3]): row[3] for row in db.execute("SELECT key_id, unit, per, amount FROM key_spending")}
    faults: list[str] = []
    unknown = 0
    for name in LIMITS:
        least, most = Counter[Unit](), Counter[Unit]()
        is_exact = not any(row["key_id"] == ids[name] for row in left)
        for call in (call for call in calls if call.key == name):
            row = rows.get(call.id)
            if row is None:
                is_exact = False
                low, high = _lost(call, bills, entries)
            else:
                low = high = _cost(call, row, bills, entries)
                unknown += low == _held(call, entries)
            least.update(low)
            most.update(high)
        if not is_exact and not was_killed:
            faults.append(f"{name}: something is lost, or stays reserved")
        for unit, per in _budgets(name):
            counted = spent.get((ids[name], unit, per), 0)
            reserved = sum(row[unit] for row in left if row["key_id"] == ids[name])
            if not least[unit] <= counted + reserved or not counted <= most[unit]:
                faults.append(
                    f"{name}: {counted} {unit} counted, {reserved} left reserved, billed {least[unit]} to {most[unit]}"
                )
    faults += _faults_after(data_dir, left, spent)
    refused = sum(row["key"] == NEAR and row["error"] == "insufficient_quota" for row in rows.values())
    return KeyComparison(faults, refused, len(left), unknown)


def _faults_after(data_dir: Path, left: list[dict[str, Any]], spent: Mapping[Any, int]) -> Iterator[str]:
    """Later: what a killed worker left behind is booked as it stands, and nothing stays reserved."""
    later = time.time() + ALIVE_S + 1
    with contextlib.closing(Database.at(data_dir=data_dir, url=None)) as database:
        spending, registry = Spending(database, clock=lambda: later), KeyRegistry(database, clock=lambda: later)
        for key in registry.all():
            found = spending.reserve(key, {})
            if isinstance(found, Admitted):
                spending.settle(found.reservation, {})
            for account in spending.accounts(key):
                unit = account.budget.unit
                wanted = spent.get((key.id, unit, account.budget.per), 0)
                wanted += sum(row[unit] for row in left if row["key_id"] == key.id)
                if account.reserved or (account.budget.per == "total" and account.used != wanted):
                    yield f"{key.name}: {account} ten minutes later, and not {wanted}"


def _budgets(name: str) -> Iterator[tuple[Unit, str]]:
    for budget in LIMITS[name]["budgets"]:
        yield budget["unit"], budget["per"]
    if name == NEAR:
        yield "tokens", "total"


def _cost(call: Call, row: Mapping[str, Any], bills: Bills, entries: Mapping[str, Mapping[str, Any]]) -> Amounts:
    """What a call has to be counted with, by its row of the ledger, which has been compared with its bill."""
    is_exact = row["nano_credits"] is not None and not row["is_estimated"]
    has_usage = row["input_tokens"] is not None
    if call.fate == "counted" or (is_exact and not has_usage):  # nothing was sent, or an error came in its place
        return dict.fromkeys(UNITS, 0)
    if is_exact:
        tokens = bills.tokens.get(call.id, 0)
        return {"credits": bills.nano.get(call.id, 0), "premium_requests": _premium(call), "tokens": tokens}
    held = _held(call, entries)
    if not has_usage:
        return held
    tokens, nano = row["input_tokens"] + (row["output_tokens"] or 0), row["nano_credits"]
    return {**held, "tokens": tokens, "credits": held["credits"] if nano is None else nano}


def _lost(call: Call, bills: Bills, entries: Mapping[str, Mapping[str, Any]]) -> tuple[Amounts, Amounts]:
    """The least and the most that a call may count with which a killed worker took along."""
    billed: Amounts = {
        "credits": bills.nano.get(call.id, 0),
        "premium_requests": 0,
        "tokens": bills.tokens.get(call.id, 0),
    }
    held = _held(call, entries)
    return {unit: min(billed[unit], held[unit]) for unit in UNITS}, {
        unit: max(billed[unit], held[unit]) for unit in UNITS
    }


def _held(call: Call, entries: Mapping[str, Mapping[str, Any]]) -> Amounts:
    """What is reserved for it: a token for four bytes, and the output that it asks for, at the model's prices."""
    tokens_in, tokens_out = len(call.body) // 4 + 1, call.asks_for or _USUAL_OUTPUT
    prices = PriceList().of(entries[call.served_model])
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    nano = estimated_nano(prices, usage) if prices is not None else None
    return {
        "credits": _UNKNOWN_PRICE if nano is None else nano,
        "premium_requests": _premium(call),
        "tokens": tokens_in + tokens_out,
    }


def _premium(call: Call) -> int:
    """A turn of a person's is one; nobody takes a turn by having something embedded."""
    return 0 if call.fate == "embeddings" else _USUAL_PREMIUM
