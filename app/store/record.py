"""Rows of the store as records: what was written by another version, or is damaged, is told from what can be used.

A row outlives the program that wrote it: an update, a rollback, two versions on one Redis, a file that was put back. So
no value of it is taken for what it should be before it has been looked at.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Final, Literal, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

MOST: Final = 2.0**62
"""Whole numbers beyond it are none of ours."""
_HALF_A_CHARACTER: Final = "\\ud"  # as JSON spells it
LAST_TIME: Final = 253_402_300_799.0
"""Of a calendar, in epoch seconds: the end of the year 9999. A number with a fraction is a time or a span of it."""


def told_by(text: str | None, *, takes_halves: bool = False) -> Any:
    """The JSON of a row; None if there is no row. Raises: ValueError, for whatever is no JSON.

    takes_halves: also of half a character, which JSON can spell, and nobody can write.
    """
    if not text:
        return None
    try:
        told = json.loads(text, parse_constant=_no_constant)
        if not takes_halves and _HALF_A_CHARACTER in text.lower():
            json.dumps(told, ensure_ascii=False).encode()  # raises a ValueError unless the other half is there
    except RecursionError:
        raise ValueError("brackets without end") from None
    return told


def record(kind: type[T], told: object, **given: Any) -> T:
    """A dataclass of strings, numbers, flags and such, as `asdict` wrote it. given: fields that stand elsewhere.

    Fields that this version does not know are left out, and those that are not there have their default.
    Raises: ValueError, where a field is missing or of another type, or a number beyond all sense.
    """
    if not isinstance(told, dict):
        raise ValueError("no record")
    found = dict(given)
    for name, (hint, is_needed) in _fields_of(cast(Hashable, kind)).items():
        if name in given:
            continue
        if name not in told:
            if is_needed:
                raise ValueError(f"no {name}")
            continue
        if not _is_of(hint, told[name]):
            raise ValueError(f"{name} is of another kind")
        found[name] = told[name]
    return kind(**found)


@functools.cache
def _fields_of(kind: Any) -> Mapping[str, tuple[Any, bool]]:
    """Of each field the type, and whether a record cannot be without it."""
    hints = get_type_hints(kind)
    return {
        one.name: (hints[one.name], one.default is MISSING and one.default_factory is MISSING) for one in fields(kind)
    }


def _is_of(hint: Any, value: object) -> bool:
    if hint is str:
        return isinstance(value, str)
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LAST_TIME
    if get_origin(hint) is dict:
        of_keys, of_values = get_args(hint)
        return isinstance(value, dict) and all(_is_of(of_keys, k) and _is_of(of_values, v) for k, v in value.items())
    if type(None) in get_args(hint):
        return value is None or any(_is_of(one, value) for one in get_args(hint) if one is not type(None))
    raise TypeError(f"no record has a field of {hint}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
