"""Tests of a table in which each row takes a moment: one test for many rows, and every row that fails is told by name.

A test for each row costs more than what it tests: pytest makes, sets up, captures and reports each, in every process.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

ONLY: Final = "ROW"
"""The variable that picks rows: those whose name has its value in it are looked at, and no others."""

_SHOWN: Final = 5
"""So many failures are shown whole; the others are named."""

_PARAM: Final = type(pytest.param())
Test = Callable[..., None]
Row = tuple[str, dict[str, Any]]


def rows(*apart: str) -> Callable[[Test], Test]:
    """Above the `parametrize` of a test: what it lists becomes rows of one test, or of one for each value of `apart`.

    Rows share what fixtures give to the test, and none can be skipped. Where each needs its own, leave `parametrize`
    alone.
    """

    def one_for_all(test: Test) -> Test:
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        named = {name for mark in marks for name in _names(mark)}
        assert set(apart) <= named, f"{test.__name__} has no {set(apart) - named}"
        table: dict[tuple[Any, ...], list[Row]] = {}
        for row in _product(marks):
            table.setdefault(tuple(row[1][name] for name in apart), []).append(row)

        @functools.wraps(test)
        def together(**given: Any) -> None:
            _look_at(test, table[tuple(given.pop(name) for name in apart)], given)

        wanted = inspect.signature(test)
        left = [it for it in wanted.parameters.values() if it.name not in named or it.name in apart]
        together.__signature__ = wanted.replace(parameters=left)  # type: ignore[attr-defined]
        together.pytestmark = [mark for mark in test.pytestmark if mark not in marks]  # type: ignore[attr-defined]
        return pytest.mark.parametrize(apart, list(table))(together) if apart else together

    return one_for_all


def _look_at(test: Test, table: list[Row], given: dict[str, Any]) -> None:
    """Raises: a group of what was wrong with rows; its message names all of them."""
    picked = [row for row in table if os.environ.get(ONLY, "") in row[0]]
    if not picked:
        pytest.skip(f"none of these rows has {ONLY}={os.environ.get(ONLY)!r} in its name")
    failed: dict[str, BaseException] = {}
    for name, values in picked:
        try:
            test(**given, **values)
        except (Exception, pytest.fail.Exception) as problem:
            problem.add_note(f"in the row {name}")
            failed[name] = problem
        except pytest.skip.Exception as problem:
            # It would leave out the rows behind this one as well, and nobody would hear of it.
            failed[name] = AssertionError(f"a row cannot be skipped; take it out of the table ({problem})")
    if failed:
        told = f"{len(failed)} of {len(picked)} rows: {'; '.join(failed)}"
        raise BaseExceptionGroup(told, list(failed.values())[:_SHOWN])


def _names(mark: pytest.Mark) -> list[str]:
    names = mark.args[0]
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def _product(marks: list[pytest.Mark]) -> Iterator[Row]:
    """What pytest would make of them, in the same order: name and values of each."""
    for combined in itertools.product(*(list(_listed(mark)) for mark in reversed(marks))):
        values = {name: value for _, one in combined for name, value in one.items()}
        yield "-".join(name for name, _ in reversed(combined)), values


def _listed(mark: pytest.Mark) -> Iterator[Row]:
    names = _names(mark)
    ids = mark.kwargs.get("ids")
    assert not mark.kwargs.keys() - {"ids"}, "rows are values as they stand"
    for number, one in enumerate(mark.args[1]):
        if isinstance(one, _PARAM):
            assert one.id is not None, "a row without a name"
            assert not one.marks, "a row has no marks"
            yield str(one.id), dict(zip(names, one.values, strict=True))
            continue
        values = (one,) if len(names) == 1 else tuple(one)
        if ids is None:
            shown = [_shown(value) for value in values]
        else:
            shown = [str(ids(value)) for value in values] if callable(ids) else [str(ids[number])]
        yield "-".join(shown), dict(zip(names, values, strict=True))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
