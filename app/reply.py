"""What a request comes to: its answer for the client, and its line in the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from app.caching.prefix import Prefix
from app.converters.neutral.outcome import Outcome
from app.copier import Passage
from app.tape import Tape

EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
JSON = {"Content-Type": "application/json"}

Sent = Literal["no", "asked", "refused", "answered"]
"""What became of the last call to Copilot: none was made; no answer came, so nobody knows what it cost; an error, which
costs nothing; an answer, or a part of one."""


class Admission(Protocol):
    """What the call of a named key has to pass; see `app.keys.admission`. Raises: GatewayError."""

    @property
    def is_admin(self) -> bool: ...
    def admits(self, model: str) -> bool: ...
    def enter(self, model: str, *, asked: str = "") -> None: ...
    def reserve(
        self, body: Mapping[str, Any], *, size: int, entry: Mapping[str, Any] | None, is_turn: bool = True
    ) -> None: ...
    def settle(self, ended: Ended) -> None: ...
    def headers(self, *, is_anthropic: bool) -> dict[str, str]: ...


@dataclass(slots=True)
class Attempt:
    """One call to Copilot on behalf of a request. began, answered: of a monotonic clock; answered: when its headers had
    come, None if they never did. repeats: why it was sent again, each time that it was."""

    model: str
    began: float = field(default_factory=time.monotonic)
    answered: float | None = None
    status: int | None = None
    request_id: str | None = None
    repeats: list[str] = field(default_factory=list)

    @staticmethod
    def since(began: float, at: float | None) -> int | None:
        """Milliseconds between two moments, if there were both."""
        return None if at is None else max(0, round((at - began) * 1000))


@dataclass(slots=True)
class Record:
    """What one request came to, for its log line. Filled along the way, logged when the answer has ended."""

    request_id: str
    began: float = field(default_factory=time.monotonic)
    traceparent: str | None = None  # of W3C Trace Context, as the client sent it
    key: str | None = None  # its name: see `key_name`, or of a named key
    key_id: str | None = None  # of a named key
    # The GitHub account that the key is bound to, and what only its owner knows. None: it is the bridge's own.
    account: tuple[str, bytes] | None = field(default=None, repr=False)
    protocol: str = ""
    upstream: str = ""
    model: str = ""  # as asked for
    served_model: str = ""
    rule: int | None = None  # of the mapping, by its number
    purpose: str | None = None  # what the call is for, see `request_purpose`
    initiator: str | None = None
    stream: bool = False
    answered: str | None = None  # "locally": upstream was not asked
    dropped: tuple[str, ...] = ()
    losses: tuple[tuple[str, str], ...] = ()  # path and reason of what was dropped or carried in another form
    searches: int | None = None  # on the web, within this answer
    waited_ms: int | None = None  # for a place among the calls to Copilot
    first_byte_ms: int | None = None
    usage: dict[str, int] | None = None  # see `outcome.counts`
    finish_reason: str | None = None
    nano_credits: int | None = None  # what the answer cost; None if upstream did not tell
    is_partial: bool = False  # that is not all: an answer of several rounds was cut off
    is_read_on: bool = False  # the client has its end, but what it came to is about to be known
    sent: Sent = "no"
    attempts: list[Attempt] = field(default_factory=list)
    entry: Mapping[str, Any] | None = None  # the model's in the catalogue
    conversation: bytes = b""  # see `conversation_key`
    braked_as: str = ""  # the same for the brake on runaways, if that is on
    upstream_request_id: str | None = None
    quotas: Mapping[str, str] = field(default_factory=dict)  # Copilot's headers about what is left
    error: str | None = None
    admission: Admission | None = None  # of a named key
    tape: Tape | None = None  # while recording is on for its key
    prefix: Prefix | None = None  # while caches are watched

    def note(self, outcome: Outcome) -> None:
        """What the answer came to."""
        self.is_partial = False
        self.usage, self.finish_reason, self.nano_credits = outcome.usage, outcome.finish_reason, outcome.nano_credits


@dataclass(frozen=True, slots=True)
class Ended:
    """A request whose answer has ended, however it did: complete, refused, cut, or with its client gone.

    status: as the client was told; 499 if it left before. started_at, ended_at: epoch seconds.
    """

    record: Record
    method: str
    path: str
    status: int
    address: str | None
    client: str | None  # the program, as it names itself
    started_at: float
    duration_ms: int

    @property
    def ended_at(self) -> float:
        return self.started_at + self.duration_ms / 1000


Observer = Callable[[Ended], None]
"""Is told of every request once, when it has ended. It must not wait, and must not fail."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer for the client. `close` must be called when the client is done or gone; it may be called twice.

    passage: the way of a stream, which may be made shorter.
    """

    status: int
    headers: dict[str, str]
    body: bytes | Iterator[bytes]
    close: Callable[[], None] = lambda: None
    passage: Passage = field(default_factory=Passage)


def header_safe(text: str, *, longest: int = 200) -> str:
    """What a header can carry of a text that others wrote: printable ASCII, not too much of it."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:longest])
