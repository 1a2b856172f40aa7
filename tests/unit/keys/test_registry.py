"""Keys in the database, and in the memory of workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.database import Database
from app.errors import DatabaseError, InvalidRequestError, NotFoundError
from app.keys.key import Budget, Limits, digest_of
from app.keys.known import FRESH_S, STALE_S, KnownKeys
from app.keys.registry import KeyRegistry
from tests.support.clock import Clock

LIMITS = Limits(("gpt-*",), 60, 2, (Budget(5 * 10**9, "credits", "day"), Budget(9, "tokens", "total")))


def test_a_key_is_kept_as_it_was_made_but_for_itself(registry: KeyRegistry, clock: Clock) -> None:
    key, secret = registry.make("alice", role="admin", owner="Alice", note="laptop", expires_at=5.0, limits=LIMITS)
    assert registry.all() == [key]
    assert registry.find("alice") == registry.find(key.id) == key
    assert (key.created_at, key.digest, key.limits) == (clock.now, digest_of(secret), LIMITS)
    assert secret.startswith(key.prefix)
    assert len(key.prefix) < 12


def test_nothing_of_a_key_itself_is_in_the_file(tmp_path: Path) -> None:
    database = Database.at(data_dir=tmp_path, url=None)
    _, secret = KeyRegistry(database).make("alice")
    database.close()
    assert not [file for file in tmp_path.iterdir() if secret[9:].encode() in file.read_bytes()]


def test_names_are_given_once(registry: KeyRegistry) -> None:
    registry.make("alice")
    registry.make("bob")
    with pytest.raises(InvalidRequestError, match="There is a key 'alice' already"):
        registry.make("alice")
    registry.change("bob", lambda key: replace(key, name="alice"))
    assert [key.name for key in registry.all()] == ["alice", "bob"]


def test_a_change_leaves_what_it_does_not_name(registry: KeyRegistry) -> None:
    made, _ = registry.make("alice", limits=LIMITS)
    before, after = registry.change("alice", lambda key: replace(key, owner="A", limits=replace(LIMITS, models=())))
    assert before == made
    assert registry.find("alice") == after == replace(made, owner="A", limits=replace(LIMITS, models=()))


def test_who_is_not_there_is_named(registry: KeyRegistry) -> None:
    for _ in range(2):  # without tables, and with them
        with pytest.raises(NotFoundError, match="There is no key 'nobody'"):
            registry.find("nobody")
        with pytest.raises(NotFoundError):
            registry.change("nobody", lambda key: key)
        registry.make("somebody") if not registry.all() else None


# ── known in memory ─────────────────────────────────────────────────────────────────────────────────────────────────


class Counted(KeyRegistry):
    looks = 0

    def version(self) -> float:
        self.looks += 1
        return super().version()


@pytest.fixture
def counted(database: Database) -> Counted:
    return Counted(database)


@pytest.fixture
def known(counted: Counted, clock: Clock) -> KnownKeys:
    return KnownKeys(counted, clock=clock, now=clock, spawn=lambda work: work())


def test_a_key_is_known_and_costs_no_look_each_time(counted: Counted, known: KnownKeys) -> None:
    key, secret = counted.make("alice")
    for _ in range(100):
        assert known.find(secret) == key
    assert counted.looks == 1


def test_what_looks_like_no_key_costs_nothing(counted: Counted, known: KnownKeys) -> None:
    counted.make("alice")
    for text in ("", "sk-123", "ghu_test", "cb-short"):
        assert known.find(text) is None
    assert counted.looks == 0


def test_keys_of_somebody_who_guesses_cost_ten_looks_a_second(counted: Counted, known: KnownKeys, clock: Clock) -> None:
    counted.make("alice")
    for number in range(1000):
        assert known.find("cb-" + f"{number:043}") is None
        clock.now += 0.001
    assert counted.looks <= 12


def test_a_change_is_there_within_a_second_in_other_workers(counted: Counted, known: KnownKeys, clock: Clock) -> None:
    key, secret = counted.make("alice")
    assert known.find(secret) == key
    counted.change("alice", lambda key: replace(key, revoked_at=5.0))  # in another worker
    clock.now += 1
    found = known.find(secret)
    assert found is not None
    assert found.state(clock.now) == "revoked"


def test_a_copy_that_is_looked_at_all_the_time_is_renewed_behind_the_callers_backs(
    counted: Counted, clock: Clock
) -> None:
    later: list[Callable[[], None]] = []
    known = KnownKeys(counted, clock=clock, now=clock, spawn=later.append)
    _, secret = counted.make("alice")
    known.find(secret)
    counted.change("alice", lambda key: replace(key, revoked_at=5.0))
    clock.now += FRESH_S
    for _ in range(3):
        assert known.find(secret).state(clock.now) == "active"
    assert len(later) == 1
    later[0]()
    assert known.find(secret).state(clock.now) == "revoked"


def test_a_new_key_is_known_at_once_where_it_was_made_and_soon_elsewhere(
    counted: Counted, known: KnownKeys, clock: Clock
) -> None:
    known.find("cb-" + "x" * 43)
    _, secret = counted.make("alice")
    known.forget()
    assert known.find(secret) is not None
    _, other = counted.make("bob")
    clock.now += 0.2
    assert known.find(other) is not None


def test_while_the_database_is_away_the_copy_counts(
    counted: Counted, known: KnownKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = counted.make("alice")
    known.find(secret)

    def away(_: object) -> float:
        raise DatabaseError("away")

    monkeypatch.setattr(Counted, "version", away)
    clock.now += STALE_S * 10
    assert known.find(secret) == key
    with pytest.raises(DatabaseError, match="cannot be read at the moment"):  # it may have been made just now
        known.find("cb-" + "x" * 43)
    with pytest.raises(DatabaseError, match="cannot be read at the moment"):  # nor can one who has never known any tell
        KnownKeys(counted, clock=clock, now=clock).find(secret)


def test_nobody_waits_for_a_database_that_is_known_to_be_away(
    counted: Counted, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[Callable[[], None]] = []
    known = KnownKeys(counted, clock=clock, now=clock, spawn=later.append)
    key, secret = counted.make("alice")
    known.find(secret)

    def away(_: object) -> float:
        raise DatabaseError("away")

    with monkeypatch.context() as broken:
        broken.setattr(Counted, "version", away)
        clock.now += STALE_S * 10
        known.find(secret)  # this one found out
        looks: list[object] = []

        def away_again(registry: object) -> float:
            looks.append(registry)
            return away(registry)

        broken.setattr(Counted, "version", away_again)
        clock.now += STALE_S * 10
        assert [known.find(secret) for _ in range(5)] == [key] * 5
        assert looks == []
        later.pop()()
        assert len(looks) == 1
    counted.change("alice", lambda key: replace(key, revoked_at=5.0))
    clock.now += STALE_S
    known.find(secret)
    later.pop()()
    found = known.find(secret)
    assert found is not None
    assert found.state(clock.now) == "revoked"
    assert known.find("cb-" + "x" * 43) is None


def test_the_last_use_is_written_down_now_and_then(counted: Counted, known: KnownKeys, clock: Clock) -> None:
    _, secret = counted.make("alice")
    known.find(secret)
    used_at = clock.now
    known.note_use()
    assert counted.find("alice").last_used_at is None
    clock.now += 100
    known.note_use()
    assert counted.find("alice").last_used_at == used_at
    version = counted.version()
    known.find(secret)
    known.note_use(at_once=True)
    assert counted.find("alice").last_used_at == clock.now
    assert counted.version() == version


def test_a_key_is_found_by_its_id(counted: Counted, known: KnownKeys) -> None:
    assert known.by_id("nobody") is None
    alice, _ = counted.make("alice")
    known.forget()
    assert known.by_id(alice.id) == alice
    assert known.by_id(alice.digest) is None
