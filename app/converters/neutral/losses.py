"""What a conversion left behind: nothing vanishes silently (architecture §2, promise 3).

What changes the meaning of a request is refused, not recorded here. What only advises is dropped, or carried in another
form, and written down once for the log and for the ``x-bridge-dropped`` response header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

HEADER_LIMIT: Final = 512
_INDEX: Final = re.compile(r"\[\d+\]|\.\d+(?=\.|$)")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.:/\[\]-]")


@dataclass(frozen=True, slots=True)
class Loss:
    """kind: "dropped" (gone) or "changed" (carried in another form). path: without indexes. count: how often."""

    kind: Literal["dropped", "changed"]
    path: str
    reason: str
    count: int = 1


class Losses:
    """The losses of one request, in order, each path and reason once however often it occurs.

    Paths are those of the client's body: ``seed``, ``messages[3].content[0].cache_control``. Indexes are forgotten:
    a long conversation would otherwise say the same thing hundreds of times. No path or reason may hold content.
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

    def names(self) -> list[str]:
        """The paths of what was dropped, each once."""
        return list(dict.fromkeys(loss.path for loss in self if loss.kind == "dropped"))

    def header(self, limit: int = HEADER_LIMIT) -> str:
        """The names for the header: printable ASCII, at most `limit` characters; "" if nothing was dropped."""
        return header_of(self.names(), limit)

    def __iter__(self) -> Iterator[Loss]:
        for (kind, path, reason), count in self._counts.items():
            yield Loss(kind, path, reason, count)

    def __len__(self) -> int:
        return len(self._counts)

    def _add(self, kind: Literal["dropped", "changed"], path: str, reason: str) -> None:
        key = kind, _INDEX.sub("[]", path), reason
        self._counts[key] = self._counts.get(key, 0) + 1


def header_of(names: list[str], limit: int = HEADER_LIMIT) -> str:
    """Names as a header value; what does not fit is counted: ``seed, user, +3 more``.

    A name may come from a client's body (an unknown field), so it is cleaned and cut: it must not smuggle a line break.
    """
    clean = list(dict.fromkeys(_UNSAFE.sub("_", name)[:80] for name in names))
    for kept in range(len(clean), -1, -1):
        rest = [f"+{len(clean) - kept} more"] if kept < len(clean) else []
        value = ", ".join(clean[:kept] + rest)
        if len(value) <= limit:
            return value
    return ""
