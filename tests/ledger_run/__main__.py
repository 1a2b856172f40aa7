"""``python -m tests.ledger_run``: what ``make ledger-run`` runs. Ends with 1 if the books are not the bills."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.ledger_run.calls import Call, calls_of
from tests.ledger_run.keys import Bills, compare_keys, entries_of, leases_seen, make_keys
from tests.ledger_run.run import ACCOUNT, GOVERNED, Waits, compare, kill_one, run, waits
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ledger_run", description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    calls = calls_of(given.calls, given.seed)
    before, after = calls[: len(calls) * 2 // 3], calls[len(calls) * 2 // 3 :]
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bridge-ledger-") as name, Simulator.start() as simulator:
        folder = Path(name)
        env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": ACCOUNT, "LOG_LEVEL": "INFO", **GOVERNED}
        with Bridge(env, folder, workers=2, app="wsgi:app") as bridge:
            secrets, entries = make_keys(bridge, calls), entries_of(bridge)
            with leases_seen(folder) as seen:
                broken = run(bridge, simulator, before, secrets, events=[bridge.reload])
            told = _ended(bridge)
        faults += _compared(folder, simulator, before, entries, broken=broken)
        if not told.waited:
            faults.append("no call had to wait")
        if not seen:
            faults.append("nothing was held ahead")
        print(f"held ahead for: {', '.join(sorted(seen))}")
        print(told)
        # And now a worker is killed: what it takes along is known within bounds only.
        with Bridge(env, folder, workers=2, app="wsgi:app") as bridge:
            broken = run(bridge, simulator, after, secrets, events=[lambda: kill_one(bridge, simulator)])
            _ended(bridge)
        faults += _compared(folder, simulator, calls, entries, broken=broken, log=bridge.log)
    for fault in faults:
        print("FAULT:", fault)
    print("the books are the bills" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


def _ended(bridge: Bridge) -> Waits:
    """It is told to stop, and does."""
    bridge.terminate()
    bridge.wait()
    return waits(bridge.log)


def _compared(
    folder: Path,
    simulator: Simulator,
    calls: list[Call],
    entries: dict[str, dict[str, Any]],
    *,
    broken: set[str],
    log: str = "",
) -> list[str]:
    bills = Bills(simulator.bills(), simulator.billed_tokens())
    found = compare(folder, bills.nano, calls, broken=broken, log=log)
    of_keys = compare_keys(folder, bills, calls, entries, was_killed=bool(log))
    print(found)
    print(of_keys)
    if log and not of_keys.refused:  # all calls have been made
        of_keys.faults.append("no budget came to its end")
    return [*found.faults, *of_keys.faults]


if __name__ == "__main__":
    sys.exit(main())
