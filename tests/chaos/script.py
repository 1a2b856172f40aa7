"""What upstream may write in the place of a good answer: the words in which the faults of the table are told."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.answers import Shape
from tests.support.raw_upstream import CLOSE, RESET, STALL

Pieces = Iterable[bytes]
Cut = Callable[["Play"], int]
"""Where in the payload something happens."""


@dataclass(frozen=True, slots=True)
class Play:
    """One call of a model, and the good answer to it.

    stream: whether a stream was asked for. number: of the call within its cell, from 1. is_reused: whether the
    connection has served a call before.
    """

    protocol: str
    stream: bool
    shape: Shape
    number: int
    is_reused: bool
    payload: bytes
    whole_payload: bytes
    stream_payload: bytes

    @property
    def kind(self) -> str:
        return "text/event-stream" if self.stream else "application/json"

    @property
    def events(self) -> list[bytes]:
        """Each with its blank line; a whole answer is one."""
        if not self.stream:
            return [self.payload]
        return [event + b"\n\n" for event in self.payload.split(b"\n\n") if event]

    def good(self) -> list[bytes]:
        return self.framed(self.payload)

    def framed(self, *pieces: bytes, status: str = "200 OK", kind: str | None = None, extra: str = "") -> list[bytes]:
        """An answer in the usual framing: of a stream a chunk for each piece, otherwise with its length."""
        if self.stream:
            return [self.head(status=status, kind=kind, extra=extra), *map(chunk, pieces), LAST_CHUNK]
        return [self.sized(b"".join(pieces), status=status, kind=kind, extra=extra)]

    def head(
        self,
        *,
        framing: str = "Transfer-Encoding: chunked",
        version: str = "HTTP/1.1",
        status: str = "200 OK",
        kind: str | None = None,
        extra: str = "",
    ) -> bytes:
        """extra: lines of headers, each with its end."""
        lines = f"{version} {status}\r\nContent-Type: {self.kind if kind is None else kind}\r\n{extra}"
        return (lines + (f"{framing}\r\n" if framing else "") + "\r\n").encode("latin-1")

    def sized(self, body: bytes, *, off_by: int = 0, **more: Any) -> bytes:
        return self.head(framing=f"Content-Length: {len(body) + off_by}", **more) + body

    # ── places in the payload ───────────────────────────────────────────────────────────────────────────────────────

    def middle_event(self) -> int:
        """Where the event in the middle begins; the middle of a whole answer."""
        events = self.events
        if not self.stream:
            return len(self.payload) // 2
        return len(b"".join(events[: len(events) // 2]))

    def finish(self) -> int:
        """Where the event begins that says how the answer ended; the last byte of a whole answer."""
        marks = {"chat": b'"finish_reason":"', "messages": b'"stop_reason":"', "responses": b'"response.completed"'}
        at = len(self.payload) - 1
        if self.stream:
            at = self.payload.rindex(b"\n\n", 0, self.payload.index(marks[self.protocol])) + 2
        return at


LAST_CHUNK: Final = b"0\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def just(*pieces: bytes) -> Callable[[Play], Pieces]:
    """These bytes, whatever was asked."""
    return lambda play: pieces


def around(before: bytes = b"", *after: bytes) -> Callable[[Play], Pieces]:
    """The good answer, with something before or after it."""
    return lambda play: [*([before] if before else []), *play.good(), *after]


# ── cuts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def after_the_headers(play: Play) -> int:
    return 0


def between_events(play: Play) -> int:
    return play.middle_event()


def in_an_event(play: Play) -> int:
    return play.middle_event() + 30


def in_a_character(play: Play) -> int:
    return play.payload.index("你".encode()) + 1


def before_the_finish(play: Play) -> int:
    return play.finish()


def cut(where: Cut, how: bytes) -> Callable[[Play], Pieces]:
    """The answer up to there, in whole chunks or with the length that it should have had; then this happens."""

    def played(play: Play) -> Pieces:
        payload, at = play.payload, where(play)
        if play.stream:
            return [play.head(), *([chunk(payload[:at])] if at else []), how]
        return [play.head(framing=f"Content-Length: {len(payload)}") + payload[:at], how]

    return played


def in_a_chunk(how: bytes) -> Callable[[Play], Pieces]:
    def played(play: Play) -> Pieces:
        at = play.middle_event()
        return [play.head(), b"%x\r\n%s" % (len(play.payload), play.payload[:at]), how]

    return played


def without_last_chunk(how: bytes) -> Callable[[Play], Pieces]:
    return lambda play: [play.head(), chunk(play.payload), how]


# ── bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(status: str, body: bytes | None = None, *, kind: str = "application/json", extra: str = "") -> Any:
    """An error status; without a body, with the one that Copilot sends in such a case, more or less."""
    told = json.dumps({"error": {"message": "the test wants it", "code": "test"}}).encode() if body is None else body
    return lambda play: [play.sized(told, status=status, kind=kind, extra=extra)]


PAGE: Final = b"<!DOCTYPE html><html><head><title>Whoa there!</title></head><body>Unicorn</body></html>"


def broken_refusal(status: str, how: bytes) -> Any:
    """An error status whose body stalls or breaks off; then good answers."""

    def played(play: Play) -> Pieces:
        if play.number > 1:
            return play.good()
        return [play.head(framing="Content-Length: 100", status=status) + b'{"error": {"mess', how]

    return played


def once(spoilt: Callable[[Play], Pieces]) -> Callable[[Play], Pieces]:
    """The first call of a cell only."""
    return lambda play: spoilt(play) if play.number == 1 else play.good()


def body(text: bytes, **more: Any) -> Callable[[Play], Pieces]:
    """Another body than was asked for, rightly framed."""
    return lambda play: play.framed(*([text] if text else []), **more)


def replaced(old: bytes, new: bytes) -> Callable[[Play], Pieces]:
    def played(play: Play) -> Pieces:
        assert old in play.payload
        return play.framed(play.payload.replace(old, new, 1))

    return played


def events(change: Callable[[list[bytes], Play], list[bytes]]) -> Callable[[Play], Pieces]:
    """A stream made of other events than the good one's."""
    return lambda play: play.framed(*change(play.events, play))


