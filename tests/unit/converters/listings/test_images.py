"""What is read of images: a field of a form, and the end of a stream."""

from __future__ import annotations

import tracemalloc

import pytest

from app.converters.listings.images import StreamReader, form_field
from app.errors import InvalidRequestError

FORM = "multipart/form-data; boundary=b"


def part(name: str, value: str, *, before: str = "") -> bytes:
    return f'--b\r\n{before}Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def read(raw: bytes, content_type: str = FORM) -> str | None:
    at = form_field(raw, content_type, "model")
    return None if at is None else raw[at[0] : at[1]].decode()


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (part("a", "1") + part("model", "m") + part("c", "2") + b"--b--\r\n", "m"),
        (part("model", "") + b"--b--\r\n", ""),
        (part("a", "1") + b"--b--\r\n", None),
        (b"--b\r\n" * 3 + part("model", "m") + b"--b--\r\n", "m"),  # parts without a head end where the next begins
        (part("model", "m", before='X-Note: ; name="other"\r\n') + b"--b--\r\n", "m"),
        (part("a", "1", before='X-Note: ; name="model"\r\n') + b"--b--\r\n", None),
        (b'--b\r\ncontent-disposition: FORM-DATA; filename="model"; name=model\r\n\r\nm\r\n--b--\r\n', "m"),
        (part("model", "m"), None),  # not ended
        (b"--b\r\n\r\n--b--\r\n", None),
    ],
)
def test_a_field_of_a_form(raw: bytes, value: str | None) -> None:
    assert read(raw) == value


def test_a_field_that_is_there_twice_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="'model' more than once"):
        read(part("model", "one") + part("model", "two") + b"--b--\r\n")


def test_the_boundary_is_the_one_of_that_name() -> None:
    assert read(part("model", "m") + b"--b--\r\n", 'multipart/form-data; xboundary=a; boundary="b"') == "m"


STREAM = (
    b'data: {"type":"image_generation.partial_image"}\r\n\r\n'
    b'data: {"type":"image_generation.completed","usage":{"input_tokens":3,"output_tokens":5}}\n\n'
)


def test_a_stream_is_understood_wherever_it_is_cut() -> None:
    for cut in range(len(STREAM) + 1):
        reader = StreamReader()
        reader.feed(STREAM[:cut])
        between = cut == 0 or STREAM[:cut].endswith((b"\n\n", b"\r\n\r\n"))
        assert reader.is_between_events == between, cut
        reader.feed(STREAM[cut:])
        assert reader.outcome.usage is not None, cut
        assert reader.is_between_events


def test_a_long_event_is_not_copied_for_each_piece() -> None:
    reader = StreamReader()
    reader.feed(b"data: " + b"a" * 4_000_000)
    tracemalloc.start()
    reader.feed(b"a")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100_000
