"""The one set of readers of a client's JSON: the value in its type, or where the body is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.converters.wire import reading
from app.errors import InvalidRequestError
from tests.support.rows import rows

ANY: tuple[Any, ...] = (None, "", "a", 0, 1, -1, 1.0, 1.5, True, False, [], ["a"], {}, {"a": 1}, 1e999)
TAKEN: dict[Callable[..., Any], tuple[Any, ...]] = {
    reading.string: ("", "a"),
    reading.opt_string: (None, "", "a"),
    reading.name: ("a",),
    reading.opt_bool: (None, True, False),
    reading.opt_count: (None, 0, 1, 1.0),
    reading.opt_number: (None, 0, 1, -1, 1.0, 1.5),
    reading.obj: ({}, {"a": 1}),
    reading.opt_obj: (None, {}, {"a": 1}),
    reading.items: ([], ["a"]),
}


@rows()
@pytest.mark.parametrize("reader", TAKEN, ids=lambda one: one.__name__)
@pytest.mark.parametrize("value", ANY, ids=repr)
def test_a_value_of_the_type_or_an_error_that_names_its_place(reader: Callable[..., Any], value: Any) -> None:
    if any(type(one) is type(value) and one == value for one in TAKEN[reader]):
        assert reader(value, "a[1].b") == value
        return
    with pytest.raises(InvalidRequestError) as caught:
        reader(value, "a[1].b")
    assert caught.value.param == "a[1].b"
    assert caught.value.message.startswith("'a[1].b' is missing" if value is None else "'a[1].b' must be")


def test_a_count_may_have_a_least() -> None:
    assert reading.opt_count(1, "n", 1) == 1
    with pytest.raises(InvalidRequestError, match="a whole number of 1 or more"):
        reading.opt_count(0, "n", 1)
