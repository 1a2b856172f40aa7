"""What the model mapping was before each of its last changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from app.errors import Sentence
from app.store.base import Store
from app.store.record import record, told_by
from app.store.rules import Rule

MOST_CHANGES: Final = 50
_KEY: Final = "model_mapping_history"
_MOST_BYTES: Final = 256 * 1024
_LONGEST_TEXT: Final = 300


@dataclass(frozen=True, slots=True)
class State:
    """All of a mapping. names: None where the table is the initial one."""

    names: dict[str, str] | None = None
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the past. at: epoch seconds. by: who made it. what: in words."""

    number: int
    at: float
    by: str
    what: str
    before: State


@dataclass(frozen=True, slots=True)
class _Names:
    names: dict[str, str] | None


class History:
    """The last `MOST_CHANGES` changes, or fewer if they are large. Raises: StoreError from every method."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[Change]:
        """The newest first."""
        return _parse(self._store.get(_KEY))[::-1]

    def note(self, before: State, *, at: float, by: str, what: str) -> None:
        """Remember one."""

        def change(raw: str | None) -> str:
            known = _parse(raw)
            number = known[-1].number + 1 if known else 1
            changes = [
                *known,
                Change(number, at, by, what if len(what) <= _LONGEST_TEXT else what[:_LONGEST_TEXT], before),
            ][-MOST_CHANGES:]
            written = [json.dumps(_told(one)) for one in changes]
            while len(written) > 1 and sum(map(len, written)) > _MOST_BYTES:
                del written[0]
            return f"[{','.join(written)}]"

        self._store.update(_KEY, change)


def _told(change: Change) -> dict[str, Any]:
    return {
        "number": change.number,
        "at": change.at,
        "by": change.by,
        "what": change.what.packed() if isinstance(change.what, Sentence) else change.what,
        "names": change.before.names,
        "rules": [rule.told() for rule in change.before.rules],
    }


def _parse(raw: str | None) -> list[Change]:
    """What is remembered, the oldest first; what cannot be read is forgotten."""
    try:
        return [
            record(
                Change,
                one,
                what=Sentence.unpacked(one["what"]),
                before=State(record(_Names, one).names, tuple(Rule.of(rule) for rule in one["rules"])),
            )
            for one in told_by(raw) or ()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
