"""When one more Copilot token may help: never after several in a row that were refused at once."""

from __future__ import annotations

import pytest

from app.auth.renewals import RenewalLimit
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> RenewalLimit:
    return RenewalLimit(clock)


def test_three_tokens_that_were_refused_at_once_are_enough_for_a_minute(limit: RenewalLimit, clock: Clock) -> None:
    for number in range(3):
        assert not limit.is_reached("/responses")
        limit.note_refused("/responses", f"token {number}")
    assert limit.is_reached("/responses")
    clock.now += 61
    assert not limit.is_reached("/responses")


def test_many_calls_that_find_the_same_token_refused_count_once(limit: RenewalLimit) -> None:
    for _ in range(50):
        limit.note_refused("/responses", "one token")
    assert not limit.is_reached("/responses")


def test_token_that_served_clears_the_count_of_its_endpoint_and_of_no_other(limit: RenewalLimit) -> None:
    for number in range(3):
        for endpoint in ("/responses", "/models"):
            limit.note_refused(endpoint, f"token {number}")
    limit.note_served("/models")
    assert limit.is_reached("/responses")
    assert not limit.is_reached("/models")
