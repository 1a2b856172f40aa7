"""Stop sequences for a model whose upstream has none (``/responses``): the answer is cut where one begins.

What stands behind a stop sequence is not waited for, as if upstream had stopped there itself. A stream that is cut ends
without upstream's usage, and tells an estimate instead. Whoever reads on learns, for the books, what it came to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.converters.codec import StreamDecoder
from app.converters.neutral.events import Event, PartDelta, PartEnd, PartStart, ResponseEnd
from app.converters.neutral.token_text import estimate, estimate_input
from app.converters.neutral.vocabulary import Part, Request, Response, Text, Usage


def cut_response(response: Response, stops: Sequence[str]) -> Response:
    """The answer up to the first stop sequence in its text; the same object if there is none."""
    for at, part in enumerate(response.parts):
        found = _first(part.text, stops) if isinstance(part, Text) else None
        if found is not None and isinstance(part, Text):
            place, stop = found
            kept = (Text(part.text[:place]),) if place else ()
            parts = (*response.parts[:at], *kept)
            return replace(response, parts=parts, finish_reason="stop_sequence", stop_sequence=stop)
    return response


class StreamCutter:
    """The same for events as they come: ``feed`` gives those to pass on. One per answer.

    Text that may be the beginning of a stop sequence is held back until it is clear that it is none. is_cut: one was
    met. rest: the end that upstream itself told after that.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._stops = request.stop
        self._told = self._held = ""  # of the text that is open
        self._is_text = self.is_cut = False
        self.rest: ResponseEnd | None = None

    def feed(self, event: Event) -> list[Event]:
        """Nothing comes after the end."""
        if self.is_cut:
            self.rest = event if isinstance(event, ResponseEnd) else self.rest
            return []
        match event:
            case PartStart():
                self._is_text = isinstance(event.part, Text)
                self._told = self._held = ""
            case PartDelta(field="text") if self._is_text:
                return self._delta(event)
            case PartEnd() if self._held:
                rest, self._held = self._held, ""
                return [PartDelta(event.index, "text", rest), event]
        return [event]

    def _delta(self, event: PartDelta) -> list[Event]:
        text = self._held + event.value
        found = _first(text, self._stops)
        if found is not None:
            place, stop = found
            return self._cut(event.index, text[:place], stop)
        keep = _beginning(text, self._stops)
        given, self._held = text[: len(text) - keep], text[len(text) - keep :]
        self._told += given
        return [PartDelta(event.index, "text", given)] if given else []

    def _cut(self, index: int, last: str, stop: str) -> list[Event]:
        self.is_cut = True
        part: Part = Text(self._told + last)
        events: list[Event] = [PartDelta(index, "text", last)] if last else []
        usage = Usage(input_tokens=estimate_input(self._request), output_tokens=estimate(self._told + last))
        return [*events, PartEnd(index, part), ResponseEnd("stop_sequence", stop, usage)]


class CuttingDecoder:
    """A decoder whose events end where the answer is cut (a `StreamDecoder`). What it is fed after that only counts."""

    def __init__(self, decoder: StreamDecoder, request: Request) -> None:
        self._decoder = decoder
        self.cutter = StreamCutter(request)

    def feed_bytes(self, data: bytes) -> list[Event]:
        return self._cut(self._decoder.feed_bytes(data))

    def finish(self) -> list[Event]:
        return self._cut(self._decoder.finish())

    def _cut(self, events: list[Event]) -> list[Event]:
        return [passed for event in events for passed in self.cutter.feed(event)]


def _first(text: str, stops: Sequence[str]) -> tuple[int, str] | None:
    """Where the stop sequence begins that is complete first, as upstream would meet it, and which it is."""
    found = [(place, stop) for stop in stops if stop and (place := text.find(stop)) >= 0]
    return min(found, key=lambda one: (one[0] + len(one[1]), one[0]), default=None)


def _beginning(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of the text may begin a stop sequence."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    tails = range(min(longest, len(text)), 0, -1)
    return next((size for size in tails if any(stop.startswith(text[-size:]) for stop in stops)), 0)
