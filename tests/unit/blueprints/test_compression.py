"""Bodies that clients compress, at every endpoint that takes one."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import pytest
import responses
import zstandard
from flask.testing import FlaskClient

from app.blueprints._compression import TooMuchError, unpack
from app.errors import InvalidRequestError, UnsupportedMediaTypeError
from tests.support.secrets import API_KEY

TEXT = json.dumps({"input": "hello " * 400, "emoji": "🙂"}, ensure_ascii=False).encode()


def bare_deflate(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(text) + packer.flush()


def streamed_zstd(text: bytes) -> bytes:
    """Without a size in its head, as a client writes that streams."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(text) + packer.flush()


PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("gzip", lambda text: gzip.compress(text[:100]) + gzip.compress(text[100:])),
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("zstd", lambda text: zstandard.compress(text)),
    ("zstd", streamed_zstd),
    ("zstd", lambda text: zstandard.compress(text[:100]) + zstandard.compress(text[100:])),
    ("gzip, zstd", lambda text: zstandard.compress(gzip.compress(text))),
    ("identity", bytes),
    ("", bytes),
]


def what_comes_of(body: bytes, coding: str) -> bytes | None:
    """What is unpacked; None where it is refused."""
    try:
        return unpack(body, coding, most=len(TEXT))
    except InvalidRequestError:
        return None


@pytest.mark.parametrize(("coding", "pack"), PACKED)
def test_what_was_packed_comes_out_and_the_limit_holds_for_it(coding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(TEXT)
    assert unpack(packed, coding, most=len(TEXT)) == TEXT
    if packed != TEXT:
        with pytest.raises(TooMuchError):
            unpack(packed, coding, most=len(TEXT) - 1)


@pytest.mark.parametrize(("coding", "pack"), [row for row in PACKED if row[0] not in ("identity", "")])
def test_body_that_was_cut_off_is_no_body(coding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(TEXT)
    for end in (len(packed) // 2, len(packed) - 1):
        assert what_comes_of(packed[:end], coding) != TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_body_in_another_form_than_told_is_refused(coding: str) -> None:
    with pytest.raises(InvalidRequestError, match=coding):
        unpack(TEXT, coding, most=10_000)


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, br", "gzip, gzip, gzip, gzip"])
def test_unread_coding_is_named_with_those_that_are_read(coding: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="gzip, deflate, zstd"):
        unpack(TEXT, coding, most=10_000)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_bomb_is_never_unpacked_as_a_whole(coding: str, pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(TooMuchError):
        unpack(pack(bytes(64 * 1024 * 1024)), coding, most=1024)


PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings"]


@pytest.mark.parametrize("path", PATHS)
def test_every_endpoint_reads_them_and_says_what_is_wrong(
    signed_in: None, client: FlaskClient, upstream: responses.RequestsMock, path: str
) -> None:
    def send(body: bytes, coding: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Encoding": coding, "Content-Type": "application/json"}
        answer = client.post(path, data=body, headers=headers)
        return answer.status_code, answer.get_data(as_text=True)

    # A body that is read and found wanting: the field is named, so it was unpacked.
    status, said = send(gzip.compress(b'{"model": 7}'), "gzip")
    assert status == 400
    assert "model" in said
    assert send(b"x", "gzip")[0] == 400
    assert send(b"x", "br")[0] == 415
    client.application.config["MAX_CONTENT_LENGTH"] = None
    bomb = zlib.compress(b" " * (32 * 1024 * 1024 + 1))
    status, said = send(bomb, "deflate")
    assert status == 413
    assert "MAX_BODY_BYTES" in said


def test_more_members_than_anybody_sends_are_refused_before_each_is_looked_at() -> None:
    """What is left is copied for each: a million empty ones would take minutes."""
    member = gzip.compress(b"")
    assert unpack(member * 16, "gzip", most=100) == b""
    with pytest.raises(InvalidRequestError):
        unpack(member * 50_000, "gzip", most=100)
