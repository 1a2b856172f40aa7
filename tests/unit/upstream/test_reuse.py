"""Which bytes an answer is made of, when connections are used again and upstream writes whatever it likes."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.errors import UpstreamConnectError
from app.gateway import Gateway
from app.http_connection import MOST_INTERIM, _tls_context
from app.settings import Settings
from tests.soak import outside
from tests.support import dialects
from tests.support.dialects import DOORS, PROTOCOLS
from tests.support.raw_upstream import CLOSE, LINGER, Asked, RawUpstream, http, streamed
from tests.support.secrets import API_KEY

KEY = {"Authorization": f"Bearer {API_KEY}", "anthropic-version": "2023-06-01"}
WAYS = [(door, protocol, stream) for door in PROTOCOLS for protocol in PROTOCOLS for stream in (False, True)]
INTERIM = [
    b"HTTP/1.1 %d Soon\r\n%s\r\n" % (status, fields)
    for status in (100, 102, 103, 199)
    for fields in (b"", b"Link: </x>\r\n")
]


@pytest.fixture
def environment(environment: dict[str, str], raw: RawUpstream) -> dict[str, str]:
    return environment | raw.environment() | {"UPSTREAM_RETRIES": "0"}


Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def ask(client: FlaskClient) -> Ask:
    """Ask at a door for an answer with a word in it: the status, and the body as text."""

    def send(door: str, protocol: str, word: str, *, stream: bool) -> tuple[int, str]:
        body = dialects.request(door, f"{protocol}-model", word, stream=stream)
        with client.post(DOORS[door], json=body, headers=KEY) as answer:
            return answer.status_code, answer.get_data(as_text=True)

    return send


def echo(protocol: str, asked: Asked, *, stream: bool) -> list[bytes]:
    """Upstream's right answer: the word that was asked for."""
    return dialects.answer(protocol, f"<{dialects.asked_for(asked.json)}>", stream=stream)


@pytest.mark.parametrize(("door", "protocol", "stream"), WAYS)
@pytest.mark.parametrize(
    "before", [INTERIM[0], INTERIM[2], INTERIM[5], b"".join(INTERIM)], ids=["100", "102", "103", "all"]
)
def test_interim_answers_are_read_over(
    raw: RawUpstream, ask: Ask, door: str, protocol: str, stream: bool, before: bytes
) -> None:
    raw.answer = lambda asked: [before, *echo(protocol, asked, stream=stream)]
    for word in ("one", "two"):
        status, text = ask(door, protocol, word, stream=stream)
        assert (status, f"<{word}>" in text) == (200, True)
    assert len({asked.connection for asked in raw.calls()}) == 1


