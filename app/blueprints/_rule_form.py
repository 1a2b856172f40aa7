"""The form of a rule of the mapping: what a person typed, as the JSON that describes a rule, and what is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from werkzeug.datastructures import MultiDict

from app.errors import InvalidRequestError, Sentence
from app.store.rules import LONGEST_NOTE, MOST_NAMES, MOST_RULES, MOST_TARGETS, Rule

_PROBLEMS: Final = {
    "match": Sentence("Enter the name that clients ask for, or a pattern such as claude-*."),
    "to": Sentence("Enter 1 to %(most)s models, one on each line.", most=MOST_TARGETS),
    "keys": Sentence("Keys are at most %(most)s names or patterns, one on each line.", most=MOST_NAMES),
    "purposes": Sentence("Choose purposes of the list."),
    "note": Sentence("The note is one line of at most %(most)s characters.", most=LONGEST_NOTE),
    "number": Sentence("The place is a whole number above 0, or empty."),
    "rules": Sentence("There are %(most)s rules already, which is the most.", most=MOST_RULES),
}
_LINES: Final = re.compile(r"[\r\n]+")


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form: as typed, or as a rule is."""

    match: str = ""
    to: str = ""
    keys: str = ""
    purposes: tuple[str, ...] = ()
    fall_back: bool = False
    note: str = ""
    number: str = ""

    @classmethod
    def of(cls, form: MultiDict[str, str]) -> Typed:
        return cls(
            purposes=tuple(form.getlist("purposes")),
            fall_back="fall_back" in form,
            **{name: form.get(name, "").strip() for name in ("match", "to", "keys", "note", "number")},
        )

    @classmethod
    def as_is(cls, rule: Rule) -> Typed:
        return cls(rule.match, "\n".join(rule.to), "\n".join(rule.keys), rule.purposes, rule.fall_back, rule.note)

    def told(self) -> dict[str, Any]:
        """As JSON would have the rule."""
        return {
            "match": self.match,
            "to": _lines(self.to),
            "keys": _lines(self.keys),
            "purposes": list(self.purposes),
            "fall_back": self.fall_back,
            "note": self.note,
        }

    def place(self) -> int | None:
        """Where it is to stand, from 1; None: behind all others. Raises: InvalidRequestError."""
        if not self.number:
            return None
        if self.number.isascii() and self.number.isdigit() and int(self.number[:9]) > 0:
            return int(self.number[:9])
        raise InvalidRequestError(_PROBLEMS["number"], param="number")


def problem_of(error: InvalidRequestError) -> tuple[str, str]:
    """Which field is wrong, and what to do: in words of the page, for those of the API are for programs."""
    field = (error.param or "").partition(".")[0].partition("[")[0]
    return field, _PROBLEMS.get(field, error.message)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in _LINES.split(text) if line.strip()]
