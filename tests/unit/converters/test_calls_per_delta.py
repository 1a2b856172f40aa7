"""What one text delta costs on the native way, in Python calls: a count, because a time depends on the machine."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from tests.support.exchanges import answering, request_of, stream_of, streamed

MOST = {"chat": 5, "messages": 6, "responses": 5}
"""From the bytes of one read to the bytes for the client."""
TEXTS = {"chat": b'"content":" there,"', "messages": b'"text":"Hello,"', "responses": b'"delta":", friend"'}


@pytest.mark.parametrize("protocol", MOST)
def test_a_text_delta_takes_few_calls(protocol: str) -> None:
    transformer = answering(protocol, protocol, streamed(protocol, request_of(protocol, "text"))).transformer()
    frames = [frame + b"\n\n" for frame in stream_of(protocol, "text").split(b"\n\n")]
    at = next(at for at, frame in enumerate(frames) if TEXTS[protocol] in frame)
    delta = frames[at]
    for frame in [*frames[: at + 1], delta, delta, delta]:
        transformer.feed(frame)
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for _ in range(100):
            out = transformer.feed(delta)
    finally:
        sys.setprofile(before)
    assert TEXTS[protocol].split(b":", 1)[1].strip(b'"') in out
    assert calls <= 100 * MOST[protocol]
