"""What goes wrong on the straight way through a pool is told as on requests' own, and the pool is left as it was."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from requests.adapters import HTTPAdapter

from app.errors import GatewayError
from app.outbound import Adapter, Outbound
from tests.support.authority import Authority
from tests.support.ports import free_port
from tests.support.raw_upstream import CLOSE, RESET, STALL, RawUpstream, http

Fault = Callable[[pytest.MonkeyPatch, RawUpstream, Path], str]
"""Makes something go wrong; the address at which it does."""


def _refused(_patch: pytest.MonkeyPatch, _raw: RawUpstream, _folder: Path) -> str:
    return f"http://127.0.0.1:{free_port()}/"


def _cannot_be_reached(number: int) -> Fault:
    def make(patch: pytest.MonkeyPatch, raw: RawUpstream, _folder: Path) -> str:
        def connect(_self: socket.socket, _address: object) -> None:
            raise OSError(number, "no way")

        patch.setattr(socket.socket, "connect", connect)
        return raw.url

    return make


def _too_slow_to_accept(patch: pytest.MonkeyPatch, raw: RawUpstream, _folder: Path) -> str:
    def connect(_self: socket.socket, _address: object) -> None:
        raise TimeoutError("timed out")

    patch.setattr(socket.socket, "connect", connect)
    return raw.url


def _no_such_name(patch: pytest.MonkeyPatch, _raw: RawUpstream, _folder: Path) -> str:
    def look_up(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    patch.setattr(socket, "getaddrinfo", look_up)
    return "http://copilot.test/"


def _answers(*pieces: bytes) -> Fault:
    def make(_patch: pytest.MonkeyPatch, raw: RawUpstream, _folder: Path) -> str:
        raw.answer = lambda _asked: list(pieces)
        return raw.url

    return make


def _speaks_no_tls(_patch: pytest.MonkeyPatch, raw: RawUpstream, _folder: Path) -> str:
    return raw.url.replace("http://", "https://")


FAULTS: dict[str, Fault] = {
    "refused": _refused,
    "unreachable": _cannot_be_reached(errno.EHOSTUNREACH),
    "no descriptor of the network's": _cannot_be_reached(errno.ENETDOWN),
    "slow to accept": _too_slow_to_accept,
    "no such name": _no_such_name,
    "closed without an answer": _answers(CLOSE),
    "reset without an answer": _answers(RESET),
    "closed in the head": _answers(b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE),
    "silent": _answers(STALL),
    "silent in the head": _answers(b"HTTP/1.1 200 OK\r\n", STALL),
    "no HTTP": _answers(b"220 mail.test ESMTP\r\n", CLOSE),
    "another version": _answers(b"HTTP/3.0 200 OK\r\n\r\n", CLOSE),
    "a head without end": _answers(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, CLOSE),
    "a line without end": _answers(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, CLOSE),
    "switches protocols": _answers(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tls\r\n\r\n", CLOSE),
    "body cut": _answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", CLOSE),
    "speaks no TLS": _speaks_no_tls,
}


def told(outbound: Outbound, url: str) -> tuple[type, str, str]:
    with pytest.raises(GatewayError) as raised:
        outbound.send("POST", url, headers={}, body=b"{}", connect_timeout_s=5, read_timeout_s=0.3)
    error = raised.value
    return type(error), error.code, re.sub(r" \(\w+\)\.", " (…).", str(error.message))  # the class that is named


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_trouble_is_told_as_on_requests_own_way(
    fault: Fault, raw: RawUpstream, outbound: Outbound, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        url = fault(patch, raw, tmp_path)
        straight = told(outbound, url)
        patch.setattr(Adapter, "send", HTTPAdapter.send)
        assert straight == told(outbound, url)
    raw.answer = lambda _asked: http(b"{}")
    with outbound.send("GET", raw.url, headers={}, connect_timeout_s=5, read_timeout_s=5) as answer:
        assert answer.status_code == 200
    assert outbound.connections()[1] <= 2, "no connection of a call that failed waits for the next"


def test_a_certificate_of_nobody_known_is_told_as_on_requests_own_way(
    outbound: Outbound, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context: ssl.SSLContext = Authority(tmp_path).server_context("127.0.0.1", [])
    with RawUpstream([], tls=context) as server:
        straight = told(outbound, server.url)
        monkeypatch.setattr(Adapter, "send", HTTPAdapter.send)
        assert straight == told(outbound, server.url)
        assert straight[1] == "tls_error"


@pytest.mark.parametrize(
    "begun",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n", RESET],
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n", CLOSE],
        [b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE],
        [b"HTTP/1.1 103 Early Hi", CLOSE],
        [b"H", RESET],
    ],
)
def test_a_request_is_not_repeated_once_its_answer_has_begun(
    begun: list[bytes], raw: RawUpstream, outbound: Outbound
) -> None:
    answers: list[list[bytes]] = [[http(b"{}")], begun, [http(b"{}")]]
    raw.answer = lambda _asked: answers.pop(0)
    how: dict[str, Any] = {"connect_timeout_s": 5.0, "read_timeout_s": 5.0}
    outbound.send("POST", raw.url, headers={}, body=b"{}", **how).close()
    with pytest.raises(GatewayError):
        outbound.send("POST", raw.url, headers={}, body=b"{}", **how)
    assert len(raw.requests) == 2, "whoever answers may have begun to bill"


def test_what_was_sent_is_not_held_by_a_connection_that_waits(raw: RawUpstream, outbound: Outbound) -> None:
    outbound.send(
        "POST", raw.url, headers={"User-Agent": "a"}, body=b'{"a": "secret"}', connect_timeout_s=5, read_timeout_s=5
    ).close()
    pools = outbound._adapter.poolmanager.pools
    held = [conn for key in pools.keys() for conn in pools[key].pool.queue if conn is not None]  # noqa: SIM118
    assert held
    assert "secret" not in str([vars(conn) for conn in held])


def test_an_answer_of_two_lengths_closes_its_connection(raw: RawUpstream, outbound: Outbound) -> None:
    raw.answer = lambda _asked: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
    with pytest.raises(GatewayError) as raised:
        outbound.send("POST", raw.url, headers={}, body=b"{}", connect_timeout_s=5, read_timeout_s=5)
    raw.wait_closed(0)  # although the error is still held
    assert raised.value
