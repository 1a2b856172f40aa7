"""Lenient JSON."""

from __future__ import annotations

import pytest

from app.converters.wire import json_bytes


def test_what_orjson_refuses_still_parses() -> None:
    assert json_bytes.loads(b'"\\ud83d"') == "\ud83d"
    assert json_bytes.loads(b'"a\tb"') == "a\tb"
    assert json_bytes.dumps({"a": "\ud83d"}) == b'{"a":"\\ud83d"}'


def test_integers_of_any_size_survive() -> None:
    raw = b'{"a":123456789012345678901234567890}'
    assert json_bytes.dumps(json_bytes.loads_exact(raw)) == raw


def test_torn_and_bottomless_json_is_a_value_error() -> None:
    for raw in (b'{"a":', b"", b"[" * 100_000, b"<html>", b"[" * 100_000 + b"1" * 20):
        with pytest.raises(ValueError):
            json_bytes.loads(raw)
        with pytest.raises(ValueError):
            json_bytes.loads_exact(raw)
