"""One account for the bridge, one for each bound key; so many at a time, and none that is let go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.auth.github_token import BoundToken, TokenSource
from app.errors import AccountError
from app.keys.key import Binding, Key
from app.seats import Seats
from app.settings import Secret


def seat(exchanges: int = 0) -> Any:
    return SimpleNamespace(copilot_tokens=SimpleNamespace(exchanges=exchanges))


def key(id: str, account: str = "alice", at: float = 1.0) -> Key:
    return Key(id=id, name=id, prefix="cb-", digest=id, binding=Binding(account, at, b"sealed"))


class World:
    def __init__(self, most: int = 3) -> None:
        self.opened: list[str] = []
        self.seats = Seats(seat(5), self.make, self.token, most=most)

    def make(self, _token: TokenSource) -> Any:
        return seat(1)

    def token(self, key_id: str, binding: Binding) -> BoundToken:
        if binding.account == "broken":
            raise AccountError("It cannot be opened.")
        self.opened.append(key_id)
        return BoundToken(Secret("ghu_test_x"), binding.account)


def test_an_unbound_key_goes_by_the_bridges_own() -> None:
    world = World()
    unbound = Key(id="a", name="a", prefix="cb-", digest="d")
    assert world.seats.of(None) is world.seats.of(unbound) is world.seats.own
    assert world.opened == []


def test_a_bound_key_keeps_its_account_and_shares_it_with_none() -> None:
    world = World()
    first, second = world.seats.of(key("a")), world.seats.of(key("b"))
    assert len({id(one) for one in (first, second, world.seats.own)}) == 3
    assert world.seats.of(key("a")) is first
    assert world.opened == ["a", "b"]


def test_a_new_sign_in_makes_it_anew() -> None:
    world = World()
    first = world.seats.of(key("a"))
    assert world.seats.of(key("a", at=2.0)) is not first
    assert len(world.seats) == 1


def test_what_cannot_be_opened_is_an_error_and_never_the_bridges_own() -> None:
    world = World()
    world.seats.of(key("a"))
    for _ in range(2):
        with pytest.raises(AccountError):
            world.seats.of(key("a", account="broken"))
    assert len(world.seats) == 0


def test_there_are_so_many_and_those_that_call_stay() -> None:
    world = World(most=2)
    first = world.seats.of(key("a"))
    for name in ("b", "c", "d"):
        world.seats.of(key(name))
        assert world.seats.of(key("a")) is first
        assert len(world.seats) == 2
    assert world.seats.exchanges() == 5 + 4  # those that are gone count on


def test_those_that_serve_no_key_any_more_are_let_go() -> None:
    world = World()
    stays = world.seats.of(key("a"))
    world.seats.of(key("b"))
    world.seats.of(key("c"))
    bound = {"a": key("a").binding, "c": key("c", at=2.0).binding}
    world.seats.keep_only(lambda: {name: one for name, one in bound.items() if one is not None})
    assert len(world.seats) == 1
    assert world.seats.of(key("a")) is stays


def test_nobody_is_asked_while_there_is_none() -> None:
    def asked() -> dict[str, Binding]:
        raise AssertionError

    World().seats.keep_only(asked)
