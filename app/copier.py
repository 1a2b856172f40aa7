"""Who can pass a stream on faster than its generator can, where the server has such a one (`serving.copier`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:  # gunicorn's master imports this, and must not import ssl
    from app.http_body import Lookout


HURRY_BYTES: Final = 4096
"""A piece as large holds many events: the stream is in a hurry. Its generator then reads on without a turn of the event
loop, finds more at a time, and costs less."""


class Copier(Protocol):
    """Copies pieces from upstream's socket to the client of one request."""

    def copy(self, lookout: Lookout, change: Callable[[bytes], bytes], is_ended: Callable[[], bool]) -> bytes:
        """Give the client what `change` makes of each piece, until the stream is at its end or in a hurry, or something
        else is to be told than a piece: then its iterator goes on. Returns what the end is made of, which has not been
        given out: whoever calls does that, and may have something to do before.

        Raises: ClientGone; whatever `change` raises, and what is thrown into the greenlet that waits here.
        """
        ...


@dataclass(slots=True)
class Passage:
    """How a stream gets to its client. copier: set by whoever knows the connection, before the first piece is taken."""

    copier: Copier | None = None
