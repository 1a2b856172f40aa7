"""Long modules begin first, and none of those that are to does so only by name."""

from __future__ import annotations

from tests.support.bridge import ROOT
from tests.support.order import LONGEST, place_of


def test_the_modules_that_begin_first_are_there() -> None:
    assert [path for path in LONGEST if not (ROOT / path).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


def test_the_longest_come_first_and_all_others_keep_their_order() -> None:
    first, second = LONGEST[:2]
    found = ["tests/a/test_a.py::test_b[x::y]", f"{second}::test_b", f"{second}::test_a", f"{first}::test_c"]
    assert sorted([*found, "tests/a/test_a.py::test_a"], key=place_of) == [
        f"{first}::test_c",
        f"{second}::test_b",
        f"{second}::test_a",
        "tests/a/test_a.py::test_b[x::y]",
        "tests/a/test_a.py::test_a",
    ]
