"""The short form of ``make chaos``: one in three of the faults that need no waiting, on one way through the bridge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.answers import record
from tests.chaos.faults import FAULTS
from tests.chaos.lane import GOOD, Cell, Lane, Outcome, Result, Way
from tests.chaos.script import Play
from tests.chaos.table import WAYS, cells_of, table_of

QUICK = [
    fault for fault in FAULTS if not fault.is_slow and "20 MB" not in fault.name and "more bytes" not in fault.name
]
# 5: a stream after a whole answer, and all pairs of protocols in turn.
SAMPLE = [cells[number * 5 % len(cells)] for number, cells in enumerate(map(cells_of, QUICK[::3]))]
PARTS = 4


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    with Lane(record(), tmp_path_factory.mktemp("chaos"), is_hasty=False) as running:
        yield running


@pytest.mark.parametrize("part", range(PARTS))
def test_quick_faults_end_rightly_or_in_the_normal_error(lane: Lane, part: int) -> None:
    results = [lane.run(cell) for cell in SAMPLE[part::PARTS]]
    assert [str(result) for result in results if result.outcome not in GOOD] == []


def test_the_table_has_what_it_promises() -> None:
    assert {cell.way for cell in SAMPLE} == set(WAYS)
    everywhere = [fault for fault in FAULTS if fault.modes == (False, True)]
    assert len(everywhere) >= 60
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in everywhere:
        ways = {cell.way for cell in cells_of(fault)}
        assert len(ways) == 18  # three dialects, to all three protocols, whole and streamed


def test_a_lie_is_called_one(lane: Lane) -> None:
    """What the bridge is never to do, done by an upstream that says it itself."""
    cut = FAULTS[0]

    def ends_early(play: Play) -> list[bytes]:
        return play.framed(play.payload.replace(b" quite", b"").replace(b" some", b""))

    def limits(play: Play) -> list[bytes]:
        return [play.sized(b"{}", status="429 Slow")]

    found = []
    for play in (ends_early, limits):
        fault = type(cut)("a lie", play)
        found.append(lane.run(Cell(fault, Way("chat", "chat", True), "text")))
    assert [result.outcome for result in found] == [Outcome.LIE, Outcome.WRONG_ERROR]
    shown = table_of(Result(Cell(cut, result.cell.way, "text"), result.outcome, "") for result in found)
    assert "| 2 | 0 | 0 | 1 | 1 | 0 | 0 | 0 |" in shown
