"""Everything that the model reads counts."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from app import tokens
from app.converters.neutral.token_text import countable, estimate_input
from app.converters.neutral.vocabulary import Audio, File, Message, Opaque, Part, Refusal, Request, Text, ToolResult
from tests.support.rows import rows

SIXTY_KB = base64.b64encode(b"%PDF-1.4" * 7_500).decode()
PARTS: dict[str, tuple[Part, int, int]] = {
    "a PDF": (File(data=SIXTY_KB, media_type="application/pdf"), 500, 5_000),
    "a file of no known type": (File(data=SIXTY_KB), 500, 5_000),
    "a text file as data": (
        File(data=base64.b64encode(b"pear " * 1_000).decode(), media_type="text/plain"),
        900,
        1_300,
    ),
    "text that claims to be data": (File(data="no base64 at all!", media_type="text/plain"), 1, 20),
    "a document elsewhere": (File(url="https://files.test/a.pdf"), 500, 5_000),
    "an uploaded document": (File(file_id="file_1"), 500, 5_000),
    "a document in a tool's result": (ToolResult("c1", (File(data=SIXTY_KB),)), 500, 5_000),
    "a document of blocks": (File(parts=(Text("pear " * 1_000),)), 900, 1_300),
    "sound": (Audio(data=SIXTY_KB, format="wav"), 20, 2_000),
    "words that were spoken": (Audio(transcript="pear " * 1_000), 900, 1_300),
    "a refusal": (Refusal("pear " * 1_000), 900, 1_300),
    "a summary": (Opaque("messages", {"type": "compaction", "content": "pear " * 1_000}), 900, 1_300),
}


@rows()
@pytest.mark.parametrize("count", [lambda request: tokens.count(countable(request)), estimate_input])
@pytest.mark.parametrize("name", PARTS)
def test_each_kind_of_content_counts(name: str, count: Any) -> None:
    part, least, most = PARTS[name]
    without = Request(model="m", messages=(Message("user", (Text("hi"),)),))
    with_it = Request(model="m", messages=(Message("user", (Text("hi"), part)),))
    assert least <= count(with_it) - count(without) <= most


def test_a_larger_document_counts_more_up_to_what_a_model_reads() -> None:
    sizes = [
        estimate_input(Request(model="m", messages=(Message("user", (File(data="A" * size),)),)))
        for size in (10**4, 10**6, 10**8)
    ]
    assert sizes[0] < sizes[1] < sizes[2] <= 300_000
