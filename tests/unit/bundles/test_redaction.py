"""Nothing that was said is in a bundle, wherever it stood; everything else of the wire is as it was."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bundles.filler import Filler
from app.bundles.redaction import Redactor
from app.bundles.words import WORDS
from app.converters.chat.fields import FIELDS as CHAT
from app.converters.messages.fields import FIELDS as MESSAGES
from app.converters.responses.fields import FIELDS as RESPONSES

# No letter of filler, and no word of a protocol.
WORD = st.text("ghjkmnpqrstvwxyz", min_size=7, max_size=20) | st.text(
    "密码病历秘书手机银行护照号", min_size=4, max_size=12
)


def redacted(value: Any, **how: bool) -> Any:
    out = Redactor(["gpt-4.1"]).body(json.dumps(value, ensure_ascii=False).encode(), **how)
    return json.loads(out)


def shape(value: Any) -> Any:
    """A value without what it says: kinds, lengths and names of the protocols."""
    if isinstance(value, dict):
        return [(name if name in WORDS else len(name), shape(it)) for name, it in value.items()]
    if isinstance(value, list):
        return [shape(it) for it in value]
    return len(value) if isinstance(value, str) else type(value).__name__


def request(word: str) -> dict[str, Any]:
    """A request that says a word wherever one can."""
    call = {"id": f"call_{word}", "type": "function", "function": {"name": word, "arguments": json.dumps({word: word})}}
    schema = {"type": "object", "properties": {word: {"type": "string", "enum": [word], "const": word}}}
    file = base64.b64encode(word.encode()).decode()
    return {
        "model": "gpt-4.1",
        "user": word,
        "metadata": {word: word, "user_id": word, "role": word},
        "messages": [
            {"role": "system", "content": f"You are {word}."},
            {"role": "user", "name": word, "content": [{"type": "text", "text": f"{word}\n\t\"{word}\" \\{word}"}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"https://{word}/{word}?{word}"}}]},
            {"role": "user", "content": [{"type": "file", "file": {"filename": word, "file_data": file}}]},
            {"role": "user", "content": [{"type": word, "source": {"media_type": word, "data": file}}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{word}", "content": word},
            {"role": word, "content": [{"type": "tool_use", "id": f"toolu_{word}", "input": {word: [word]}}]},
        ],
        "tools": [{"type": "function", "function": {"name": word, "description": word, "parameters": schema}}],
        "tool_choice": {"type": "function", "function": {"name": word}},
        "response_format": {"type": "json_schema", "json_schema": {"name": word, "schema": schema}},
        "stop": [word],
        "include": [word],
        "prompt_cache_key": word,
        word: {word: word, "type": word},
        "temperature": 0.7,
        "stream": True,
    }  # fmt: skip


def assert_unsaid(word: str, content: bytes | str) -> None:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    escaped = json.dumps(word)[1:-1]
    for form in {word, escaped, escaped.upper(), base64.b64encode(word.encode()).decode().rstrip("=")}:
        assert form.lower() not in text.lower()


@given(word=WORD, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_a_word_of_a_request_is_nowhere_in_it_and_its_form_stays(word: str, ascii_only: bool, indent: Any) -> None:
    before = json.dumps(request(word), ensure_ascii=ascii_only, indent=indent).encode()
    after = Redactor(["gpt-4.1"]).body(before)
    assert_unsaid(word, after)
    assert len(after) == len(before)
    found = json.loads(after)
    assert shape(found) == shape(json.loads(before))
    assert found["model"] == "gpt-4.1"
    assert (found["temperature"], found["stream"]) == (0.7, True)
    call = found["messages"][5]["tool_calls"][0]
    assert call["id"].startswith("call_")
    assert call["id"] == found["messages"][6]["tool_call_id"]  # what refers to each other still does
    assert call["function"]["name"] == found["tools"][0]["function"]["name"]
    json.loads(call["function"]["arguments"])


def frames(word: str, arguments: str) -> bytes:
    """A stream in all three dialects at once; nobody reads it here."""
    events: list[Any] = [
        {"id": word, "model": word, "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}}]},
        {"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": arguments}},
        {"type": "response.output_text.delta", "delta": word, "sequence_number": 17, "item_id": f"msg_{word}"},
        {"error": {"message": f"Unknown parameter: '{word}'.", "code": word, "param": word}},
        {"usage": {"prompt_tokens": 12, "completion_tokens": 3}, "choices": []},
    ]
    lines = [f": {word}\n\nevent: {word}\nid: {word}\n"]
    lines += [f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events]
    return "".join([*lines, f"{word}\ndata: [DONE]\n\n"]).encode()


@given(word=WORD, data=st.data())
def test_a_word_of_a_stream_is_nowhere_in_it_wherever_the_stream_is_damaged(word: str, data: Any) -> None:
    before = frames(word, json.dumps({word: f"{word}\n", "n": 10, "yes": True}))
    cut = data.draw(st.integers(0, len(before)))
    hole = data.draw(st.integers(0, 40))
    before = before[:cut] + before[cut + hole :]
    after = Redactor().body(before, is_stream=True)
    assert len(after) == len(before)
    assert after.count(b"\n") == before.count(b"\n")
    # A word that was cut in two by the damage is no word; the whole ones are gone.
    assert_unsaid(word, after)


def test_a_whole_stream_keeps_its_words_and_numbers() -> None:
    after = (
        Redactor()
        .body(frames("wordwordword", '{"number": 10, "is true": true, "a line": "\\n"}'), is_stream=True)
        .decode()
    )
    events = [json.loads(line[6:]) for line in after.splitlines() if line.startswith("data: {")]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[2]["type"] == "content_block_delta"
    assert events[2]["index"] == 3
    assert events[3]["sequence_number"] == 17
    assert events[4]["error"]["message"].startswith("Unknown parameter: '")
    assert events[5]["usage"] == {"prompt_tokens": 12, "completion_tokens": 3}
    assert after.rstrip().endswith("data: [DONE]")
    arguments = json.loads(events[2]["delta"]["partial_json"])
    assert list(arguments.values())[1] is True
    assert list(arguments.values())[2] == "\n"


@given(st.text() | st.text(st.characters(codec="utf-8"), min_size=1))
def test_filler_has_the_length_and_the_classes_of_the_text(text: str) -> None:
    filler = Filler()
    found = filler.of(text)
    assert len(found) == len(text)
    assert len(found.encode("utf-8", "surrogatepass")) == len(text.encode("utf-8", "surrogatepass"))
    assert [c.isspace() for c in found] == [c.isspace() for c in text]
    assert filler.of(text) == found


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_any_bytes_come_out_as_many(content: bytes, is_stream: bool, is_error: bool) -> None:
    assert len(Redactor().body(content, is_stream=is_stream, is_error=is_error)) == len(content)


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"unauthorized: token expired\n", b"unauthorized: token expired\n"),
        (b'{"error":{"message":"The requested model is not supported.","code":"model_not_supported"}}', None),
        (b'{"error":{"message":"The limit is exceeded","code":"rate_limited"}}', None),
    ],
)
def test_what_upstream_always_says_stays(content: bytes, kept: bytes | None) -> None:
    assert Redactor().body(content, is_error=True) == (kept or content)


def test_a_number_of_somebodys_own_goes_and_a_count_stays() -> None:
    found = redacted({"max_tokens": 4096, "input": {"card": 4111111111111111, "index": 4111}, "data": [0.123456789]})
    assert found["max_tokens"] == 4096
    assert found["input"]["index"] == 4111  # counts are the protocols' own
    assert "4111111111111111" not in json.dumps(found)
    assert "0.123456789" not in json.dumps(found)


def test_two_bundles_have_different_filler() -> None:
    assert len({Redactor().text("the same sentence for each of them") for _ in range(5)}) == 5


@pytest.mark.parametrize("table", [CHAT, MESSAGES, RESPONSES], ids=["chat", "messages", "responses"])
def test_every_field_of_our_tables_is_a_known_word(table: Any) -> None:
    names = {part for name in table for part in str(name).replace("[]", "").split(".") if part}
    assert names <= WORDS, sorted(names - WORDS)
