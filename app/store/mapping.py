"""Which model a client gets when it asks for another one; can be changed while the bridge runs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from app.errors import StoreError
from app.store.base import Store

_KEY = "model_mapping"


class ModelMapping:
    """Model names as clients send them → names that Copilot knows.

    Until somebody changes it, the mapping is `initial`. The first change copies it into the store, and from then on
    the stored one counts, for all workers and across restarts, until `reset`. It is read from the store every time,
    so that a change holds from the next request on, whichever worker gets it.

    Shape:  insertion order is kept; a changed entry stays in its place, a new one comes last.
    Raises: StoreError from every method.
    """

    def __init__(self, store: Store, initial: Mapping[str, str]) -> None:
        self._store = store
        self._initial = dict(initial)
        # The last stored text and what it says: parsing is the costly part, comparing is not.
        self._parsed: tuple[str, dict[str, str]] | None = None

    def resolve(self, name: str) -> str:
        """Name the model to use; `name` itself if it is not mapped. One hop: targets are not looked up again."""
        return self._read(self._store.get(_KEY)).get(name, name)

    def all(self) -> dict[str, str]:
        """Copy the mapping as it is now."""
        return dict(self._read(self._store.get(_KEY)))

    def set(self, source: str, target: str) -> dict[str, str]:
        """Add or change one entry; returns the new mapping."""
        raw = self._store.update(_KEY, lambda old: json.dumps({**self._read(old), source: target}))
        return dict(self._read(raw))

    def remove(self, source: str) -> bool:
        """Take one entry out; False, and nothing changed, if there is none."""
        was_there = False

        def change(raw: str | None) -> str | None:
            nonlocal was_there
            mapping = dict(self._read(raw))
            was_there = mapping.pop(source, None) is not None
            return json.dumps(mapping) if was_there else raw

        self._store.update(_KEY, change)
        return was_there

    def reset(self) -> dict[str, str]:
        """Forget all changes; returns the initial mapping."""
        self._store.delete(_KEY)
        return dict(self._initial)

    def _read(self, raw: str | None) -> dict[str, str]:
        if raw is None:
            return self._initial
        parsed = self._parsed
        if parsed is None or parsed[0] != raw:
            self._parsed = parsed = (raw, _parse(raw))
        return parsed[1]


def _parse(raw: str) -> dict[str, str]:
    try:
        mapping = json.loads(raw)
    except ValueError:
        mapping = None
    if not isinstance(mapping, dict) or not all(isinstance(target, str) for target in mapping.values()):
        raise StoreError("The stored model mapping is not a JSON object of names. Reset the mapping to repair it.")
    return mapping
