"""``python -m tests.ledger_run``: what ``make ledger-run`` runs. Ends with 1 if the books are not the bills."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.ledger_run.run import ACCOUNT, GOVERNED, calls_of, compare, run, waits
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ledger_run", description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    calls = calls_of(given.calls, given.seed)
    with tempfile.TemporaryDirectory(prefix="bridge-ledger-") as folder, Simulator.start() as simulator:
        env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": ACCOUNT, "LOG_LEVEL": "INFO", **GOVERNED}
        with Bridge(env, Path(folder), workers=2, app="wsgi:app") as bridge:
            run(bridge, simulator, calls, in_the_middle=bridge.reload)
            bridge.terminate()
            bridge.wait()
            told = waits(bridge.log)
        found = compare(Path(folder), simulator.bills(), calls)
    print(found)
    print(told)
    if not told.waited:
        found.faults.append("no call had to wait")
    for fault in found.faults:
        print("FAULT:", fault)
    print("the books are the bills" if not found.faults else f"{len(found.faults)} faults")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
