"""``make bench``: see docs/performance.md.

    python -m tests.benchmarks.rig [--quick] [--against COMMIT] [--only whole,chat] [--rounds N] [--write]

Prints Markdown. With ``--write`` the figures become docs/performance.json, and the tables and the picture of the
document.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from tests.benchmarks.rig import measure, report, targets
from tests.benchmarks.rig.measure import Rig
from tests.benchmarks.rig.processes import ROOT
from tests.benchmarks.rig.scenarios import LOADS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a few minutes: fewer rounds, and without the long loads")
    parser.add_argument("--against", default="", metavar="COMMIT", help="measure another commit side by side")
    parser.add_argument("--only", default="", metavar="KEYS", help="of: " + ",".join(load.key for load in LOADS))
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write docs/performance.json and what is made of it")
    wanted = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        sys.exit("CPU time and memory of processes are read from /proc: this needs Linux.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    found = run(wanted)
    print(report.markdown(found))
    if wanted.write:
        (ROOT / "docs" / "performance.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        report.write(found)


def run(wanted: argparse.Namespace) -> dict[str, object]:
    keys = wanted.only.split(",") if wanted.only else [load.key for load in LOADS if load.quick or not wanted.quick]
    loads = [load for load in LOADS if load.key in keys]
    rounds = wanted.rounds or (3 if wanted.quick else 5)
    with Rig() as rig:
        others = [targets.copilot_api(), targets.nginx()] if not wanted.against else [targets.nginx()]
        able = [targets.bridge(), *(other for other in others if other is not None)]
        if wanted.against:
            able.insert(1, targets.checkout(wanted.against, rig.folder / "against"))
        found: dict[str, object] = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": measure.machine(),
            "rounds": rounds,
            "targets": [target.name for target in able],
            "against": wanted.against,
            "loads": measure.loads(rig, able, loads, rounds=rounds),
        }
        if not wanted.only:
            found["starts"] = measure.starts(rig, able, rounds=1 if wanted.quick else 3)
        if not (wanted.only or wanted.quick or wanted.against):
            found["growth"] = measure.growth(rig, workers=(1, 2))
            found["bend"] = measure.bend(rig, workers=(1, 2))
    return found


if __name__ == "__main__":
    main()
