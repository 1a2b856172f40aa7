"""One output item of a native stream, on its way to the client: what has been told of it, and what is still to tell.

Every method is safe to call twice, and tells first whatever a client would miss: an item before its content, a delta
before the end of a text. Contract §7.5, §7.6.
"""

from __future__ import annotations

from typing import Any, Protocol

from app.converters import json_bytes
from app.converters.responses.channels import ARGUMENTS, BY_PART, INPUT, SUMMARY, Channel
from app.converters.responses.output_items import blank_of
from app.converters.responses.response import mend_item, mend_part
from app.converters.responses.restore import Restore
from app.converters.responses.tables import item_id
from app.converters.tools import input_text
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


class MendedItem:
    """begun: the item as it was told to begin. final: as it was told to end."""

    def __init__(self, response_id: str, index: int, restore: Restore | None, tell: Tell) -> None:
        self.index = index
        self.begun: dict[str, Any] = {}
        self.final: dict[str, Any] | None = None
        self._response_id = response_id
        self._restore = restore
        self._tell = tell
        self._streams: dict[tuple[str, int], _Stream] = {}
        self._is_cipher: bool | None = None
        self._is_unwrapped = False

    @property
    def id(self) -> str:
        return str(self.begun.get("id") or item_id(self._response_id, "message", self.index))

    @property
    def is_open(self) -> bool:
        return bool(self.begun) and self.final is None

    @property
    def is_call(self) -> bool:
        return self.begun.get("type") in ("function_call", "custom_tool_call")

    def told(self, channel: Channel, inner: int) -> list[bytes]:
        """What has been told of a string; the mender's fast road adds to it."""
        return self._stream(channel, inner).told

    def flows(self, channel: Channel) -> bool:
        """Whether deltas of that channel go through as they are."""
        return self.final is None and (
            channel is not ARGUMENTS or (self._is_cipher is False and not self._is_unwrapped)
        )

    # -- beginning and end -------------------------------------------------------------------------------------------

    def begin(self, event: dict[str, Any]) -> None:
        """``output_item.added``."""
        raw = event.get("item")
        if not self.begun and isinstance(raw, dict):
            self._begin(raw)

    def _begin(self, raw: dict[str, Any]) -> None:
        item = mend_item({"status": "in_progress", **raw}, self._response_id, self.index, self._restore)
        if item["type"] in ("reasoning", "compaction"):
            item = {key: value for key, value in item.items() if key != "status" or "status" in raw}
        self._is_unwrapped = raw.get("type") == "function_call" and item["type"] == "custom_tool_call"
        self.begun = blank_of(item)
        self._tell("response.output_item.added", output_index=self.index, item=self._shown(raw))

    def _shown(self, raw: dict[str, Any]) -> dict[str, Any]:
        # A short proof, good for nothing (§7.5.2), but upstream's own: a client that looks for one finds it.
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
        item = mend_item(raw, self._response_id, self.index, self._restore)
        kind = item["type"]
        if kind == "message":
            content = item["content"] or self._parts_told("response.content_part")
            item["content"] = [self._end_part(at, part) for at, part in enumerate(content)]
        elif kind == "reasoning":
            summary = [part for part in item["summary"] if isinstance(part, dict)] or self._parts_told(SUMMARY.part)
            item["summary"] = [self._end_part(at, part) for at, part in enumerate(summary)]
        elif kind == "function_call":
            item["arguments"] = self.finish_text(ARGUMENTS, 0, item["arguments"])
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
        part = mend_part(part) if isinstance(part, dict) else {}
        channel = BY_PART.get(str(part.get("type")))
        if channel is None or channel.index is None:
            return
        at = event.get(channel.index)
        self._begin_part(channel, at if type(at) is int else 0, part)

    def end_part(self, event: dict[str, Any]) -> None:
        """``content_part.done``, ``reasoning_summary_part.done``."""
        part = event.get("part")
        at = event.get("content_index", event.get("summary_index"))
        if isinstance(part, dict) and self.final is None:
            self._end_part(at if type(at) is int else 0, mend_part(part))

    def _begin_part(self, channel: Channel, inner: int, part: dict[str, Any]) -> None:
        stream = self._stream(channel, inner)
        if stream.has_part or channel.part is None:
            return
        stream.has_part = True
        self._ensure({"type": "message" if channel is not SUMMARY else "reasoning"})
        blank = {**part, channel.key: "", **({"annotations": []} if "annotations" in part else {})}
        self._tell(f"{channel.part}.added", **self._place(channel, inner), part=blank)

    def _end_part(self, inner: int, part: dict[str, Any]) -> dict[str, Any]:
        """The part with the text that was told."""
        channel = BY_PART.get(str(part.get("type")))
        if channel is None:
            return part
        self._begin_part(channel, inner, part)
        stream = self._stream(channel, inner)
        logprobs = part.get("logprobs")
        part = {**part, channel.key: self.finish_text(channel, inner, part.get(channel.key), logprobs)}
        if not stream.is_closed:
            stream.is_closed = True
            self._tell(f"{channel.part}.done", **self._place(channel, inner), part=part)
        return part

    def _parts_told(self, stem: str | None) -> list[dict[str, Any]]:
        """The parts of which something was told, for an item that comes without any in the end."""
        found = [
            (inner, mend_part({"type": channel.blank, channel.key: ""}))
            for channel in BY_PART.values()
            for event, inner in self._streams
            if channel.event == event and channel.part == stem
        ]
        return [part for _, part in sorted(found, key=lambda pair: pair[0])]

    # -- texts -------------------------------------------------------------------------------------------------------

    def delta(self, channel: Channel, inner: int, delta: str, logprobs: Any = None) -> None:
        """More of a string. Nothing is told of what is ciphertext, or will be another kind of call."""
        if not delta or self.final is not None or self._stream(channel, inner).final is not None:
            return
        if channel is ARGUMENTS and self._is_cipher is None and delta.strip():
            # §7.6: what does not begin an object is ciphertext; `.done` has the plain text.
            self._is_cipher = not delta.lstrip().startswith("{")
        if channel is ARGUMENTS and (self._is_cipher or self._is_unwrapped):
            return
        self._give_delta(channel, inner, delta, logprobs)

    def _give_delta(self, channel: Channel, inner: int, delta: str, logprobs: Any = None) -> None:
        if channel.part is not None:
            self._begin_part(channel, inner, mend_part({"type": channel.blank}))
        self._ensure({"type": "reasoning"})
        self._stream(channel, inner).told.append(json_bytes.dumps(delta)[1:-1])
        extra = {"logprobs": logprobs or []} if channel.has_logprobs else {}
        self._tell(f"{channel.event}.delta", **self._place(channel, inner), delta=delta, **extra)

    def finish_text(self, channel: Channel, inner: int, final: Any, logprobs: Any = None) -> str:
        """A string is whole: tell the rest of it and its end. Returns what was told in all.

        Raises: UpstreamProtocolError where the deltas of a call have said something else.
        """
        stream = self._stream(channel, inner)
        if stream.final is not None:
            return stream.final
        text: str = final if isinstance(final, str) else ""
        if channel is ARGUMENTS and self._is_unwrapped:
            return self._unwrap(text) if text else ""
        told = str(json_bytes.loads(b'"' + b"".join(stream.told) + b'"'))
        if text.startswith(told):
            if text != told:
                self._give_delta(channel, inner, text[len(told) :])
        elif text and channel is ARGUMENTS and not _is_same_json(told, text):
            raise UpstreamProtocolError("GitHub Copilot gave one tool call two different arguments. Try again.")
        else:
            text = told
        if not text and channel in (ARGUMENTS, INPUT) and self.final is None and not stream.told:
            # Nothing is known yet; the item itself will tell.
            return ""
        stream.final = text
        self._tell_end(channel, inner, text, logprobs)
        return text

    def _tell_end(self, channel: Channel, inner: int, final: str, logprobs: Any) -> None:
        self._ensure({"type": "reasoning"})
        extra: dict[str, Any] = {"logprobs": logprobs or []} if channel.has_logprobs else {}
        if channel is ARGUMENTS:
            extra["name"] = self.begun.get("name")
        self._tell(f"{channel.event}.done", **self._place(channel, inner), **{channel.key: final}, **extra)

    def _unwrap(self, arguments: Any) -> str:
        """The one string argument of a function that stands for a custom tool, told as the input that it is."""
        text = input_text(arguments) if isinstance(arguments, str) and arguments else ""
        stream = self._stream(INPUT, 0)
        return stream.final if stream.final is not None else self.finish_text(INPUT, 0, text)

    def _ensure(self, raw: dict[str, Any]) -> None:
        """No content before its item: official SDKs raise."""
        if not self.begun:
            self._begin(raw)

    def _place(self, channel: Channel, inner: int) -> dict[str, Any]:
        place: dict[str, Any] = {"item_id": self.id, "output_index": self.index}
        return {**place, channel.index: inner} if channel.index else place

    def _stream(self, channel: Channel, inner: int) -> _Stream:
        key = channel.event, inner
        if key not in self._streams:
            self._streams[key] = _Stream()
        return self._streams[key]


def _is_same_json(one: str, other: str) -> bool:
    try:
        return bool(
            json_bytes.loads_exact(one.encode("utf-8", "surrogatepass"))
            == json_bytes.loads_exact(other.encode("utf-8", "surrogatepass"))
        )
    except ValueError:
        return False
