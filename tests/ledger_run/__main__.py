"""``python -m tests.ledger_run``: what ``make ledger-run`` runs. Ends with 1 if the books are not the bills."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.ledger_run.calls import calls_of
from tests.ledger_run.keys import Bills, compare_keys, entries_of, leases_seen, make_keys
from tests.ledger_run.run import ACCOUNT, GOVERNED, compare, kill_one, run, waits
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ledger_run", description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    calls = calls_of(given.calls, given.seed)
    with tempfile.TemporaryDirectory(prefix="bridge-ledger-") as name, Simulator.start() as simulator:
        folder = Path(name)
        env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": ACCOUNT, "LOG_LEVEL": "INFO", **GOVERNED}
        with Bridge(env, folder, workers=2, app="wsgi:app") as bridge:
            secrets, entries = make_keys(bridge, calls), entries_of(bridge)
            events = (bridge.reload, lambda: kill_one(bridge, simulator))
            with leases_seen(folder) as seen:
                broken = run(bridge, simulator, calls, secrets, events=events)
            bridge.terminate()
            bridge.wait()
            log = bridge.log
        bills = Bills(simulator.bills(), simulator.billed_tokens())
        found = compare(folder, bills.nano, calls, broken=broken, log=log)
        of_keys = compare_keys(folder, bills, calls, entries, was_killed=True)
    told = waits(log)
    print(found)
    print(of_keys)
    print(f"held ahead for: {', '.join(sorted(seen))}")
    print(told)
    faults = [*found.faults, *of_keys.faults]
    if not told.waited:
        faults.append("no call had to wait")
    if not of_keys.refused:
        faults.append("no budget came to its end")
    if not seen:
        faults.append("nothing was held ahead")
    for fault in faults:
        print("FAULT:", fault)
    print("the books are the bills" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
