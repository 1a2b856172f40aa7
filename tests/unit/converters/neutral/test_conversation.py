"""Call ids that a target insists on being distinct."""

from __future__ import annotations

from app.converters.neutral import conversation
from app.converters.neutral.conversation import distinct_call_ids
from app.converters.neutral.vocabulary import Message, ToolCall, ToolResult


def turn(*call_ids: str) -> list[Message]:
    return [
        Message("assistant", tuple(ToolCall(one, "t", "{}") for one in call_ids)),
        Message("user", tuple(ToolResult(one, ()) for one in call_ids)),
    ]


def ids(messages: list[Message]) -> list[list[str]]:
    return [[part.call_id for part in one.parts if isinstance(part, ToolCall | ToolResult)] for one in messages]


def test_only_repeated_ids_change_and_results_follow_their_calls() -> None:
    told = distinct_call_ids([*turn("c", "d", "c"), *turn("c-2", "c")])
    assert ids(told) == [["c", "d", "c-2"], ["c", "d", "c-2"], ["c-2-2", "c-3"], ["c-2-2", "c-3"]]


class Counted(set[str]):
    """A set that counts how often it is asked."""

    asked = 0

    def __contains__(self, one: object) -> bool:
        Counted.asked += 1
        return super().__contains__(one)


def test_equal_ids_cost_no_more_than_different_ones() -> None:
    """By count: a conversation of 10,000 equal ids once took 8 seconds, and one of 40,000 the worker."""
    Counted.asked = 0
    seen, counts = Counted(), dict[str, int]()
    fresh = [conversation._fresh("c", seen, counts) for _ in range(5_000)]
    assert len(set(fresh)) == 5_000
    assert Counted.asked <= 2 * 5_000
