"""One output item of a native stream, on its way to the client: what has been told of it, and what is still to tell.

Every method is safe to call twice, and tells first whatever a client would miss: an item before its content, a delta
before the end of a text. Contract §7.5, §7.6.
"""

from __future__ import annotations

from typing import Any, Protocol

from app.converters.neutral.part_sequencer import PLACEHOLDER
from app.converters.neutral.tools import input_text
from app.converters.neutral.whole_calls import check_calls
from app.converters.responses.client_run import CALLS
from app.converters.responses.native.client_tools import ClientTools
from app.converters.responses.native.fast_path import ARGUMENTS, BY_PART, INPUT, SUMMARY, StreamedField
from app.converters.responses.native.objects import argument_text, is_over, normalize_item, normalize_part
from app.converters.responses.output_items import blank_of
from app.converters.responses.vocabulary import item_id
from app.converters.wire import json_bytes
from app.errors import UpstreamProtocolError


class Tell(Protocol):
    """Gives out one event."""

    def __call__(self, kind: str, **fields: Any) -> None: ...


class _Stream:
    """One string of the item. told: its pieces, as JSON string bodies. final: the whole, once that is known."""

    __slots__ = ("final", "has_part", "is_closed", "told")

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.final: str | None = None
        self.has_part = self.is_closed = False


