"""How long the responses normalizer takes per delta. Run: ``python tests/benchmarks/bench_responses_normalizer.py``

Frames are those of the contract, with ids of 400 characters that change every time; fed with 1 and with 10 per read.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from app.converters.responses.native.stream import StreamNormalizer
from tests.support.identities import identity_of

_FRAMES = 2000
_ROUNDS = 7


def _blob(seed: str) -> bytes:
    return base64.b64encode(b"".join(hashlib.sha256(f"{seed}{n}".encode()).digest() for n in range(10))[:300])


def _frame(kind: bytes, rest: bytes) -> bytes:
    return b'event: %s\ndata: {"type":"%s","sequence_number":5,%s}\n\n' % (kind, kind, rest)


def _start(item: bytes) -> bytes:
    created = _frame(b"response.created", b'"response":{"id":"%s","status":"in_progress","output":[]}' % _blob("r"))
    return created + _frame(b"response.output_item.added", b'"output_index":0,"item":{"id":"x",%s}' % item)


def _text(n: int) -> bytes:
    text = b" word%d" % n if n % 10 else b' \\"quoted\\"\\n'
    place = b'"item_id":"%s","output_index":0,"content_index":0' % _blob(str(n))
    return _frame(b"response.output_text.delta", place + b',"delta":"%s","logprobs":[],"obfuscation":"Zq3kT0"' % text)


def _arguments(n: int) -> bytes:
    text = b'{\\"a\\":[' if n == 0 else b"%d," % n
    place = b'"item_id":"%s","output_index":0' % _blob(str(n))
    return _frame(b"response.function_call_arguments.delta", place + b',"delta":"%s"' % text)


def _thinking(n: int) -> bytes:
    place = b'"item_id":"%s","output_index":0,"summary_index":0' % _blob(str(n))
    return _frame(b"response.reasoning_summary_text.delta", place + b',"delta":" thought %d"' % n)


def _odd(n: int) -> bytes:
    """The worst case: log probabilities, so that every frame is parsed."""
    return _text(n).replace(b'"logprobs":[]', b'"logprobs":[{"token":"a","logprob":-1,"bytes":[97],"top_logprobs":[]}]')


_ITEMS = {
    _text: b'"type":"message","role":"assistant","content":[]',
    _arguments: b'"type":"function_call","call_id":"c","name":"f","arguments":""',
    _thinking: b'"type":"reasoning","summary":[]',
    _odd: b'"type":"message","role":"assistant","content":[]',
}


def _measure(start: bytes, reads: list[bytes]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        normalizer = StreamNormalizer(identity_of("gpt-5.2", created=0, fallback_id="x"))
        normalizer.feed(start)
        begin = time.perf_counter()
        for read in reads:
            normalizer.feed(read)
        best = min(best, time.perf_counter() - begin)
    return best / _FRAMES * 1e6


def main() -> None:
    print(f"{'stream':<18}{'1 per feed':>12}{'10 per feed':>14}   µs/delta")
    for kind, item in _ITEMS.items():
        frames = [kind(n) for n in range(_FRAMES)]
        tens = [b"".join(frames[n : n + 10]) for n in range(0, _FRAMES, 10)]
        start = _start(item)
        print(f"{kind.__name__[1:]:<18}{_measure(start, frames):>12.2f}{_measure(start, tens):>14.2f}")


if __name__ == "__main__":
    main()
