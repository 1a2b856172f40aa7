"""A streamed answer on its way from the upstream socket to the client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.converters.codec import Codec, Pump
from app.converters.crossing import Crossing
from app.errors import GatewayError
from app.logs import logger
from app.opening import Opening
from app.reply import Record
from app.upstream.client import UpstreamAnswer


class Answered(Protocol):
    """What gives the headers of an answer, and has to be closed."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A streamed answer of which the first event has come: the rest of its pieces, and what the first gave."""

    answer: Answered
    pump: Pump
    pieces: Iterator[bytes]
    first: bytes


def first_event(crossing: Crossing, answer: UpstreamAnswer, *, silence_s: float) -> Opened:
    """Wait for the first event of a stream.

    Raises: GatewayError when the stream fails before anything could be given out.
    """
    if answer.content_type == "application/json":  # some models cannot stream; the client gets what it asked for
        return Opened(answer, _Whole(), iter(()), crossing.whole_as_stream(answer.read()))
    pump = crossing.pump()
    pieces = answer.iter_bytes(silence_s=silence_s)
    out, seen = b"", b""
    for piece in pieces:
        out = pump.feed(piece)
        seen += piece
        if out or b"\n\n" in seen or b"\r\n\r\n" in seen:
            break
    else:
        out = pump.finish()
    if pump.error is not None and not pump.started:
        raise pump.error
    return Opened(answer, pump, pieces, out)


def pass_on(
    opening: Opening[Opened], client: Codec, crossing: Crossing, record: Record, *, keep_alive_s: float
) -> Iterator[bytes]:
    """From the upstream socket to the client: one piece out for each read, as soon as it has come."""
    pump: Pump | None = None
    try:
        while not opening.wait(keep_alive_s):
            yield client.keep_alive
        opened = opening.result()
        pump, pieces = opened.pump, opened.pieces
        # Whatever came is given out at once, and be it a comment: the status line leaves with the first bytes.
        yield opened.first or client.keep_alive
        while not pump.ended and (piece := next(pieces, None)) is not None:
            if out := pump.feed(piece) if piece else client.keep_alive:
                yield out
        if tail := pump.finish():
            yield tail
    except GatewayError as error:
        record.error = error.code
        yield (pump or crossing.pump()).fail(error)
    except Exception:
        # The last guard: the status line has long gone, so the client must learn of our bug in the stream.
        logger.exception("stream failed", extra={"fields": {"request_id": record.request_id}})
        record.error = "internal_error"
        yield (pump or crossing.pump()).fail(
            GatewayError("The bridge failed while passing the answer on. See its log.")
        )
    finally:
        if pump is not None:
            record.usage, record.finish_reason = pump.usage, pump.finish_reason
            if pump.error is not None:
                record.error = pump.error.code


class _Whole:
    """The pump of an answer that came whole: everything has been given out already."""

    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    ended = True
    started = True
    error: GatewayError | None = None

    def feed(self, data: bytes) -> bytes:
        return b""

    def finish(self) -> bytes:
        return b""

    def fail(self, error: GatewayError) -> bytes:
        return b""
