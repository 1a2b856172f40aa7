"""``python -m tests.chaos [words of a fault's name …]``: run the table, all of it or those rows; see the package.

``--pairs 300 --seed 7``: cells that meet two faults instead, by chance.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.chaos.faults import FAULTS
from tests.chaos.lane import GOOD, Result
from tests.chaos.table import cells_of, pairs, run, table_of

# Slow cells mostly wait, the others work.
_SLOW_LANES, _LANES = 6, 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("words", nargs="*", help="only faults whose name holds one of these")
    parser.add_argument("--pairs", type=int, default=0, help="so many cells with two faults by chance, instead")
    parser.add_argument("--seed", type=int, default=1, help="of that chance")
    given = parser.parse_args()
    faults = [fault for fault in FAULTS if not given.words or any(word in fault.name for word in given.words)]
    began, results = time.monotonic(), []
    if given.pairs:
        results = run(pairs(given.pairs, given.seed), lanes=_LANES, tell=_tell)
    else:
        for is_slow, lanes in ((True, _SLOW_LANES), (False, _LANES)):
            cells = [cell for fault in faults if fault.is_slow is is_slow for cell in cells_of(fault)]
            results += run(cells, lanes=min(lanes, len(cells)), tell=_tell)
    print(table_of(results))
    failed = sum(result.outcome not in GOOD for result in results)
    print(f"\n{len(results)} cells in {time.monotonic() - began:.0f} s, {failed} of them as they must not be")
    return 1 if failed else 0


def _tell(result: Result) -> None:
    if result.outcome not in GOOD:
        print(result, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