@pytest.mark.parametrize(
    "flood",
    [
        INTERIM[0] * (MOST_INTERIM + 1),
        b"HTTP/1.1 103 x\r\n" + b"a: b\r\n" * 20000,
        b"HTTP/1.1 101 Over\r\n\r\n",
    ],
    ids=["many", "long", "switch"],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_of_them_than_anybody_needs_is_an_error_and_the_next_request_is_well(
    raw: RawUpstream, ask: Ask, protocol: str, flood: bytes
) -> None:
    def answer(asked: Asked) -> list[bytes]:
        right = echo(protocol, asked, stream=False)
        return [flood, *right] if len(raw.calls()) == 1 else right

    raw.answer = answer
    assert ask(protocol, protocol, "one", stream=False)[0] == 502
    assert ask(protocol, protocol, "two", stream=False) == (200, _containing("<two>"))


class _containing(str):
    """Equal to every text that has it in it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str.__str__(self) in other

    __hash__ = str.__hash__


def test_a_connection_that_nobody_uses_is_kept_for_a_while_and_then_closed(
    raw: RawUpstream, ask: Ask, gateway: Gateway
) -> None:
    raw.answer = lambda asked: echo("chat", asked, stream=False)
    for word in ("one", "two"):
        ask("chat", "chat", word, stream=False)
        gateway.close_idle_connections()
    [kept] = {asked.connection for asked in raw.calls()}
    for outbound in gateway.outbounds:
        outbound.close_idle(longer_than_s=0)
    raw.wait_closed(kept)
    ask("chat", "chat", "three", stream=False)
    assert raw.calls()[-1].connection != kept


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc to see what is still open")
def test_a_connection_that_upstream_has_closed_is_closed_here_though_nobody_asks_again(
    raw: RawUpstream, ask: Ask, gateway: Gateway
) -> None:
    """It held a descriptor for each stream of the busiest hour, until there was another hour like that."""
    own, port = os.getpid(), int(raw.url.rpartition(":")[2])
    raw.answer = lambda asked: echo("chat", asked, stream=False)
    ask("chat", "chat", "one", stream=False)
    before = outside.connections([own], port)[own]
    raw.answer = lambda asked: [*echo("chat", asked, stream=False), CLOSE]
    ask("chat", "chat", "two", stream=False)
    assert outside.connections([own], port)[own] == before
    while outside.connections([own], port)[own] == before:
        gateway.close_idle_connections()
    assert outside.connections([own], port)[own] == before - 1


@pytest.mark.parametrize(("door", "protocol", "stream"), WAYS)
def test_ten_answers_use_one_connection(raw: RawUpstream, ask: Ask, door: str, protocol: str, stream: bool) -> None:
    def answer(asked: Asked) -> list[bytes]:
        *head, last, end = [b"", *echo(protocol, asked, stream=stream)]
        return [*head, last + end]

    raw.answer = answer
    for number in range(10):
        assert ask(door, protocol, f"w{number}", stream=stream) == (200, _containing(f"<w{number}>"))
    assert len({asked.connection for asked in raw.calls()}) == 1


# ── the law ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def foreign(rng: random.Random, protocol: str) -> bytes:
    """Bytes that belong to nobody's answer: whole answers with a word of their own, parts of such, rubbish."""
    poison = b"".join(dialects.answer(rng.choice([protocol, *PROTOCOLS]), "POISON", stream=rng.random() < 0.5))
    return rng.choice(
        [
            poison,
            poison[: rng.randrange(1, len(poison))],
            poison[rng.randrange(len(poison)) :],
            rng.choice(INTERIM),
            rng.choice(INTERIM) + poison,
            b"\r\n",
            b"\n" * rng.randrange(1, 9),
            b"0\r\n\r\n",
            rng.randbytes(rng.randrange(1, 200)),
            b"HTTP/1.1 200 OK\r\n",
        ]
    )


MISLEADING = [
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"Content-Length: +3",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Connection: close",
    b"Content-Encoding: br",
]


def spoilt(rng: random.Random, protocol: str, right: list[bytes]) -> list[bytes]:
    """The right answer with something wrong before, in or after it; all of it is sent before the next request."""
    wire = b"".join(right)
    head, _, body = wire.partition(b"\r\n\r\n")
    noise = foreign(rng, protocol)
    match rng.randrange(9):
        case 0:
            return [rng.choice(INTERIM) * rng.randrange(1, 5) + wire]
        case 1 | 2:
            return [wire + noise]
        case 3:
            cut = rng.randrange(len(wire))
            return [wire[:cut], CLOSE]
        case 4:
            cut = rng.randrange(len(head), len(wire))
            return [wire[:cut] + noise + wire[cut:]]
        case 5:
            line = rng.choice(MISLEADING)
            return [head + b"\r\n" + line + b"\r\n\r\n" + body + noise]
        case 6:
            status = rng.choice([b"204 No", b"304 Not", b"400 Bad", b"500 No", b"205 Reset"])
            return [head.replace(b"200 OK", status, 1) + b"\r\n\r\n" + body + noise]
        case 7:
            return [head.replace(b"HTTP/1.1", b"HTTP/1.0", 1) + b"\r\n\r\n" + body + noise, CLOSE]
        case _:
            return [noise + wire]


@pytest.mark.parametrize(("door", "protocol", "stream"), WAYS)
def test_no_byte_of_one_answer_ever_reaches_another_request(
    raw: RawUpstream, ask: Ask, door: str, protocol: str, stream: bool
) -> None:
    rng = random.Random(f"{door}{protocol}{stream}")

    def answer(asked: Asked) -> list[bytes]:
        right = echo(protocol, asked, stream=stream)
        return [*spoilt(rng, protocol, right), LINGER] if dialects.asked_for(asked.json).startswith("spoilt") else right

    raw.answer = answer
    for number in range(12):
        spoiling, clean = f"spoilt{number}", f"clean{number}"
        ask(door, protocol, spoiling, stream=stream)
        status, text = ask(door, protocol, clean, stream=stream)
        assert (status, text) == (200, _containing(f"<{clean}>"))
        assert "POISON" not in text
        assert "spoilt" not in text


# ── the end of a stream, and the end of a connection ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_end_of_the_body_that_comes_later_is_waited_for_behind_the_clients_back(
    raw: RawUpstream, ask: Ask, protocol: str
) -> None:
    is_answered = threading.Event()

    def answer(asked: Asked) -> Iterator[bytes]:
        *pieces, end = echo(protocol, asked, stream=True)
        yield from pieces
        assert is_answered.wait(60)
        yield end

    raw.answer = answer
    assert ask(protocol, protocol, "one", stream=True) == (200, _containing("<one>"))
    (draining,) = [thread for thread in threading.enumerate() if thread.name == "draining"]
    is_answered.set()
    draining.join(60)
    assert ask(protocol, protocol, "two", stream=True) == (200, _containing("<two>"))
    assert len({asked.connection for asked in raw.calls()}) == 1


