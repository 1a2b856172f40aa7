"""Which call belongs to which turn of a person, told without hashing a whole image."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from app.converters.chat.traits import traits as chat_traits
from app.converters.messages.traits import traits as messages_traits
from app.converters.neutral.request_traits import interaction_key
from app.converters.responses.traits import traits as responses_traits
from app.converters.wire import json_bytes

IMAGE = "data:image/png;base64," + "iVBORw0KGgo" * 100_000


def in_chat(image: str) -> bytes:
    part = {"type": "image_url", "image_url": {"url": image}}
    return chat_traits(
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, part]}]}
    ).interaction_key


def in_messages(image: str) -> bytes:
    block = {"type": "image", "source": {"type": "base64", "data": image}}
    return messages_traits({"messages": [{"role": "user", "content": [block]}]}).interaction_key


def in_responses(image: str) -> bytes:
    part = {"type": "input_image", "image_url": image}
    return responses_traits({"input": [{"role": "user", "content": [part]}]}).interaction_key


@pytest.mark.parametrize("key_of", [in_chat, in_messages, in_responses])
def test_images_are_told_apart_by_length_beginning_middle_and_end(key_of: Any) -> None:
    middle = len(IMAGE) // 64 * 32 + 5
    others = [IMAGE[:-1], IMAGE[:-1] + "X", "X" + IMAGE[1:], IMAGE[:middle] + "X" + IMAGE[middle + 1 :]]
    keys = [key_of(image) for image in (IMAGE, *others)]
    assert len(set(keys)) == len(keys)
    assert key_of("".join([IMAGE[:100], IMAGE[100:]])) == keys[0]


@pytest.mark.parametrize("key_of", [in_chat, in_messages, in_responses])
def test_no_long_string_is_written_or_hashed(key_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def dumps(value: Any) -> bytes:
        found = json_dumps(value)
        written.append(len(found))
        return found

    json_dumps = json_bytes.dumps
    monkeypatch.setattr(json_bytes, "dumps", dumps)
    key_of(IMAGE)
    assert 0 < max(written) < 16 * 1024


@pytest.mark.parametrize("said", ["hello", ["a", {"b": [1, None]}], None, "x" * 16384, [[[[["y" * 20000]]]]]])
def test_what_is_short_or_deep_counts_whole(said: Any) -> None:
    assert interaction_key(3, said) == b"3:" + hashlib.sha256(json_bytes.dumps(said)).hexdigest().encode()
