"""Request bodies that clients compressed (RFC 9110 §8.4): unpacked up to a limit that holds for what comes out."""

from __future__ import annotations

import io
import zlib
from typing import Final

import zstandard

from app.errors import InvalidRequestError, UnsupportedMediaTypeError

CODINGS: Final = "gzip, deflate, zstd"
_GZIP, _ZLIB, _BARE = 31, 15, -15  # zlib's numbers for the three wrappings of the same thing
_ZSTD_WINDOW_BYTES: Final = 32 * 1024 * 1024
_MOST_CODINGS: Final = 3  # one upon the other
_MOST_MEMBERS: Final = 16  # of gzip, one behind the other; what is left is copied for each


class TooMuchError(ValueError):
    """More comes out than the limit."""


def unpack(body: bytes, codings: str, *, most: int) -> bytes:
    """The body without its codings: the value of ``Content-Encoding``, in the order in which they were applied.

    Raises: UnsupportedMediaTypeError for a coding that is not read, InvalidRequestError for a damaged body,
    TooMuchError beyond `most` bytes.
    """
    named = [name for name in (part.strip().lower() for part in codings.split(",")) if name not in ("", "identity")]
    for name in named:
        if name.removeprefix("x-") not in _READERS or len(named) > _MOST_CODINGS:
            raise UnsupportedMediaTypeError(
                f"The body has the Content-Encoding {codings.strip()!r}, which is not read. Send it as {CODINGS}, or "
                "without Content-Encoding."
            )
    for name in reversed(named):
        try:
            body = _READERS[name.removeprefix("x-")](body, most)
        except (zlib.error, zstandard.ZstdError, EOFError):
            raise InvalidRequestError(
                f"The body is not what its Content-Encoding says: it cannot be unpacked as {name}. Was it cut off, or "
                "compressed in another way?"
            ) from None
    return body


def _gzip(body: bytes, most: int) -> bytes:
    out = b""
    for _ in range(_MOST_MEMBERS):
        if not body:
            return out
        piece, body = _inflate(body, _GZIP, most - len(out))
        out += piece
    if body:
        raise zlib.error
    return out


def _deflate(body: bytes, most: int) -> bytes:
    # The zlib wrapping is meant, but some leave it out.
    is_wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    piece, rest = _inflate(body, _ZLIB if is_wrapped else _BARE, most) if body else (b"", b"")
    if rest:
        raise zlib.error
    return piece


def _inflate(body: bytes, wrapping: int, most: int) -> tuple[bytes, bytes]:
    """What comes out, and what stands behind its end."""
    reader = zlib.decompressobj(wrapping)
    out = reader.decompress(body, most + 1)
    if len(out) > most:
        raise TooMuchError
    if not reader.eof:
        raise EOFError
    return out, reader.unused_data


def _zstd(body: bytes, most: int) -> bytes:
    if not body:
        return b""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    with decompressor.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        out: bytes = reader.read(most + 1)
    if len(out) > most:
        raise TooMuchError
    if len(out) < zstandard.frame_content_size(body):  # -1 where the frame does not say
        raise EOFError
    return out


_READERS: Final = {"gzip": _gzip, "deflate": _deflate, "zstd": _zstd}
