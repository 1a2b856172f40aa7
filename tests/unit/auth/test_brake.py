"""The brake on guessing keys, by a clock of the test's."""

from __future__ import annotations

from app.auth.brake import MOST_FAILURES, WINDOW_S, Brake
from tests.support.clock import Clock


def fail(brake: Brake, address: str | None, times: int) -> int | None:
    wait_s = None
    for _ in range(times):
        wait_s = brake.note_failure(address)
    return wait_s


def test_too_many_wrong_keys_have_to_wait_until_the_window_is_over() -> None:
    clock = Clock(1000.0)
    brake = Brake(clock)
    assert fail(brake, "192.0.2.1", MOST_FAILURES) is None
    clock.now += 20
    assert brake.note_failure("192.0.2.1") == WINDOW_S - 20
    clock.now += WINDOW_S - 20
    assert fail(brake, "192.0.2.1", MOST_FAILURES) is None
    assert brake.note_failure("192.0.2.1") == WINDOW_S


def test_one_who_guesses_does_not_slow_the_others() -> None:
    brake = Brake(Clock(1000.0))
    assert fail(brake, "192.0.2.1", 1000) is not None
    # One of these may share the slot of the first; hardly two.
    assert sum(brake.note_failure(f"198.51.100.{n}") is not None for n in range(3)) <= 1


def test_an_ipv6_address_counts_by_its_network() -> None:
    brake = Brake(Clock(1000.0))
    waits = [brake.note_failure(f"2001:db8::{n:x}") for n in range(MOST_FAILURES + 1)]
    assert waits[:-1] == [None] * MOST_FAILURES
    assert waits[-1] is not None


def test_an_ipv4_address_is_the_same_in_either_spelling() -> None:
    brake = Brake(Clock(1000.0))
    fail(brake, "::ffff:192.0.2.1", MOST_FAILURES)
    assert brake.note_failure("192.0.2.1") is not None


def test_its_memory_does_not_grow_with_the_addresses() -> None:
    brake = Brake(Clock(1000.0))
    slots = len(brake._counts)
    for n in range(20_000):
        brake.note_failure(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    for odd in (None, "", "unknown", "\udcff", "fe80::1%eth0"):
        brake.note_failure(odd)
    assert (len(brake._counts), len(brake._begins)) == (slots, slots)
