"""Work grows no faster than its input: twice as much of anything takes at most some twice as many operations.

Counted are the calls of functions, Python's and C's, so the machine's speed does not matter. What takes square time
does four times as many for twice the input.
"""

from __future__ import annotations

import contextlib
import cProfile
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from app.converters.refusal import next_try
from app.converters.registry import UPSTREAMS
from app.errors import GatewayError
from app.masking import clean
from tests.support.exchanges import PAIRS, PROTOCOLS, answering, exchange_between, request_of, stream_of
from tests.support.rows import rows

BASE = 100
MOST_FOR_TWICE = 2.6


def operations(work: Callable[[], object]) -> int:
    """How many calls it makes."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    return sum(entry.callcount for entry in profiler.getstats())


def assert_linear(work_of: Callable[[int], Callable[[], object]], base: int = BASE) -> None:
    """work_of: for a size, the work itself; what it needs is made before the counting."""
    work_of(base)()  # what is imported and cached on first use
    counts = [operations(work_of(base * factor)) for factor in (1, 2, 4, 8)]
    # 200 for what does not depend on the size and jumps: a collection, a cache that is full.
    assert all(twice <= once * MOST_FOR_TWICE + 200 for once, twice in itertools.pairwise(counts)), counts


# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _say(client: str, role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def turns(client: str, n: int) -> list[Any]:
    return [_say(client, role, "hello") for _ in range(n) for role in ("user", "assistant")]


def calls(client: str, n: int, *, id_of: Callable[[int], str]) -> list[Any]:
    """One answer of the model with n tool calls, and their results."""
    ids = [id_of(number) for number in range(n)]
    if client == "chat":
        made = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
        results = [{"role": "tool", "tool_call_id": id, "content": "o"} for id in ids]
        return [{"role": "assistant", "content": None, "tool_calls": made}, *results]
    if client == "messages":
        uses = [{"type": "tool_use", "id": id, "name": "f", "input": {}} for id in ids]
        told = [{"type": "tool_result", "tool_use_id": id, "content": "o"} for id in ids]
        return [{"role": "assistant", "content": uses}, {"role": "user", "content": told}]
    asked = [{"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"} for id in ids]
    return asked + [{"type": "function_call_output", "call_id": id, "output": "o"} for id in ids]


def tools(client: str, n: int) -> list[Any]:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    if client == "chat":
        return [{"type": "function", "function": {"name": f"f{i}", "parameters": schema}} for i in range(n)]
    if client == "messages":
        return [{"name": f"f{i}", "input_schema": schema} for i in range(n)]
    return [{"type": "function", "name": f"f{i}", "parameters": schema} for i in range(n)]


def parts(client: str, n: int) -> list[Any]:
    kind = "input_text" if client == "responses" else "text"
    return [{"role": "user", "content": [{"type": kind, "text": "a"}] * n}]


KINDS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "turns": lambda client, n: {"said": turns(client, n)},
    "equal call ids": lambda client, n: {"said": calls(client, n, id_of=lambda number: "c")},
    "unlike call ids": lambda client, n: {"said": calls(client, n, id_of=lambda number: f"c{number}")},
    "tools": lambda client, n: {"tools": tools(client, n)},
    "parts": lambda client, n: {"said": parts(client, n)},
    "unknown fields": lambda client, n: {f"field_{number}": number for number in range(n)},
}


def body_of(client: str, kind: str, n: int) -> dict[str, Any]:
    more = KINDS[kind](client, n)
    said = [_say(client, "user", "hi"), *more.pop("said", [])]
    body = {"model": "m", "max_tokens": 50, "input" if client == "responses" else "messages": said, **more}
    if client == "responses":
        del body["max_tokens"]
    return body


@rows("client", "upstream")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_requests_take_linear_work(client: str, upstream: str, kind: str) -> None:
    def work_of(n: int) -> Callable[[], object]:
        body = body_of(client, kind, n)

        def work() -> None:
            # To be refused has to be found out in linear time as well.
            with contextlib.suppress(GatewayError):
                exchange_between(client, upstream, body).payload()

        return work

    assert_linear(work_of)


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def repeated(upstream: str, n: int) -> bytes:
    """A stream with one of its middle events n times."""
    events = stream_of(upstream, "text").split(b"\n\n")
    at = len(events) // 2
    return b"\n\n".join([*events[:at], *[events[at]] * n, *events[at:]])


def line_without_end(upstream: str, n: int) -> bytes:
    return b"data: " + b"x" * (n * 64)


def comments(upstream: str, n: int) -> bytes:
    return b": hello\n" * (n * 8) + stream_of(upstream, "text")


def lines_of_one_event(upstream: str, n: int) -> bytes:
    return b'data: {"a":\n' + b"data: 1\n" * (n * 8)


def blanks(upstream: str, n: int) -> bytes:
    return b"\n" * (n * 64)


STREAMS = {
    "events": repeated,
    "a line": line_without_end,
    "comments": comments,
    "lines": lines_of_one_event,
    "no": blanks,
}


@rows("client", "upstream")
@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_streams_take_linear_work_wherever_they_are_cut(client: str, upstream: str, kind: str) -> None:
    body = request_of(client, "text") | {"stream": True}

    def work_of(n: int) -> Callable[[], object]:
        raw = STREAMS[kind](upstream, n)
        transformer = answering(client, upstream, body).transformer()

        def work() -> None:
            for at in range(0, len(raw), 64):
                transformer.feed(raw[at : at + 64])
            transformer.finish()

        return work

    assert_linear(work_of, base=40)


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────

WORDS = ("a", "a.", "thinking blocks ", "Invalid value: ", "'a' ", "<title>", "encrypted content ", "{", "[0].", "://@")


@rows("upstream")
@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_refusals_take_linear_work(upstream: str, words: str) -> None:
    def work_of(n: int) -> Callable[[], object]:
        body = json.dumps({"error": {"message": words * n, "code": "invalid_request_body"}}).encode()
        bare = (words * n).encode()

        def work() -> None:
            for said in (body, bare):
                exchange = answering(upstream, upstream, request_of(upstream, "text"))
                next_try(exchange, frozenset(), exchange.payload(), 400, said)
                clean(UPSTREAMS[upstream].decode_error(400, {}, said).message)

        return work

    assert_linear(work_of, base=300)


def test_the_law_would_see_square_work() -> None:
    def work_of(n: int) -> Callable[[], object]:
        return lambda: [abs(a) for a in range(n) for _ in range(a)]

    with pytest.raises(AssertionError):
        assert_linear(work_of)
