"""Normalizes Copilot's native ``/responses`` stream on its way to a Responses client.

Contract §7.5, §7.6; client notes §0.2; conversion rules §4. Upstream's order of events stays; what is changed:

* ids: one per response and per item, in all events and in the final object; `sequence_number` counts what is given out.
* what an item said in deltas is what its ``.done``, its item and the final object say. What upstream tells only in the
  end (arguments whose deltas are ciphertext, a summary without deltas) is told as one delta before that end.
* tools in the client's terms: a function that stands for a custom tool comes back as ``custom_tool_call`` events.
* `obfuscation` and Copilot's private keys go, missing keys come.
* the end is exactly one terminal event, or, for all that is cut, torn or failed, ``error`` and ``response.failed``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.converters.codec import Identity
from app.converters.responses.errors import error_events, error_in, frame_of
from app.converters.responses.native import fast_path
from app.converters.responses.native.client_tools import ClientTools
from app.converters.responses.native.fast_path import StreamedField, Template
from app.converters.responses.native.item import NormalizedItem
from app.converters.responses.native.objects import normalize_object, public
from app.converters.responses.vocabulary import TERMINALS, ending_of, response_id
from app.converters.wire import accounting, sse
from app.converters.wire.event_reader import kind_of
from app.converters.wire.stream_shell import NormalizedStream
from app.errors import GatewayError, UpstreamProtocolError

_KNOWN: Final = frozenset(
    {
        "annotation", "annotation_index", "arguments", "code", "content_index", "delta", "input", "item", "item_id",
        "logprobs", "message", "name", "output_index", "param", "part", "refusal", "response", "sequence_number",
        "summary_index", "text", "type", "obfuscation", "padding", accounting.FIELD,
    }
)  # fmt: skip
"""Fields of events that are read, or known to be noise."""
_BEGINNINGS: Final = frozenset({"response.created", "response.in_progress", "response.queued"})


class StreamNormalizer(NormalizedStream):
    """Upstream's stream in, a clean one out. One per answer.

    restore: what ``prepare`` said of the client's tools.
    For the books, as far as is known: `usage`, and `finish_reason` (see `ending_of`).
    """

    def __init__(self, identity: Identity, *, restore: ClientTools | None = None) -> None:
        super().__init__()
        self._identity = identity
        self._restore = restore
        self._id = ""
        self._begun: dict[str, Any] = {}
        self._items: dict[int, NormalizedItem] = {}
        self._number = 0
        self._beside: dict[str, Any] = {}
        self._template: Template | None = None
        self._routes: dict[tuple[bytes, bytes], tuple[bytes, bytes, bytes, list[bytes]]] = {}

    def _error_frames(self, error: GatewayError) -> bytes:
        items = [item.final for _, item in sorted(self._items.items()) if item.final is not None]
        return error_events(error, self._number, {**self._begun, "output": items} if self._begun else None)

    def _read_comment(self, text: bytes) -> None:
        self._out.append(sse.comment(text))

    # -- lines -------------------------------------------------------------------------------------------------------

    def _read_block(self, block: bytes) -> None:
        at, end = 0, len(block)
        while at < end and not self._ended:
            at = self._read_fast(block, at) if self._routes else at
            cut = block.find(b"\n", at)
            if cut < 0:
                return
            self._read_line(block[at:cut])
            at = cut + 1

    def _read_fast(self, block: bytes, at: int) -> int:
        """Normalize deltas of the known shape for as long as there are any; where the first other thing stands."""
        template = self._template
        if template is None or self._held or self._page:
            return at
        match, groups, routes, out = template.match, template.groups, self._routes, self._out
        number, name = self._number, self._name
        while found := match(block, at):
            output, inner, delta = found.group(*groups)
            route = routes.get((output, inner))
            if route is None:
                break
            at, name = found.end(), b""
            if delta:
                head, middle, tail, told = route
                told.append(delta)
                out.append(b"%s%d%s%s%s" % (head, number, middle, delta, tail))
                number += 1
        self._number, self._name = number, name
        return at

    # -- events ------------------------------------------------------------------------------------------------------

    def _read_event(self, name: bytes, event: dict[str, Any], _payload: bytes, line: bytes) -> None:
        kind = kind_of(event, name)
        error = error_in(event, kind)
        if error is not None:
            return self._stop(error)
        self._beside = {} if event.keys() <= _KNOWN else {key: event[key] for key in event if key not in _KNOWN}
        if not kind.startswith("response."):
            return None
        response = event.get("response")
        response = response if isinstance(response, dict) else {}
        if kind in _BEGINNINGS:
            return self._begin(kind, response)
        if not self._started:
            self._begin("response.created", {"status": "in_progress"})
        if kind in TERMINALS:
            return self._end(kind, response)
        return self._read_inner(kind, event, name, line)

    def _begin(self, kind: str, response: dict[str, Any]) -> None:
        if not self._id:
            self._id = response_id(str(response.get("id") or self._identity.fallback_id))
        begun = normalize_object({"status": "in_progress", **response}, self._id, self._identity, [], self._restore)
        self._begun = begun
        self._tell(kind, response=begun)

    def _read_inner(self, kind: str, event: dict[str, Any], name: bytes, line: bytes) -> None:
        item = self._item_of(event)
        streamed = fast_path.BY_DELTA.get(kind)
        if streamed is not None:
            inner = _index(event, streamed.index)
            delta = event.get("delta")
            item.delta(streamed, inner, delta if isinstance(delta, str) else "", event.get("logprobs"))
            if line and item.flows(streamed) and item.told(streamed, inner):
                self._learn(name, line, item, streamed, inner)
            return None
        self._routes.clear()
        if kind in fast_path.BY_DONE:
            streamed = fast_path.BY_DONE[kind]
            item.finish_text(streamed, _index(event, streamed.index), event.get(streamed.key), event.get("logprobs"))
            return None
        reader = _READERS.get(kind)
        if reader is not None:
            return reader(item, event)
        rest = {key: value for key, value in public(event).items() if key not in ("type", "sequence_number")}
        if "item_id" in rest:
            rest["item_id"] = item.id
        return self._tell(kind, **rest)

    def _item_of(self, event: dict[str, Any]) -> NormalizedItem:
        index = event.get("output_index")
        at = index if type(index) is int else max(self._items, default=0)
        if at not in self._items:
            self._items[at] = NormalizedItem(self._id, at, self._restore, self._tell)
        return self._items[at]

    def _tell(self, kind: str, **fields: Any) -> None:
        self._started = True
        if self._beside:
            # What upstream adds to an event stands in the first that it becomes.
            fields, self._beside = {**self._beside, **fields}, {}
        self._out.append(frame_of(kind, {"type": kind, "sequence_number": self._number, **fields}))
        self._number += 1

    def _learn(self, name: bytes, line: bytes, item: NormalizedItem, streamed: StreamedField, inner: int) -> None:
        """Remember the shape of this line, and what of ours stands around the string in it."""
        shape = fast_path.template(name, line)
        found = shape.match(b"event: %s\n%s\n" % (name, line)) if shape is not None else None
        if shape is None or found is None:
            return
        if self._template is None or shape.pattern is not self._template.pattern:
            # Routes belong to one shape: another streamed has begun.
            self._routes.clear()
            self._template = shape
        kind = f"{streamed.event}.delta"
        head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":'.encode()
        place = f',"{streamed.index}":{inner}' if streamed.index else ""
        middle = f',"item_id":"{item.id}","output_index":{item.index}{place},"delta":"'.encode()
        tail = b'","logprobs":[]}\n\n' if streamed.has_logprobs else b'"}\n\n'
        output, second, _ = found.group(*shape.groups)
        self._routes[output, second] = head, middle, tail, item.told(streamed, inner)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _end(self, kind: str, response: dict[str, Any]) -> None:
        output = response.get("output")
        for at, raw in enumerate(output if isinstance(output, list) else []):
            if isinstance(raw, dict):
                self._item_of({"output_index": at}).complete(raw)
        status = TERMINALS[kind]
        for item in self._items.values():
            if item.is_open:
                if status == "completed" and item.is_call:
                    # A client would run half a call.
                    return self._stop(UpstreamProtocolError(_HALF_A_CALL))
                item.complete({**item.begun, "status": status})
        raw = {**response, "status": status, **({accounting.FIELD: self.account} if self.account else {})}
        items = [item.final for _, item in sorted(self._items.items()) if item.final is not None]
        body = normalize_object(raw, self._id, self._identity, items, self._restore)
        self.usage = body["usage"]
        self.finish_reason = ending_of(body)
        self._tell(kind, response=body)
        self._ended = True
        return None


_HALF_A_CALL: Final = "GitHub Copilot ended its answer inside a tool call. Try again."

_READERS: Final[dict[str, Callable[[NormalizedItem, dict[str, Any]], None]]] = {
    "response.output_item.added": NormalizedItem.begin,
    "response.output_item.done": NormalizedItem.read_done,
    "response.content_part.added": NormalizedItem.begin_part,
    "response.content_part.done": NormalizedItem.end_part,
    "response.reasoning_summary_part.added": NormalizedItem.begin_part,
    "response.reasoning_summary_part.done": NormalizedItem.end_part,
}


def _index(event: dict[str, Any], name: str | None) -> int:
    at = event.get(name) if name else 0
    return at if type(at) is int else 0
