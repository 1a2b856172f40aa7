"""The brake: the same call again and again, or a conversation that costs too much; a person's turn goes on."""

from __future__ import annotations

import json

import pytest

from app.converters.wire.accounting import NANO
from app.errors import StoreError
from app.governor.runaway import KEPT_S, QUIET_S, Conversation, RunawayBrake, RunawayError
from app.store import Store
from tests.unit.governor.conftest import Clock, Opener

TALK = Conversation.of(b"one", asker="key", secret=b"of the account")
OTHER = Conversation.of(b"two", asker="key", secret=b"of the account")


def brake(store: Store, clock: Clock, *, repeats: int = 0, credits: float = 0.0) -> RunawayBrake:
    return RunawayBrake(store, most_repeats=repeats, most_nano=round(credits * NANO), clock=clock)


def held(brake: RunawayBrake, body: bytes, *, person: bool = False, talk: Conversation = TALK) -> bool:
    try:
        brake.admit(talk, body, is_persons=person)
    except RunawayError:
        return True
    return False


def test_the_same_call_again_and_again_is_held_at_whatever_worker(open_one: Opener, clock: Clock) -> None:
    workers = [brake(open_one(), clock, repeats=3) for _ in range(2)]
    assert [held(workers[number % 2], b"same") for number in range(5)] == [False, False, False, True, True]
    assert not held(workers[0], b"same", talk=OTHER)


@pytest.mark.parametrize("person", [False, True], ids=["an agent's", "what begins with a person's turn"])
def test_repeats_are_counted_whoever_is_said_to_have_begun(open_one: Opener, clock: Clock, person: bool) -> None:
    """A client that repeats a person's turn without end repeats their message: that is no new turn."""
    found = brake(open_one(), clock, repeats=2)
    assert [held(found, b"same", person=person) for _ in range(4)] == [False, False, True, True]


def test_a_turn_of_the_person_goes_on(open_one: Opener, clock: Clock) -> None:
    found = brake(open_one(), clock, repeats=2)
    assert [held(found, b"same") for _ in range(3)] == [False, False, True]
    assert not held(found, b"go on", person=True)
    assert [held(found, b"same") for _ in range(3)] == [False, False, True]


def test_other_calls_of_the_agent_are_no_turn(open_one: Opener, clock: Clock) -> None:
    found = brake(open_one(), clock, repeats=2)
    told = [held(found, b"ab"[number % 2 :][:1]) for number in range(6)]
    assert told == [False, False, False, False, True, True]


def test_after_a_while_of_quiet_it_is_over(open_one: Opener, clock: Clock) -> None:
    found = brake(open_one(), clock, repeats=1)
    assert [held(found, b"same") for _ in range(2)] == [False, True]
    clock.now += QUIET_S - 1
    assert held(found, b"same")
    clock.now += QUIET_S + 1
    assert not held(found, b"same")


def test_a_conversation_that_costs_too_much_is_held_until_its_person_goes_on(open_one: Opener, clock: Clock) -> None:
    one, other = (brake(open_one(), clock, credits=2) for _ in range(2))
    for number in range(3):
        assert not held(one, b"step %d" % number)
        other.note_cost(TALK, NANO)
    assert held(other, b"step 3")
    assert held(one, b"step 3")
    assert held(one, b"step 4")
    assert not held(one, b"hi", talk=OTHER)
    assert not held(one, b"go on, please", person=True)
    assert not held(one, b"step 5")
    for _ in range(3):
        one.note_cost(TALK, NANO)
    assert held(one, b"step 6")


def test_a_person_is_told_once_before_they_go_on(open_one: Opener, clock: Clock) -> None:
    found = brake(open_one(), clock, credits=1)
    found.note_cost(TALK, 2 * NANO)
    assert held(found, b"a turn", person=True)
    assert held(found, b"a turn", person=True), "a client's own repeat is no word of its person's"
    assert not held(found, b"another turn", person=True)


def test_what_is_said_names_the_setting_and_how_to_go_on(open_one: Opener, clock: Clock) -> None:
    found = brake(open_one(), clock, repeats=1, credits=1)
    found.admit(TALK, b"same", is_persons=False)
    with pytest.raises(
        RunawayError, match=r"2 times .* RUNAWAY_REPEATS allows 1: .* To go on, send another message"
    ) as told:
        found.admit(TALK, b"same", is_persons=False)
    assert (told.value.status, told.value.code) == (400, "runaway_conversation")
    found.note_cost(OTHER, 1_234_000_000)
    with pytest.raises(RunawayError, match=r"1\.23 AI credits, and RUNAWAY_CREDITS allows 1: .* send another message"):
        found.admit(OTHER, b"x", is_persons=False)


def test_without_a_conversation_nothing_is_held(open_one: Opener, clock: Clock) -> None:
    nobody = Conversation.of(b"", asker="key", secret=b"x")
    found = brake(open_one(), clock, repeats=1, credits=1)
    found.note_cost(nobody, 9 * NANO)
    assert not any(held(found, b"same", talk=nobody) for _ in range(5))


def test_one_limit_does_not_switch_the_other_on(open_one: Opener, clock: Clock) -> None:
    by_cost = brake(open_one(), clock, credits=1)
    assert not any(held(by_cost, b"same") for _ in range(50))
    assert not brake(open_one(), clock).is_on


def test_conversations_are_told_apart_and_cannot_be_read() -> None:
    made = [Conversation.of(b"one", asker="key", secret=b"s"), Conversation.of(b"one", asker="other", secret=b"s")]
    made += [Conversation.of(b"one", asker="key", secret=b"t"), Conversation.of(b"two", asker="key", secret=b"s")]
    assert len({it.id for it in made}) == 4
    Conversation.of(b"one", asker="\udc80", secret=b"s" * 500)


def test_memory_is_bounded_however_many_conversations_and_calls_there_are(open_one: Opener, clock: Clock) -> None:
    store = open_one()
    found = brake(store, clock, repeats=5)
    for number in range(10):
        talk = Conversation(f"00000001{number:016x}")  # all in one row
        for call in range(12):
            found.admit(talk, b"%d" % call, is_persons=False)
    ((_, text),) = store.scan("runaway:").items()
    assert [len(talk["counts"]) for talk in json.loads(text).values()] == [8] * 8


def test_old_conversations_are_forgotten(open_one: Opener, clock: Clock) -> None:
    store = open_one()
    found = brake(store, clock, credits=1)
    found.note_cost(TALK, 2 * NANO)
    clock.now += KEPT_S + 1
    assert not held(found, b"x")


@pytest.mark.parametrize("text", ["{", "7", "[]", '{"a": 1}', '{"a": {"counts": 1, "odd": 2}}'])
def test_what_cannot_be_read_is_begun_anew(open_one: Opener, clock: Clock, text: str) -> None:
    store = open_one()
    store.put(f"runaway:{int(TALK.id[:8], 16) % 1024}", text)
    assert not held(brake(store, clock, repeats=1), b"same")


def test_without_the_store_nothing_is_held(clock: Clock) -> None:
    class Away:
        def update(self, *_: object) -> None:
            raise StoreError("away")

    found = brake(Away(), clock, repeats=1, credits=1)  # type: ignore[arg-type]
    assert not any(held(found, b"same") for _ in range(4))
