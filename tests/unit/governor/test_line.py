"""Who is next: fair over keys, first come first served within one, never more than the rules allow."""

from __future__ import annotations

from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.governor.line import ALIVE_S, Line, Rules

NOW = 1_790_000_000.0
ONE = Rules(most_running=1, most_waiting=1000, interval_s=0.0)


def stored(line: Line, now: float = NOW, rules: Rules = ONE) -> Line:
    """As the next worker reads it."""
    return Line.read(line.text(now, rules), now)


def new_line() -> Line:
    return Line(alive={"w": NOW + ALIVE_S, "v": NOW + ALIVE_S})


def begun(line: Line, rules: Rules = ONE, now: float = NOW) -> list[str]:
    """In which order all calls begin, each of which ends when the next is looked for."""
    order = list(line.running)
    while line.running:
        line.leave(line.running[0])
        line.grant(rules, now)
        order += [ticket for ticket in line.running if ticket not in order]
    return order


def test_a_key_with_fifty_that_wait_does_not_starve_one_with_one() -> None:
    line = new_line()
    for number in range(50):
        line.join(f"w.{number}", "greedy", ONE, NOW)
    line.join("v.1", "modest", ONE, NOW)
    assert begun(stored(line)).index("v.1") <= 2


def test_keys_have_their_turns_one_after_the_other_and_each_in_its_order() -> None:
    line = new_line()
    for number, key in enumerate("aaabbcaab"):
        line.join(f"w.{number}", key, ONE, NOW)
    keys = dict(zip((f"w.{number}" for number in range(9)), "aaabbcaab", strict=True))
    order = begun(line)
    assert "".join(keys[ticket] for ticket in order) == "aabcababa"
    for key in "abc":
        mine = [ticket for ticket in order if keys[ticket] == key]
        assert mine == sorted(mine)


def test_whoever_comes_does_not_pass_by_those_who_wait() -> None:
    rules = Rules(1, 10, interval_s=5.0)
    line = new_line()
    line.join("w.1", "a", rules, NOW)
    line.leave("w.1")
    assert line.join("w.2", "a", rules, NOW + 1)
    assert "w.2" in line.waiting
    assert line.join("w.3", "b", rules, NOW + 6)
    assert line.running == ["w.2"]


def test_no_more_wait_than_may() -> None:
    rules = Rules(1, 2, 0.0)
    line = new_line()
    assert [line.join(f"w.{number}", "a", rules, NOW) for number in range(4)] == [True, True, True, False]
    assert line.running == ["w.0"]
    assert list(line.waiting) == ["w.1", "w.2"]
    line.leave("w.0")
    line.grant(rules, NOW)
    assert line.join("w.4", "b", rules, NOW)


def test_where_nobody_may_wait_the_next_is_told_so_at_once() -> None:
    rules = Rules(1, 0, 0.0)
    line = new_line()
    assert line.join("w.1", "a", rules, NOW)
    assert not line.join("w.2", "a", rules, NOW)
    assert not line.waiting
    assert not line.turns


def test_the_interval_is_kept_whoever_calls() -> None:
    rules = Rules(0, 10, interval_s=0.5)
    line = new_line()
    for number in range(3):
        line.join(f"w.{number}", f"key {number}", rules, NOW)
    assert line.running == ["w.0"]
    line.grant(rules, NOW + 0.49)
    assert line.running == ["w.0"]
    assert line.due_at(rules) == NOW + 0.5
    line.grant(rules, NOW + 0.5)
    line.grant(rules, NOW + 0.9)
    assert line.running == ["w.0", "w.1"]
    line.leave("w.0")
    line.leave("w.1")
    again = stored(line, NOW + 0.9, rules)
    again.grant(rules, NOW + 1.0)
    assert again.running == ["w.2"]


def test_the_interval_is_remembered_when_nobody_is_there() -> None:
    rules = Rules(0, 10, interval_s=2.0)
    line = new_line()
    line.join("w.1", "a", rules, NOW)
    line.leave("w.1")
    assert stored(line, NOW + 1, rules).due_at(rules) == NOW + 2
    assert line.text(NOW + 2, rules) is None


def test_a_worker_that_says_nothing_any_more_holds_nothing() -> None:
    line = Line(alive={"w": NOW + 1, "v": NOW + ALIVE_S})
    line.join("w.1", "a", ONE, NOW)
    line.join("w.2", "a", ONE, NOW)
    line.join("v.1", "b", ONE, NOW)
    after = Line.read(line.text(NOW, ONE), NOW + 2)
    after.grant(ONE, NOW + 2)
    assert after.running == ["v.1"]
    assert not after.waiting
    assert not after.turns


def test_clocks_that_differ_hold_nobody_up_for_longer_than_the_rules() -> None:
    rules = Rules(0, 10, interval_s=1.0)
    ahead = Line(last_at=NOW + 9999, alive={"w": NOW + 9999}, running=["w.1"])
    text = ahead.text(NOW, rules)
    found = Line.read(text, NOW)
    assert found.due_at(rules) == NOW + 1
    assert Line.read(text, NOW).alive["w"] == NOW + ALIVE_S


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"a"', '{"running": 1}', '{"waiting": []}', '{"alive": {"w": "x"}}', "7"]
)
def test_what_cannot_be_read_counts_as_empty(text: str) -> None:
    assert Line.read(text, NOW) == Line()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from("abc")),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("time"), st.integers(0, 3)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(0, 3), st.integers(0, 5), st.sampled_from([0.0, 1.0]))
def test_whatever_happens_the_rules_hold(
    steps: list[tuple[str, str | int]], most_running: int, most_waiting: int, interval_s: float
) -> None:
    """Nobody is lost or there twice; the limits hold; the keys that wait are those with a turn."""
    rules = Rules(most_running, most_waiting, interval_s)
    line, now, numbers, there, began = new_line(), NOW, count(), list[str](), list[float]()
    for what, of in steps:
        line.alive = {"w": now + ALIVE_S}
        before = set(line.running)
        if what == "join":
            ticket = f"w.{next(numbers)}"
            if line.join(ticket, str(of), rules, now):
                there.append(ticket)
        elif what == "leave" and there:
            line.leave(there.pop(int(of) % len(there)))
        elif what == "time":
            now += float(of) / 2
        line.grant(rules, now)
        began += [now] * len(set(line.running) - before)
        line = Line.read(line.text(now, rules), now) if line.text(now, rules) else new_line()
        assert sorted(there) == sorted([*line.running, *line.waiting])
        assert not most_running or len(line.running) <= most_running
        assert len(line.waiting) <= most_waiting
        assert sorted(line.turns) == sorted(set(line.waiting.values()))
        assert not line.waiting or line.due_at(rules) > now, "somebody waits for nothing"
    if interval_s:
        assert all(later - earlier >= interval_s for earlier, later in pairwise(began))
