"""A streamed answer on its way from the upstream socket to the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.background_call import BackgroundCall
from app.converters.codec import ClientCodec, StreamTransformer
from app.converters.exchange import Exchange
from app.converters.neutral.outcome import Outcome
from app.converters.wire import json_bytes, sse
from app.copier import HURRY_BYTES, Passage
from app.errors import CLIENT_GONE, ClientGone, GatewayError
from app.http_body import Lookout
from app.logs import logger
from app.reply import Record
from app.upstream.client import UpstreamAnswer


class Answered(Protocol):
    """What gives the headers of an answer, and has to be closed."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    def finish(self, heard: Callable[[bytes], object] = ..., over: Callable[[], None] = ...) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A streamed answer of which the first event has come: the rest of its pieces, and what the first gave."""

    answer: Answered
    transformer: StreamTransformer
    pieces: Iterator[bytes]
    first: bytes
    lookout: Callable[[], Lookout | None] = lambda: None


def first_event(exchange: Exchange, answer: UpstreamAnswer, *, silence_s: float) -> Opened:
    """Wait for the first event of a stream.

    Raises: GatewayError when the stream fails before anything could be given out.
    """
    if answer.content_type == "application/json":  # some models cannot stream; the client gets what it asked for
        return Opened(answer, _Whole(), iter(()), exchange.whole_as_stream(answer.read()))
    transformer = exchange.transformer()
    pieces = answer.iter_bytes(silence_s=silence_s)
    out, seen = b"", b""
    for piece in pieces:
        out = transformer.feed(piece)
        seen += piece
        if out or b"\n\n" in seen or b"\r\n\r\n" in seen:
            break
        seen = seen[-3:]  # a blank line may be cut; more of an event without end would be searched again and again
    else:
        out = transformer.finish()
    if transformer.error is not None and not transformer.started:
        raise transformer.error
    return Opened(answer, transformer, pieces, out, pieces.lookout)


def pass_on(
    background: BackgroundCall[Opened],
    client: ClientCodec,
    exchange: Exchange,
    record: Record,
    passage: Passage,
    *,
    keep_alive_s: float,
    at_end: Callable[[bytes], bytes] | None = None,
) -> Iterator[bytes]:
    """From the upstream socket to the client: one piece out for each read, as soon as it has come.

    at_end: gets the bytes that end the answer before the client does, and gives those for the client.
    """
    transformer: StreamTransformer | None = None
    try:
        while not background.wait(keep_alive_s):
            yield client.keep_alive
        opened = background.result()
        transformer, pieces = opened.transformer, opened.pieces
        # Whatever came is given out at once, and be it a comment: the status line leaves with the first bytes.
        out = opened.first or client.keep_alive
        is_in_a_hurry = len(out) >= HURRY_BYTES
        while not transformer.ended:
            if out:
                yield out
            out = b"" if is_in_a_hurry else _copy(opened, passage)
            if transformer.ended or (piece := next(pieces, None)) is None:
                break
            out = transformer.feed(piece) if piece else client.keep_alive
            is_in_a_hurry = len(piece) >= HURRY_BYTES
        if out := _ending(opened, exchange, out, record, at_end):
            yield out
    except GatewayError as error:
        record.error = error.code
        yield (transformer or exchange.transformer()).fail(error)
    except (GeneratorExit, ClientGone):
        record.error = CLIENT_GONE
        raise
    except Exception:
        # The last guard: the status line has long gone, so the client must learn of our bug in the stream.
        logger.exception("stream failed", extra={"fields": {"request_id": record.request_id}})
        record.error = "internal_error"
        yield (transformer or exchange.transformer()).fail(
            GatewayError("The bridge failed while passing the answer on. See its log.")
        )
    finally:
        if transformer is not None:
            _note(exchange, transformer, record)


def _note(exchange: Exchange, transformer: StreamTransformer, record: Record) -> None:
    """For the books, what an answer came to, however it ended."""
    record.note(exchange.outcome(None if isinstance(transformer, _Whole) else transformer))
    if transformer.error is not None:
        record.error = transformer.error.code


def _ending(
    opened: Opened, exchange: Exchange, last: bytes, record: Record, at_end: Callable[[bytes], bytes] | None
) -> bytes:
    """What ends an answer, for the client. last: the last that its transformer has given."""
    transformer, out = opened.transformer, last
    if transformer.is_cut:
        _read_on(opened, exchange, record)
    else:
        if transformer.ended:
            opened.answer.finish()
        out += transformer.finish()
    return at_end(out) if at_end is not None and out else out


def _read_on(opened: Opened, exchange: Exchange, record: Record) -> None:
    """Learn, for the books, what an answer comes to that was ended here. The client does not wait for it."""

    def over() -> None:
        _note(exchange, opened.transformer, record)
        record.is_read_on = False

    record.is_read_on = True
    opened.answer.finish(opened.transformer.feed, over)


def _copy(opened: Opened, passage: Passage) -> bytes:
    """The short way: let the server copy what comes, for as long as nothing happens that is told above. Returns what is
    left to be given out.

    Raises: ClientGone, and what is thrown into whoever waits for a piece.
    """
    copier, transformer = passage.copier, opened.transformer
    if copier is not None and not transformer.ended and (lookout := opened.lookout()) is not None:
        return copier.copy(lookout, transformer.feed, lambda: transformer.ended)
    return b""


class Reader(Protocol):
    """Looks at the bytes of a stream that passes as it is."""

    outcome: Outcome

    @property
    def is_between_events(self) -> bool: ...
    def feed(self, piece: bytes) -> None: ...


def pass_bytes(answer: UpstreamAnswer, reader: Reader, record: Record, *, keep_alive_s: float) -> Iterator[bytes]:
    """A stream as it comes, of an endpoint that is not converted; an error inside it is told in OpenAI's form."""
    try:
        for piece in answer.iter_bytes(silence_s=keep_alive_s):
            reader.feed(piece)
            if piece:
                yield piece
            elif reader.is_between_events:
                yield b": keep-alive\n\n"
        answer.finish()
    except GatewayError as error:
        record.error = error.code
        yield sse.frame(json_bytes.dumps({"type": "error", "error": {"message": error.message, "code": error.code}}))
    except (GeneratorExit, ClientGone):
        record.error = CLIENT_GONE
        raise
    finally:
        record.note(reader.outcome)
        answer.close()


class _Whole:
    """The transformer of an answer that came whole: everything has been given out already."""

    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    account: dict[str, Any] | None = None
    ended = True
    started = True
    is_cut = False
    error: GatewayError | None = None

    def feed(self, _data: bytes) -> bytes:
        return b""

    def finish(self) -> bytes:
        return b""

    def fail(self, _error: GatewayError) -> bytes:
        return b""
