"""Images that a model makes: requests pass as they are, in JSON or as a form. What the bridge reads of them. Pure.

Contract §14.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from app.converters.neutral.outcome import Outcome, counts
from app.converters.neutral.vocabulary import Usage
from app.converters.wire import json_bytes
from app.converters.wire.accounting import account_in, nano_of
from app.converters.wire.replace_model import replace_model
from app.converters.wire.sse import LineCutter
from app.errors import InvalidRequestError, UpstreamProtocolError

_BOUNDARY: Final = re.compile(r';\s*boundary="?([^";]{1,200})"?', re.IGNORECASE)
_NAME: Final = re.compile(rb'(?:^|\n)content-disposition:[^\r\n]*?;[ \t]*name="?([^";\r\n]*)"?', re.IGNORECASE)
_LONGEST_HEAD: Final = 4096
_LARGEST_EVENT: Final = 64 * 1024 * 1024
_MARKS: Final = (b'"usage"', b'"copilot_usage"')


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A request as it came. path: at Copilot. body: what the bridge reads of it. form: content type of a form, or None
    for JSON."""

    path: str
    raw: bytes
    body: dict[str, Any]
    form: str | None = None

    def carrying(self, model: str) -> bytes:
        """The bytes for upstream, with the name that it knows."""
        if self.body.get("model") == model:
            return self.raw
        if self.form is None:
            return replace_model(self.raw, self.body, model) or json_bytes.dumps({**self.body, "model": model})
        at = form_field(self.raw, self.form, "model")
        return self.raw if at is None else b"".join((self.raw[: at[0]], model.encode(), memoryview(self.raw)[at[1] :]))


def form_field(raw: bytes, content_type: str, name: str) -> tuple[int, int] | None:
    """Where the value of a form's field stands; None if the form has none of this name.

    Raises: InvalidRequestError for what is no form, or has the field twice.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise InvalidRequestError("The header Content-Type names no boundary, so the form cannot be read.")
    mark = b"--" + found[1].strip().encode()
    at = raw.find(mark)
    if at < 0:
        raise InvalidRequestError("The body is no form: the boundary that Content-Type names is not in it.")
    place: tuple[int, int] | None = None
    while True:
        start = at + len(mark)
        at = raw.find(b"\r\n" + mark, start)
        if at < 0:
            return place
        # Not beyond this part: the next boundary may be a few bytes away, and there may be millions.
        head_end = raw.find(b"\r\n\r\n", start, min(at + 2, start + _LONGEST_HEAD))
        given = _NAME.search(raw, start, head_end) if head_end >= 0 else None
        if given is not None and given[1] == name.encode():
            if place is not None:  # another reader might heed the other one
                raise InvalidRequestError(f"The form has the field '{name}' more than once. Send it once.", param=name)
            place = min(head_end + 4, at), at
        at += 2


def outcome_of(content: bytes) -> Outcome:
    """What an answer, or the last event of a stream, came to; an empty outcome if it does not tell."""
    if not any(mark in content for mark in _MARKS):
        return Outcome()
    try:
        answer = json_bytes.loads(content)
    except ValueError:
        return Outcome()
    if not isinstance(answer, dict):
        return Outcome()
    usage = answer.get("usage")
    told = usage if isinstance(usage, dict) else {}
    tokens = Usage(input_tokens=_count(told.get("input_tokens")), output_tokens=_count(told.get("output_tokens")))
    return Outcome(counts(tokens) if told else None, None, nano_of(account_in(answer)))


class StreamReader:
    """Looks through a stream that passes as it is for what it came to. Holds one line at most."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._lines = LineCutter(_LARGEST_EVENT)
        self._end = b"\n\n"

    @property
    def is_between_events(self) -> bool:
        return self._end.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))

    def feed(self, piece: bytes) -> None:
        self._end = (self._end + piece[-4:])[-4:]
        try:
            lines = self._lines.feed(piece)
        except UpstreamProtocolError:  # too much to look through; it passes all the same
            self._lines = LineCutter(_LARGEST_EVENT)
            return
        for line in lines.split(b"\n"):
            found = outcome_of(line.removeprefix(b"data:")) if line.startswith(b"data:") else Outcome()
            self.outcome = found if found != Outcome() else self.outcome


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
