"""Which model a client gets when it asks for another one; can be changed while the bridge runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence

from app.errors import Sentence, StoreError
from app.store.base import Store
from app.store.mapping_history import Change, History, State
from app.store.record import told_by
from app.store.rules import Choice, Rule, first_fitting
from app.store.stored_value import StoredValue

_KEY = "model_mapping"
_RULES = "model_rules"


class ModelMapping:
    """Names as clients send them → models that Copilot knows: by rules, which go first, and by a table of names.

    Until somebody changes it, the table is `initial`. The first change copies it into the store, and from then on
    the stored one counts, for all workers and across restarts, until `reset`. It is read from the store every time,
    so that a change holds from the next request on, whichever worker gets it. Rules are there only as somebody adds
    them. A change whose maker is named (`by`) is remembered, and can be undone.

    Shape:  insertion order is kept; a changed entry stays in its place, a new one comes last.
    Raises: StoreError from every method; those that only read do so if what is stored is no mapping.
    """

    def __init__(self, store: Store, initial: Mapping[str, str], *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._initial = dict(initial)
        self._clock = clock
        self._names = StoredValue(store, _KEY, _parse, self._initial)
        self._rules: StoredValue[tuple[Rule, ...]] = StoredValue(store, _RULES, _parse_rules, ())
        self._history = History(store)

    def choose(self, name: str, *, key: str | None = None, purpose: str | None = None) -> Choice:
        """Where a call goes that asks for `name`, by this key (its name) and for this purpose: as the first rule says
        that fits, else as the table does. One hop: targets are not looked up again.

        While the store is away, what this process read last goes on to count.
        """
        try:
            told: list[str | None] | None = self._store.get_many((_RULES, _KEY))
        except StoreError:
            told = None
        chosen = first_fitting(self._rules.last if told is None else self._rules.heard(told[0]), name, key, purpose)
        if chosen is not None:
            return chosen
        target = (self._names.last if told is None else self._names.heard(told[1])).get(name)
        return Choice((name,)) if target is None else Choice((target,), is_mapped=True)

    def resolve(self, name: str) -> str:
        """Name the model that a call of no special key or purpose wants most; `name` itself if it is not mapped."""
        return self.choose(name).targets[0]

    # ── the table of names ──────────────────────────────────────────────────────────────────────────────────────────

    def all(self) -> dict[str, str]:
        """Copy the table as it is now; while the store is away, as this process read it last."""
        return dict(self._names.current())

    def set(self, source: str, target: str, *, by: str | None = None) -> dict[str, str]:
        """Add or change one entry; returns the new table."""
        before = self._state(by)
        raw = self._store.update(_KEY, lambda old: json.dumps({**self._names.read(old), source: target}))
        self._note(before, by, f"{source} → {target}")
        return dict(self._names.read(raw))

    def remove(self, source: str, *, by: str | None = None) -> bool:
        """Take one entry out; False, and nothing changed, if there is none."""
        was_there = False
        before = self._state(by)

        def change(raw: str | None) -> str | None:
            nonlocal was_there
            mapping = dict(self._names.read(raw))
            was_there = mapping.pop(source, None) is not None
            return json.dumps(mapping) if was_there else raw

        self._store.update(_KEY, change)
        if was_there:
            self._note(before, by, Sentence("%(name)s deleted", name=source))
        return was_there

    def reset(self, *, by: str | None = None) -> dict[str, str]:
        """Forget all changes of the table; returns the initial one. Rules stay."""
        before = self._state(by, is_repair=True)
        if self._store.delete(_KEY):
            self._note(before, by, Sentence("reset"))
        return dict(self._initial)

    # ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def rules(self) -> tuple[Rule, ...]:
        """All rules in their order; while the store is away, as this process read them last."""
        return self._rules.current()

    def change_rules(
        self, change: Callable[[tuple[Rule, ...]], Sequence[Rule]], *, what: str, by: str | None = None
    ) -> tuple[Rule, ...]:
        """Replace the rules by what `change` makes of them; returns them. If it raises, nothing is changed.

        change: pure; may be called repeatedly. what: in words, for the history.
        """
        before = self._state(by)
        raw = self._store.update(_RULES, lambda old: _written(change(self._rules.read(old))))
        rules = self._rules.read(raw)
        self._note(before, by, what)
        return rules

    def replace_rules(self, rules: Sequence[Rule], *, by: str | None = None) -> tuple[Rule, ...]:
        """Set all rules at once, also where those that are stored cannot be read."""
        before = self._state(by, is_repair=True)
        self._store.update(_RULES, lambda _: _written(rules))
        self._note(before, by, Sentence("all rules replaced by %(count)s", count=len(rules)))
        return tuple(rules)

    # ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────

    def history(self) -> list[Change]:
        """The last changes, the newest first."""
        return self._history.all()

    def undo(self, number: int | None = None, *, by: str | None = None) -> Change | None:
        """Bring everything back to what it was before a change; without a number, before the last one.

        Returns that change; None if it is not remembered. This is a change as well, so it can be undone.
        """
        found = next((one for one in self.history() if number is None or one.number == number), None)
        if found is None:
            return None
        before, names = self._state(by, is_repair=True), found.before.names
        self._store.update(_KEY, lambda _: None if names is None else json.dumps(names))
        self._store.update(_RULES, lambda _: _written(found.before.rules))
        self._note(before, by, Sentence("back to what was before change %(number)s", number=found.number))
        return found

    def _state(self, by: str | None, *, is_repair: bool = False) -> State:
        """All as it is, for the history of a change that is to be remembered; what is damaged counts as absent if the
        change repairs it."""
        if by is None:
            return State()
        try:
            raw = self._stored(_KEY)
            names = dict(self._names.read(raw)) if raw is not None else None
            return State(names, self._rules.read(self._stored(_RULES)))
        except StoreError:
            if is_repair:
                return State()
            raise

    def _stored(self, key: str) -> str | None:
        """What stands there, for a change: unlike a mere read, that finds out at once whether the store is back."""
        return self._store.update(key, lambda raw: raw)

    def _note(self, before: State, by: str | None, what: str) -> None:
        if by is not None:
            self._history.note(before, at=self._clock(), by=by, what=what)


def _parse(raw: str) -> dict[str, str]:
    try:
        mapping = told_by(raw, takes_halves=True)
    except ValueError:
        mapping = None
    if not isinstance(mapping, dict) or not all(isinstance(target, str) for target in mapping.values()):
        raise StoreError(
            Sentence("The stored model mapping is not a JSON object of names. Reset the mapping to repair it.")
        )
    return mapping


def _parse_rules(raw: str) -> tuple[Rule, ...]:
    try:
        return tuple(Rule.of(told) for told in told_by(raw))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(
            Sentence("The stored rules of the model mapping cannot be read. Set them anew to repair it.")
        ) from None


def _written(rules: Sequence[Rule]) -> str | None:
    return json.dumps([rule.told() for rule in rules]) if rules else None
