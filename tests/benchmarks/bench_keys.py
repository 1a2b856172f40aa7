"""What keys cost the whole path of a request: CPU time of the service, by the key that its calls show.

    python -m tests.benchmarks.bench_keys [--rounds 8] [--against COMMIT]

Prints Markdown. One service of this checkout serves all of them, and bursts visit them in turn, so that a busy machine
is equally busy for each. ``--against``: with another commit beside it, which is shown API_KEY alone; 008de94 knows
neither named keys nor a ledger. It needs Linux, as `make bench` does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import urllib.request
from typing import Any, Final

from tests.benchmarks.rig import scenarios, targets
from tests.benchmarks.rig.measure import KEY, Rig
from tests.benchmarks.rig.scenarios import Load

_PLENTY: Final = [
    {"amount": 10**9, "unit": "tokens", "per": "day"},
    {"amount": 10**6, "unit": "credits", "per": "month"},
]
_KEYS: Final[dict[str, dict[str, Any]]] = {
    "a named key": {},
    "… with requests per minute": {"requests_per_minute": 1_000_000},
    "… with a budget": {"budgets": _PLENTY[:1]},
    "… with two budgets": {"budgets": _PLENTY},
    "… with answers at a time": {"concurrent": 10_000},
}
_EVENTS: Final = 1000
_LOADS: Final = (
    Load("whole", "whole answer", "request", "chat", scenarios.chat(False)),
    Load("chat", f"stream of {_EVENTS} events", "event", "chat", scenarios.chat(True), 8, events=_EVENTS),
)
_Figures = dict[str, dict[str, list[float]]]


def make_key(port: int, name: str, limits: dict[str, Any]) -> str:
    body = json.dumps({"name": name, **limits}).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/admin/keys", body, headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return str(json.load(answer)["secret"])


def measured(rig: Rig, rounds: int, against: str) -> _Figures:
    """By key and load: CPU time of each burst, in µs for each unit of it."""
    others = [targets.checkout(against, rig.folder / "against")] if against else []
    found: _Figures = {}
    with rig.up([*others, targets.bridge()]) as started:
        target, process = started[-1]
        shown = [(f"API_KEY, {other.name}", other, its, KEY) for other, its in started[:-1]]
        shown.append(("API_KEY", target, process, KEY))
        for number, (name, limits) in enumerate(_KEYS.items()):
            shown.append((name, target, process, make_key(target.port, f"key-{number}", limits)))
        for load in _LOADS:
            for turn in range(rounds + 1):
                for name, its_target, its_process, key in shown[turn % len(shown) :] + shown[: turn % len(shown)]:
                    figures = rig.burst(its_target, its_process, load, key=key)
                    if figures["errors"]:
                        sys.exit(f"{name}: {figures['problem']}")
                    if turn:  # the first is unmeasured
                        found.setdefault(name, {}).setdefault(load.key, []).append(figures["cpu_us"])
    return found


def markdown(found: _Figures) -> str:
    """Least and median of the bursts."""
    lines = [
        f"| CPU time, least and median | whole answer, per request | stream of {_EVENTS:,} events, per event |",
        "| --- | ---: | ---: |",
    ]
    for name, by in found.items():
        told = [f"{min(by[load.key]):.{digits}f} / {statistics.median(by[load.key]):.{digits}f} µs"
                for load, digits in zip(_LOADS, (0, 1), strict=True)]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(told)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--against", default="", metavar="COMMIT")
    wanted = parser.parse_args()
    with Rig() as rig:
        print(markdown(measured(rig, wanted.rounds, wanted.against)))


if __name__ == "__main__":
    main()
