"""Damaged streams and answers get one verdict: natively and converted, streamed and whole, wherever the bytes are cut.

A verdict is what the client is told: its answer, or one error with one status, one code and one message.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from app.errors import GatewayError
from tests.support.exchanges import PROTOCOLS, answer_of, answering, request_of, stream_of, streamed, whole
from tests.support.rows import rows

Damage = Callable[[list[bytes]], bytes]
"""Frames of a good stream, without their blank lines → the bytes that come instead."""

LIMITED = b'{"error":{"message":"slow down","code":"rate_limited"}}'
PAGE = b"<!DOCTYPE html>\n<html><head>\n<title>Unicorn!</title>\n</head><body>x</body></html>\n"

each_upstream = pytest.mark.parametrize("upstream", PROTOCOLS)
each_client = pytest.mark.parametrize("client", PROTOCOLS)


def joined(frames: list[bytes], between: bytes = b"\n\n") -> bytes:
    return between.join(frames) + between


def lines_of(frames: list[bytes], change: Callable[[bytes], bytes]) -> bytes:
    return joined([b"\n".join(change(line) for line in frame.split(b"\n")) for frame in frames])


def over_several_lines(line: bytes) -> bytes:
    if not line.startswith(b"data: {"):
        return line
    text = json.dumps(json.loads(line[6:]), indent=1, ensure_ascii=False).encode()
    return b"\n".join(b"data: " + part for part in text.split(b"\n"))


def without_names(line: bytes) -> bytes:
    return b"id: 1" if line.startswith(b"event:") else line


def misnamed(line: bytes) -> bytes:
    return line.replace(b"event: ", b"event: x") if line.startswith(b"event:") else b"event: x\n" + line


def without_types(line: bytes) -> bytes:
    if not line.startswith(b"data: {"):
        return line
    event = json.loads(line[6:])
    event.pop("type", None)
    return b"data: " + json.dumps(event).encode()


def inserted(piece: bytes, at: int = 4) -> Damage:
    return lambda frames: joined(frames[:at]) + piece + joined(frames[at:])


def instead(piece: bytes) -> Damage:
    return lambda frames: piece


def torn(frames: list[bytes], between: bytes = b"\n\n") -> bytes:
    return joined([*frames[:3], frames[3][:-9], *frames[4:]], between)


READ: dict[str, Damage] = {
    "untouched": joined,
    "line ends are CRLF": lambda frames: joined(frames).replace(b"\n", b"\r\n"),
    "line ends are CR": lambda frames: joined(frames).replace(b"\n", b"\r"),
    "line ends are mixed": lambda frames: joined(frames[:3], b"\r\n\n") + joined(frames[3:], b"\r\r\n"),
    "a byte order mark": lambda frames: b"\xef\xbb\xbf" + joined(frames),
    "single line breaks": lambda frames: joined(frames, b"\n"),
    "single breaks, CRLF": lambda frames: joined(frames, b"\n").replace(b"\n", b"\r\n"),
    "single breaks, no names": lambda frames: lines_of(frames, without_names).replace(b"\n\n", b"\n"),
    "many blank lines": lambda frames: b"\n\n\n" + joined(frames, b"\n\n\n\n"),
    "no blank behind the colon": lambda frames: lines_of(frames, lambda line: line.replace(b": ", b":", 1)),
    "several blanks behind it": lambda frames: lines_of(frames, lambda line: line.replace(b"data: ", b"data:  \t")),
    "comments between": lambda frames: joined([b": alive", *frames], b"\n\n:\n\n: alive\n\n"),
    "comments inside": lambda frames: lines_of(frames, lambda line: b": alive\n" + line),
    "ids and times": lambda frames: lines_of(frames, lambda line: b"id: 7\nretry: 1000\n" + line),
    "unknown fields": lambda frames: lines_of(frames, lambda line: line + b"\nx-trace: 7"),
    "empty events": lambda frames: joined(frames, b"\n\ndata:\n\ndata: \n\n"),
    "nameless events": lambda frames: lines_of(frames, without_names),
    "names that say otherwise": lambda frames: lines_of(frames, misnamed),
    "names in place of types": lambda frames: lines_of(frames, without_types),
    "data in several lines": lambda frames: lines_of(frames, over_several_lines),
    "no last blank line": lambda frames: joined(frames)[:-1],
    "no last line end": lambda frames: joined(frames)[:-2],
    "no [DONE]": lambda frames: joined(frames[:-1]),
    "no [DONE], no last line end": lambda frames: joined(frames[:-1])[:-2],
    "[DONE] twice": lambda frames: joined([*frames, frames[-1]]),
    "half of [DONE]": lambda frames: joined(frames)[:-7],
    "garbage behind the end": lambda frames: joined(frames) + b"data: {torn\n\n" + LIMITED + PAGE + b"\x00\xff",
    "an error behind the end": lambda frames: joined([*frames, b"data: " + LIMITED]),
    "an empty error object": lambda frames: lines_of(
        frames, lambda line: line.replace(b"data: {", b'data: {"error":{"code":"","message":""},', 1)
    ),
}
"""All of the answer has come."""

FAILED: dict[str, tuple[int, str, Damage]] = {
    "nothing": (502, "Connection lost", instead(b"")),
    "blank lines": (502, "Connection lost", instead(b"\n\r\n\n")),
    "a comment": (502, "Connection lost", instead(b": alive\n\n")),
    "an empty event": (502, "Connection lost", instead(b"data:\n\n")),
    "words": (
        502,
        'It said: "upstream connect error or disconnect"',
        instead(b"upstream connect error or disconnect\n"),
    ),
    "words and no line end": (502, 'It said: "upstream connect error"', instead(b"upstream connect error")),
    "words inside": (502, 'It said: "stream closed"', lambda frames: joined(frames[:4]) + b"stream closed\n"),
    "cut between events": (502, "Connection lost", lambda frames: joined(frames[:4])),
    "cut inside an event": (502, "Connection lost", lambda frames: joined(frames[:4]) + b'data: {"type":"conte'),
    "cut inside a name": (502, "Connection lost", lambda frames: joined(frames[:4]) + b"event: resp"),
    "cut behind a name": (502, "Connection lost", lambda frames: joined(frames[:4]) + b"event: response.created\n"),
    "a bare error": (429, "slow down", instead(LIMITED)),
    "a bare error, line end": (429, "slow down", instead(LIMITED + b"\n")),
    "a bare error, blank line": (429, "slow down", instead(LIMITED + b"\n\n")),
    "a bare error, CR": (429, "slow down", instead(LIMITED + b"\r")),
    "a bare error, mark": (429, "slow down", instead(b"\xef\xbb\xbf" + LIMITED)),
    "a bare error in several lines": (429, "slow down", instead(json.dumps(json.loads(LIMITED), indent=2).encode())),
    "a bare error without envelope": (429, "slow down", instead(b'{"message":"slow down","code":"rate_limited"}\n')),
    "a bare error whose name says so": (429, "slow down", instead(b"event: error\ndata: " + LIMITED + b"\n\n")),
    "an error of Anthropic's": (
        429,
        "slow down",
        instead(b'data: {"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}\n\n'),
    ),
    "an error of OpenAI's events": (
        429,
        "slow down",
        instead(b'event: error\ndata: {"type":"error","code":"rate_limited","message":"slow down","param":null}\n\n'),
    ),
    "an error that is a word": (502, "slow down", instead(b'data: {"error":"slow down"}\n\n')),
    "an error inside": (429, "slow down", inserted(b"data: " + LIMITED + b"\n\n")),
    "a bare error inside": (429, "slow down", inserted(LIMITED + b"\n")),
    "an error after a torn name": (429, "slow down", inserted(b"event: content_block\n" + LIMITED + b"\n\n")),
    "a page": (502, 'HTML page titled "Unicorn!"', instead(PAGE)),
    "a page in one line": (502, 'HTML page titled "Unicorn!"', instead(PAGE.replace(b"\n", b""))),
    "a page with blanks before": (502, 'HTML page titled "Unicorn!"', instead(b"\n  \n" + PAGE)),
    "a page without title": (502, "an HTML page instead", instead(b"<html><body>Bad gateway</body></html>")),
    "a page inside": (502, "HTML page", inserted(PAGE)),
    "a page as data": (502, 'HTML page titled "Unicorn!"', instead(b"data: " + PAGE.replace(b"\n", b"") + b"\n\n")),
    "torn": (502, "torn piece of JSON", torn),
    "torn, single breaks": (502, "torn piece of JSON", lambda frames: torn(frames, b"\n")),
    "torn, no names": (502, "torn piece of JSON", lambda frames: lines_of([torn(frames)], without_names)),
    "text as data": (502, "torn piece of JSON", inserted(b"data: oops\n\n")),
    "a JSON string as data": (502, "torn piece of JSON", inserted(b'data: "oops"\n\n')),
    "a JSON list as data": (502, "torn piece of JSON", inserted(b"data: [1]\n\n")),
    "a JSON number as data": (502, "torn piece of JSON", inserted(b"data: 5\n\n")),
    "garbage behind the JSON": (502, "torn piece of JSON", inserted(b"data: {}}\n\n")),
    "[DONE] inside an event": (502, "torn piece of JSON", inserted(b'data: {"a":\ndata: [DONE]\n\n')),
}
"""The client is told what has happened: status, words."""

OF_ONE: dict[str, tuple[dict[str, int], Damage]] = {
    "[DONE] at once": ({"chat": 502, "messages": 502, "responses": 502}, instead(b"data: [DONE]\n\n")),
    # A chat answer has no other end mark; what it lacks besides is made up for.
    "[DONE] early": (
        {"chat": 200, "messages": 502, "responses": 502},
        lambda frames: joined([*frames[:4], frames[-1]]),
    ),
    "[DONE] early, then more": (
        {"chat": 200, "messages": 502, "responses": 502},
        lambda frames: joined([*frames[:4], frames[-1], *frames[4:]]),
    ),
}
"""Where the protocols differ: upstream's protocol → status."""


