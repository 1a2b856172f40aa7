"""Connections that are one too many: in all, and for one address."""

from __future__ import annotations

import pytest

from app.serving.guests import Guests


class Crowds(list[tuple[str, str]]):
    def __call__(self, reason: str, network: str) -> None:
        self.append((reason, network))


@pytest.fixture
def crowds() -> Crowds:
    return Crowds()


def test_connections_beyond_the_limit_are_too_many_until_one_leaves(crowds: Crowds) -> None:
    guests = Guests(most=2, most_per_address=0, on_crowd=crowds)
    assert [guests.enter("192.0.2.1") for _ in range(3)] == [None, None, "full"]
    guests.leave("192.0.2.1")
    guests.leave("192.0.2.1")
    assert guests.enter("192.0.2.1") is None


def test_a_crowd_is_told_once_until_it_is_over(crowds: Crowds) -> None:
    guests = Guests(most=10, most_per_address=0, on_crowd=crowds)
    for _ in range(15):
        guests.enter("192.0.2.1")
    assert crowds == [("full", "")]
    for _ in range(10):
        guests.leave("192.0.2.1")
    for _ in range(10):
        guests.enter("192.0.2.1")
    assert crowds == [("full", "")] * 2


@pytest.mark.parametrize(
    ("first", "second", "are_one"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_an_address_is_counted_by_its_network(crowds: Crowds, first: str, second: str, are_one: bool) -> None:
    guests = Guests(most=100, most_per_address=1, on_crowd=crowds)
    assert guests.enter(first) is None
    assert guests.enter(second) == ("address" if are_one else None)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.2", ""])
def test_a_proxy_of_this_machine_may_speak_for_everybody(crowds: Crowds, address: str) -> None:
    guests = Guests(most=100, most_per_address=1, on_crowd=crowds)
    assert [guests.enter(address) for _ in range(50)] == [None] * 50


def test_nothing_is_kept_of_those_who_left(crowds: Crowds) -> None:
    guests = Guests(most=1000, most_per_address=1, on_crowd=crowds)
    for number in range(1000):
        address = f"2001:db8:{number:x}::1"
        guests.enter(address)
        guests.enter(address)
        guests.leave(address)
        guests.leave(address)
    assert not guests._by_network
    assert not guests._told
