"""The table of faults: what upstream does, and which errors may come of it. The right answer always may."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.chaos.answers import MODELS, SHAPES, Shape, cities_of, text_of
from tests.chaos.said import Said
from tests.chaos.script import (
    HOWS,
    LAST_CHUNK,
    PAGE,
    Pieces,
    Play,
    after_the_headers,
    around,
    before_the_finish,
    between_events,
    body,
    broken_refusal,
    chunk,
    cut,
    dripping,
    error_event,
    events,
    finish_index,
    in_a_character,
    in_a_chunk,
    in_an_event,
    just,
    once,
    refused,
    replaced,
    with_event_in_the_middle,
    without_last_chunk,
    zipped,
)
from tests.support.raw_upstream import CLOSE, LINGER, RESET, STALL, RawUpstream, http

IN_STREAM: Final = "in the stream"
"""In the place of a status: the error is told by the stream, when the status has long gone."""
Errors = frozenset[int | str]


def _good(play: Play) -> Pieces:
    return play.good()


@dataclass(frozen=True, slots=True)
class Fault:
    """One row.

    play: what upstream writes in the place of the answer. whole, streamed: the statuses that may come of it, empty
    where only the right answer will do. texts: what may be told besides the right text, because upstream said it so;
    as_told: the same of more than the text.
    github: what GitHub and the model list answer, by path; None: as always. is_fresh: the bridge has neither token nor
    list. around: what else happens to upstream, meanwhile. modes: where it makes sense, whole (False) and streamed.
    lasts_s: for so long the bridge may go on saying so, when all is well again.
    """

    name: str
    play: Callable[[Play], Pieces]
    whole: Errors = frozenset()
    streamed: Errors = frozenset()
    shapes: tuple[Shape, ...] = ("text",)
    modes: tuple[bool, ...] = (False, True)
    texts: tuple[Callable[[str], str], ...] = ()
    as_told: Callable[[Said, str], bool] = lambda said, word: False
    github: Callable[[str], Any] | None = None
    is_fresh: bool = False
    is_slow: bool = False
    lasts_s: float = 0.0
    around: Callable[[RawUpstream], AbstractContextManager[object]] = field(default=contextlib.nullcontext)

    def allowed(self, stream: bool) -> Errors:
        return self.streamed if stream else self.whole


def _row(
    name: str,
    play: Callable[[Play], Pieces],
    *errors: int | str,
    streamed: Iterable[int | str] | None = None,
    **more: Any,
) -> Fault:
    """errors: of whole answers; streamed: of streams, the same unless they are named."""
    told = frozenset(errors)
    return Fault(name, play, told, told if streamed is None else frozenset(streamed), **more)


# ── connections ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _restarted(upstream: RawUpstream) -> AbstractContextManager[object]:
    with upstream.away():
        pass
    return contextlib.nullcontext()


def _if_kept(how: bytes) -> Callable[[Play], Pieces]:
    return lambda play: [how] if play.is_reused else play.good()


def _connections() -> Iterator[Fault]:
    yield _row("connection refused", _good, 502, around=RawUpstream.away)
    yield _row("upstream restarted since the last call", _good, around=_restarted)
    for name, how in HOWS.items():
        yield _row(f"{name} without an answer", just(how), 502)
        yield _row(f"{name} without an answer, once", once(just(how)))
        yield _row(f"kept connection {name} just as it is used", _if_kept(how))
        yield _row(f"{name} in the status line", just(b"HTTP/1.1 20", how), 502)
        yield _row(f"{name} in the headers", just(b"HTTP/1.1 200 OK\r\nContent-Ty", how), 502)
        yield _row(f"{name} after a good answer", around(b"", how))


_TORN: Final = (IN_STREAM, 502)


def _cuts() -> Iterator[Fault]:
    for name, how in HOWS.items():
        for where in (after_the_headers, between_events, in_an_event, in_a_character, before_the_finish):
            place = where.__name__.replace("_", " ")
            yield _row(f"{name} {place}", cut(where, how), 502, streamed=_TORN, shapes=SHAPES)
        yield _row(f"{name} in a chunk", in_a_chunk(how), 502, streamed=_TORN, shapes=SHAPES)
        yield _row(f"{name} where the last chunk should be", without_last_chunk(how), 502, streamed=(), shapes=SHAPES)


# ── framing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _half(play: Play) -> int:
    return -(len(play.payload) // 2)


def _lengths(*values: str) -> Callable[[Play], Pieces]:
    """Content-Length with these values in the place of it: "good", "half", or as they are."""

    def played(play: Play) -> Pieces:
        known = {"good": str(len(play.payload)), "half": str(len(play.payload) // 2)}
        lines = "\r\n".join(f"Content-Length: {known.get(value, value)}" for value in values)
        return [play.head(framing=lines) + play.payload, LINGER]

    return played


def _chunks(change: Callable[[list[bytes]], Iterable[bytes]], *more: bytes, extra: str = "") -> Any:
    """The chunks of a good answer, changed."""
    return lambda play: [play.head(extra=extra), *change([chunk(event) for event in play.events]), *more]


def _framing() -> Iterator[Fault]:
    yield _row(
        "length too large, then closed", lambda play: [play.sized(play.payload, off_by=50), CLOSE], 502, streamed=()
    )
    yield _row(
        "length too large, then silent",
        lambda play: [play.sized(play.payload, off_by=50), STALL],
        504,
        streamed=(),
        is_slow=True,
    )
    yield _row(
        "length too small", lambda play: [play.sized(play.payload, off_by=_half(play)), LINGER], 502, streamed=_TORN
    )
    yield _row("two lengths, the same", _lengths("good", "good"))
    yield _row("two lengths, the second half of it", _lengths("good", "half"), 502, streamed=_TORN)
    yield _row("two lengths, the first half of it", _lengths("half", "good"), 502, streamed=_TORN)
    yield _row("length no number", _lengths("many"), 502, streamed=_TORN)
    yield _row("length negative", _lengths("-5"), 502, streamed=_TORN)
    yield _row("length of twenty digits", _lengths("9" * 20), 502, 504, streamed=())
    yield _row(
        "chunked, and a length",
        lambda play: [
            play.head(extra="Content-Length: 7\r\n"),
            chunk(play.payload),
            LAST_CHUNK,
        ],
    )
    yield _row(
        "chunked twice", _chunks(lambda made: made, LAST_CHUNK, LINGER, extra="Transfer-Encoding: chunked\r\n"), 502
    )
    yield _row(
        "unknown transfer coding", lambda play: [play.head(framing="Transfer-Encoding: zip"), play.payload, CLOSE], 502
    )
    yield _row(
        "chunk size no number", _chunks(lambda made: [b"zz\r\n", *made], LAST_CHUNK, LINGER), 502, streamed=_TORN
    )
    yield _row("chunk size negative", _chunks(lambda made: [b"-5\r\n", *made], LAST_CHUNK, LINGER), 502, streamed=_TORN)
    yield _row(
        "chunk longer than told",
        lambda play: [play.head(), b"5\r\n" + play.payload + b"\r\n", LAST_CHUNK, LINGER],
        502,
        streamed=_TORN,
    )
    yield _row(
        "a chunk as large as the world",
        lambda play: [play.head(), b"ffffffffffffff\r\n", play.payload, CLOSE],
        502,
        streamed=(),
    )
    yield _row("chunks with extensions, and trailers", lambda play: [
        play.head(), chunk(play.payload).replace(b"\r\n", b";a=b\r\n", 1), b"0;c\r\nX-Trailer: a\r\nX-More: b\r\n\r\n"
    ])  # fmt: skip
    yield _row(
        "trailers without end",
        lambda play: [play.head(), chunk(play.payload), b"0\r\n" + b"a: b\r\n" * 20000, LINGER],
        502,
        streamed=_TORN,
    )
    yield _row(
        "no last chunk, and silence",
        lambda play: [play.head(), chunk(play.payload), STALL],
        504,
        streamed=(),
        is_slow=True,
    )
    yield _row("garbage after the last chunk", lambda play: [play.head(), chunk(play.payload), LAST_CHUNK + b"garbage"])
    yield _row(
        "a second answer after the first",
        lambda play: [play.sized(play.payload) + http(b'{"error": {"message": "not yours"}}', status="418 Teapot")],
    )
    yield _row("garbage before the status line", around(b"garbage\r\n", LINGER), 502)
    yield _row("empty lines before the status line", around(b"\r\n\r\n", LINGER), 502)
    yield _row("a status of letters", just(b"HTTP/1.1 abc OK\r\n\r\n", LINGER), 502)
    yield _row(
        "another version of HTTP", lambda play: [play.head(version="HTTP/7.3", framing=""), play.payload, CLOSE], 502
    )
    yield _row(
        "HTTP/1.0 without a length", lambda play: [play.head(version="HTTP/1.0", framing="") + play.payload, CLOSE]
    )
    yield _row(
        "HTTP/1.0 without a length, cut",
        lambda play: [play.head(version="HTTP/1.0", framing="") + play.payload[: play.middle_event() + 30], CLOSE],
        502,
        streamed=_TORN,
        shapes=SHAPES,
    )
    yield _row("no framing at all, then closed", lambda play: [play.head(framing="") + play.payload, CLOSE])
    yield _row("a byte at a time", lambda play: [bytes([byte]) for byte in b"".join(play.good())], shapes=SHAPES)


def _interims() -> Iterator[Fault]:
    for status in (100, 102, 103):
        interim = b"HTTP/1.1 %d Soon\r\nLink: </x>\r\n\r\n" % status
        yield _row(f"{status}, then the answer", around(interim))
        yield _row(f"{status} fifty times", around(interim * 50))

        def late(play: Play, interim: bytes = interim) -> Iterator[bytes]:
            yield interim
            time.sleep(0.2)
            yield from play.good()

        yield _row(f"{status}, the answer late", late)
    yield _row("101", just(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", LINGER), 502)
    yield _row("interim answers without end", lambda play: _flood(b"HTTP/1.1 100 Continue\r\n\r\n"), 502)


def _flood(piece: bytes, count: int = 3_000_000) -> Iterator[bytes]:
    """So many bytes, or until the other side has had enough."""
    for _ in range(0, count, 60_000):
        yield piece * (60_000 // len(piece))
    yield LINGER


# ── headers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _headers() -> Iterator[Fault]:
    def with_lines(lines: str) -> Any:
        return lambda play: [*play.framed(play.payload, extra=lines), LINGER]

    yield _row("headers without end", lambda play: _flood_headers(), 502)
    yield _row("200 headers", with_lines("X-Header: a\r\n" * 200), 502)
    yield _row("a header of 100 KB", with_lines("X-Header: " + "a" * 100_000 + "\r\n"), 502)
    yield _row("control characters in passed headers", with_lines("X-GitHub-Request-Id: a\x01b\x7f\x00\r\n"))
    yield _row("Latin-1 in passed headers", with_lines("X-GitHub-Request-Id: Zürich\xff\r\nx-quota-snapshot-ü: ä\r\n"))
    yield _row("a header without a colon", with_lines("nonsense\r\n"), 502)
    yield _row("a folded header", with_lines("X-Header: a\r\n  b\r\n"), 502)
    yield _row("a header without a name", with_lines(": a\r\n"), 502)
    yield _row(
        "odd headers of ours", with_lines("Connection: upgrade, \x01\r\nDate: yesterday\r\nSet-Cookie: \x00\r\n")
    )


def _flood_headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from _flood(b"X-Header: aaaa\r\n")


# ── bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _bodies() -> Iterator[Fault]:
    yield _row("gzip", lambda play: zipped(play))
    yield _row(
        "gzip, broken", lambda play: zipped(play, gzip.compress(play.payload)[:-40] + b"\xff" * 40), 502, streamed=_TORN
    )
    yield _row("gzip, cut", lambda play: zipped(play, gzip.compress(play.payload)[:-60]), 502, streamed=_TORN)
    yield _row("gzip that is none", lambda play: zipped(play, play.payload), 502)
    yield _row("an unknown content coding", lambda play: zipped(play, play.payload, coding="br"), 502)
    yield _row("a page with status 200", body(PAGE, kind="text/html"), 502)
    yield _row("a page that is called data", body(PAGE), 502)
    yield _row("labelled as plain text", lambda play: play.framed(play.payload, kind="text/plain"))
    yield _row("labelled as nothing", lambda play: play.framed(play.payload, kind=""))
    yield _row("whole for stream, and the other way round", _swapped, 502, shapes=SHAPES)
    for text in (b"", b"null", b"[]", b"42", b'"text"', b"{}", b"[[", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf"):
        yield _row(f"a body of {text!r}" if text else "an empty body", body(text), 502)
    yield _row("204", just(b"HTTP/1.1 204 No Content\r\n\r\n"), 502)
    yield _row("an error with status 200", body(b'{"error": {"message": "Sorry", "code": "rate_limited"}}'), 429)
    yield _row("brackets without end", body(b"[" * 100_000), 502)
    yield _row("a byte order mark first", lambda play: play.framed(b"\xef\xbb\xbf" + play.payload), 502)
    no_text = lambda word: text_of(word).replace("quite", "qu\ufffdite")  # noqa: E731
    yield _row("invalid UTF-8", replaced(b"quite", b"qu\xffite"), 502, streamed=_TORN, texts=(no_text,))
    half = lambda word: text_of(word).replace("quite", "qu\ud800ite")  # noqa: E731
    yield _row(
        "half a character, escaped", replaced(b"quite", b"qu\\ud800ite"), 502, streamed=_TORN, texts=(no_text, half)
    )
    nul = lambda word: text_of(word).replace("quite", "qu\0ite")  # noqa: E731
    yield _row("NUL, escaped", replaced(b"quite", b"qu\\u0000ite"), texts=(nul,))
    yield _row("NUL as it is", replaced(b"quite", b"qu\x00ite"), 502, streamed=_TORN, texts=(nul,))
    large = lambda word: text_of(word).replace("quite", "a" * 20_000_000)  # noqa: E731
    yield _row("20 MB in one piece", replaced(b"quite", b"a" * 20_000_000), texts=(large,))
    yield _row("more bytes than anybody reads", lambda play: _endless(play), 502, 503, 504, streamed=(*_TORN, 503, 504))


def _swapped(play: Play) -> Pieces:
    """A whole answer although a stream was asked for, and the other way round."""
    if play.stream:
        return [http(play.whole_payload)]
    return [play.head(kind="text/event-stream"), chunk(play.stream_payload), LAST_CHUNK]


def _endless(play: Play) -> Iterator[bytes]:
    yield play.head()
    if not play.stream:
        yield from _flood(chunk(b" " * 50_000), 70_000_000)
    yield from (chunk(event) for event in play.events[:3])
    yield chunk(b"data: ")
    yield from _flood(chunk(b" " * 50_000), 70_000_000)


# ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _doubled(where: Callable[[list[bytes], Play], int]) -> Any:
    def change(given: list[bytes], play: Play) -> list[bytes]:
        at = where(given, play)
        return [*given[: at + 1], *given[at:]]

    return events(change)


def _middle(given: list[bytes], play: Play) -> int:
    """Some event in the middle of the text."""
    return next(index for index, event in enumerate(given) if b"quite" in event and b"elta" in event)


def _last(given: list[bytes], play: Play) -> int:
    return len(given) - 1


def _told_twice(word: str) -> str:
    return text_of(word).replace(" quite", " quite quite")


def _events() -> Iterator[Fault]:
    of_streams: dict[str, Any] = {"modes": (True,), "shapes": SHAPES}
    torn = (IN_STREAM,)
    for name, where in (("first", lambda given, play: 0), ("finishing", finish_index), ("last", _last)):
        yield _row(f"the {name} event twice", _doubled(where), streamed=torn, **of_streams)
    yield _row("a delta of text twice", _doubled(_middle), streamed=torn, texts=(_told_twice,), **of_streams)
    yield _row("every event twice", events(lambda given, play: [event for event in given for _ in "ab"]),
               streamed=torn, texts=(_all_twice,), modes=(True,))  # fmt: skip
    yield _row("the first event missing", events(lambda given, play: given[1:]), streamed=_TORN, **of_streams)
    yield _row("the first event last", events(lambda given, play: [*given[1:], given[0]]), streamed=_TORN, **of_streams)
    yield _row("no finishing event, properly ended", events(_without_finish), streamed=torn, **of_streams)
    yield _row("no last event, properly ended", events(lambda given, play: given[:-1]), streamed=torn, **of_streams)
    yield _row(
        "events backwards",
        events(lambda given, play: given[::-1]),
        streamed=_TORN,
        texts=(lambda word: "",),
        modes=(True,),
    )
    yield _row("[DONE] first", events(lambda given, play: [b"data: [DONE]\n\n", *given]), streamed=_TORN, **of_streams)
    # In chat it is upstream's own word that the answer is complete.
    yield _row("[DONE] in the middle", with_event_in_the_middle(b"data: [DONE]\n\n"), streamed=_TORN, modes=(True,),
               as_told=lambda said, word: said.finish == "stop" and text_of(word).startswith(said.text))  # fmt: skip
    yield _row("[DONE] within a call", events(_done_in_call), streamed=torn, modes=(True,), shapes=("tools",))
    yield _row("[DONE] twice more", events(lambda given, play: [*given, *[b"data: [DONE]\n\n"] * 2]), **of_streams)
    yield _row(
        "the dialect's error in the middle",
        lambda play: with_event_in_the_middle(error_event(play.protocol))(play),
        streamed=torn,
        **of_streams,
    )
    yield _row(
        "the dialect's error first",
        lambda play: play.framed(error_event(play.protocol)),
        streamed=(429,),
        modes=(True,),
    )
    yield _row(
        "response.failed, or a bare error",
        lambda play: with_event_in_the_middle(_failed(play.protocol))(play),
        streamed=torn,
        **of_streams,
    )
    for text in (b"null", b"[]", b"7", b"{", b"\xff", b"{}"):
        yield _row(
            f"an event of {text!r} in the middle",
            with_event_in_the_middle(b"data: " + text + b"\n\n"),
            streamed=torn,
            **of_streams,
        )
    yield _row("unknown events and fields", with_event_in_the_middle(
        b": a comment\nretry: 5\nid: 7\nunknown: x\n\nevent: news\ndata: {\"type\": \"news\"}\n\n"), streamed=torn,
        **of_streams)  # fmt: skip
    yield _row("line ends of CR LF", lambda play: play.framed(play.payload.replace(b"\n", b"\r\n")), **of_streams)
    yield _row(
        "line ends of CR", lambda play: play.framed(play.payload.replace(b"\n", b"\r")), streamed=_TORN, **of_streams
    )
    yield _row(
        "no blank lines", lambda play: play.framed(play.payload.replace(b"\n\n", b"\n")), streamed=_TORN, **of_streams
    )
    yield _row(
        "no blank line at the end", lambda play: play.framed(play.payload.rstrip(b"\n")), streamed=torn, **of_streams
    )


def _all_twice(word: str) -> str:
    # The simulator speaks in words with the space before them.
    return "".join(one * 2 for one in re.findall(" (?=你)|你好| ?[^ 你好]+", text_of(word)))


def _without_finish(given: list[bytes], play: Play) -> list[bytes]:
    at = finish_index(given, play)
    return given[:at]


def _done_in_call(given: list[bytes], play: Play) -> list[bytes]:
    at = next(index for index, event in enumerate(given) if is_arguments_delta(event)) + 1
    return [*given[:at], b"data: [DONE]\n\n"]


def _failed(protocol: str) -> bytes:
    if protocol != "responses":
        return b'data: {"error": {"message": "Sorry", "code": "internal_error"}}\n\n'
    error = {"code": "server_error", "message": "Sorry"}
    response = {"id": "r", "object": "response", "status": "failed", "error": error, "output": [], "model": "m"}
    told = json.dumps({"type": "response.failed", "sequence_number": 50, "response": response})
    return f"event: response.failed\ndata: {told}\n\n".encode()


def _odd_answers() -> Iterator[Fault]:
    """Answers in the right form that say something odd."""
    yield _row("spread over two choices", _two_choices, shapes=SHAPES)
    yield _row("arguments of a call cut", _cut_arguments, 502, streamed=_TORN, shapes=("tools",), as_told=_are_cut)
    yield _row("deltas of parallel calls mixed", _mixed_calls, 502, streamed=_TORN, shapes=("tools",))
    yield _row("both calls with the same id", _same_ids, 502, streamed=_TORN, shapes=("tools",), as_told=_are_whole)


def _data_of(event: bytes) -> Any:
    told = next((line for line in event.split(b"\n") if line.startswith(b"data: ")), b"data: null")[6:]
    return None if told == b"[DONE]" else json.loads(told)


def _event_of(event: bytes, data: Any) -> bytes:
    """The same event with other data."""
    lines = [line for line in event.strip(b"\n").split(b"\n") if not line.startswith(b"data: ")]
    return b"\n".join([*lines, b"data: " + json.dumps(data, ensure_ascii=False).encode()]) + b"\n\n"


def _are_cut(said: Said, word: str) -> bool:
    """The call that upstream calls complete is seen to be cut: its arguments are no object, or not of its form."""
    cut_one, whole = (call[2].encode().decode("unicode_escape") for call in said.calls.values())
    return said.finish == "tools" and word in cut_one and "rich" not in cut_one and "Oslo" in whole


def _are_whole(said: Said, word: str) -> bool:
    cities = [json.loads(arguments)["city"] for _, _, arguments in said.calls.values()]
    return said.finish == "tools" and cities == cities_of(word, "tools")


def _two_choices(play: Play) -> Pieces:
    """The answer of one choice spread over two, as Claude does it (contract §6.3.3, §6.5.9): other protocols know
    none."""
    if play.protocol != "chat":
        return play.good()
    if not play.stream:
        told = json.loads(play.payload)
        message = told["choices"][0]["message"]
        calls = message.pop("tool_calls", None)
        more = {"tool_calls": calls} if calls else {"content": message["content"][20:]}
        message["content"] = message["content"] if calls else message["content"][:20]
        other = told["choices"][0] | {"index": 1, "message": {"role": "assistant", **more}}
        return play.framed(json.dumps(told | {"choices": [*told["choices"], other]}).encode())
    made = []
    for number, event in enumerate(play.events):
        data = _data_of(event)
        if number > 6 and data and data.get("choices") and not data["choices"][0]["finish_reason"]:
            event = _event_of(event, data | {"choices": [data["choices"][0] | {"index": 1}]})
        made.append(event)
    return play.framed(*made)


def _cut_arguments(play: Play) -> Pieces:
    """Without the end of the first call's arguments. A whole message has them as an object, which has no such end."""
    if not play.stream:
        return play.framed(play.payload.replace(' Zürich\\"}'.encode(), " Zür".encode()))
    return play.framed(*(event.replace(b'rich\\"}', b"") for event in play.events))