@cache
def frames_of(upstream: str) -> tuple[bytes, ...]:
    frames = [frame for frame in stream_of(upstream, "text").split(b"\n\n") if frame.strip()]
    return tuple(frames if frames[-1] == b"data: [DONE]" else [*frames, b"data: [DONE]"])


def texts_in(value: Any) -> str:
    """All text that a client's stream tells in deltas, whatever its protocol."""
    out = []
    for line in value.split(b"\n"):
        if line.startswith(b"data: {"):
            event = json.loads(line[6:])
            delta = event.get("delta")
            choices = event.get("choices") or [{}]
            found = delta if isinstance(delta, str) else (delta or {}).get("text")
            out.append(found or (choices[0].get("delta") or {}).get("content") or "")
    return "".join(out)


def verdict(client: str, upstream: str, raw: bytes, step: int = 0) -> tuple[Any, ...]:
    """What a client learns of that stream: (200, text), or status, code and message of the error."""
    exchange = answering(client, upstream, streamed(client, request_of(client, "text")))
    transformer = exchange.transformer()
    pieces = [raw[at : at + step] for at in range(0, len(raw), step)] if step else [raw]
    out = b"".join(transformer.feed(piece) for piece in pieces) + transformer.finish()
    assert transformer.ended
    out.decode("utf-8")
    assert transformer.feed(b"data: {}\n\n") == transformer.finish() == b""
    if transformer.error is not None:
        return transformer.error.status, transformer.error.code, transformer.error.message
    return 200, texts_in(out)


