"""Laws that hold for every stream: wherever it is cut, whatever the text, on both paths, and for the official SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import openai
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.converters.chat.native.stream import StreamNormalizer
from tests.support.effort import places_to_cut, tries
from tests.support.identities import identity_of
from tests.support.rows import rows

CASES = sorted((Path(__file__).parents[4] / "fixtures" / "chat").glob("*.stream.sse"), key=lambda path: path.name)
COMPLETE = [path for path in CASES if not path.name.startswith("error")]
each_case = pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.split(".")[0])
each_complete = pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.name.split(".")[0])

OPENAI = (
    b'{"choices":[{"content_filter_results":{},"delta":{"content":%s},"finish_reason":null,"index":0,"logprobs":null}],'
    b'"created":1756217686,"id":"chatcmpl-Z","model":"gpt-4o-mini-2024-07-18","object":"chat.completion.chunk","usage":null}'
)
CLAUDE = (
    b'{"choices":[{"index":0,"content_filter_offsets":{"check_offset":0,"end_offset":132},"delta":{"content":%s,'
    b'"role":"assistant"}}],"created":1741911507,"id":"e4de33ec","model":"claude-3.5-sonnet"}'
)
REASONING = (
    b'{"choices":[{"index":0,"delta":{"content":null,"reasoning_text":%s,"role":"assistant"}}],"created":17,"id":"q"}'
)
ARGUMENTS = (
    b'{"choices":[{"index":0,"delta":{"content":null,"tool_calls":[{"function":{"arguments":%s},"index":0,"type":"function"'
    b'}]}}],"created":1741911507,"id":"e4de33ec","model":"claude-3.5-sonnet"}'
)
CALL = (
    b'data: {"choices":[{"index":0,"delta":{"content":null,"tool_calls":[{"function":{"name":"f"},"id":"c","index":0,'
    b'"type":"function"}]}}],"created":1741911507,"id":"e4de33ec","model":"claude-3.5-sonnet"}\n\n'
)
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop","index":0}],"created":1,"id":"e"}\n\ndata: [DONE]\n\n'

nasty = st.sampled_from(
    [
        '"role":"assistant"',
        '"content":"',
        '"},"finish_reason":null',
        "\\",
        '"',
        "\\\\",
        "é😀",
        "\n",
        "data: [DONE]\n\n",
        "<<the-one-string>>",
        '"tool_calls":[',
        "\u2028",
        "\x00",
        '"content_filter_offsets":{"a":1},',
        "",
    ]
)
texts = st.lists(st.lists(st.text() | nasty, max_size=4).map("".join), min_size=1, max_size=12)


def new_normalizer(**more: Any) -> StreamNormalizer:
    return StreamNormalizer(
        identity_of("asked-for", created=1111, fallback_id="chatcmpl-f"), **{"include_usage": True, **more}
    )


def run(normalizer: StreamNormalizer, pieces: list[bytes]) -> bytes:
    return b"".join(normalizer.feed(piece) for piece in pieces) + normalizer.finish()


class SlowNormalizer(StreamNormalizer):
    """Never learns, so that every frame takes the slow path."""

    def _learn(self, *_: Any, **__: Any) -> None:
        pass


@each_case
def test_every_cut_gives_the_same_bytes(path: Path) -> None:
    data = path.read_bytes()
    whole = run(new_normalizer(), [data])
    for cut in places_to_cut(data, seed=path.name):
        assert run(new_normalizer(), [data[:cut], data[cut:]]) == whole
    assert run(new_normalizer(), [data[i : i + 1] for i in range(len(data))]) == whole


@each_complete
def test_a_truncated_stream_never_ends_in_done(path: Path) -> None:
    """The answer is complete once its last finish reason is there; [DONE] may be missing, anything before may not."""
    data = path.read_bytes()
    finish = data.rfind(b"\n", 0, data.find(b"}", data.rfind(b'"finish_reason":"'))) + 1
    end = data.find(b"\n", finish)
    for cut in places_to_cut(data[:finish], seed=path.name):
        out = run(new_normalizer(), [data[:cut]])
        assert b"[DONE]" not in out
        assert b'"error"' in out
    assert run(new_normalizer(), [data[:end]]).endswith(b"data: [DONE]\n\n")


@rows()
@each_case
def test_fast_and_slow_path_give_the_same_bytes(path: Path) -> None:
    data = path.read_bytes()
    slow = SlowNormalizer(identity_of("asked-for", created=1111, fallback_id="chatcmpl-f"), include_usage=True)
    assert run(slow, [data]) == run(new_normalizer(), [data])


def said(out: bytes, read: Callable[[dict[str, Any]], str]) -> str:
    frames = [orjson.loads(line[6:]) for line in out.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(read(entry["delta"]) for frame in frames for entry in frame["choices"])


def arguments_of(delta: dict[str, Any]) -> str:
    return "".join(call["function"]["arguments"] for call in delta.get("tool_calls", []))


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        (OPENAI, lambda delta: delta.get("content") or ""),
        (CLAUDE, lambda delta: delta.get("content") or ""),
        (REASONING, lambda delta: delta.get("reasoning_content") or ""),
        (ARGUMENTS, arguments_of),
    ],
    ids=["openai", "claude", "reasoning", "arguments"],
)
@pytest.mark.parametrize("spaced", [False, True], ids=["compact", "spaced"])
@settings(max_examples=tries(60), deadline=None)
@given(texts=texts, cuts=st.lists(st.integers(0, 4000), max_size=12), is_ascii=st.booleans())
def test_no_text_is_ever_lost(
    shape: bytes, read: Callable[..., str], spaced: bool, texts: list[str], cuts: list[int], is_ascii: bool
) -> None:
    if read is arguments_of:
        # Anything else would be told as a broken call, at the end.
        texts = ['{"a": "', *(json.dumps(text)[1:-1] for text in texts), '"}']
    if spaced:
        shape = shape.replace(b'":', b'": ').replace(b',"', b', "')
    frames = [b"data: " + shape.replace(b"%s", json.dumps(t, ensure_ascii=is_ascii).encode()) + b"\n\n" for t in texts]
    stream = (CALL if read is arguments_of else b"") + b"".join(frames) + FINISH
    at = sorted({cut % len(stream) for cut in cuts} | {0, len(stream)})
    out = run(new_normalizer(), [stream[a:b] for a, b in pairwise(at)])
    assert said(out, read) == "".join(texts)
    assert out.endswith(b"data: [DONE]\n\n")
    slow = SlowNormalizer(identity_of("asked-for", created=1111, fallback_id="chatcmpl-f"), include_usage=True)
    slow_out = run(slow, [stream])
    assert [orjson.loads(f[6:]) for f in out.split(b"\n\n")[:-2]] == [
        orjson.loads(f[6:]) for f in slow_out.split(b"\n\n")[:-2]
    ]


@settings(max_examples=tries(200), deadline=None)
@given(data=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_garbage_never_crashes_and_never_ends_in_done(data: bytes) -> None:
    out = run(new_normalizer(), [data])
    assert b"data: [DONE]" not in out
    assert out.endswith(b"\n\n")


def test_the_plain_text_path_parses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    normalizer = new_normalizer()
    frames = [b"data: " + OPENAI.replace(b"%s", b'"%d"' % n) + b"\n\n" for n in range(10)]
    normalizer.feed(b"".join(frames[:3]))
    monkeypatch.setattr("app.converters.wire.json_bytes.loads", None)
    monkeypatch.setattr("app.converters.wire.json_bytes.dumps", None)
    assert normalizer.feed(b"".join(frames[3:])).count(b'"asked-for"') == 7


def sdk_completion(out: bytes) -> Any:
    """What the official SDK makes of a normalized stream."""
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=out))
    with (
        httpx2.Client(transport=transport) as http,
        openai.OpenAI(api_key="k", base_url="http://bridge.test/v1", http_client=http, max_retries=0) as client,
        client.chat.completions.stream(model="asked-for", messages=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        stream.until_done()
        return stream.get_final_completion()


@rows()
@each_complete
def test_the_official_sdk_reads_every_stream(path: Path) -> None:
    if path.name.startswith("content_filter"):
        with pytest.raises(openai.ContentFilterFinishReasonError):
            sdk_completion(run(new_normalizer(), [path.read_bytes()]))
        return
    if path.name.startswith("length_stop"):
        with pytest.raises(openai.LengthFinishReasonError):
            sdk_completion(run(new_normalizer(), [path.read_bytes()]))
        return
    completion = sdk_completion(run(new_normalizer(), [path.read_bytes()]))
    known, name = json.loads((path.parent / "expected_messages.json").read_text("utf-8")), path.name.split(".")[0]
    assert name in known, f"say in expected_messages.json what the SDK has to make of {path.name}"
    message = completion.choices[0].message
    calls = [[call.id, call.function.name, call.function.arguments] for call in message.tool_calls or []]
    assert message.role == "assistant"
    assert len(completion.choices) == 1
    assert {
        "content": message.content or "",
        "reasoning": getattr(message, "reasoning_content", None),
        "calls": calls,
        "finish": completion.choices[0].finish_reason,
        "total_tokens": completion.usage.total_tokens if completion.usage else None,
    } == known[name]


def test_the_official_sdk_raises_on_an_error_frame() -> None:
    (path,) = set(CASES) - set(COMPLETE)
    with pytest.raises(openai.APIError, match="exceeded your rate limit"):
        sdk_completion(run(new_normalizer(), [path.read_bytes()]))
