"""Framing of server-sent events: bytes in any cut to whole lines, data to frames.

The normalizers read by *line*, not by blank line, because some upstream captures have a single newline between frames
(contract §6.4). JSON never holds a raw line break, so a line is never cut inside a JSON text.
"""

from __future__ import annotations

from typing import Final

from app.errors import UpstreamProtocolError

MOST_BYTES: Final = 32 * 1024 * 1024
"""Of one line, and of one event. No model writes as much; an upstream gone mad would fill the memory."""
_CONTROLS: Final = bytes(code for code in range(0x20) if code != 0x0A)

DONE = b"data: [DONE]\n\n"
BOM = b"\xef\xbb\xbf"


def frame(data: bytes) -> bytes:
    """One SSE frame. `data` must not hold a line break, as is always so with compact JSON."""
    return b"data: " + data + b"\n\n"


def comment(text: bytes) -> bytes:
    """One SSE comment, which keeps a connection alive and which no client shows."""
    return b":" + text + b"\n\n"


def field(line: bytes) -> tuple[bytes, bytes]:
    """Split a line into field name and value; one space after the colon does not count. A comment has the name b""."""
    name, _, value = line.partition(b":")
    return name, value[1:] if value[:1] == b" " else value


def has_controls(data: bytes) -> bool:
    """Whether control characters other than line breaks stand there raw, which no strict JSON parser takes."""
    return len(data.translate(None, _CONTROLS)) != len(data)


class LineCutter:
    r"""Whole lines from arbitrary cuts; ``\r\n``, ``\r`` and ``\n`` all end a line and come out as ``\n``.

    What is no UTF-8 comes out as U+FFFD: SDKs raise on it. most_bytes: how long a line may be.
    """

    __slots__ = ("_most_bytes", "_parts", "_size", "_skips_newline")

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._skips_newline = False
        self._most_bytes = most_bytes

    def feed(self, data: bytes) -> bytes:
        r"""All lines that are complete by now, each ended by ``\n``, in one piece.

        Raises: UpstreamProtocolError for a line that does not end.
        """
        if self._skips_newline and data:
            # The last read ended in "\r", which has been counted as a line end: its "\n" must not count again.
            self._skips_newline = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._skips_newline = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._keep(data)
            return b""
        lines = data[:cut]
        if self._parts:
            self._parts.append(lines)
            lines = b"".join(self._parts)
            self._parts, self._size = [], 0
        if cut < len(data):
            self._keep(data[cut:])
        return lines if lines.isascii() else valid_utf8(lines)

    def _keep(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
            if self._size > self._most_bytes:
                raise too_large(self._most_bytes)

    def take_rest(self) -> bytes:
        """The last line, when upstream closed without ending it."""
        rest = b"".join(self._parts)
        self._parts, self._size = [], 0
        return valid_utf8(rest)


def valid_utf8(data: bytes) -> bytes:
    """The same bytes, or, where they are no UTF-8, U+FFFD in place of what is none."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode()
    return data


def too_large(most_bytes: int) -> UpstreamProtocolError:
    """The error of a line or an event that has no end."""
    return UpstreamProtocolError(
        f"GitHub Copilot sent one event of more than {most_bytes >> 20} MiB in its stream, which no answer needs. "
        "Try again."
    )
