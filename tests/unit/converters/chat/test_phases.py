"""The messages and thoughts of one answer stay apart for chat clients, whole and streamed alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.chat.client.response import encode_response
from app.converters.chat.client.stream import StreamEncoder
from app.converters.chat.thoughts import thoughts
from app.converters.neutral.events import explode
from app.converters.neutral.vocabulary import Request, Response, Text
from app.converters.registry import UPSTREAMS
from tests.support.exchanges import exchange_between

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ((Text("I will look.", phase="commentary"), Text("Done.", phase="final_answer")), "I will look.\n\nDone."),
        ((Text("a", phase="commentary"), Text("b", phase="commentary"), Text("c")), "ab\n\nc"),
        ((Text("", phase="commentary"), Text("Done.", phase="final_answer")), "Done."),
        ((Text("Done.", phase="final_answer"),), "Done."),
        ((Text("a"), Text(""), Text("b")), "ab"),
        ((Text("a"), Text("b", is_apart=True)), "a\n\nb"),
        ((Text("a", is_apart=True), Text("b")), "ab"),
        ((Text("", is_apart=True), Text("b", is_apart=True)), "b"),
    ],
)
def test_a_blank_line_stands_where_the_phase_changes(parts: tuple[Text, ...], told: str) -> None:
    response, request = Response("r", "m", 1, parts, "stop"), Request(model="m")
    assert encode_response(response, request, model="m")["choices"][0]["message"]["content"] == told
    encoder = StreamEncoder(request, model="m")
    raw = b"".join(encoder.feed(event) for event in explode(response))
    chunks = [json.loads(line[6:]) for line in raw.split(b"\n\n") if line.startswith(b"data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]) == told


def item(text: str, **more: Any) -> Json:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}], **more}


def thought(text: str, proof: str) -> Json:
    summary = [{"type": "summary_text", "text": text}]
    return {"type": "reasoning", "summary": summary, "encrypted_content": proof}


CALL = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
USE = {"type": "tool_use", "id": "c", "name": "look", "input": {}}
ANSWERS: dict[str, tuple[str, list[Json], str, str]] = {
    # upstream, what it says, the content and the thought of a chat client
    "two messages": ("responses", [item("I look."), item("Done.")], "I look.\n\nDone.", ""),
    "two of commentary": (
        "responses",
        [item("I look.", phase="commentary"), item("Again.", phase="commentary")],
        "I look.\n\nAgain.",
        "",
    ),
    "around a call": ("responses", [item("I look."), CALL, item("Done.")], "I look.\n\nDone.", ""),
    "two parts of one": (
        "responses",
        [{**item(""), "content": [{"type": "output_text", "text": one} for one in ("I ", "look.")]}],
        "I look.",
        "",
    ),
    "two thoughts": ("responses", [thought("T1", "e1"), thought("T2", "e2"), item("Done.")], "Done.", "T1\n\nT2"),
    "text around a call": (
        "messages",
        [{"type": "text", "text": "I look."}, USE, {"type": "text", "text": "Done."}],
        "I look.\n\nDone.",
        "",
    ),
    "text that citations cut": (
        "messages",
        [{"type": "text", "text": "It is "}, {"type": "text", "text": "blue."}],
        "It is blue.",
        "",
    ),
    "thoughts between texts": (
        "messages",
        [
            {"type": "thinking", "thinking": "T1", "signature": "s1"},
            {"type": "text", "text": "I look."},
            {"type": "thinking", "thinking": "T2", "signature": "s2"},
            {"type": "text", "text": "Done."},
        ],
        "I look.\n\nDone.",
        "T1\n\nT2",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_upstream_told_apart_stays_apart_and_comes_back_in_its_pieces(case: str) -> None:
    upstream, said, content, thinking = ANSWERS[case]
    answer = {"id": "r", "model": "m", "stop_reason": "end_turn", "status": "completed"}
    response = UPSTREAMS[upstream].decode_response({**answer, "content" if upstream == "messages" else "output": said})
    asked = {"role": "user", "content": "go"}
    whole = json.loads(
        exchange_between("chat", upstream, {"model": "m", "messages": [asked]}).whole(
            json.dumps({**answer, "type": "message", "content": said, "output": said}).encode()
        )
    )["choices"][0]["message"]
    encoder = StreamEncoder(Request(model="m"), model="m")
    raw = b"".join(encoder.feed(event) for event in explode(response))
    chunks = [json.loads(line[6:]) for line in raw.split(b"\n\n") if line.startswith(b"data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    streamed = {
        name: "".join(delta.get(name) or "" for delta in deltas)
        for name in ("content", "reasoning_content", "reasoning_opaque")
    }
    for told in (whole, streamed):
        assert (told["content"], told.get("reasoning_content") or "") == (content, thinking)
        if thinking:
            assert [one.text for one in thoughts(told)] == ["T1", "T2"]
