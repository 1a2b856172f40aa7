"""The one reader of upstream's streams: what it costs, and where it stops. What it reads: test_damaged_framing.py."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.wire import event_reader, json_bytes, sse
from app.converters.wire.event_reader import EventReader
from app.errors import GatewayError
from tests.support.exchanges import PAIRS, PROTOCOLS, answering, exchange_between, request_of, stream_of, streamed


class Heard(EventReader):
    """Keeps what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[bytes, dict[str, Any]]] = []
        self.comments: list[bytes] = []
        self.error: GatewayError | None = None

    def _read_event(self, name: bytes, event: dict[str, Any], payload: bytes, line: bytes) -> None:
        assert json_bytes.loads(payload) == event
        assert not line or payload in line
        self.events.append((name, event))

    def _read_comment(self, text: bytes) -> None:
        self.comments.append(text)

    def _stop(self, error: GatewayError) -> None:
        self._ended, self.error = True, error

    def hear(self, *pieces: bytes) -> Heard:
        for piece in pieces:
            if not self._ended:
                self._read(piece)
        return self


def test_an_event_is_told_as_soon_as_its_json_is_whole() -> None:
    heard = Heard().hear(b'event: a\ndata: {"n":1}')
    assert heard.events == []
    assert heard.hear(b"\n").events == [(b"a", {"n": 1})]
    assert heard.hear(b'\ndata: {"n":\n', b"data: 2}\n").events[1:] == [(b"", {"n": 2})]


def test_a_name_counts_for_one_event() -> None:
    heard = Heard().hear(b'event: a\ndata: {"n":1}\ndata: {"n":2}\n\nevent: b\n\ndata: {"n":3}\n\n')
    assert [name for name, _ in heard.events] == [b"a", b"", b""]


def test_nothing_is_read_after_the_end() -> None:
    class Once(Heard):
        def _read_event(self, name: bytes, event: dict[str, Any], payload: bytes, line: bytes) -> None:
            super()._read_event(name, event, payload, line)
            self._ended = True

    assert len(Once().hear(b'data: {"n":1}\n\ndata: {"n":2}\n\n: c\n\n').events) == 1


def test_many_lines_of_one_event_cost_no_more_than_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line might be its last; what is parsed in vain stays within a small multiple of what has come."""
    parsed_bytes = 0

    def counted(payload: bytes) -> Any:
        nonlocal parsed_bytes
        parsed_bytes += len(payload)
        return parse(payload)

    parse = event_reader.parsed
    monkeypatch.setattr(event_reader, "parsed", counted)
    lines = [b"data: {\n", *[b"data: }}\n"] * 20_000]
    Heard().hear(*lines)
    assert parsed_bytes < 10 * (sum(map(len, lines)) + 64 * 1024)


class Measured(bytes):
    """Bytes that count how much is copied when something is joined to them."""

    copied = 0

    def __radd__(self, other: bytes) -> bytes:
        Measured.copied += len(other) + len(self)
        return bytes(other) + bytes(self)


def test_bytes_of_a_line_that_does_not_end_are_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Measured, "copied", 0)
    cutter = sse.LineCutter()
    for _ in range(1_000):
        assert cutter.feed(Measured(b"x" * 64)) == b""
    assert Measured.copied == 0
    assert len(cutter.feed(b"\n")) == 64_001


@pytest.mark.parametrize("client", PROTOCOLS)
@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("piece", [b"x" * 2**20, b"data: " + b"x" * 2**20 + b"\n"], ids=["line", "event"])
def test_an_event_without_end_is_an_error_and_not_a_full_memory(client: str, upstream: str, piece: bytes) -> None:
    exchange = answering(client, upstream, streamed(client, request_of(client, "text")))
    transformer = exchange.transformer()
    transformer.feed(b"data: " + piece)
    for _ in range(31):
        transformer.feed(piece)
    assert transformer.ended
    assert transformer.error is not None
    assert transformer.error.status == 502
    assert "more than 32 MiB" in transformer.error.message


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_invalid_utf8_is_replaced_wherever_it_is_cut(size: int) -> None:
    raw = b'data: {"t":"a\xff\xe4b \xf0\x9f\x91\x8b \xf0\x9f"}\n\n'
    heard = Heard().hear(*[raw[at : at + size] for at in range(0, len(raw), size)])
    assert heard.events == [(b"", {"t": "a\ufffd\ufffdb 👋 \ufffd"})]


PAGES = [
    b"<!DOCTYPE html>\n\n<html>\n<head>\n\n<title>502 Bad Gateway</title>\n</head></html>\n",
    b"\n\n<html>\n\n\n<head>\n<title>\n\n502 Bad Gateway\n</title>",
    b"data: <html>\n\ndata: <title>502 Bad Gateway</title>\n\n",
    b"data: <html>\ndata: \ndata: <title>502 Bad Gateway</title>\n\n",
    b"data: <!DOCTYPE html>\r\n\r\n<html><title>502 Bad Gateway</title></html>\r\n",
]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_page_with_blank_lines_before_its_title_is_told_by_it(client: str, upstream: str) -> None:
    frames = stream_of(upstream, "text").split(b"\n\n")
    for page in PAGES:
        for before in ([], frames[:3]):
            exchange = exchange_between(client, upstream, {**request_of(client, "text"), "stream": True})
            exchange.payload()
            transformer = exchange.transformer()
            transformer.feed(b"".join(frame + b"\n\n" for frame in before) + page)
            transformer.finish()
            assert transformer.error is not None
            assert 'titled "502 Bad Gateway"' in transformer.error.message, page
