"""Rows of the store as records: what another version wrote, or damage left, is no record, and no exception but one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from app.store.record import record, told_by
from tests.support.odd_values import ODD, places


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    at: float
    scope: Literal["a", "b"] = "a"
    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] | None = None
    is_used: bool = False
    apart: tuple[str, ...] = ()


GOOD = {"name": "n", "at": 5.5, "scope": "b", "counts": {"x": 3}, "names": {"a": "b"}, "is_used": True}


def test_what_was_written_is_read() -> None:
    row = record(Row, GOOD, apart=("z",))
    assert asdict(row) == {**GOOD, "apart": ("z",)}
    assert record(Row, {"name": "n", "at": 7, "names": None}, apart=()) == Row("n", 7)


def test_a_field_of_another_version_is_left_out_and_a_missing_one_has_its_default() -> None:
    assert record(Row, {**GOOD, "newer": [1]}, apart=()) == record(Row, GOOD, apart=())
    with pytest.raises(ValueError, match="no at"):
        record(Row, {"name": "n"}, apart=())


@pytest.mark.parametrize("place", places([GOOD]), ids=lambda place: place.name)
def test_a_value_of_another_kind_is_no_record(place: Any) -> None:
    for odd in ODD:
        try:
            row = record(Row, place.holding(odd), apart=())
        except ValueError:
            continue
        assert isinstance(row.name, str)
        assert isinstance(row.at, int | float)
        assert not isinstance(row.at, bool)
        assert abs(row.at) < 1e12
        assert row.scope in ("a", "b")
        assert all(isinstance(count, int) and count < 2**63 for count in row.counts.values())
        assert row.names is None or all(isinstance(name, str) for name in row.names.values())
        assert isinstance(row.is_used, bool)


@pytest.mark.parametrize("told", [None, [], "x", 7, True])
def test_what_is_no_object_is_no_record(told: object) -> None:
    with pytest.raises(ValueError, match="no record"):
        record(Row, told)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "NaN", "[1e999, Infinity]", '"a\\ud800"', '{"\\uDC00": 1}', "\0"])
def test_what_is_no_json_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(ValueError):
        told_by(text)


def test_json_is_told() -> None:
    assert told_by(None) is None
    assert told_by("") is None
    assert told_by('{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
