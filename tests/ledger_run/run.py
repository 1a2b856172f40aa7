"""A run of calls, and the comparison of the books with the bills."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.ledger_run.calls import Call
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.waiting import until

ACCOUNT = "ghu_test_credits"
_AT_ONCE = 6
_PATIENCE_S = 60.0
GOVERNED = {
    "MAX_UPSTREAM_CALLS": "3",
    "UPSTREAM_INTERVAL_MS": "5",
    "LONGEST_LIMIT_S": "1",
    "GRACEFUL_TIMEOUT_S": "40",  # on a busy machine it takes a while to read an answer of many MB
}
"""Settings under which half of the calls that are made at once have to wait, and what Copilot limits is heeded."""
_MAY_BE_UNKNOWN = ("cut", "client_gone", "stopped", "refused")


def run(
    bridge: Bridge,
    simulator: Simulator,
    calls: list[Call],
    secrets: Mapping[str, str],
    *,
    events: Sequence[Callable[[], object]] = (),
) -> set[str]:
    """Make all of them, some at a time; the ids of those whose connection ended without an answer.

    secrets: the keys, by their names. events: with two of them, the first happens when a third of the calls have been
    made, the second when two thirds have, each beside the calls that follow.
    """

    def make(call: Call) -> str | None:
        try:
            _make(bridge, simulator, call, secrets[call.key])
        except requests.ConnectionError:
            return call.id
        return None

    size = -(-len(calls) // (len(events) + 1))
    broken: list[str | None] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for begin, event in zip(range(0, len(calls), size), (lambda: None, *events), strict=True):
            making = [pool.submit(make, call) for call in calls[begin : begin + size]]
            event()
            broken += [one.result() for one in making]
    return {id for id in broken if id is not None}


def kill_one(bridge: Bridge, simulator: Simulator) -> None:
    """The newest worker ends without a word, in the middle of calls."""
    simulator.wait("requests", simulator.state()["requests"] + _AT_ONCE, _PATIENCE_S)
    killed = max(bridge.workers)
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in bridge.workers)  # the master knows


def _make(bridge: Bridge, simulator: Simulator, call: Call, secret: str) -> None:
    headers = {"x-request-id": call.id, "Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    if call.fate == "repeated":
        simulator.fault("internal_500", times=1)
    with bridge.post(call.path, data=call.body, headers=headers, stream=call.is_streamed) as response:
        if not call.is_streamed:
            return
        pieces = response.iter_content(None)
        with contextlib.suppress(requests.RequestException):
            if call.fate == "hung up":
                next(pieces, None)
            else:
                for _ in pieces:
                    pass


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
    """billed = exact + billed_unknown + billed_missing, in nano-credits. faults: what is not as it should be."""

    calls: int
    outcomes: dict[str, int]
    billed: int
    exact: int
    unknown: int
    billed_unknown: int
    missing: int
    billed_missing: int
    faults: list[str]

    def __str__(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        return (
            f"{self.calls} calls: {told}\n"
            f"billed {self.billed} = booked {self.exact} + {self.billed_unknown} nano-credits of {self.unknown} calls "
            f"that were cut off before Copilot told their cost + {self.billed_missing} of {self.missing} that a killed "
            "worker took along"
        )


def compare(
    data_dir: Path, bills: Mapping[str, int], calls: list[Call], *, broken: Collection[str] = (), log: str = ""
) -> Comparison:
    """The books, when the service has ended, with the bills.

    broken: calls whose connection ended without an answer. log: the service's, which tells of workers that were killed
    how many calls they took along; without it no call may be missing.
    """
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
    booked = Counter(row["request_id"] for row in rows)
    missing = [call for call in calls if not booked[call.id]]
    faults = [*_faults(rows, bills), *(f"{id} is booked {count} times" for id, count in booked.items() if count > 1)]
    ended, in_flight = _taken_along(log)
    if not ended <= len(missing) <= ended + in_flight + len(broken) or (broken and not log):
        faults.append(f"{missing} are not booked, {broken} broke off; {ended} and {in_flight} were taken along")
    if days != all_:
        faults.append(f"the sums of the days are {days}, those of the calls {all_}")
    found = Comparison(
        calls=len(rows),
        outcomes=dict(Counter(row["outcome"] for row in rows)),
        billed=sum(bills.values()),
        exact=sum(row["nano_credits"] for row in exact),
        unknown=len(others),
        billed_unknown=sum(bills.get(row["request_id"], 0) for row in others),
        missing=len(missing),
        billed_missing=sum(bills.get(call.id, 0) for call in missing),
        faults=faults,
    )
    if found.billed != found.exact + found.billed_unknown + found.billed_missing:
        faults.append(f"{found} is no sum")
    return found


def _taken_along(log: str) -> tuple[int, int]:
    """Of workers that were killed: calls that had ended and were not written, and requests in flight."""
    lines = [json.loads(line) for line in log.splitlines() if '"a worker was killed' in line]
    return sum(line["ended"] for line in lines), sum(line["in_flight"] for line in lines)


def _faults(rows: list[dict[str, Any]], bills: Mapping[str, int]) -> Iterator[str]:
    for row in rows:
        bill = bills.get(row["request_id"], 0)
        is_exact = row["nano_credits"] is not None and not row["is_estimated"]
        if is_exact and row["nano_credits"] != bill:
            yield f"{row} was billed {bill}"
        if not is_exact and row["outcome"] not in _MAY_BE_UNKNOWN:
            yield f"{row} has no exact cost; it was billed {bill}"
