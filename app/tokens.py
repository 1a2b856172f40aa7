"""Counting tokens here, where upstream does not: with OpenAI's o200k, which comes with the package.

An estimate for models of other vendors, good enough to decide when to compact. Never on the way of an answer: only the
count_tokens endpoint calls it. Images count by their size, not by their bytes.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable
from functools import cache

from rs_bpe.bpe import openai

from app.converters.neutral.vocabulary import Image

# What a message and the list as a whole cost beside their text.
_PER_ITEM = 4
# Anthropic: width × height / 750, at most what a picture of 1,568 pixels a side costs after scaling.
_PIXELS_PER_TOKEN = 750
_MOST_FOR_AN_IMAGE = 1_600
_HEAD_BYTES = 64 * 1024


@cache
def _encoding() -> openai.Tokenizer:
    """Loaded at the first call only: it takes 60 ms and 60 MB."""
    return openai.o200k_base()


def count(items: Iterable[str | Image | int]) -> int:
    """Tokens of these texts, images and documents, as one prompt. A number: tokens that are known or estimated."""
    return 3 + sum(_PER_ITEM + _of(item) for item in items)


def _of(item: str | Image | int) -> int:
    if isinstance(item, int):
        return item
    return _of_image(item) if isinstance(item, Image) else _of_text(item)


def _of_text(text: str) -> int:
    counted: int = _encoding().count(text.encode("utf-8", "replace").decode())  # half a character is no text to it
    return counted


def _of_image(image: Image) -> int:
    size = _size(image.data) if image.data else None
    if size is None:
        return _MOST_FOR_AN_IMAGE
    width, height = size
    return max(1, min(_MOST_FOR_AN_IMAGE, width * height // _PIXELS_PER_TOKEN))


def _size(data: str) -> tuple[int, int] | None:
    """Width and height in pixels, from the head of a PNG, GIF or JPEG; None if it is none of these."""
    try:
        head = base64.b64decode(data[: _HEAD_BYTES // 3 * 4])
    except (binascii.Error, ValueError):
        return None
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
        return width, height
    return _jpeg_size(head) if head.startswith(b"\xff\xd8") else None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Walks the segments to the frame header (SOF0…SOF15, without the tables in between)."""
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        kind, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None
