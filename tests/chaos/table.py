"""Runs cells in lanes, and writes the table."""

from __future__ import annotations

import multiprocessing
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.answers import Answers, record
from tests.chaos.faults import FAULTS, Fault, pair
from tests.chaos.lane import Cell, Lane, Outcome, Result, Way
from tests.support.dialects import PROTOCOLS

WAYS = [Way(client, upstream, stream) for client in PROTOCOLS for upstream in PROTOCOLS for stream in (False, True)]


def cells_of(fault: Fault) -> list[Cell]:
    return [Cell(fault, way, shape) for way in WAYS if way.stream in fault.modes for shape in fault.shapes]


def pairs(count: int, seed: int) -> list[Cell]:
    """Cells that meet two faults, one after the other, by chance; the same for the same seed."""
    quick, cells = [fault for fault in FAULTS if not fault.is_slow], []
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        way = chance.choice(WAYS)
        both = pair(chance.choice(quick), chance.choice(quick), stream=way.stream)
        if both.shapes:
            cells.append(Cell(both, way, chance.choice(both.shapes)))
    return cells


def run(cells: Sequence[Cell], *, lanes: int, tell: Callable[[Result], None]) -> list[Result]:
    """All of them, in lanes side by side, each a process of its own; each takes the next cell when it is through with
    its last. All are slow, or none is."""
    results: list[Result] = []
    if not cells:
        return results
    # By fork: cells hold functions, and go into the lanes as numbers.
    context = multiprocessing.get_context("fork")
    following, told = context.Value("i", 0), context.SimpleQueue()
    answers = record()
    with tempfile.TemporaryDirectory(prefix="chaos-") as root:
        folders = [Path(root) / str(lane) for lane in range(lanes)]
        riders = [context.Process(target=_ride, args=(cells, answers, folder, following, told)) for folder in folders]
        for rider in riders:
            rider.start()
        try:
            while len(results) < len(cells):
                number, outcome, what = told.get()
                if number is None:
                    raise RuntimeError(f"a lane has ended: {what}")
                results.append(Result(cells[number], outcome, what))
                tell(results[-1])
        except BaseException:
            for rider in riders:
                rider.terminate()
            raise
        finally:
            for rider in riders:
                rider.join()
    return results


def _ride(cells: Sequence[Cell], answers: Answers, folder: Path, following: Any, told: Any) -> None:
    """following: the number of the next cell that nobody has taken."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # its bridge ends with it
    try:
        with Lane(answers, folder, is_hasty=cells[0].fault.is_slow) as lane:
            while True:
                with following.get_lock():
                    number = following.value
                    following.value += 1
                if number >= len(cells):
                    break
                result = lane.run(cells[number])
                told.put((number, result.outcome, result.told))
    except BaseException as error:
        told.put((None, None, repr(error)))
        raise


def table_of(results: Iterable[Result]) -> str:
    """A row for each fault, in Markdown, and one for all."""
    order = {fault.name: number for number, fault in enumerate(FAULTS)}
    counts: dict[str, Counter[Outcome]] = {}
    for result in sorted(results, key=lambda result: order.get(result.cell.fault.name, len(order))):
        counts.setdefault(result.cell.fault.name, Counter())[result.outcome] += 1
    total = sum(counts.values(), Counter[Outcome]())
    lines = ["| fault | cells | " + " | ".join(Outcome) + " |", "| --- |" + " ---: |" * (len(Outcome) + 1)]
    for name, found in counts.items():
        lines.append(f"| {name} | {found.total()} | " + " | ".join(str(found[one] or "") for one in Outcome) + " |")
    lines.append(f"| all {len(counts)} | {total.total()} | " + " | ".join(str(total[one]) for one in Outcome) + " |")
    return "\n".join(lines)
