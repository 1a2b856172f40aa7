from __future__ import annotations

import base64
import struct

import pytest

from app.converters.neutral.vocabulary import Image
from app.tokens import count


def test_text_is_counted_as_o200k_does() -> None:
    base = count([])
    # "hello world, this is a test 你好" is nine tokens of o200k_base.
    assert count(["hello world, this is a test 你好"]) - base == 9 + 4


def test_half_a_character_and_very_long_texts_are_no_trouble() -> None:
    assert count(["cut \ud83d"]) > 0
    assert count(["word " * 300_000]) > 300_000


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return base64.b64encode(head + b"\0" * 100).decode()


def gif(width: int, height: int) -> str:
    return base64.b64encode(b"GIF89a" + struct.pack("<HH", width, height) + b"\0" * 20).decode()


def jpeg(width: int, height: int) -> str:
    app0 = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + b"\0" * 9
    frame = b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + b"\0" * 20
    return base64.b64encode(b"\xff\xd8" + app0 + frame).decode()


@pytest.mark.parametrize("make", [png, gif, jpeg])
def test_image_counts_by_its_size_and_not_by_its_bytes(make) -> None:
    base = count([""])
    assert count([Image(data=make(750, 10))]) - base == 10
    assert count([Image(data=make(4000, 4000))]) - base == 1600


@pytest.mark.parametrize("image", [Image(data="not base64!"), Image(data="AAAA"), Image(url="https://x.test/a.png")])
def test_image_of_unknown_size_counts_as_a_large_one(image: Image) -> None:
    assert count([image]) - count([""]) == 1600