@rows("client", "upstream")
@each_upstream
@each_client
@pytest.mark.parametrize("damage", READ)
def test_what_can_be_read_is_read(client: str, upstream: str, damage: str) -> None:
    frames = list(frames_of(upstream))
    raw = READ[damage](frames)
    told = verdict(client, upstream, joined(frames))
    assert told[0] == 200
    assert len(told[1]) > 5
    assert verdict(client, upstream, raw) == told
    assert verdict(client, upstream, raw, 1) == told


@rows("client", "upstream")
@each_upstream
@each_client
@pytest.mark.parametrize("damage", FAILED)
def test_what_cannot_be_read_is_told_as_what_it_is(client: str, upstream: str, damage: str) -> None:
    status, words, change = FAILED[damage]
    raw = change(list(frames_of(upstream)))
    told = verdict(client, upstream, raw)
    assert told[0] == status
    assert words in told[2]
    assert told == verdict(upstream, upstream, raw)
    assert verdict(client, upstream, raw, 1) == told


@rows("client", "upstream")
@each_upstream
@each_client
@pytest.mark.parametrize("damage", OF_ONE)
def test_an_early_end_mark_is_judged_alike_by_all_clients(client: str, upstream: str, damage: str) -> None:
    statuses, change = OF_ONE[damage]
    raw = change(list(frames_of(upstream)))
    told = verdict(client, upstream, raw)
    assert told[0] == statuses[upstream]
    assert told == verdict(upstream, upstream, raw)
    assert verdict(client, upstream, raw, 1) == told


