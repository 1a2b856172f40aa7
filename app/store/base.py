"""What a store can do, whichever one it is.

Two implementations, held to one contract suite: `SqliteStore` (a file, the default: all workers of one host) and
`RedisStore` (when ``REDIS_URL`` is set: all workers of all hosts). Both are used from any thread or greenlet, and both
survive a fork: each process has connections of its own.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

BUSY_LIMIT_S = 2.0
"""How long a call keeps trying while others are in the way, before it gives up with a StoreError."""

LONGEST_LEASE_S = 300.0
"""What has more left than this was taken before a clock was set back, and is nobody's."""

Change = Callable[[str | None], str | None]
"""Old value (None: absent) → new value (None: delete). Pure: no I/O, not even the store; may be called repeatedly."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a store and what is left of its life: seconds, None for good."""

    key: str
    value: str = field(repr=False)
    ttl_s: float | None = None


class Store(Protocol):
    """Strings under string keys, shared by all workers at once.

    Shape:  keys and values are text that UTF-8 can carry; a lease's name and a key never collide.
    Units:  `ttl_s` counts from the call, in seconds; None means for good.
    Raises: StoreError from every method, when the state cannot be read or written.
    """

    def get(self, key: str) -> str | None:
        """Read one value; None if absent or past its ttl."""

    def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """Read several values as they stand at one moment, each as by `get`."""

    def put(self, key: str, value: str, *, ttl_s: float | None = None) -> None:
        """Write one value, replacing the old one and its ttl. With a ttl of 0 or less it is gone at once."""

    def delete(self, key: str) -> bool:
        """Remove one value; False if there was none."""

    def scan(self, prefix: str) -> dict[str, str]:
        """Read all values whose key starts with `prefix` (taken literally), sorted by key."""

    def dump(self) -> list[Entry]:
        """Read everything as it stands at one moment, sorted by key; no leases, which are a matter of seconds."""

    def load(self, entries: Iterable[Entry]) -> None:
        """Replace everything by `entries`, at one moment: nobody sees a mixture, and a failure changes nothing.

        Leases stay. What has no life left (a ttl of 0 or less) is left out.
        """

    def update(self, key: str, change: Change) -> str | None:
        """Replace a value by what `change` makes of it, so that no other worker's change in between is lost.

        The new value lives only as long as the old one would have: an update is no renewal.
        If `change` raises, nothing is written. After a connection broke in the middle, nobody can tell whether the
        change was applied; Redis may then see it applied twice.
        """

    def acquire(self, name: str, *, owner: str, ttl_s: float) -> bool:
        """Take or renew a lease; False if another owner holds it.

        It runs out `ttl_s` from now by itself, so a holder that dies blocks nobody for longer.
        Raises: ValueError unless `ttl_s` is above 0, and no more than `LONGEST_LEASE_S`.
        """

    def release(self, name: str, *, owner: str) -> None:
        """Give a lease back early; nothing happens if it is no longer ours."""

    def close(self) -> None:
        """Close the connections of this process. A later call can have one all the same."""


def wait_a_moment() -> None:
    """Let those go first who are in the way: a few ms, at random, so that two that collided do not collide again.

    Under gevent this sleep is patched, and the other greenlets of the worker go on meanwhile.
    """
    time.sleep(random.uniform(0.001, 0.005))  # noqa: S311 - nothing to guess here
