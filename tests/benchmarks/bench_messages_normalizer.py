"""How long the messages normalizer takes per frame. Run: ``python tests/benchmarks/bench_messages_normalizer.py``

Frames are those of the contract with growing text; each stream is fed with 1 and with 10 frames per read.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from app.converters.messages.native.stream import StreamNormalizer
from tests.support.identities import identity_of

_FRAMES = 2000
_ROUNDS = 7
_START = (
    b'event: message_start\ndata: {"message":{"content":[],"id":"msg_bdrk_01Xyz","model":"claude-sonnet-4-5-20250929",'
    b'"role":"assistant","stop_reason":null,"stop_sequence":null,"type":"message","usage":{"input_tokens":4,'
    b'"output_tokens":1}},"type":"message_start"}\n\n'
)


def _delta(delta: bytes, more: bytes = b"") -> bytes:
    return (
        b"event: content_block_delta\ndata: {"
        + more
        + b'"delta":{'
        + delta
        + b'},"index":0,"type":"content_block_delta"}\n\n'
    )


def _text(n: int) -> bytes:
    words = b" word%d" % n if n % 10 else b' \\"quoted\\"\\n'
    return _delta(b'"text":"' + words + b'","type":"text_delta"')


def _thinking(n: int) -> bytes:
    return _delta(b'"thinking":"Let me think %d","type":"thinking_delta"' % n)


def _tool(n: int) -> bytes:
    return _delta(b'"partial_json":"\\"key%d\\": %d, ","type":"input_json_delta"' % (n, n))


def _long(n: int) -> bytes:
    return _delta(b'"text":"%s","type":"text_delta"' % (b"a long paragraph of text %d " % n * 20))


def _annotated(n: int) -> bytes:
    """The worst case: every frame has a private extra, so that each is parsed and written anew."""
    return _delta(b'"text":" word%d","type":"text_delta"' % n, b'"copilot_annotations":{"IPCodeCitations":[]},')


def _measure(reads: list[bytes]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        normalizer = StreamNormalizer(identity_of("claude-sonnet-4.5", fallback_id="x"))
        normalizer.feed(_START)
        begin = time.perf_counter()
        for read in reads:
            normalizer.feed(read)
        best = min(best, time.perf_counter() - begin)
        assert not normalizer.ended
    return best / _FRAMES * 1e6


def main() -> None:
    print(f"{'stream':<18}{'1 per feed':>12}{'10 per feed':>14}   µs/frame")
    for kind in (_text, _thinking, _tool, _long, _annotated):
        frames = [kind(n) for n in range(_FRAMES)]
        tens = [b"".join(frames[n : n + 10]) for n in range(0, _FRAMES, 10)]
        print(f"{kind.__name__[1:]:<18}{_measure(frames):>12.2f}{_measure(tens):>14.2f}")


if __name__ == "__main__":
    main()
