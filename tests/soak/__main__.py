"""``python -m tests.soak``: what ``make soak`` runs. Ends with 1 if a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.run import APP, Load, broken, soak, table
from tests.soak.upstream import Upstream
from tests.support import evidence
from tests.support.bridge import Bridge
from tests.support.raw_upstream import environment


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--streams", type=int, default=500, help="streams at a time")
    parser.add_argument("--wholes", type=int, default=20, help="whole answers at a time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pace", type=float, default=5, help="events of a stream in a second")
    given = parser.parse_args()
    # Each stream holds two connections here and two in the bridge.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    load = Load(given.streams, given.wholes, 1 / given.pace, (20, 100), seconds=given.minutes * 60)
    print(
        f"{load.streams} streams of {given.pace:g} events a second and {load.wholes} whole answers at a time, "
        f"for {given.minutes:g} minutes, on {given.workers} workers",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="bridge-soak-") as folder:
        upstream = Upstream(load.pace_s)
        env = {**environment(upstream.url), "LOG_LEVEL": "INFO"}
        with Bridge(env, Path(folder), workers=given.workers, app=APP) as bridge:
            seen = asyncio.run(soak(bridge, upstream, load))
            log = bridge.log
    print(f"\n{table(seen)}\n")
    if promises := broken(seen):
        with tempfile.NamedTemporaryFile("w", prefix="bridge-soak-", suffix=".log", delete=False) as file:
            file.write(log)
        print("BROKEN:", *promises, f"the bridge's log: {file.name}", sep="\n  ")
        return 1
    print("every promise was kept")
    return 0


if __name__ == "__main__":
    try:
        code = main()
    finally:
        shutil.rmtree(evidence.folder())
    sys.exit(code)
