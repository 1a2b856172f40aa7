from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.doctor.pace import LEAST_EVENTS, Pace, judge

SENT = [n * 0.15 for n in range(20)]
END = SENT[-1]


def later(arrived: list[float], by: float = 1234.5) -> list[float]:
    """Our clock has another zero than the sender's."""
    return [time + by for time in arrived]


def test_a_stream_that_arrives_as_sent() -> None:
    assert judge(SENT, later(SENT)) is Pace.EVENLY


def test_a_long_way_is_no_buffer() -> None:
    assert judge(SENT, later([time + 2.0 for time in SENT])) is Pace.EVENLY


def test_all_at_once_at_the_end() -> None:
    assert judge(SENT, later([END] * 20)) is Pace.AT_ONCE
    assert judge(SENT, later([END + n * 0.001 for n in range(20)])) is Pace.AT_ONCE


@pytest.mark.parametrize("size", [4, 5, 7, 10])
def test_lumps(size: int) -> None:
    held = [SENT[min(19, n // size * size + size - 1)] for n in range(20)]
    assert judge(SENT, later(held)) is Pace.IN_LUMPS


def test_the_head_comes_and_then_everything_at_the_end() -> None:
    assert judge(SENT, later([0.0] + [END] * 19)) is Pace.IN_LUMPS


def test_one_hiccup_of_the_network_is_no_buffer() -> None:
    # the network stood still for a second, then gave out what had gathered
    assert judge(SENT, later([max(time, 1.9) if 0.9 < time < 1.9 else time for time in SENT])) is Pace.EVENLY


@given(st.lists(st.floats(0, 0.1), min_size=20, max_size=20), st.floats(-1e6, 1e6))
def test_jitter_below_an_interval_is_no_buffer(jitter: list[float], zero: float) -> None:
    assert judge(SENT, [time + late + zero for time, late in zip(SENT, jitter, strict=True)]) is Pace.EVENLY


@given(st.lists(st.floats(0, 0.1), min_size=20, max_size=20))
def test_jitter_does_not_hide_a_buffer(jitter: list[float]) -> None:
    assert judge(SENT, sorted(END + late for late in jitter)) is Pace.AT_ONCE


def test_sender_that_was_held_up_itself_is_not_held_against_the_proxy() -> None:
    uneven = [time if time < 1.0 else time + 3.0 for time in SENT]
    assert judge(uneven, later(uneven)) is Pace.EVENLY


def test_too_little_to_judge() -> None:
    few = SENT[: LEAST_EVENTS - 1]
    with pytest.raises(ValueError, match="at least"):
        judge(few, few)
    with pytest.raises(ValueError, match="at least"):
        judge(SENT, SENT[:-1])
    with pytest.raises(ValueError, match="over time"):
        judge([1.0] * 6, SENT[:6])
