"""What a worker holds for its requests has one bound for all of them together."""

from __future__ import annotations

import gc

import pytest

from app.background_call import BackgroundCall
from app.errors import OverloadedError
from app.memory import FREE_BYTES, Budget, Share

MIB = 1024 * 1024


def test_requests_share_a_budget_and_whoever_comes_too_late_is_told() -> None:
    budget = Budget(10 * MIB)
    first, second = Share(budget), Share(budget)
    first.take(FREE_BYTES + 8 * MIB)
    with pytest.raises(OverloadedError) as told:
        second.take(FREE_BYTES + 3 * MIB)
    assert told.value.retry_after
    second.take(FREE_BYTES + 2 * MIB)
    first.close()
    second.take(8 * MIB)
    assert budget.taken == 10 * MIB


def test_small_requests_never_wait_for_room() -> None:
    budget = Budget(MIB)
    hog = Share(budget)
    hog.take(FREE_BYTES + MIB)
    for _ in range(1000):
        Share(budget).take(FREE_BYTES)


def test_what_was_refused_is_not_counted() -> None:
    budget = Budget(MIB)
    share = Share(budget)
    for _ in range(3):
        with pytest.raises(OverloadedError):
            share.take(FREE_BYTES + 2 * MIB)
    assert budget.taken == 0
    share.take(FREE_BYTES + MIB)


def test_nothing_is_held_after_the_end_however_it_came() -> None:
    budget = Budget(100 * MIB)
    closed, forgotten, given = Share(budget), Share(budget), Share(budget)
    for share in (closed, forgotten, given):
        share.take(FREE_BYTES + 5 * MIB)
    closed.close()
    closed.close()
    closed.take(50 * MIB)
    given.give(FREE_BYTES + 5 * MIB)
    del forgotten, share
    gc.collect()
    assert budget.taken == 0


def test_work_in_the_background_counts_for_its_request() -> None:
    share = Share(Budget(100 * MIB))
    share.enter()
    try:
        call = BackgroundCall(Share.current, discard=lambda found: None)
        assert call.wait(60)
        assert call.result() is share
    finally:
        Share._here.current = None
