"""Rules of the model mapping: which models a call goes to, by the name it asks for, by its key and by its purpose."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from app.errors import Sentence

MOST_RULES: Final = 100
MOST_TARGETS: Final = 10
MOST_NAMES: Final = 50
"""Keys, or purposes, of one rule."""
LONGEST_NOTE: Final = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It fits a call that asks for a name like `match`, if that comes by one of the keys and for one of the
    purposes; where none are given, any will do.

    match, keys: patterns as of a shell (``*``, ``?``, ``[ab]``), whatever the case. to: models, the one that is wanted
    most first; the first that the account has is taken. fall_back: whether the next one is tried where Copilot limits
    the calls of one, or is overloaded. note: the operator's own words.
    """

    match: str
    to: tuple[str, ...]
    keys: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    fall_back: bool = False
    note: str = ""

    def fits(self, name: str, key: str | None, purpose: str | None) -> bool:
        """Whether this rule is for such a call."""
        return (
            _is_like(name, self.match)
            and (not self.purposes or purpose in self.purposes)
            and (not self.keys or (key is not None and any(_is_like(key, one) for one in self.keys)))
        )

    @property
    def said(self) -> Sentence:
        """In a line."""
        parts = [f"{self.match} → {', '.join(self.to)}"]
        parts += [Sentence("keys %(names)s", names=", ".join(self.keys))] if self.keys else []
        parts += [Sentence("purposes %(names)s", names=", ".join(self.purposes))] if self.purposes else []
        parts += [Sentence("falls back")] if self.fall_back else []
        return Sentence.joined(Sentence.joined(*parts, by="; "), f"({self.note})" if self.note else "")

    def told(self) -> dict[str, Any]:
        """As JSON; what says nothing is left out."""
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {name: value for name, value in given.items() if value or name in ("match", "to")}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Rule:
        """The rule that `told` tells. Raises: KeyError, TypeError, AttributeError for what is none."""
        to = told["to"]
        return cls(
            match=told["match"].strip(),
            to=tuple(one.strip() for one in ([to] if isinstance(to, str) else to)),
            keys=tuple(one.strip() for one in told.get("keys") or ()),
            purposes=tuple(one.strip() for one in told.get("purposes") or ()),
            fall_back=told.get("fall_back") is True,
            note=(told.get("note") or "").strip(),
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a call goes. targets: the wanted one first; more than one only by a rule. rule: its number, from 1.
    is_mapped: whether the table of names says so; without that and a rule, the name goes as it is. falls_back: whether
    the next target is tried where one is limited or overloaded."""

    targets: tuple[str, ...]
    rule: int | None = None
    is_mapped: bool = False
    falls_back: bool = False


def first_fitting(rules: Iterable[Rule], name: str, key: str | None, purpose: str | None) -> Choice | None:
    """What the first rule says that fits."""
    for number, rule in enumerate(rules, 1):
        if rule.fits(name, key, purpose):
            return Choice(rule.to, rule=number, falls_back=rule.fall_back)
    return None


def _is_like(name: str, pattern: str) -> bool:
    # A name may have brackets of its own: claude-opus-4.6[1m].
    name, pattern = name.lower(), pattern.lower()
    return name == pattern or fnmatch.fnmatchcase(name, pattern)