@pytest.mark.parametrize(("comes", "exact"), [(True, 2500), (False, 0)])
def test_what_comes_after_a_cut_at_a_stop_sequence_is_read_for_the_books_behind_the_clients_back(
    raw: RawUpstream, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, comes: bool, exact: int
) -> None:
    is_answered = threading.Event()
    monkeypatch.setattr("app.upstream.client._DRAIN_S", 20.0 if comes else 0.0)

    def answer(_asked: Asked) -> Iterator[bytes]:
        told = dialects.events("responses", "one ", "STOP", " two")
        at = next(at for at, event in enumerate(told) if b'" two"' in event)
        paid = b'"total_nano_aiu":2500}}'
        told[-1] = told[-1].rstrip().removesuffix(b"}") + b',"copilot_usage":{"token_details":[],' + paid + b"\n\n"
        pieces = streamed(*told)
        yield from pieces[: at + 1]
        assert is_answered.wait(60)
        yield from pieces[at + 1 :]

    raw.answer = answer
    body = dialects.request("chat", "responses-model", "x", stream=True) | {"stop": ["STOP"]}
    with client.post(DOORS["chat"], json=body, headers=KEY) as response:
        assert response.get_data(as_text=True).endswith("data: [DONE]\n\n")
    draining = [thread for thread in threading.enumerate() if thread.name == "draining"]
    if comes:
        is_answered.set()
    for thread in draining:
        thread.join(60)
    total = client.get("/usage/ledger", headers=KEY).json["total"]
    assert (total["calls"], total["nano_credits"]) == (1, exact)
    is_answered.set()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_stream_that_goes_on_after_its_end_is_cut(raw: RawUpstream, ask: Ask, protocol: str) -> None:
    def answer(asked: Asked) -> list[bytes]:
        *pieces, end = echo(protocol, asked, stream=True)
        more = b": more of it\n\n" * 30000
        return [b"".join([*pieces, b"%x\r\n%s\r\n" % (len(more), more)]), end]

    raw.answer = answer
    assert ask(protocol, protocol, "one", stream=True) == (200, _containing("<one>"))
    raw.wait_closed(raw.calls()[0].connection)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_client_that_hangs_up_closes_the_connection(raw: RawUpstream, client: FlaskClient, protocol: str) -> None:
    is_over = threading.Event()

    def answer(asked: Asked) -> Iterator[bytes]:
        first, *_ = echo(protocol, asked, stream=True)
        event = dialects.events(protocol, "one")
        yield first + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in event[: -2 if protocol == "chat" else -3])
        is_over.wait(60)

    raw.answer = answer
    body = dialects.request(protocol, f"{protocol}-model", "one", stream=True)
    with client.post(DOORS[protocol], json=body, headers=KEY) as response:
        pieces: Iterator[Any] = iter(response.response)
        assert b"one" in next(pieces)
    is_over.set()
    raw.wait_closed(raw.calls()[0].connection)


def test_connection_that_upstream_closed_while_idle_costs_no_error(raw: RawUpstream, ask: Ask) -> None:
    raw.answer = lambda asked: [*echo("chat", asked, stream=False), CLOSE]
    for word in ("one", "two"):
        assert ask("chat", "chat", word, stream=False) == (200, _containing(f"<{word}>"))


