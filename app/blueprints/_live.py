"""Events for a page that shows what is new by itself: that there is something, never what. The page asks for that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

MOST: Final = 20
"""Pages that a worker follows the calls for at a time; the scripts of others ask now and then."""
LOOK_S: Final = 1.0
"""How often it is looked for news, whether the worker stops, and whether who follows still may."""
BEAT_S: Final = 15.0
"""A proxy must not take the silence for a dead connection, and a page that is gone is noticed when it is written to."""
LIFE_S: Final = 300.0
"""How long a stream lives: then the browser connects again, and has to show its key."""
RETRY_MS: Final = 2000


def news(
    version: Callable[[], object],
    state: Callable[[], str],
    seen: str | None,
    *,
    stops: Callable[[], bool],
    may_follow: Callable[[], bool] = lambda: True,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """``event: news`` with the state as its id, whenever that is another than before.

    version: what differs whenever the state may; it is asked for all the time, and the state only then. seen: the state
    that the page shows; None: that of now. stops: whether the worker is to stop, which nobody here shall hold up.
    may_follow: whether the key that this was begun with still counts. Without it the stream ends, and the browser that
    connects again is asked for another.
    """
    known: object = None
    if seen is None:  # before anything is told: what comes after the first line is news
        known, seen = version(), state()
    yield b"retry: %d\n\n" % RETRY_MS
    began = beat_at = clock()
    while not stops() and clock() - began < LIFE_S and may_follow():
        if (now := version()) != known:
            known, found = now, state()
            if found != seen:
                yield b'id: %b\nevent: news\ndata: {"state": "%b"}\n\n' % (found.encode(), found.encode())
                beat_at = clock()
            seen = found
        if clock() - beat_at >= BEAT_S:
            yield b":\n\n"
            beat_at = clock()
        sleep(LOOK_S)