def finish_index(given: list[bytes], play: Play) -> int:
    """Which of the events says how the answer ended."""
    at, index = play.finish(), 0
    while at > 0:
        at -= len(given[index])
        index += 1
    return index


def with_event_in_the_middle(event: bytes) -> Callable[[Play], Pieces]:
    return events(lambda given, play: [*given[: len(given) // 2], event, *given[len(given) // 2 :]])


def error_event(protocol: str) -> bytes:
    """An error inside the stream, in the form of the dialect."""
    if protocol == "chat":
        return b'data: {"error": {"message": "too many", "code": "rate_limited"}}\n\n'
    if protocol == "messages":
        told = '{"type": "error", "error": {"type": "rate_limit_error", "message": "too many"}}'
        return f"event: error\ndata: {told}\n\n".encode()
    told = '{"type": "error", "code": "rate_limit_exceeded", "message": "too many", "sequence_number": 99}'
    return f"event: error\ndata: {told}\n\n".encode()


def zipped(play: Play, packed: bytes | None = None, *, coding: str = "gzip") -> list[bytes]:
    packed = gzip.compress(play.payload) if packed is None else packed
    return play.framed(packed, extra=f"Content-Encoding: {coding}\r\n")


def dripping(text: bytes, every_s: float) -> Iterator[bytes]:
    """A byte at a time, then nothing more."""
    for byte in text:
        yield bytes([byte])
        time.sleep(every_s)
    yield STALL


HOWS: Final = {"closed": CLOSE, "reset": RESET}
