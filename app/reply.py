"""What a request comes to: its answer for the client, and its line in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
JSON = {"Content-Type": "application/json"}


@dataclass(slots=True)
class Record:
    """What one request came to, for its log line. Filled along the way, logged when the answer has ended."""

    request_id: str
    protocol: str = ""
    upstream: str = ""
    model: str = ""  # as asked for
    served_model: str = ""
    purpose: str | None = None  # what the call is for, see `purposes`
    initiator: str | None = None
    stream: bool = False
    answered: str | None = None  # "locally": upstream was not asked
    dropped: tuple[str, ...] = ()
    searches: int | None = None  # on the web, within this answer
    first_byte_ms: int | None = None
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer for the client. `close` must be called when the client is done or gone; it may be called twice."""

    status: int
    headers: dict[str, str]
    body: bytes | Iterator[bytes]
    close: Callable[[], None] = lambda: None