def test_connection_that_upstream_closes_just_as_it_is_used_costs_no_error(raw: RawUpstream, ask: Ask) -> None:
    def answer(asked: Asked) -> list[bytes]:
        is_second = [one.connection for one in raw.calls()].count(asked.connection) == 2
        return [CLOSE] if is_second else echo("chat", asked, stream=False)

    raw.answer = answer
    for word in ("one", "two", "three"):
        assert ask("chat", "chat", word, stream=False) == (200, _containing(f"<{word}>"))
    assert len(raw.calls()) == 5


def test_new_connection_that_is_closed_without_an_answer_is_an_error(raw: RawUpstream, ask: Ask) -> None:
    raw.answer = lambda asked: [CLOSE]
    assert ask("chat", "chat", "one", stream=False)[0] == 502
    used, fresh = raw.calls()  # the first is that of the model list
    assert [one.path for one in raw.requests if one.connection == used.connection] == ["/models", used.path]
    assert [one.path for one in raw.requests if one.connection == fresh.connection] == [fresh.path]


# ── compressed, and too much ────────────────────────────────────────────────────────────────────────────────────────


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", _raw_deflate)]
)
def test_compressed_answer_is_unpacked_and_its_connection_serves_again(
    raw: RawUpstream, ask: Ask, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    def answer(asked: Asked) -> bytes:
        body = json.dumps(dialects.whole("chat", f"<{dialects.asked_for(asked.json)}>")).encode()
        return http(pack(body), extra=f"Content-Encoding: {coding}\r\n")

    raw.answer = answer
    for word in ("one", "two"):
        assert ask("chat", "chat", word, stream=False) == (200, _containing(f"<{word}>"))
    assert len({asked.connection for asked in raw.calls()}) == 1


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b"{}" * 99)[:-9]),
        ("br", b"{}"),
        ("gzip", gzip.compress(b"[" * 70_000_000)),
    ],
    ids=["broken", "torn", "other", "bomb"],
)
def test_answer_that_cannot_be_unpacked_is_an_error(raw: RawUpstream, ask: Ask, coding: str, body: bytes) -> None:
    raw.answer = lambda asked: http(body, extra=f"Content-Encoding: {coding}\r\n")
    assert ask("chat", "chat", "one", stream=False)[0] == 502


def test_certificates_are_read_once_per_process(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    loaded: list[str] = []
    real = ssl.SSLContext.load_verify_locations

    def load(self: ssl.SSLContext, cafile: str | None = None, capath: str | None = None, cadata: Any = None) -> None:
        loaded.append(str(cafile or capath))
        real(self, cafile, capath, cadata)

    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", load)
    _tls_context.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:  # no TLS there, but that is noticed after the loading
        threading.Thread(target=_refuse_all, args=(listener,), daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        gateway = Gateway.build(settings)
        for outbound in [*gateway.outbounds] * 3:
            with pytest.raises(UpstreamConnectError):
                outbound.send("GET", url, headers={}, connect_timeout_s=20, read_timeout_s=20)
        gateway.close()
    assert len(loaded) == 1


def _refuse_all(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 This is no TLS\r\n\r\n")


# ── headers that no server would send ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", ["a\x01b", "a\x7f", "a\r\n b", "ä", "x" * 5000])
def test_odd_headers_of_upstream_are_passed_on_clean(raw: RawUpstream, client: FlaskClient, value: str) -> None:
    body = json.dumps(dialects.whole("chat", "well")).encode()
    raw.answer = lambda _: http(body, extra=f"X-GitHub-Request-Id: {value}\r\nRetry-After: {value}\r\n")
    question = dialects.request("chat", "chat-model", "hi", stream=False)
    answer = client.post(DOORS["chat"], json=question, headers=KEY)
    assert answer.status_code == 200
    raw.answer = lambda _: http(b"slow", status="429 Slow", extra=f"Retry-After: {value}\r\n")
    refusal = client.post(DOORS["chat"], json=question, headers=KEY)
    assert refusal.status_code == 429
    for told in (answer.headers["x-github-request-id"], refusal.headers["Retry-After"]):
        assert told
        assert told.isascii()
        assert told.isprintable()
        assert len(told) <= 1000
