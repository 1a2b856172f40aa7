"""Commentary and final answer of one answer stay apart for chat clients, whole and streamed alike."""

from __future__ import annotations

import json

import pytest

from app.converters.chat.client.response import encode_response
from app.converters.chat.client.stream import StreamEncoder
from app.converters.neutral.events import explode
from app.converters.neutral.vocabulary import Request, Response, Text


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ((Text("I will look.", phase="commentary"), Text("Done.", phase="final_answer")), "I will look.\n\nDone."),
        ((Text("a", phase="commentary"), Text("b", phase="commentary"), Text("c")), "ab\n\nc"),
        ((Text("", phase="commentary"), Text("Done.", phase="final_answer")), "Done."),
        ((Text("Done.", phase="final_answer"),), "Done."),
        ((Text("a"), Text(""), Text("b")), "ab"),
    ],
)
def test_a_blank_line_stands_where_the_phase_changes(parts: tuple[Text, ...], told: str) -> None:
    response, request = Response("r", "m", 1, parts, "stop"), Request(model="m")
    assert encode_response(response, request, model="m")["choices"][0]["message"]["content"] == told
    encoder = StreamEncoder(request, model="m")
    raw = b"".join(encoder.feed(event) for event in explode(response))
    chunks = [json.loads(line[6:]) for line in raw.split(b"\n\n") if line.startswith(b"data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]) == told
