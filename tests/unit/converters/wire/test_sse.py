"""Framing: any line ending, any cut."""

from __future__ import annotations

import pytest

from app.converters.wire import sse


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_ends_a_line_wherever_it_is_cut(ending: bytes) -> None:
    data = b"data: a" + ending + b"data: \xc3\xa9" + ending + ending + b"rest"
    for cut in range(len(data) + 1):
        cutter = sse.LineCutter()
        lines = cutter.feed(data[:cut]) + cutter.feed(data[cut:])
        assert lines == b"data: a\ndata: \xc3\xa9\n\n"
        assert cutter.take_rest() == b"rest"
        assert cutter.take_rest() == b""


def test_a_line_is_held_until_it_is_whole() -> None:
    cutter = sse.LineCutter()
    assert cutter.feed(b"") == b""
    assert cutter.feed(b"da") == b""
    assert cutter.feed(b"ta: 1") == b""
    assert cutter.feed(b"\ndata: 2") == b"data: 1\n"


def test_field_takes_one_space_off_and_names_a_comment_by_nothing() -> None:
    assert sse.field(b"data:  x") == (b"data", b" x")
    assert sse.field(b"data:x") == (b"data", b"x")
    assert sse.field(b": keep-alive") == (b"", b"keep-alive")
    assert sse.field(b"data") == (b"data", b"")


def test_frame_and_comment() -> None:
    assert sse.frame(b"{}") == b"data: {}\n\n"
    assert sse.comment(b" hi") == b": hi\n\n"
