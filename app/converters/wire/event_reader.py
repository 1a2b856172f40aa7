"""The one reader of upstream's event streams: bytes in any cut → JSON events, natively and converted.

It forgives whatever leaves no doubt: any line ending, single line breaks between events, comments, marks, missing or
superfluous names, a missing last blank line, data over several lines, an error or an answer that stands there bare.
What it cannot read it tells as what it is: a page, torn JSON, an event too large, a connection that was lost.

It reads by *line*, not by blank line, because some upstreams have single line breaks between events (contract §6.4).
JSON never holds a raw line break, so an event is whole as soon as its lines parse.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.wire import accounting, json_bytes, sse
from app.converters.wire.error_body import page_error
from app.errors import GatewayError, UpstreamProtocolError, broken_off

_SSE_FIELDS: Final = frozenset({b"event", b"id", b"retry"})
_LONGEST_HEAD: Final = 4096
_FREE_BYTES: Final = 64 * 1024


class EventReader:
    """Base of everything that reads one stream of upstream's. Subclasses say what an event means to them.

    account: what the answer cost, as far as it has been told (`accounting`).
    They call ``_read`` with what has come and ``_read_rest`` at the end, and define the hooks below. Those with a fast
    path of their own override ``_read_block`` and give the lines that do not fit it to ``_read_line``.
    """

    def __init__(self) -> None:
        self.account: dict[str, Any] | None = None
        self._lines = sse.LineCutter()
        self._ended = False
        self._name = b""
        self._held: list[bytes] = []
        self._held_bytes = self._tried_bytes = 0
        self._is_bare = False
        self._page = b""
        self._stray = b""

    # ── the hooks ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _read_event(self, name: bytes, event: dict[str, Any], payload: bytes, line: bytes) -> None:
        """One event. name: of its ``event:`` field, b"" without one. payload: its JSON as it came. line: the line that
        held all of it, b"" if there is no such line. A GatewayError that it raises ends the stream."""
        raise NotImplementedError

    def _read_comment(self, text: bytes) -> None:
        """A comment, without its colon."""

    def _read_done(self) -> None:
        """Upstream said ``[DONE]``. Not an end in itself, but nothing comes after it."""
        self._stop(self._broken_off())

    def _stop(self, error: GatewayError) -> None:
        """The stream has failed. Sets ``_ended``."""
        raise NotImplementedError

    def _read_eof(self) -> None:
        """Upstream has closed, and no end was seen: an error, unless the subclass knows better."""
        self._stop(self._broken_off())

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, data: bytes) -> None:
        """Whatever one read brought."""
        try:
            block = self._lines.feed(data)
        except GatewayError as error:
            self._stop(error)
            return
        if block:
            self._read_block(block)

    def _read_rest(self) -> None:
        """Upstream has closed. A last line without its end counts, if it says anything."""
        rest = self._lines.take_rest()
        if rest and not _is_torn_field(rest):
            self._read_line(rest)
        if not self._ended and self._page:
            self._stop(_page(self._page))
        if not self._ended:
            self._read_eof()

    def _read_block(self, block: bytes) -> None:
        """Whole lines, each with its end."""
        for line in block[:-1].split(b"\n"):
            if self._held or self._page:
                self._read_line(line)
            elif not line:
                self._name = b""
            elif line.startswith(b"event: "):
                self._name = line[7:].strip()
            elif line.startswith(b"data: {") and (event := parsed(line[6:])) is not None:
                self._dispatch(event, line[6:], line)
            else:
                self._read_line(line)
            if self._ended:
                return

    def _read_line(self, line: bytes) -> None:
        if self._page:
            self._read_page(line)
            return
        if not line:
            if self._held:
                self._end_event()
            self._name = b""
            return
        line = line.removeprefix(sse.BOM)
        name, value = sse.field(line)
        if name == b"data":
            self._read_payload(value.strip(), line)
        elif not name:
            self._read_comment(line[1:])
        elif name in _SSE_FIELDS:
            self._name = value.strip() if name == b"event" else self._name
        elif line[:1] == b"{" or self._is_bare:
            # An error, or an answer, may stand there bare, even spread over several lines (contract §6.5.16, §10.1).
            self._is_bare = True
            self._read_payload(line.strip(), b"")
        elif line.lstrip()[:1] == b"<":
            self._read_page(line.lstrip())
        elif not line.isspace():
            self._stray = line[:200]

    def _read_page(self, line: bytes) -> None:
        """A page is told by its title, which may stand some lines below."""
        self._page += line + b"\n"
        if len(self._page) > _LONGEST_HEAD or b"</title" in line.lower():
            self._stop(_page(self._page))

    def _read_payload(self, payload: bytes, line: bytes) -> None:
        if payload == b"[DONE]":
            self._stop(torn()) if self._held else self._read_done()
            return
        if not self._held:
            if not payload:
                return
            if payload[:1] == b"<":
                self._read_page(payload)
                return
            if payload[-1:] == b"}" and (event := parsed(payload)) is not None:
                self._dispatch(event, payload, line)
                return
        self._hold(payload)

    def _hold(self, payload: bytes) -> None:
        """One event may be spread over several lines; with single line breaks none but its JSON tells where it ends."""
        is_first = not self._held
        self._held.append(payload)
        self._held_bytes += len(payload) + 1
        if self._held_bytes > sse.MOST_BYTES:
            self._stop(sse.too_large(sse.MOST_BYTES))
            return
        # What was parsed in vain is bounded by what has come, so that many lines cost no more than one.
        if not is_first and payload[-1:] == b"}" and self._tried_bytes <= _FREE_BYTES + 3 * self._held_bytes:
            self._tried_bytes += self._held_bytes
            whole = b"\n".join(self._held)
            if (event := parsed(whole)) is not None:
                self._dispatch(event, whole, b"")
            elif not self._is_bare and parsed(payload):
                # An event of its own follows a torn one.
                self._stop(torn())

    def _end_event(self) -> None:
        """A blank line: what does not parse by now never will."""
        whole = b"\n".join(self._held)
        event = parsed(whole)
        if event is not None:
            self._dispatch(event, whole, b"")
        else:
            self._stop(_page(whole) if whole[:1] == b"<" else torn())

    def _dispatch(self, event: dict[str, Any], payload: bytes, line: bytes) -> None:
        name, self._name = self._name, b""
        if self._held:
            self._held.clear()
            self._held_bytes = self._tried_bytes = 0
        self._is_bare = False
        if accounting.MARK in payload:
            self.account = accounting.account_in(event) or self.account
        try:
            self._read_event(name, event, payload, line)
        except GatewayError as error:
            self._stop(error)

    def _broken_off(self) -> GatewayError:
        stray = " ".join(self._stray.decode("utf-8", "replace").split())
        return broken_off(f'It said: "{stray}".' if stray else "")


def parsed(payload: bytes) -> dict[str, Any] | None:
    """The JSON object that a text is; None for all else."""
    try:
        value = json_bytes.loads(payload)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def kind_of(event: dict[str, Any], name: bytes) -> str:
    """The type of an event, which counts more than its name; some lack the one or the other (contract §7.5)."""
    given = event.get("type")
    return given if isinstance(given, str) and given else name.decode("utf-8", "replace")


def torn() -> GatewayError:
    """The error of an event that is no JSON object."""
    return UpstreamProtocolError("GitHub Copilot sent a torn piece of JSON in its stream. Try again.")


def _page(text: bytes) -> GatewayError:
    return page_error(text.decode("utf-8", "replace"))


def _is_torn_field(line: bytes) -> bool:
    """Whether a last line is but the beginning of a field, or of the end mark."""
    name, value = sse.field(line)
    if name == b"data" and value:
        return value != b"[DONE]" and b"[DONE]".startswith(value)
    return b"data: ".startswith(line) or b"event: ".startswith(line)
