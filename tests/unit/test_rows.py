"""A test of many rows (tests/support/rows.py) looks at each of them, and names all that fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from tests.support import rows as module
from tests.support.rows import rows

Seen = list[tuple[str, int, str]]


def many(*apart: str) -> Callable[..., None]:
    @rows(*apart)
    @pytest.mark.parametrize("word", ["a", "b"])
    @pytest.mark.parametrize(("number", "text"), [(1, "one"), (2, "two")])
    @pytest.mark.usefixtures("other")
    def test(seen: Seen, word: str, number: int, text: str) -> None:
        seen.append((word, number, text))
        assert number == 1
        if word == "b":
            pytest.fail("as told")

    return test


def test_each_row_is_looked_at_and_all_that_fail_are_named() -> None:
    seen: Seen = []
    with pytest.raises(BaseExceptionGroup) as caught:
        many()(seen=seen)
    assert sorted(seen) == [("a", 1, "one"), ("a", 2, "two"), ("b", 1, "one"), ("b", 2, "two")]
    assert caught.value.message == "3 of 4 rows: 2-two-a; 1-one-b; 2-two-b"
    assert caught.value.exceptions[0].__notes__ == ["in the row 2-two-a"]


def test_pytest_gives_what_is_apart_and_what_fixtures_give() -> None:
    test = many("word")
    assert list(inspect.signature(test).parameters) == ["seen", "word"]
    (listed,) = (mark for mark in test.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert listed.args == (("word",), [("a",), ("b",)])
    seen: Seen = []
    with pytest.raises(BaseExceptionGroup, match="1 of 2 rows: 2-two-a"):
        test(seen=seen, word="a")
    assert seen == [("a", 1, "one"), ("a", 2, "two")]


def test_one_row_can_be_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Seen = []
    monkeypatch.setenv(module.ONLY, "1-one-a")
    many()(seen=seen)
    assert seen == [("a", 1, "one")]
    monkeypatch.setenv(module.ONLY, "nothing")
    with pytest.raises(pytest.skip.Exception):
        many()(seen=seen)


def test_a_row_that_skips_fails_and_takes_no_other_along() -> None:
    seen: list[int] = []

    @rows()
    @pytest.mark.parametrize("number", [1, 2, 3])
    def test(number: int) -> None:
        seen.append(number)
        if number == 2:
            pytest.skip("not here")

    with pytest.raises(BaseExceptionGroup, match="1 of 3 rows: 2") as caught:
        test()
    assert seen == [1, 2, 3]
    assert "a row cannot be skipped" in str(caught.value.exceptions[0])


def test_what_is_apart_must_be_listed() -> None:
    with pytest.raises(AssertionError, match="nobody"):
        many("nobody")


def test_rows_may_have_names_of_their_own() -> None:
    seen: list[int] = []

    @rows()
    @pytest.mark.parametrize("number", [pytest.param(1, id="first"), pytest.param(2, id="second")])
    def test(number: int) -> None:
        seen.append(number)
        assert number == 1

    with pytest.raises(BaseExceptionGroup, match="1 of 2 rows: second"):
        test()
    assert seen == [1, 2]
