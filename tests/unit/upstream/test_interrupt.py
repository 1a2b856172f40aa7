"""A call that nobody waits for any more is broken off, and no other call with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import requests

from app.background_call import BackgroundCall
from app.errors import UpstreamConnectError
from app.http_connection import Interrupt
from app.outbound import Outbound
from tests.support.raw_upstream import Asked, RawUpstream, http


@pytest.fixture
def outbound() -> Iterator[Outbound]:
    found = Outbound()
    yield found
    found.close()


def call(outbound: Outbound, raw: RawUpstream, path: str = "/x") -> requests.Response:
    return outbound.send("POST", raw.url + path, headers={}, body=b"{}", connect_timeout_s=20, read_timeout_s=20)


def test_closing_a_background_call_breaks_off_what_it_waits_for(raw: RawUpstream, outbound: Outbound) -> None:
    has_come, is_over = threading.Event(), threading.Event()

    def answer(_: Asked) -> Iterator[bytes]:
        has_come.set()
        assert is_over.wait(60)
        yield http(b"{}")

    raw.answer = answer
    background = BackgroundCall(lambda: call(outbound, raw), discard=lambda response: response.close())
    assert has_come.wait(60)
    background.close()
    assert background.wait(60)
    with pytest.raises(UpstreamConnectError):
        background.result()
    is_over.set()
    raw.wait_closed(raw.calls()[0].connection)


def test_after_that_the_same_thread_makes_no_call_but_those_for_everybody(raw: RawUpstream, outbound: Outbound) -> None:
    interrupt = Interrupt()
    with interrupt:
        assert call(outbound, raw).status_code == 200
        interrupt.set()
        with pytest.raises(UpstreamConnectError):
            call(outbound, raw)
        with Interrupt.held_off():
            assert call(outbound, raw).status_code == 200
    assert call(outbound, raw).status_code == 200


def test_connection_that_was_given_back_is_not_touched(raw: RawUpstream, outbound: Outbound) -> None:
    interrupt = Interrupt()
    with interrupt:
        assert call(outbound, raw).status_code == 200
        interrupt.set()  # its connection may be another's by now
    assert call(outbound, raw).status_code == 200
    assert len({asked.connection for asked in raw.calls()}) == 1
