"""Waiting for the first event of a stream."""

from __future__ import annotations

from typing import Any, cast

import pytest

from app.errors import UpstreamProtocolError
from app.streaming import first_event
from tests.support.exchanges import PROTOCOLS, answering, request_of, streamed
from tests.support.streams import Pieces


class Measured(bytes):
    """Bytes that count how much is copied when something is joined to them."""

    copied = 0

    def __radd__(self, other: bytes) -> bytes:
        Measured.copied += len(other) + len(self)
        return bytes(other) + bytes(self)


class Answer:
    """Upstream's answer in these pieces."""

    content_type = "text/event-stream"

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def iter_bytes(self, *, silence_s: float) -> Pieces:
        return Pieces(self.pieces)


def opened(protocol: str, *pieces: bytes) -> Any:
    exchange = answering(protocol, protocol, streamed(protocol, request_of(protocol, "text")))
    return first_event(exchange, cast(Any, Answer(*pieces)), silence_s=1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_event_that_never_ends_is_not_searched_again_and_again(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Measured, "copied", 0)
    pieces = [Measured(b"x" * 1024) for _ in range(2_000)]
    with pytest.raises(UpstreamProtocolError):
        opened(protocol, b"data: ", *pieces)
    assert Measured.copied < 2 * 2_000 * 1024


@pytest.mark.parametrize("ending", [b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_blank_line_that_is_cut_ends_the_wait(protocol: str, ending: bytes) -> None:
    stray = b"id: 1"
    for cut in range(len(ending)):
        found = opened(protocol, stray + ending[:cut], ending[cut:], b"never read")
        assert next(found.pieces, None) == b"never read"
        assert found.first == b""