@rows("client", "upstream")
@each_upstream
@each_client
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (b"a\xffb", "a\ufffdb"),
        (b"\xf0\x9f\x91", "\ufffd"),
        (b"caf\xc3\xa9 \xf0\x9f\x91\x8b", "café 👋"),
        (b"\xed\xa0\xbd", "\ufffd\ufffd\ufffd"),
        (b"bell\x07 and null\x00", "bell\x07 and null\x00"),
        (b"a raw\ttab", "a raw\ttab"),
        (b"line\xe2\x80\xa8separator", "line\u2028separator"),
    ],
)
def test_bytes_that_are_no_text_become_text(client: str, upstream: str, given: bytes, shown: str) -> None:
    """SDKs raise on invalid UTF-8 and on raw control characters; in each delta, for fast paths learn from the first."""
    frames = list(frames_of(upstream))
    words = {"chat": b"there", "messages": b"Hello", "responses": b", friend"}[upstream]
    at = next(at for at, frame in enumerate(frames) if words in frame and b"delta" in frame)
    plain, odd = frames[at], frames[at].replace(words, given, 1)
    raw = joined([*frames[: at + 1], plain, odd, plain, odd, *frames[at + 1 :]])
    for step in (0, 1, 7):
        status, text = verdict(client, upstream, raw, step)
        assert status == 200
        assert text.count(shown) == 2


def judged(client: str, upstream: str, content: bytes, *, stream: bool) -> tuple[Any, ...]:
    body = request_of(client, "text")
    exchange = answering(client, upstream, streamed(client, body) if stream else whole(body))
    try:
        (exchange.whole_as_stream if stream else exchange.whole)(content).decode("utf-8")
    except GatewayError as error:
        return error.status, error.code, error.message
    return (200,)


WHOLE: dict[str, tuple[int, str, Callable[[bytes], bytes]]] = {
    "untouched": (200, "", lambda body: body),
    "a byte order mark": (200, "", lambda body: b"\xef\xbb\xbf" + body),
    "blanks around": (200, "", lambda body: b" \r\n" + body + b"\r\n\n"),
    "invalid UTF-8": (200, "", lambda body: body.replace(b"Hello", b"H\xffllo")),
    "a raw control character": (200, "", lambda body: body.replace(b"Hello", b"H\x01llo")),
    "an empty error object": (200, "", lambda body: body.replace(b"{", b'{"error":{"code":"","message":""},', 1)),
    "nothing": (502, "torn or no JSON", lambda body: b""),
    "blanks": (502, "torn or no JSON", lambda body: b" \n"),
    "torn": (502, "torn or no JSON", lambda body: body[:-9]),
    "garbage behind": (502, "torn or no JSON", lambda body: body + b"}"),
    "words": (502, "torn or no JSON", lambda body: b"upstream connect error"),
    "a list": (502, "not a JSON object", lambda body: b"[" + body + b"]"),
    "a string": (502, "not a JSON object", lambda body: b'"oops"'),
    "null": (502, "not a JSON object", lambda body: b"null"),
    "a page": (502, 'HTML page titled "Unicorn!"', lambda body: PAGE),
    "a page with a mark": (502, 'HTML page titled "Unicorn!"', lambda body: b"\xef\xbb\xbf" + PAGE),
    "an error": (429, "slow down", lambda body: LIMITED),
    "an error with a mark": (429, "slow down", lambda body: b"\xef\xbb\xbf" + LIMITED),
    "an error without envelope": (429, "slow down", lambda body: b'{"message":"slow down","code":"rate_limited"}'),
    "an error of Anthropic's": (
        429,
        "slow down",
        lambda body: b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}',
    ),
    "an error that is a word": (502, "slow down", lambda body: b'{"error":"slow down"}'),
    "an empty object": (502, "", lambda body: b"{}"),
}


@rows("client", "upstream")
@each_upstream
@each_client
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "as a stream"])
@pytest.mark.parametrize("damage", WHOLE)
def test_a_damaged_whole_answer_has_one_verdict(client: str, upstream: str, stream: bool, damage: str) -> None:
    status, words, change = WHOLE[damage]
    content = change(answer_of(upstream, "text"))
    told = judged(client, upstream, content, stream=stream)
    assert told[0] == status
    assert words in str(told)
    assert told == judged(upstream, upstream, content, stream=False)