class NormalizedItem:
    """begun: the item as it was told to begin. final: as it was told to end."""

    def __init__(self, response_id: str, index: int, restore: ClientTools | None, tell: Tell) -> None:
        self.index = index
        self.begun: dict[str, Any] = {}
        self.final: dict[str, Any] | None = None
        self._response_id = response_id
        self._restore = restore
        self._tell = tell
        self._streams: dict[tuple[str, int], _Stream] = {}
        self._is_cipher: bool | None = None
        self._is_unwrapped = self._is_client_run = False

    @property
    def id(self) -> str:
        return str(self.begun.get("id") or item_id(self._response_id, "message", self.index))

    @property
    def is_open(self) -> bool:
        return bool(self.begun) and self.final is None

    @property
    def is_call(self) -> bool:
        return self.begun.get("type") in ("function_call", "custom_tool_call", *CALLS)

    def told(self, streamed: StreamedField, inner: int) -> list[bytes]:
        """What has been told of a string; the normalizer's fast path adds to it."""
        return self._stream(streamed, inner).told

    def flows(self, streamed: StreamedField) -> bool:
        """Whether deltas of that field go through as they are."""
        return self.final is None and (
            streamed is not ARGUMENTS
            or (self._is_cipher is False and not self._is_unwrapped and not self._is_client_run)
        )

    # -- beginning and end -------------------------------------------------------------------------------------------

    def begin(self, event: dict[str, Any]) -> None:
        """``output_item.added``."""
        raw = event.get("item")
        # A compaction is told with the id and the content of one event, its end.
        if not self.begun and isinstance(raw, dict) and raw.get("type") != "compaction":
            self._begin(raw)

    def _begin(self, raw: dict[str, Any]) -> None:
        item = normalize_item({"status": "in_progress", **raw}, self._response_id, self.index, self._restore)
        if item["type"] in ("reasoning", "compaction"):
            item = {key: value for key, value in item.items() if key != "status" or "status" in raw}
        is_call = raw.get("type") == "function_call"
        self._is_unwrapped = is_call and item["type"] == "custom_tool_call"
        self._is_client_run = is_call and item["type"] in CALLS
        self.begun = blank_of(item)
        self._tell("response.output_item.added", output_index=self.index, item=self._shown(raw))

    def _shown(self, raw: dict[str, Any]) -> dict[str, Any]:
        # A short proof, good for nothing (contract §7.5.2), but upstream's own: a client that looks for one finds it.
        proof = raw.get("encrypted_content")
        return {**self.begun, "encrypted_content": proof} if proof is not None else self.begun

    def read_done(self, event: dict[str, Any]) -> None:
        """``output_item.done``."""
        raw = event.get("item")
        self.complete(raw if isinstance(raw, dict) else self.begun)

    def complete(self, raw: dict[str, Any]) -> None:
        """The item as upstream has it in the end. Tells all that has not been told, then the end."""
        if self.final is not None:
            return
        if not self.begun:
            self._begin(raw)
        item = normalize_item(raw, self._response_id, self.index, self._restore)
        kind = item["type"]
        if kind == "message":
            content = item["content"] or self._parts_told("response.content_part")
            item["content"] = [self._end_part(at, part) for at, part in enumerate(content)]
        elif kind == "reasoning":
            summary = [part for part in item["summary"] if isinstance(part, dict)] or self._parts_told(SUMMARY.part)
            item["summary"] = [self._end_part(at, part) for at, part in enumerate(summary)]
        elif kind == "function_call":
            item["arguments"] = self._finish_arguments(raw, item["arguments"])
        elif kind in CALLS and raw.get("type") == "function_call":
            _check_call(raw, argument_text(raw.get("arguments")))
        elif kind == "custom_tool_call" and not self._is_unwrapped:
            item["input"] = self.finish_text(INPUT, 0, item["input"])
        elif kind == "custom_tool_call":
            item["input"] = self._unwrap(raw.get("arguments"))
        self.final = item = {**item, "id": self.id}
        self._tell("response.output_item.done", output_index=self.index, item=item)

    # -- parts -------------------------------------------------------------------------------------------------------

    def begin_part(self, event: dict[str, Any]) -> None:
        """``content_part.added``, ``reasoning_summary_part.added``."""
        part = event.get("part")
        part = normalize_part(part) if isinstance(part, dict) else {}
        streamed = BY_PART.get(str(part.get("type")))
        if streamed is None or streamed.index is None:
            return
        at = event.get(streamed.index)
        self._begin_part(streamed, at if type(at) is int else 0, part)

    def end_part(self, event: dict[str, Any]) -> None:
        """``content_part.done``, ``reasoning_summary_part.done``."""
        part = event.get("part")
        at = event.get("content_index", event.get("summary_index"))
        if isinstance(part, dict) and self.final is None:
            self._end_part(at if type(at) is int else 0, normalize_part(part))

    def _begin_part(self, streamed: StreamedField, inner: int, part: dict[str, Any]) -> None:
        stream = self._stream(streamed, inner)
        if stream.has_part or streamed.part is None:
            return
        stream.has_part = True
        self._ensure({"type": "message" if streamed is not SUMMARY else "reasoning"})
        blank = {**part, streamed.key: "", **({"annotations": []} if "annotations" in part else {})}
        self._tell(f"{streamed.part}.added", **self._place(streamed, inner), part=blank)

    def _end_part(self, inner: int, part: dict[str, Any]) -> dict[str, Any]:
        """The part with the text that was told."""
        streamed = BY_PART.get(str(part.get("type")))
        if streamed is None:
            return part
        self._begin_part(streamed, inner, part)
        stream = self._stream(streamed, inner)
        logprobs = part.get("logprobs")
        part = {**part, streamed.key: self.finish_text(streamed, inner, part.get(streamed.key), logprobs)}
        if not stream.is_closed:
            stream.is_closed = True
            self._tell(f"{streamed.part}.done", **self._place(streamed, inner), part=part)
        return part

    def _parts_told(self, stem: str | None) -> list[dict[str, Any]]:
        """The parts of which something was told, for an item that comes without any in the end."""
        found = [
            (inner, normalize_part({"type": streamed.blank, streamed.key: ""}))
            for streamed in BY_PART.values()
            for event, inner in self._streams
            if streamed.event == event and streamed.part == stem
        ]
        return [part for _, part in sorted(found, key=lambda pair: pair[0])]

    # -- texts -------------------------------------------------------------------------------------------------------

    def delta(self, streamed: StreamedField, inner: int, delta: str, logprobs: Any = None) -> None:
        """More of a string. Nothing is told of what is ciphertext, or will be another kind of call."""
        if not delta or self.final is not None or self._stream(streamed, inner).final is not None:
            return
        if streamed is ARGUMENTS and self._is_cipher is None and delta.strip():
            # Contract §7.6: what does not begin an object is ciphertext; `.done` has the plain text.
            self._is_cipher = not delta.lstrip().startswith("{")
        if streamed is ARGUMENTS and (self._is_cipher or self._is_unwrapped or self._is_client_run):
            return
        if streamed is ARGUMENTS and delta == PLACEHOLDER and not self._stream(streamed, inner).told:
            return  # it may but stand for the arguments that follow; the end tells it, if it was all
        self._give_delta(streamed, inner, delta, logprobs)

    def _give_delta(self, streamed: StreamedField, inner: int, delta: str, logprobs: Any = None) -> None:
        if streamed.part is not None:
            self._begin_part(streamed, inner, normalize_part({"type": streamed.blank}))
        self._ensure({"type": "reasoning"})
        self._stream(streamed, inner).told.append(json_bytes.dumps(delta)[1:-1])
        extra = {"logprobs": logprobs or []} if streamed.has_logprobs else {}
        self._tell(f"{streamed.event}.delta", **self._place(streamed, inner), delta=delta, **extra)

    def _finish_arguments(self, raw: dict[str, Any], given: str) -> str:
        """Raises: UpstreamProtocolError for a call that is over without being a whole one."""
        told = self.told(ARGUMENTS, 0)
        is_empty = not given.strip() and not _text_of(told).strip()
        text = self.finish_text(ARGUMENTS, 0, f"{_text_of(told)}{{}}" if is_empty and is_over(raw) else given)
        _check_call(raw, text)
        return text

    def finish_text(self, streamed: StreamedField, inner: int, final: Any, logprobs: Any = None) -> str:
        """A string is whole: tell the rest of it and its end. Returns what was told in all.

        Raises: UpstreamProtocolError where the deltas of a call have said something else.
        """
        stream = self._stream(streamed, inner)
        if stream.final is not None:
            return stream.final
        text: str = final if isinstance(final, str) else ""
        if streamed is ARGUMENTS and self._is_client_run:
            return text  # the item itself tells it, as an object
        if streamed is ARGUMENTS and self._is_unwrapped:
            return self._unwrap(text) if text else ""
        told = _text_of(stream.told)
        if text.startswith(told):
            if text != told:
                self._give_delta(streamed, inner, text[len(told) :])
        elif text and streamed is ARGUMENTS and not json_bytes.is_same(told, text):
            raise UpstreamProtocolError("GitHub Copilot gave one tool call two different arguments. Try again.")
        else:
            text = told
        if self.final is None and (
            not text.strip() if streamed is ARGUMENTS else streamed is INPUT and not text and not stream.told
        ):
            # Nothing is known yet; the item itself will tell.
            return text
        stream.final = text
        self._tell_end(streamed, inner, text, logprobs)
        return text

    def _tell_end(self, streamed: StreamedField, inner: int, final: str, logprobs: Any) -> None:
        self._ensure({"type": "reasoning"})
        extra: dict[str, Any] = {"logprobs": logprobs or []} if streamed.has_logprobs else {}
        if streamed is ARGUMENTS:
            extra["name"] = self.begun.get("name")
        self._tell(f"{streamed.event}.done", **self._place(streamed, inner), **{streamed.key: final}, **extra)

    def _unwrap(self, arguments: Any) -> str:
        """The one string argument of a function that stands for a custom tool, told as the input that it is."""
        text = input_text(arguments) if isinstance(arguments, str) and arguments else ""
        stream = self._stream(INPUT, 0)
        return stream.final if stream.final is not None else self.finish_text(INPUT, 0, text)

    def _ensure(self, raw: dict[str, Any]) -> None:
        """No content before its item: official SDKs raise."""
        if not self.begun:
            self._begin(raw)

    def _place(self, streamed: StreamedField, inner: int) -> dict[str, Any]:
        place: dict[str, Any] = {"item_id": self.id, "output_index": self.index}
        return {**place, streamed.index: inner} if streamed.index else place

    def _stream(self, streamed: StreamedField, inner: int) -> _Stream:
        key = streamed.event, inner
        if key not in self._streams:
            self._streams[key] = _Stream()
        return self._streams[key]


def _text_of(told: list[bytes]) -> str:
    return str(json_bytes.loads(b'"' + b"".join(told) + b'"'))


def _check_call(raw: dict[str, Any], arguments: str) -> None:
    check_calls([(str(raw.get("name")), arguments)], is_cut=not is_over(raw))
