"""How long the chat normalizer takes per chunk. Run: ``python tests/benchmarks/bench_chat_normalizer.py``

Frames are those of the contract with growing text; each stream is fed with 1 and with 10 frames per read.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from app.converters.chat.native.stream import StreamNormalizer
from tests.support.identities import identity_of

_FRAMES = 2000
_ROUNDS = 7
_SAFE = (
    b'{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},'
    b'"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}'
)
_OPENAI_TAIL = (
    b'},"finish_reason":null,"index":0,"logprobs":null}],"created":1756217686,"id":"chatcmpl-Z0khbPK4GWWEh0dr6gag0xTiatxAT",'
    b'"model":"gpt-4o-mini-2024-07-18","object":"chat.completion.chunk","system_fingerprint":"fp_da3e2947cd","usage":null}'
)
_CLAUDE_TAIL = b'}}],"created":1741911507,"id":"e4de33ec-3cd5-cddb-53b2-4a2dbe65cdfe","model":"claude-3.5-sonnet"}'


def _openai(n: int) -> bytes:
    text = b" word%d" % n if n % 10 else b' \\"quoted\\"\\n'
    return b'{"choices":[{"content_filter_results":' + _SAFE + b',"delta":{"content":"' + text + b'"' + _OPENAI_TAIL


def _claude(n: int) -> bytes:
    return b'{"choices":[{"index":0,"delta":{"content":" some words%d","role":"assistant"' % n + _CLAUDE_TAIL


def _claude_offsets(n: int) -> bytes:
    offsets = b'"content_filter_offsets":{"check_offset":0,"start_offset":0,"end_offset":%d},' % n
    results = b'"content_filter_results":' + _SAFE + b","
    delta = b'"delta":{"content":" some words%d","role":"assistant"' % n
    return b'{"choices":[{"index":0,' + offsets + results + delta + _CLAUDE_TAIL


def _tool(n: int) -> bytes:
    call = b'"function":{"arguments":"\\"key%d\\": %d, "},"index":0' % (n, n)
    first = b'"function":{"arguments":"","name":"edit_file"},"id":"call_1","index":0,"type":"function"'
    calls = b'"tool_calls":[{' + (call if n else first) + b"}]"
    return b'{"choices":[{"content_filter_results":{},"delta":{' + calls + _OPENAI_TAIL


def _reasoning(n: int) -> bytes:
    return (
        b'{"choices":[{"index":0,"delta":{"content":null,"reasoning_text":"Let me think %d","role":"assistant"' % n
        + _CLAUDE_TAIL
    )


def _changing(n: int) -> bytes:
    """The worst case: an id that changes with every frame, so that nothing can be learned."""
    return _openai(n).replace(b"Z0kh", b"%04d" % n)


def _measure(reads: list[bytes]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        normalizer = StreamNormalizer(
            identity_of("gpt-4o-mini", created=0, fallback_id="x"), include_usage=False, choices=1
        )
        begin = time.perf_counter()
        for read in reads:
            normalizer.feed(read)
        best = min(best, time.perf_counter() - begin)
    return best / _FRAMES * 1e6


def main() -> None:
    print(f"{'stream':<18}{'1 per feed':>12}{'10 per feed':>14}   µs/chunk")
    kinds = (_openai, _claude, _claude_offsets, _tool, _reasoning, _changing)
    for kind in kinds:
        frames = [b"data: " + kind(n) + b"\n\n" for n in range(_FRAMES)]
        tens = [b"".join(frames[n : n + 10]) for n in range(0, _FRAMES, 10)]
        print(f"{kind.__name__[1:]:<18}{_measure(frames):>12.2f}{_measure(tens):>14.2f}")


if __name__ == "__main__":
    main()