def _mixed_calls(play: Play) -> Pieces:
    """The deltas of the second call among those of the first; each says to which it belongs."""
    if not play.stream:
        return play.good()
    deltas = [event for event in play.events if is_arguments_delta(event)]
    first, second = deltas[: len(deltas) // 2], deltas[len(deltas) // 2 :]
    mixed = [event for pair in zip(first, second, strict=False) for event in pair]
    mixed += first[len(second) :] + second[len(first) :]
    rest = [event for event in play.events if not is_arguments_delta(event)]
    starts = [index for index, event in enumerate(rest) if b'"get_weather"' in event and b".done" not in event]
    at = starts[1] + 1 if len(starts) > 1 else len(rest)
    opened = rest[starts[0] + 1 : starts[1]]
    # Both are begun, then come the deltas of both, then both end.
    return play.framed(*rest[: starts[0] + 1], rest[starts[1]], *mixed, *opened, *rest[at:])


def is_arguments_delta(event: bytes) -> bool:
    return (
        any(
            mark in event
            for mark in (
                b'"input_json_delta"',
                b'"function":{"arguments":"',
                b"event: response.function_call_arguments.delta",
            )
        )
        and b'"name":"get_weather"' not in event
    )


def _same_ids(play: Play) -> Pieces:
    ids = list(dict.fromkeys(re.findall(rb'"(call_\w+|toolu_\w+)"', play.payload)))
    return play.framed(play.payload.replace(ids[-1], ids[0]))


# ── statuses ────────────────────────────────────────────────────────────────────────────────────────────────────────

_STATUSES: Final = {
    "400 Bad Request": (400,), "403 Forbidden": (403,), "404 Not Found": (404,), "408 Request Timeout": (408,),
    "409 Conflict": (409,), "413 Too Large": (413,), "422 Unprocessable": (400, 422), "429 Too Many": (429,),
    "451 Legal": (451,), "500 Error": (502,), "502 Bad Gateway": (502,), "503 Unavailable": (503, 529),
    "504 Timeout": (502,), "529 Overloaded": (503, 529), "599 Strange": (502,), "301 Moved": (502,),
    "302 Found": (502,), "307 Temporary": (502,), "304 Not Modified": (502,), "300 Choices": (502,),
}  # fmt: skip


def _statuses() -> Iterator[Fault]:
    for status, errors in _STATUSES.items():
        extra = "Location: http://127.0.0.1:9/elsewhere\r\n" if status.startswith("30") else ""
        yield _row(f"{status}, JSON", refused(status, extra=extra), *errors)
        yield _row(f"{status}, a page", refused(status, PAGE, kind="text/html", extra=extra), *errors, 502)
        yield _row(f"{status}, empty", refused(status, b"", extra=extra), *errors)
    for status in ("408 Request Timeout", "500 Error", "502 Bad Gateway", "504 Timeout"):
        yield _row(f"{status}, once", once(refused(status)))
    yield _row("429 with Retry-After", refused("429 Slow", extra="Retry-After: 7\r\n"), 429)
    yield _row("429 with an odd Retry-After", refused("429 Slow", extra="Retry-After: 1e9\x01\xff\r\n"), 429)
    for status, error in (("401 Unauthorized", 401), ("421 Misdirected", 502), ("403 Forbidden", 403)):
        text = b"forbidden" if error == 403 else None
        yield _row(f"{status}, once", once(refused(status, text)))
        yield _row(f"{status}, always", refused(status, text), error)
    for status in ("401 Unauthorized", "421 Misdirected"):
        yield _row(f"{status}, its body stalls", broken_refusal(status, STALL), is_slow=True)
        for name, how in HOWS.items():
            yield _row(f"{status}, its body {name}", broken_refusal(status, how))
    for status, errors in (("400 Bad", (400,)), ("429 Slow", (429,)), ("404 Not Found", (404,)), ("500 Error", (502,))):
        for name, how in {**HOWS, "stalls": STALL}.items():
            answer = [f"HTTP/1.1 {status}\r\nContent-Length: 99\r\n\r\n".encode() + b'{"e', how]
            # What cannot be read cannot be told: the status at least is, or that it broke off.
            yield _row(
                f"{status}, its body {name}",
                just(*answer),
                *errors,
                502,
                504,
                is_slow=how is STALL,
            )


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _stalls() -> Iterator[Fault]:
    slow: dict[str, Any] = {"is_slow": True}
    late = (IN_STREAM, 504)
    yield _row("silent before the headers", just(STALL), 504, **slow)
    yield _row("silent in the headers", just(b"HTTP/1.1 200 OK\r\nContent-T", STALL), 504, **slow)
    for where in (after_the_headers, between_events, in_an_event, in_a_character, before_the_finish):
        place = where.__name__.replace("_", " ")
        yield _row(f"silent {place}", cut(where, STALL), 504, streamed=late, shapes=SHAPES, **slow)
    yield _row("headers that drip", lambda play: dripping(play.head()[:30], 0.1), 504, **slow)
    yield _row("a body that drips", lambda play: _drip_body(play), 504, streamed=late, **slow)
    yield _row(
        "comments or spaces without end", lambda play: _go_on(play, b": still here\n\n"), 504, streamed=late, **slow
    )
    yield _row("words without end", lambda play: _go_on(play, None), 504, streamed=late, **slow)
    yield _row("headers that trickle without end", lambda play: _trickled_headers(), 504, 502, **slow)


def _drip_body(play: Play) -> Iterator[bytes]:
    yield play.head(framing="")
    at = play.middle_event()
    yield play.payload[:at]
    yield from dripping(play.payload[at : at + 80], 0.1)


def _go_on(play: Play, event: bytes | None) -> Iterator[bytes]:
    """An answer that goes on for ever, a piece now and then: of a stream these events, or its own words again."""
    yield play.head()
    if not play.stream:
        event = b" "
    else:
        given = play.events
        middle = _middle(given, play)
        yield from (chunk(one) for one in given[:middle])
        event = event or given[middle]
    while True:
        yield chunk(event)
        time.sleep(0.05)


def _trickled_headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(200):
        yield b"X-Header-%d: a\r\n" % number
        time.sleep(0.05)
    yield LINGER


# ── GitHub, and the model list ──────────────────────────────────────────────────────────────────────────────────────

_TOKEN, _MODELS = "/copilot_internal/v2/token", "/models"
_NO_PLAN: Final = b'{"message": "no", "error_details": {"notification_id": "not_signed_up"}}'
_LIMITED: Final = b'{"message": "API rate limit exceeded"}'
_EXCHANGES: Final[dict[str, tuple[Any, tuple[int, ...]]]] = {
    "refuses the token": (http(b'{"message": "Bad credentials"}', status="401 Unauthorized"), (401, 403)),
    "has no plan": (http(_NO_PLAN, status="403 No"), (403,)),
    "limits the rate": (http(_LIMITED, status="403 No", extra="Retry-After: 1\r\n"), (429,)),
    "is broken": (http(b"oops", status="500 Error"), (502,)),
    "is unavailable": (http(PAGE, status="503 Unavailable", kind="text/html"), (502,)),
    "answers with a page": (http(PAGE, kind="text/html"), (502,)),
    "answers null": (http(b"null"), (502,)),
    "answers odd fields": (http(b'{"token": 7, "expires_at": "soon", "refresh_in": []}'), (502,)),
    "hangs up": ([CLOSE], (502,)),
    "resets": ([RESET], (502,)),
    "breaks off": ([http(b'{"token": "tid=test"}')[:-9], CLOSE], (502,)),
    "is silent": ([STALL], (504,)),
    "stalls in its answer": ([http(b'{"token": "tid=test"}')[:-9], STALL], (504,)),
}  # fmt: skip
_ODD_HEADERS: Final = {
    "request_headers": {
        "X-Bad": "a\r\nb: c", "Content-Length": "5", "Transfer-Encoding": "chunked", "Host": "elsewhere", "X\nY": "a",
        "Ünï": "x", "X-Null": None, "X-Snow": "☃", "Expect": "100-continue", "X-Good": "1",
    },
}  # fmt: skip
_LISTS: Final[dict[str, Any]] = {
    "is refused": http(b'{"message": "no"}', status="400 Bad"),
    "fails": http(b"oops", status="503 Unavailable"),
    "is a page": http(PAGE, kind="text/html"),
    "is null": http(b"null"),
    "is no list": http(b'{"data": {"a": [1, null, {"id": 7}]}}'),
    "is empty": http(b'{"data": []}'),
    "wants odd headers": http(json.dumps({"data": [model | _ODD_HEADERS for model in MODELS]}).encode()),
    "breaks off": [http(b'{"data": []}')[:-2], CLOSE],
    "is silent": [STALL],
}  # fmt: skip


def _github() -> Iterator[Fault]:
    for name, (answer, errors) in _EXCHANGES.items():
        given: dict[str, Any] = {
            "github": _only(_TOKEN, answer),
            "is_slow": STALL in answer if isinstance(answer, list) else False,
            # An account that is refused is not asked for again at once.
            "lasts_s": 4.0 if name in ("refuses the token", "has no plan") else 0.0,
        }
        yield _row(f"GitHub {name}, for the first token", _good, *errors, is_fresh=True, **given)
        yield _row(
            f"GitHub {name}, when Copilot refuses the token", once(refused("401 Unauthorized")), *errors, **given
        )
    for name, answer in _LISTS.items():
        # A model that nobody knows is called all the same, in the client's dialect; or it is not in the list.
        is_slow = isinstance(answer, list) and STALL in answer
        errors = (404,) if name in ("is empty", "is no list") else ()
        yield _row(
            f"the model list {name}", _good, *errors, is_fresh=True, github=_only(_MODELS, answer), is_slow=is_slow
        )


def _only(path: str, answer: Any) -> Callable[[str], Any]:
    return lambda asked: answer if asked == path else None


FAULTS: Final = tuple(
    fault
    for group in (
        _connections, _cuts, _framing, _interims, _headers, _bodies, _events, _odd_answers, _statuses, _stalls, _github
    )
    for fault in group()
)  # fmt: skip


_ANY: Final = frozenset({IN_STREAM, *range(400, 600)}) - {500}


def pair(first: Fault, then: Fault, *, stream: bool) -> Fault:
    """The first call of a cell meets one fault, and whatever calls follow it the other; any proper error will do."""
    plays = [fault.play if stream in fault.modes else _good for fault in (first, then)]
    shapes = tuple(shape for shape in SHAPES if shape in first.shapes and shape in then.shapes)
    return replace(
        first,
        name=f"{first.name}; then {then.name}",
        play=lambda play: plays[play.number > 1](play),
        whole=_ANY,
        streamed=_ANY,
        shapes=shapes,
        modes=(stream,),
        texts=first.texts + then.texts,
        as_told=lambda said, word: first.as_told(said, word) or then.as_told(said, word),
        github=first.github or then.github,
        is_fresh=first.is_fresh or then.is_fresh,
        is_slow=False,
    )
