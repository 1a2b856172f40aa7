"""Framing of server-sent events: bytes in any cut to whole lines, data to frames.

The menders read by *line*, not by blank line, because some upstream captures have a single newline between frames
(contract §6.4). JSON never holds a raw line break, so a line is never cut inside a JSON text.
"""

from __future__ import annotations

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


class LineCutter:
    r"""Whole lines from arbitrary cuts; ``\r\n``, ``\r`` and ``\n`` all end a line and come out as ``\n``."""

    __slots__ = ("_parts", "_skips_newline")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._skips_newline = False

    def feed(self, data: bytes) -> bytes:
        r"""All lines that are complete by now, each ended by ``\n``, in one piece."""
        if self._skips_newline and data:
            # The last read ended in "\r", which has been counted as a line end: its "\n" must not count again.
            self._skips_newline = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._skips_newline = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = data.rfind(b"\n") + 1
        if not cut:
            if data:
                self._parts.append(data)
            return b""
        lines = data[:cut]
        if self._parts:
            self._parts.append(lines)
            lines = b"".join(self._parts)
            self._parts = []
        if cut < len(data):
            self._parts.append(data[cut:])
        return lines

    def take_rest(self) -> bytes:
        """The last line, when upstream closed without ending it."""
        rest = b"".join(self._parts)
        self._parts = []
        return rest
