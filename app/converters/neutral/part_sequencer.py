"""One part open at a time: the only owner of the stream grammar's inner rule (conversion rules §7).

Decoders speak in the upstream's own keys, in whatever order upstream does; out come PartStart, PartDelta and PartEnd in
the order that every client understands. Theory of operation:

* The first part to start is *open*; its deltas go out at once. What starts meanwhile is *held*, in order of start.
* The open part ends when it is told to (``end``), or when something is held behind it and it can be over: text and
  reasoning always can; a function call can once its arguments are one complete JSON object; a custom call, whose text
  nobody can judge, cannot. When it ends, the next part opens with all it has gathered.
* A text or thought that goes on after its end becomes a new part, last in order. A call that does is an error. What
  its finished part says is measured against all that was told of it, so that nothing is told twice and nothing lost.
* ``flush`` ends all, on success. On failure the decoder calls nothing: what is open stays open.

Held data costs latency, never correctness. One delta costs one append; texts are joined once, at the end of a part.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Hashable
from typing import Final

from app.converters.neutral.events import Event, PartDelta, PartEnd, PartStart, opened, rebuilt, streamed_fields
from app.converters.neutral.vocabulary import Part, Reasoning, ToolCall, going_on
from app.converters.wire import json_bytes
from app.errors import UpstreamProtocolError

PLACEHOLDER: Final = "{}"
_MARK: Final = re.compile(r'[{}\[\]"\\]')
_STRING_MARK: Final = re.compile(r'["\\]')


class PartSequencer:
    """The parts of one answer. Every method returns the events that are due now.

    Raises: UpstreamProtocolError for a key that is unknown or started twice, a delta of an attribute that the part has
    not, and a call that goes on after its end.
    """

    __slots__ = ("_entries", "_next", "_open", "_waiting")

    def __init__(self) -> None:
        self._open: _Entry | None = None
        self._waiting: deque[_Entry] = deque()
        self._entries: dict[Hashable, _Entry] = {}
        self._next = 0

    def start(self, key: Hashable, part: Part) -> list[Event]:
        """A part begins. What it holds already (text, arguments) is told as deltas."""
        known = self._entries.get(key)
        if known is not None and not known.is_over:
            raise UpstreamProtocolError(f"GitHub Copilot began part {key!r} of its answer twice. Try again.")
        entry = self._entries[key] = _Entry(key, part)
        if self._open is None:
            return self._begin(entry)
        self._waiting.append(entry)
        return self._advance()

    def delta(self, key: Hashable, field: str, value: str) -> list[Event]:
        """More of an attribute."""
        entry = self._open
        if entry is None or entry.key != key:
            return self._delta_elsewhere(key, field, value)
        if not value:
            return []
        if value == PLACEHOLDER or entry.has_placeholder:
            value = entry.piece(field, value)
            if not value:
                return self._advance() if self._waiting else []
        try:
            entry.pieces[field].append(value)
        except KeyError:
            raise _no_such(field) from None
        # An open part that others wait for is a call; without a brace it cannot have become complete.
        if self._waiting and "}" in value:
            return [PartDelta(entry.index, field, value), *self._advance()]
        return [PartDelta(entry.index, field, value)]

    def end(self, key: Hashable, part: Part | None = None) -> list[Event]:
        """A part is over; to say so twice does no harm.

        part: the finished part as upstream tells it, authoritative for all that is not streamed. A text that goes
        beyond the deltas is told as one more delta. One that contradicts what has been told already cannot replace it:
        text stays as told, arguments that differ as JSON are an UpstreamProtocolError. A streamed attribute that is
        empty in `part` says nothing.
        """
        entry = self._entries.get(key)
        if entry is None:
            raise _unknown(key)
        if entry.is_over:
            return self._rest(entry, part)
        events: list[Event] = [] if part is None else entry.settle(part)
        entry.is_over = entry.is_settled = True
        return events + self._advance() if entry is self._open else []

    def is_open(self, key: Hashable) -> bool:
        """Whether a part of this key is under way, told or held."""
        entry = self._entries.get(key)
        return entry is not None and not entry.is_over

    def flush(self) -> list[Event]:
        """The answer ends well: end every part, in order. Never call it on failure."""
        for entry in self._waiting:
            entry.is_over = True
        if self._open is not None:
            self._open.is_over = True
        return self._advance()

    def _rest(self, entry: _Entry, part: Part | None) -> list[Event]:
        """What the finished part says beyond a text or thought that had to make room for another part."""
        if entry.is_settled or part is None or type(part) is not type(entry.blank) or isinstance(part, ToolCall):
            return []
        entry.is_settled = True
        left = {name: entry.beyond(name, getattr(part, name) or "") for name in streamed_fields(part)}
        if not any(left.values()):
            return []
        rest = rebuilt(part, {name: value or (None if name == "signature" else "") for name, value in left.items()})
        return self.start(entry.key, rest) + self.end(entry.key)

    def _begin(self, entry: _Entry) -> list[Event]:
        self._open = entry
        entry.index = self._next
        self._next += 1
        return [PartStart(entry.index, entry.blank), *entry.gathered()]

    def _advance(self) -> list[Event]:
        """End the open part and open the next one, for as long as that can be."""
        events: list[Event] = []
        while self._open is not None:
            entry = self._open
            if not entry.is_over and not (self._waiting and entry.can_be_over()):
                break
            events += entry.close()
            self._open = None
            if self._waiting:
                events += self._begin(self._waiting.popleft())
        return events

    def _delta_elsewhere(self, key: Hashable, field: str, value: str) -> list[Event]:
        entry = self._entries.get(key)
        if entry is None:
            raise _unknown(key)
        if not value:
            return []
        if not entry.is_over:
            entry.add(field, value)
            return []
        if isinstance(entry.blank, ToolCall):
            # White space after the closing brace changes nothing; anything else would be lost with the call half run.
            if value.isspace():
                return []
            raise UpstreamProtocolError("GitHub Copilot went on with a tool call that was over. Try again.")
        if field not in streamed_fields(entry.first):
            raise _no_such(field)
        events = self.start(key, going_on(entry.first))
        self._entries[key].earlier = entry
        return events + self.delta(key, field, value)


class _Entry:
    """One part under way. blank: all of it but what is streamed; first: what it began as, for a part that goes on.

    earlier: the part that this one goes on. told: what it told, once it is closed. is_settled: upstream has ended it
    itself.
    """

    __slots__ = (
        "_object",
        "_scanned",
        "blank",
        "earlier",
        "first",
        "has_placeholder",
        "index",
        "is_over",
        "is_settled",
        "key",
        "pieces",
        "told",
    )

    def __init__(self, key: Hashable, part: Part) -> None:
        self.key = key
        self.index = -1
        self.is_over = self.is_settled = self.has_placeholder = False
        self.earlier: _Entry | None = None
        self.told: dict[str, str] = {}
        self.blank = self.first = opened(part)
        self.pieces: dict[str, list[str]] = {name: [] for name in streamed_fields(part)}
        for name in self.pieces:
            if value := getattr(part, name):
                self.add(name, value)
        self._object = _ObjectScan()
        self._scanned = 0

    def add(self, field: str, value: str) -> None:
        if field not in self.pieces:
            raise _no_such(field)
        if value := self.piece(field, value):
            self.pieces[field].append(value)

    def piece(self, field: str, value: str) -> str:
        """What to tell of a piece that has come; "" if it waits."""
        if value == PLACEHOLDER and self.waits_with(field):
            return ""
        if self.has_placeholder and not self.pieces.get(field) and value.isspace():
            return PLACEHOLDER + value
        return value

    def waits_with(self, field: str) -> bool:
        """Whether an empty object may but stand for the arguments that follow it. It is told when the call is over."""
        if field != "arguments" or self.pieces.get(field) or self.blank.__class__ is not ToolCall:
            return False
        self.has_placeholder = self.has_placeholder or self.blank.kind == "function"
        return self.has_placeholder

    def gathered(self) -> list[PartDelta]:
        """All that has come before the part could be told, one delta for each attribute."""
        return [PartDelta(self.index, name, "".join(pieces)) for name, pieces in self.pieces.items() if pieces]

    def can_be_over(self) -> bool:
        if not isinstance(self.blank, ToolCall):
            return True
        if self.blank.kind == "custom":
            return False
        pieces = self.pieces["arguments"]
        if self.has_placeholder and not pieces:
            return True
        fresh, self._scanned = pieces[self._scanned :], len(pieces)
        return self._object.feed("".join(fresh), pieces)

    def settle(self, part: Part) -> list[Event]:
        """Take over the finished part; the events tell what the deltas have left out."""
        if type(part) is not type(self.blank):
            raise UpstreamProtocolError("GitHub Copilot ended a part as something else than it began. Try again.")
        if isinstance(part, Reasoning) and isinstance(self.blank, Reasoning) and part.redacted != self.blank.redacted:
            # Whether a thought is redacted says what of it is streamed: that is settled when it begins.
            part = rebuilt(part, {"redacted": self.blank.redacted})
        events: list[Event] = []
        for name, pieces in self.pieces.items():
            final, told = self._own(name, getattr(part, name) or ""), "".join(pieces)
            if not final or final == told or (final == PLACEHOLDER and self.waits_with(name)):
                continue
            if self.index < 0:
                self.pieces[name] = [final]
            elif final.startswith(told):
                pieces.append(final[len(told) :])
                events.append(PartDelta(self.index, name, final[len(told) :]))
            elif name == "arguments" and not json_bytes.is_same(told, final):
                raise UpstreamProtocolError("GitHub Copilot gave one tool call two different arguments. Try again.")
        empty = {name: None if name == "signature" else "" for name in self.pieces}
        self.blank = rebuilt(part, empty) if empty else part
        return events

    def _says_nothing(self) -> bool:
        """Whether the arguments of a call were an empty object, or white space alone."""
        if not isinstance(self.blank, ToolCall) or self.blank.kind != "function":
            return False
        pieces = self.pieces["arguments"]
        return (not pieces and self.has_placeholder) or (bool(pieces) and "".join(pieces).isspace())

    def beyond(self, name: str, final: str) -> str:
        """What a finished attribute says beyond all that was told; "" also where it contradicts that."""
        return _after(self._said(name), final)

    def _own(self, name: str, final: str) -> str:
        """The share of a finished attribute that is not told by earlier parts."""
        return _after(self.earlier._said(name), final) if self.earlier is not None else final

    def _said(self, name: str) -> str:
        """All that has come of an attribute, in this part and the earlier ones."""
        texts: list[str] = []
        entry: _Entry | None = self
        while entry is not None:
            texts.append(entry.told.get(name) or "".join(entry.pieces.get(name, ())))
            entry = entry.earlier
        return "".join(reversed(texts))

    def close(self) -> list[Event]:
        self.is_over = True
        rest: list[Event] = []
        if self._says_nothing():
            self.pieces["arguments"].append(PLACEHOLDER)
            rest.append(PartDelta(self.index, "arguments", PLACEHOLDER))
        self.told = told = {name: "".join(pieces) for name, pieces in self.pieces.items() if pieces}
        self.pieces = {}
        return [*rest, PartEnd(self.index, rebuilt(self.blank, told) if told else self.blank)]


def _after(told: str, final: str) -> str:
    return final[len(told) :] if final.startswith(told) else ""


class _ObjectScan:
    """Whether a text that comes in pieces is one complete JSON object; each character is looked at once.

    Parsing the whole text at each brace would be simpler, and quadratic in the length of the arguments.
    """

    __slots__ = ("_depth", "_in_string", "_is_escaped", "_verdict")

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._is_escaped = False
        self._verdict: bool | None = None

    def feed(self, text: str, pieces: list[str]) -> bool:
        """text: what is new. pieces: all there is, to be parsed once when the braces have closed."""
        if self._verdict is None:
            if self._closes_in(text):
                self._verdict = _is_object("".join(pieces))
        elif self._verdict and text.strip():
            self._verdict = False
        return self._verdict is True

    def _closes_in(self, text: str) -> bool:
        position = 1 if self._is_escaped and text else 0
        self._is_escaped = self._is_escaped and not text
        while found := (_STRING_MARK if self._in_string else _MARK).search(text, position):
            mark, position = found.group(), found.end()
            if mark == "\\":
                self._is_escaped = position == len(text)
                position += 1
            elif mark == '"':
                self._in_string = not self._in_string
            else:
                self._depth += 1 if mark in "{[" else -1
                if self._depth <= 0:
                    return True
        return False


def _is_object(text: str) -> bool:
    try:
        return isinstance(json_bytes.loads(text.encode("utf-8", "surrogatepass")), dict)
    except ValueError:
        return False


def _unknown(key: Hashable) -> UpstreamProtocolError:
    return UpstreamProtocolError(
        f"GitHub Copilot went on with a part of its answer that never began ({key!r}). Try again."
    )


def _no_such(field: str) -> UpstreamProtocolError:
    return UpstreamProtocolError(f"GitHub Copilot added {field} to a part of its answer that has none. Try again.")
