"""What was left behind, for the header and the log."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.converters.neutral.losses import Loss, Losses, header_of


def test_each_loss_is_told_once_whatever_its_index() -> None:
    losses = Losses()
    assert not losses
    losses.drop("messages[0].content[2].cache_control", "no counterpart")
    losses.drop("messages[17].content[0].cache_control", "no counterpart")
    losses.drop("system.0.cache_control.scope", "refused")
    losses.note("messages[3].content[0].is_error", "as text")
    losses.drop("seed", "no counterpart")
    losses.drop("seed", "another reason")
    assert list(losses) == [
        Loss("dropped", "messages[].content[].cache_control", "no counterpart", 2),
        Loss("dropped", "system[].cache_control.scope", "refused"),
        Loss("changed", "messages[].content[].is_error", "as text"),
        Loss("dropped", "seed", "no counterpart"),
        Loss("dropped", "seed", "another reason"),
    ]
    assert len(losses) == 5
    assert header_of(losses.names()) == "messages[].content[].cache_control, system[].cache_control.scope, seed"


def test_header_of_nothing_is_empty() -> None:
    losses = Losses()
    losses.note("a", "b")
    assert header_of(losses.names()) == ""


def test_header_counts_what_does_not_fit() -> None:
    names = [f"field_{number}" for number in range(100)]
    assert header_of(names, 40) == "field_0, field_1, field_2, +97 more"
    assert header_of(names[:2], 40) == "field_0, field_1"


def test_a_name_is_whole_in_the_header_or_not_there() -> None:
    long = "x" * 400
    assert header_of(["seed", long, long + "y", "user"]) == f"seed, {long}, +2 more"
    assert header_of(["x" * 600]) == "+1 more"


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(st.text()))
def test_header_is_safe(names: list[str]) -> None:
    value = header_of(names)
    assert len(value) <= 512
    assert all(32 <= ord(character) < 127 for character in value)
