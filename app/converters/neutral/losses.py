"""What was lost on the way to upstream: nothing vanishes silently.

What changes the meaning of a request is refused, not recorded here. What only advises is dropped, or carried in another
form, and written down once, with its reason: names of what was dropped go into the ``x-bridge-dropped`` header, names
and reasons into the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

HEADER_LIMIT: Final = 512
_LONGEST_REST: Final = len("+1000000 more")
_INDEX: Final = re.compile(r"\[\d+\]|\.\d+(?=\.|$)")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.:/\[\]-]")


@dataclass(frozen=True, slots=True)
class Loss:
    """kind: "dropped" (gone) or "changed" (carried in another form). path: without indexes. count: how often.

    reason: in English, and a `Sentence` where there are values in it. Pages translate it when somebody looks.
    """

    kind: Literal["dropped", "changed"]
    path: str
    reason: str
    count: int = 1


class Losses:
    """The losses of one request, in order, each path and reason once however often it occurs.

    A path has one spelling: ``seed``, ``reasoning.effort``, ``messages[].name``; an element of a list goes by its
    type: ``tools[].web_search``, ``messages[].content[].document``. Indexes are forgotten: a long conversation would
    otherwise say the same thing hundreds of times. No path or reason may hold content. A reason is written out where
    it is given, for the catalogues are made from the code (``scripts/reasons.py``).
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[Literal["dropped", "changed"], str, str], int] = {}

    def drop(self, path: str, reason: str) -> None:
        """A field was left out. It shows in the header and the log."""
        self._add("dropped", path, reason)

    def note(self, path: str, reason: str) -> None:
        """A field was carried in another form. It shows in the log only."""
        self._add("changed", path, reason)

    def __iter__(self) -> Iterator[Loss]:
        for (kind, path, reason), count in self._counts.items():
            yield Loss(kind, path, reason, count)

    def names(self) -> list[str]:
        """The paths of what was dropped, each once."""
        return list(dropped(self))

    def __len__(self) -> int:
        return len(self._counts)

    def _add(self, kind: Literal["dropped", "changed"], path: str, reason: str) -> None:
        key = kind, _INDEX.sub("[]", path), reason
        self._counts[key] = self._counts.get(key, 0) + 1


def dropped(losses: Iterable[Loss]) -> tuple[str, ...]:
    """The paths of what was dropped, each once."""
    return tuple(dict.fromkeys(loss.path for loss in losses if loss.kind == "dropped"))


def header_of(names: Iterable[str], limit: int = HEADER_LIMIT) -> str:
    """Whole names as a header value; what does not fit is counted: ``seed, user, +3 more``.

    A name may come from a client's body (an unknown field), so it is cleaned: it must not smuggle a line break.
    """
    clean = list(dict.fromkeys(_UNSAFE.sub("_", name) for name in names))
    shown, length = [], 0
    for name in clean:
        if length + len(name) + len(", ") > limit - _LONGEST_REST:
            break
        shown.append(name)
        length += len(name) + len(", ")
    rest = [f"+{len(clean) - len(shown)} more"] if len(shown) < len(clean) else []
    return ", ".join(shown + rest)
